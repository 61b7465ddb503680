"""`/v1/responses`: ask, read, list, stream again, delete."""

from flask import Response, g, request
from flask_smorest import Blueprint

from convstore.api import paging
from convstore.api.errors import envelope
from convstore.api.requests import body, deps, guard, json, principal, query, request_id, strict_parameters
from convstore.domain import jsontext
from convstore.schemas.responses import (
    CountInputTokens,
    CreateResponse,
    ListInputItems,
    Retrieve,
    count_request,
    create_request,
    idempotency_key,
)
from convstore.services import relay, responses, tokens
from convstore.services.principal import Right
from convstore.services.relay import Whole
from convstore.services.streaming import Streamed

blueprint = Blueprint("responses", __name__, url_prefix="/v1/responses", description="Ask models; read what was said.")

EVENT_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


@blueprint.route("", methods=["POST"])
@blueprint.doc(requestBody={"required": True, "content": {"application/json": {"schema": CreateResponse}}})
@blueprint.response(
    200, description="A response, finished or (with background=true) queued; with stream=true its events."
)
@guard(Right.WRITE)
def create() -> Response:
    """Ask a model, and keep the question and the answer."""
    content = body()
    asked = create_request(content, strict=strict_parameters())
    key = idempotency_key(request.headers.get("Idempotency-Key"))
    answer = relay.create(deps(), principal(), asked, relay.call_of(request_id(), key, content))
    g.response_id = answer.response_id
    return answered(answer)


# werkzeug keeps upgrades apart from plain requests: without websocket=True they never get here.
@blueprint.route("", methods=["GET"], websocket=True)
@blueprint.response(426, description="WebSocket mode is not available; use server-sent events.")
@guard(Right.READ)
def upgrade() -> Response:
    """Refuse the WebSocket mode, so that clients fall back to server-sent events."""
    response = envelope(426, "WebSocket mode is not available. Use stream=true.", "invalid_request_error")
    response.headers["Upgrade"] = "HTTP/1.1"
    return response


@blueprint.route("/<response_id>", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": Retrieve}])
@blueprint.response(200, description="The response; with stream=true its events.")
@guard(Right.READ)
def get(response_id: str) -> Response:
    """Return one stored response, or its events again."""
    asked = query(Retrieve)
    g.response_id = response_id
    if asked.get("stream"):
        after = asked.get("starting_after")
        return _events(responses.stream(deps(), principal(), response_id, -1 if after is None else after))
    return json(responses.get(deps(), principal(), response_id))


@blueprint.route("/<response_id>", methods=["DELETE"])
@blueprint.response(200, description="Deleted.")
@guard(Right.WRITE)
def delete(response_id: str) -> Response:
    """Hide a response: it is found no more, what continues it keeps its history."""
    responses.delete(deps(), principal(), response_id)
    return json(jsontext.dumps({"id": response_id, "object": "response", "deleted": True}))


@blueprint.route("/<response_id>/cancel", methods=["POST"])
@blueprint.response(200, description="The response: cancelled, or as it ended before.")
@guard(Right.WRITE)
def cancel(response_id: str) -> Response:
    """Cancel a background response. What had arrived of it is kept."""
    g.response_id = response_id
    return json(responses.cancel(deps(), principal(), response_id))


@blueprint.route("/<response_id>/input_items", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": ListInputItems}])
@blueprint.response(200, description="A page of items.")
@guard(Right.READ)
def input_items(response_id: str) -> Response:
    """List the items that stood in front of the model: the thread's, then the request's own."""
    asked = query(ListInputItems)
    listing = responses.input_items(
        deps(), principal(), response_id, paging.page(asked), own=asked.get("scope") == "own"
    )
    return json(paging.written(listing))


@blueprint.route("/input_tokens", methods=["POST"])
@blueprint.doc(requestBody={"required": True, "content": {"application/json": {"schema": CountInputTokens}}})
@blueprint.response(200, description="The number of input tokens.")
@guard(Right.WRITE)
def input_tokens() -> Response:
    """Count the tokens a request would put in front of the model, without asking it."""
    counted = tokens.count(deps(), principal(), count_request(body()))
    response = json(jsontext.dumps({"object": "response.input_tokens", "input_tokens": counted.tokens}))
    response.headers["x-convstore-estimated"] = str(counted.estimated).lower()
    return response


def answered(answer: Whole | Streamed) -> Response:
    """What goes to the client who asked: a response, or its events."""
    response = json(answer.body) if isinstance(answer, Whole) else _events(answer)
    response.headers.update(answer.headers)
    return response


def _events(stream: Streamed) -> Response:
    return Response(stream, content_type="text/event-stream; charset=utf-8", headers=EVENT_HEADERS)
