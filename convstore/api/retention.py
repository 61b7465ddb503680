"""`/v1/retention`: how long things are kept, and what would go now."""

from flask import Response
from flask_smorest import Blueprint

from convstore.api.requests import body, deps, guard, json, principal, query
from convstore.domain import jsontext
from convstore.schemas.retention import ChangeRule, CreateRule, PlanRetention, changed_rule, wanted_rule
from convstore.services import retention, rules
from convstore.services.principal import Right

blueprint = Blueprint("retention", __name__, url_prefix="/v1/retention", description="How long things are kept.")


@blueprint.route("/rules", methods=["GET"])
@blueprint.response(200, description="All rules of the project.")
@guard(Right.READ)
def list_rules() -> Response:
    """List the project's retention rules, in the order in which they are asked."""
    found = [rule.as_dict() for rule in rules.listed(deps(), principal().project_id)]
    return json(jsontext.dumps({"object": "list", "data": found, "has_more": False}))


@blueprint.route("/rules", methods=["POST"])
@blueprint.doc(requestBody={"required": True, "content": {"application/json": {"schema": CreateRule}}})
@blueprint.response(200, description="The rule.")
@guard(Right.WRITE)
def create_rule() -> Response:
    """Say how long some or all of the project's content and figures are kept."""
    return json(rules.written(rules.create(deps(), principal().project_id, wanted_rule(body()))))


@blueprint.route("/rules/<rule_id>", methods=["GET"])
@blueprint.response(200, description="The rule.")
@guard(Right.READ)
def get_rule(rule_id: str) -> Response:
    """Return a retention rule."""
    return json(rules.written(rules.get(deps(), principal().project_id, rule_id)))


@blueprint.route("/rules/<rule_id>", methods=["POST"])
@blueprint.doc(requestBody={"required": True, "content": {"application/json": {"schema": ChangeRule}}})
@blueprint.response(200, description="The rule.")
@guard(Right.WRITE)
def change_rule(rule_id: str) -> Response:
    """Change a retention rule; what is not given stays as it is."""
    return json(rules.written(rules.change(deps(), principal().project_id, rule_id, changed_rule(body()))))


@blueprint.route("/rules/<rule_id>", methods=["DELETE"])
@blueprint.response(200, description="Deleted.")
@guard(Right.WRITE)
def delete_rule(rule_id: str) -> Response:
    """Forget a retention rule. What it had let go stays gone."""
    rules.delete(deps(), principal().project_id, rule_id)
    return json(jsontext.dumps({"id": rule_id, "object": "retention.rule", "deleted": True}))


@blueprint.route("/plan", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": PlanRetention}])
@blueprint.response(200, description="What would go, by rule, of the exchanges that were looked at.")
@guard(Right.READ)
def plan() -> Response:
    """Say what the rules would let go now: nothing goes."""
    asked = query(PlanRetention)
    limit = asked.get("limit", retention.LOOKED_AT)
    found = retention.plan(deps(), principal().project_id, limit, asked.get("after"))
    return json(jsontext.dumps(found.as_dict()))
