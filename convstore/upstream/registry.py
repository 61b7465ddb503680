"""All upstreams: which one serves a model, and what models there are."""

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Any

from convstore.config import UpstreamSettings
from convstore.errors import ModelNotFound, UpstreamError, UpstreamUnreachable
from convstore.upstream.client import Upstream

MODELS_FRESH_S = 60.0


class Registry:
    """The configured upstreams, in order. The first whose patterns match a model serves it."""

    def __init__(self, settings: Sequence[UpstreamSettings], pool: int) -> None:
        self.upstreams = [Upstream(each, pool) for each in settings]
        self._lock = threading.Lock()
        self._models: list[dict[str, Any]] = []
        self._fetched = float("-inf")

    def serving(self, model: str) -> Upstream:
        """The upstream for a model. Raises ModelNotFound."""
        for upstream in self.upstreams:
            if model in upstream.settings.aliases or _matches(model, upstream.settings.models):
                return upstream
        for upstream in self.upstreams:
            if not upstream.settings.models:
                return upstream
        raise ModelNotFound(model)

    def url_of(self, name: str | None) -> str | None:
        """The base URL of the upstream with this name; None when it is configured no more."""
        return next((each.settings.url for each in self.upstreams if each.name == name), None)

    def asked(self, name: str | None, model: str) -> tuple[str, str] | None:
        """(name, its name for the model) of the upstream with this name, or else of the one that serves the model."""
        named = [each for each in self.upstreams if each.name == name]
        with suppress(ModelNotFound):
            upstream = named[0] if named else self.serving(model)
            return upstream.name, upstream.model_name(model)
        return None

    def models(self) -> list[dict[str, Any]]:
        """The models of all upstreams, by id; a minute old at most. Raises UpstreamError when none answers."""
        with self._lock:
            if time.monotonic() - self._fetched > MODELS_FRESH_S:
                self._models = self._fetch()
                self._fetched = time.monotonic()
            return self._models

    def close(self) -> None:
        for upstream in self.upstreams:
            upstream.close()

    def _fetch(self) -> list[dict[str, Any]]:
        if not self.upstreams:
            return []
        with ThreadPoolExecutor(max_workers=8) as pool:
            lists = list(pool.map(_models_of, self.upstreams))
        if all(listed is None for listed in lists):
            raise UpstreamUnreachable("No model provider could be asked for its models.")
        found: dict[str, dict[str, Any]] = {}
        for upstream, listed in zip(self.upstreams, lists, strict=True):
            for model in listed or ():
                # Listed by whom it would be served by: the same name at two providers is one model here.
                if self._serves(upstream, str(model["id"])):
                    found.setdefault(str(model["id"]), model)
        return [found[name] for name in sorted(found)]

    def _serves(self, upstream: Upstream, model: str) -> bool:
        try:
            return self.serving(model) is upstream
        except ModelNotFound:
            return False


def _matches(model: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(model, pattern) for pattern in patterns)


def _models_of(upstream: Upstream) -> list[dict[str, Any]] | None:
    """One upstream's models, its aliases among them; None when it could not be asked."""
    exact = [name for name in upstream.settings.models if "*" not in name and "?" not in name and "[" not in name]
    named = [_model(name, {}, upstream) for name in [*upstream.settings.aliases, *exact]]
    try:
        answer = upstream.get("/models")
    except UpstreamError:
        return named or None
    listed = answer.get("data") if isinstance(answer, Mapping) else None
    if not isinstance(listed, list):
        return named or None
    models = [_model(str(each["id"]), each, upstream) for each in listed if isinstance(each, Mapping) and "id" in each]
    return [*named, *models]


def _model(name: str, given: Mapping[str, Any], upstream: Upstream) -> dict[str, Any]:
    created = given.get("created")
    owner = given.get("owned_by")
    return {
        "id": name,
        "object": "model",
        "created": created if isinstance(created, int) else 0,
        "owned_by": owner if isinstance(owner, str) else upstream.name,
    }
