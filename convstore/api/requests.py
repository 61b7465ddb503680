"""What surrounds every request: its id, its principal, its log line, its headers."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast

from flask import Flask, Response, current_app, g, request
from marshmallow import Schema, ValidationError

from convstore import ids
from convstore.api.records import on_record
from convstore.domain.calls import Call
from convstore.errors import BodyTooLarge, Forbidden, InvalidRequest
from convstore.schemas import problems
from convstore.schemas.fields import QueryWords
from convstore.services.deps import Deps
from convstore.services.keys import Authenticator
from convstore.services.principal import Principal, Right
from convstore.telemetry import logs, metrics

View = TypeVar("View", bound=Callable[..., Any])
_EXTENSION = "convstore"
# Views that are called otherwise than what they do.
_VERBS = {"index": "list", "listed": "list", "list_jobs": "list"}


@dataclass(frozen=True, slots=True)
class _Context:
    deps: Deps
    authenticator: Authenticator
    strict_parameters: bool


def register(app: Flask, deps: Deps, *, max_body_bytes: int, strict_parameters: bool) -> None:
    """Give the app its dependencies, and every request its id."""
    app.extensions[_EXTENSION] = _Context(deps, Authenticator(deps), strict_parameters)
    app.config["MAX_CONTENT_LENGTH"] = max_body_bytes or None
    app.before_request(_arrived)
    app.after_request(_answered)


def deps() -> Deps:
    """The dependencies of this process."""
    return cast(_Context, current_app.extensions[_EXTENSION]).deps


def strict_parameters() -> bool:
    """Whether unknown request members are refused."""
    return cast(_Context, current_app.extensions[_EXTENSION]).strict_parameters


def principal() -> Principal:
    """Who is asking. Only behind a guard."""
    return cast(Principal, g.principal)


def request_id() -> str:
    """The id of this request."""
    return cast(str, g.request_id)


def body() -> bytes:
    """The bytes of the request's body."""
    if request.content_encoding not in (None, "", "identity"):
        raise InvalidRequest("Compressed request bodies are not supported. Send the body without Content-Encoding.")
    length = request.content_length
    limit = current_app.config["MAX_CONTENT_LENGTH"]
    if limit is not None and length is not None and length > limit:
        raise BodyTooLarge
    # Straight from the server: Flask's own way to the same bytes costs as much as parsing them, and takes the first
    # part of a chunked body that is too large for the whole.
    wanted = length if length is not None else -1 if limit is None else limit + 1
    try:
        content: bytes = request.environ["wsgi.input"].read(wanted)
    except OSError as error:
        raise InvalidRequest("The connection broke before the request body was complete.") from error
    if length is None and limit is not None and len(content) > limit:
        raise BodyTooLarge
    if length is not None and len(content) < length:
        raise InvalidRequest("The request body ended before its Content-Length.")
    return content


def query(schema: type[Schema]) -> dict[str, Any]:
    """The query parameters of a schema; others are ignored, as the API does. Raises InvalidRequest."""
    known = schema()
    given: dict[str, Any] = {}
    for field in known.fields.values():
        name = str(field.data_key or field.name)
        values = request.args.getlist(name)
        if isinstance(field, QueryWords):
            values = values + request.args.getlist(f"{name}[]")
        if values:
            given[name] = values if isinstance(field, QueryWords) else values[0]
    try:
        return dict(known.load(given))
    except ValidationError as error:
        raise problems.first(error) from error


def named(prefix: str) -> list[tuple[str, str]]:
    """The query parameters whose names begin like this, as (rest of the name, value)."""
    return [(name[len(prefix) :], value) for name, value in request.args.items(multi=True) if name.startswith(prefix)]


def guard(right: Right) -> Callable[[View], View]:
    """Only for principals with this right."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            context = cast(_Context, current_app.extensions[_EXTENSION])
            g.principal = context.authenticator.principal(_bearer())

            def answer() -> Response:
                if right not in g.principal.rights:
                    raise Forbidden(f"This API key does not have the scope '{right}' that the call needs.")
                return cast(Response, view(*args, **kwargs))

            return on_record(context.deps, _call(kwargs), answer)

        guarded.guarded_by = right  # type: ignore[attr-defined]  # a test walks the routes for it
        return cast(View, guarded)

    return decorate


def _call(named: Mapping[str, str]) -> Call:
    """The call that this request is, for the audit log: what it is about stands in its address."""
    who = principal()
    return Call(
        actor="key" if who.key_id else "anyone",
        action=_action(request.endpoint or ""),
        project_id=ids.pack(ids.PROJECT, who.project_id),
        object="/".join(named.values()) or None,
        api_key_id=ids.pack(ids.KEY, who.key_id) if who.key_id else None,
        # The nearest peer's: what a header says of farther ones, anybody can write.
        remote=request.environ.get("REMOTE_ADDR") or None,
        agent=request.environ.get("HTTP_USER_AGENT"),
        request_id=ids.pack(ids.REQUEST, request_id()),
    )


@lru_cache(maxsize=256)
def _action(endpoint: str) -> str:
    """Noun and verb of a door."""
    noun, _, verb = endpoint.rpartition(".")
    return f"{noun}.{_VERBS.get(verb, verb)}"


def json(content: bytes, status: int = 200) -> Response:
    """An answer of JSON that is written already."""
    return Response(content, status, content_type="application/json")


def _bearer() -> str | None:
    scheme, _, key = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def _arrived() -> None:
    g.request_id = ids.new(ids.REQUEST)
    g.started = time.monotonic()


def _answered(response: Response) -> Response:
    elapsed_ms = round((time.monotonic() - g.started) * 1000)
    headers = response.headers
    headers["x-request-id"] = g.request_id
    headers["openai-processing-ms"] = str(elapsed_ms)
    headers["openai-version"] = "2020-10-01"
    headers["x-content-type-options"] = "nosniff"
    rule = request.url_rule
    route = rule.rule if rule is not None else "unknown"
    metrics.requests(route, response.status_code).inc()
    who = g.get("principal")
    logs.get().info(
        "request",
        request_id=g.request_id,
        method=request.method,
        route=route,
        status=response.status_code,
        ms=elapsed_ms,
        project=who.project if who else None,
        key=who.key_id if who else None,
        response_id=g.get("response_id"),
    )
    return response
