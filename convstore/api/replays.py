"""`/v1/replays` and `POST /v1/responses/{id}/replay`: threads asked again, on one model or on several."""

from flask import Response
from flask_smorest import Blueprint

from convstore.api import paging
from convstore.api.requests import body, deps, guard, json, principal, query
from convstore.domain.replay import Replay
from convstore.schemas.replays import ListReplays, ReplayResponse, wanted
from convstore.services import replays
from convstore.services.principal import Right

blueprint = Blueprint("replays", __name__, url_prefix="/v1", description="Threads asked again.")


@blueprint.route("/responses/<response_id>/replay", methods=["POST"])
@blueprint.doc(requestBody={"content": {"application/json": {"schema": ReplayResponse}}})
@blueprint.response(200, description="The replay, which workers run; with dry_run=true what it would take.")
@guard(Right.WRITE)
def replay(response_id: str) -> Response:
    """Ask the thread up to a response again, as a new branch for each model."""
    asked, is_dry = wanted(body())
    planned = replays.plan(deps(), principal(), response_id, asked)
    if is_dry:
        return json(replays.estimate(deps(), principal(), planned))
    return _written(replays.create(deps(), principal(), planned))


@blueprint.route("/replays", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": ListReplays}])
@blueprint.response(200, description="A page of replays.")
@guard(Right.READ)
def index() -> Response:
    """List the project's replays."""
    return json(paging.written(replays.listed(deps(), principal().project_id, paging.page(query(ListReplays)))))


@blueprint.route("/replays/<replay_id>", methods=["GET"])
@blueprint.response(200, description="The replay, with every turn that was asked again.")
@guard(Right.READ)
def get(replay_id: str) -> Response:
    """Return a replay: how far it is, and what came of it."""
    return _written(replays.get(deps(), principal().project_id, replay_id))


@blueprint.route("/replays/<replay_id>/cancel", methods=["POST"])
@blueprint.response(200, description="The replay.")
@guard(Right.WRITE)
def cancel(replay_id: str) -> Response:
    """Stop a replay. What it has made stays."""
    return _written(replays.cancel(deps(), principal().project_id, replay_id))


def _written(found: Replay) -> Response:
    return json(replays.written(deps(), principal().project_id, found))
