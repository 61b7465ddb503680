"""Models: the union of what the upstreams serve."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from convstore.config import Settings, UpstreamSettings
from convstore.errors import NotFound, UpstreamError
from convstore.services import models
from convstore.services.deps import Deps
from convstore.upstream import registry
from tests.conftest import upstream_settings
from tests.local_upstream import LocalUpstream

# Nothing here is kept in the database.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

NOWHERE = UpstreamSettings(name="nowhere", url="http://127.0.0.1:1/v1", retries=0, connect_timeout_s=0.5)


@pytest.fixture
def second() -> Iterator[LocalUpstream]:
    """Another provider."""
    with LocalUpstream() as running:
        running.models = ["deepseek-v4-pro", "gpt-5.4"]
        yield running


def serving(deps: Deps, *upstreams: UpstreamSettings) -> Deps:
    return replace(deps, upstreams=registry.Registry(upstreams, pool=4))


def names(deps: Deps) -> list[str]:
    return [model["id"] for model in models.listed(deps)]


class TestListed:
    def test_they_are_those_of_all_upstreams_by_id(
        self, deps: Deps, upstream: LocalUpstream, second: LocalUpstream
    ) -> None:
        both = serving(
            deps,
            upstream_settings(upstream, name="one", models=("gpt-*",)),
            upstream_settings(second, name="two", models=("deepseek-*",)),
        )
        assert names(both) == ["deepseek-v4-pro", "gpt-5.4", "gpt-5.4-mini"]
        assert models.get(both, "gpt-5.4") == {
            "id": "gpt-5.4",
            "object": "model",
            "created": 1,
            "owned_by": "local",
        }

    def test_each_has_the_members_of_the_api(self, deps: Deps) -> None:
        for model in models.listed(deps):
            assert set(model) == {"id", "object", "created", "owned_by"}

    def test_one_is_listed_only_where_it_would_be_served(
        self, deps: Deps, upstream: LocalUpstream, second: LocalUpstream
    ) -> None:
        only = serving(deps, upstream_settings(upstream, models=("gpt-5.4-mini",)))
        assert names(only) == ["gpt-5.4-mini"]

    def test_aliases_are_models_too(self, deps: Deps, upstream: LocalUpstream) -> None:
        named = serving(deps, upstream_settings(upstream, aliases={"fast": "gpt-5.4-mini"}))
        assert names(named) == ["fast", "gpt-5.4", "gpt-5.4-mini"]
        assert models.get(named, "fast")["owned_by"] == "local"

    def test_an_upstream_that_cannot_be_asked_is_left_out(self, deps: Deps, upstream: LocalUpstream) -> None:
        both = serving(deps, NOWHERE, upstream_settings(upstream, models=("gpt-*",)))
        assert names(both) == ["gpt-5.4", "gpt-5.4-mini"]

    def test_what_is_configured_by_name_is_listed_all_the_same(self, deps: Deps) -> None:
        assert names(serving(deps, replace(NOWHERE, models=("private-7b", "gpt-*")))) == ["private-7b"]

    def test_when_none_can_be_asked_that_is_an_error(self, deps: Deps) -> None:
        with pytest.raises(UpstreamError):
            models.listed(serving(deps, NOWHERE))

    def test_without_upstreams_there_are_none(self, deps: Deps, settings: Settings) -> None:
        assert models.listed(serving(deps)) == []

    def test_they_are_asked_for_once_a_minute(
        self, deps: Deps, upstream: LocalUpstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fresh = serving(deps, upstream_settings(upstream))
        models.listed(fresh)
        models.get(fresh, "gpt-5.4")
        assert len([each for each in upstream.asked if each.method == "GET"]) == 1
        monkeypatch.setattr(registry, "MODELS_FRESH_S", -1.0)
        upstream.models.append("new")
        assert "new" in names(fresh)

    @pytest.mark.parametrize(
        "listed",
        [
            {"data": None},
            {"data": "x"},
            [],
            "x",
            {"data": [1, "x", None, {}, {"name": "x"}]},
            {"data": [{"id": None}]},
        ],
    )
    def test_a_list_of_any_shape_breaks_nothing(
        self, deps: Deps, listed: Any, monkeypatch: pytest.MonkeyPatch, upstream: LocalUpstream
    ) -> None:
        odd = serving(deps, upstream_settings(upstream))
        monkeypatch.setattr(odd.upstreams.upstreams[0], "get", lambda path: listed)
        with suppress(UpstreamError):
            assert all(isinstance(model["id"], str) for model in models.listed(odd))


class TestGet:
    def test_an_unknown_one_is_not_found(self, deps: Deps) -> None:
        for unknown in ("gpt-9", "", "org/model", "x\0"):
            with pytest.raises(NotFound) as refused:
                models.get(deps, unknown)
            assert (refused.value.code, refused.value.param) == ("model_not_found", "model")
