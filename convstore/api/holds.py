"""`/v1/holds`: what may neither be erased nor removed."""

from flask import Response
from flask_smorest import Blueprint

from convstore.api import paging
from convstore.api.requests import body, deps, guard, json, principal, query
from convstore.schemas.holds import CreateHold, ListHolds, wanted_hold
from convstore.services import holds
from convstore.services.principal import Right

blueprint = Blueprint("holds", __name__, url_prefix="/v1/holds", description="What must be kept.")


@blueprint.route("", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": ListHolds}])
@blueprint.response(200, description="A page of holds.")
@guard(Right.READ)
def index() -> Response:
    """List the project's legal holds, released ones among them."""
    asked = query(ListHolds)
    page = paging.page(asked)
    return json(paging.written(holds.listed(deps(), principal().project_id, page, released=asked.get("released"))))


@blueprint.route("", methods=["POST"])
@blueprint.doc(requestBody={"required": True, "content": {"application/json": {"schema": CreateHold}}})
@blueprint.response(200, description="The hold.")
@guard(Right.WRITE)
def create() -> Response:
    """Keep conversations from being erased or removed, until the hold is released."""
    return json(holds.written(holds.create(deps(), principal(), wanted_hold(body()))))


@blueprint.route("/<hold_id>", methods=["GET"])
@blueprint.response(200, description="The hold.")
@guard(Right.READ)
def get(hold_id: str) -> Response:
    """Return a hold."""
    return json(holds.written(holds.get(deps(), principal().project_id, hold_id)))


@blueprint.route("/<hold_id>/release", methods=["POST"])
@blueprint.response(200, description="The hold, which stays on record.")
@guard(Right.WRITE)
def release(hold_id: str) -> Response:
    """Let go of what a hold keeps."""
    return json(holds.written(holds.release(deps(), principal(), hold_id)))
