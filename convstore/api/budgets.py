"""`/v1/budgets`: what may be spent, and what has been."""

from flask import Response
from flask_smorest import Blueprint

from convstore.api.requests import body, deps, guard, json, principal
from convstore.domain import jsontext
from convstore.schemas.budgets import CreateBudget, wanted_budget
from convstore.services import budgets
from convstore.services.principal import Right

blueprint = Blueprint("budgets", __name__, url_prefix="/v1/budgets", description="What may be spent.")


@blueprint.route("", methods=["GET"])
@blueprint.response(200, description="All budgets of the project.")
@guard(Right.READ)
def index() -> Response:
    """List the project's budgets, oldest first, with what has been spent of each."""
    found = budgets.written(budgets.listed(deps(), principal().project_id))
    return json(jsontext.dumps({"object": "list", "data": found, "has_more": False}))


@blueprint.route("", methods=["POST"])
@blueprint.doc(requestBody={"required": True, "content": {"application/json": {"schema": CreateBudget}}})
@blueprint.response(200, description="The budget.")
@guard(Right.WRITE)
def create() -> Response:
    """Limit what the project, one of its keys or a conversation may cost."""
    return json(budgets.as_json(budgets.create(deps(), principal().project_id, wanted_budget(body()))))


@blueprint.route("/<budget_id>", methods=["GET"])
@blueprint.response(200, description="The budget.")
@guard(Right.READ)
def get(budget_id: str) -> Response:
    """Return a budget, with what has been spent of it."""
    return json(budgets.as_json(budgets.get(deps(), principal().project_id, budget_id)))


@blueprint.route("/<budget_id>", methods=["DELETE"])
@blueprint.response(200, description="Deleted.")
@guard(Right.WRITE)
def delete(budget_id: str) -> Response:
    """Lift a limit."""
    budgets.delete(deps(), principal().project_id, budget_id)
    return json(jsontext.dumps({"id": budget_id, "object": "budget", "deleted": True}))
