"""`/v1/branches` and `POST /v1/responses/{id}/branch`: other ways a thread may go, and names for them."""

from flask import Response, g, request
from flask_smorest import Blueprint

from convstore.api import paging
from convstore.api.requests import body, deps, guard, json, principal, query, request_id
from convstore.api.responses import answered
from convstore.domain import jsontext
from convstore.schemas.branches import (
    BranchResponse,
    ChangeBranch,
    CreateBranch,
    ListBranches,
    changed_branch,
    edit,
    new_branch,
)
from convstore.schemas.responses import idempotency_key
from convstore.services import branches, branching, relay
from convstore.services.branches import Move
from convstore.services.principal import Right

blueprint = Blueprint("branches", __name__, url_prefix="/v1", description="Other ways a thread may go.")

# Where the answer to the edited question comes first, the rest is to be found.
CARRIED = "x-convstore-replay"


@blueprint.route("/responses/<response_id>/branch", methods=["POST"])
@blueprint.doc(requestBody={"content": {"application/json": {"schema": BranchResponse}}})
@blueprint.response(200, description="A response, as for a create request; what carries on stands in a header.")
@guard(Right.WRITE)
def branch(response_id: str) -> Response:
    """Ask the question of a response again, with anything about it changed."""
    content = body()
    call = relay.call_of(request_id(), idempotency_key(request.headers.get("Idempotency-Key")), content)
    made = branching.create(deps(), principal(), response_id, edit(content), call)
    g.response_id = made.answer.response_id
    response = answered(made.answer)
    if made.replay_id is not None:
        response.headers[CARRIED] = made.replay_id
    return response


@blueprint.route("/branches", methods=["POST"])
@blueprint.doc(requestBody={"required": True, "content": {"application/json": {"schema": CreateBranch}}})
@blueprint.response(200, description="The branch.")
@guard(Right.WRITE)
def create() -> Response:
    """Give an exchange a name."""
    name, tip = new_branch(body())
    return json(branches.written(branches.create(deps(), principal().project_id, name, tip)))


@blueprint.route("/branches", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": ListBranches}])
@blueprint.response(200, description="A page of branches.")
@guard(Right.READ)
def index() -> Response:
    """List the project's branches in the order of their names."""
    asked = query(ListBranches)
    found = branches.listed(deps(), principal().project_id, paging.page(asked), asked.get("conversation"))
    return json(paging.written(found))


@blueprint.route("/branches/<name>", methods=["GET"])
@blueprint.response(200, description="The branch.")
@guard(Right.READ)
def get(name: str) -> Response:
    """Return a branch."""
    return json(branches.written(branches.get(deps(), principal().project_id, name)))


@blueprint.route("/branches/<name>", methods=["POST"])
@blueprint.doc(requestBody={"required": True, "content": {"application/json": {"schema": ChangeBranch}}})
@blueprint.response(200, description="The branch.")
@guard(Right.WRITE)
def change(name: str) -> Response:
    """Move a branch, if it points where you think; or rename it."""
    return json(branches.written(branches.change(deps(), principal().project_id, name, Move(**changed_branch(body())))))


@blueprint.route("/branches/<name>", methods=["DELETE"])
@blueprint.response(200, description="Deleted.")
@guard(Right.WRITE)
def delete(name: str) -> Response:
    """Forget a branch. The exchanges stay."""
    branches.delete(deps(), principal().project_id, name)
    return json(jsontext.dumps({"name": name, "object": "branch", "deleted": True}))
