"""`/v1/erasures`: what somebody said, gone for good."""

from flask import Response
from flask_smorest import Blueprint

from convstore.api import paging
from convstore.api.requests import body, deps, guard, json, principal, query
from convstore.schemas.erasures import CreateErasure, ListErasures, wanted_erasure
from convstore.services import erasures
from convstore.services.principal import Right

blueprint = Blueprint("erasures", __name__, url_prefix="/v1/erasures", description="What is gone for good.")


@blueprint.route("", methods=["POST"])
@blueprint.doc(requestBody={"required": True, "content": {"application/json": {"schema": CreateErasure}}})
@blueprint.response(202, description="The erasure, which a worker does.")
@blueprint.alt_response(200, description="With dry_run=true: what it would be about.")
@guard(Right.WRITE)
def create() -> Response:
    """Erase what was said by a person, in a conversation, below a response, or under a label."""
    wanted, is_dry = wanted_erasure(body())
    if is_dry:
        return json(erasures.as_json(erasures.preview(deps(), principal(), wanted)))
    answer = json(erasures.as_json(erasures.create(deps(), principal(), wanted)))
    answer.status_code = 202
    return answer


@blueprint.route("", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": ListErasures}])
@blueprint.response(200, description="A page of erasures.")
@guard(Right.READ)
def index() -> Response:
    """List the project's erasures."""
    return json(paging.written(erasures.listed(deps(), principal().project_id, paging.page(query(ListErasures)))))


@blueprint.route("/<erasure_id>", methods=["GET"])
@blueprint.response(200, description="The receipt: how it stands, and what went.")
@guard(Right.READ)
def get(erasure_id: str) -> Response:
    """Return an erasure."""
    return json(erasures.as_json(erasures.get(deps(), principal().project_id, erasure_id)))
