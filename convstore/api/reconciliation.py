"""`POST /v1/costs/reconcile`: a provider's bill against our figures."""

from flask import Response, request
from flask_smorest import Blueprint

from convstore.api.requests import body, deps, guard, json, principal
from convstore.domain import jsontext
from convstore.schemas.reconciliation import Reconcile, bill_of, reading_of
from convstore.services import reconciling
from convstore.services.principal import Right

blueprint = Blueprint("reconciliation", __name__, url_prefix="/v1/costs", description="Bills against our figures.")


@blueprint.route("/reconcile", methods=["POST"])
@blueprint.doc(
    parameters=[{"in": "query", "schema": Reconcile}],
    requestBody={"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}},
)
@blueprint.response(200, description="Day by day and model by model: theirs, ours, and which exchanges may explain it.")
@guard(Right.READ)
def reconcile() -> Response:
    """Compare a provider's usage or billing CSV with our figures; nothing is stored of it."""
    reading, upstream = reading_of(request.args)
    found = reconciling.reconcile(deps(), principal().project_id, bill_of(body()), reading, upstream)
    return json(jsontext.dumps(found))
