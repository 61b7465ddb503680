"""What exchanges cost: one and the path to it, a conversation in its parts, and `/v1/costs`, reports of all."""

from flask import Response
from flask_smorest import Blueprint

from convstore.api.requests import deps, guard, json, named, principal, query
from convstore.domain import jsontext
from convstore.render import csv
from convstore.schemas import costs as shapes
from convstore.schemas.costs import ReadCosts
from convstore.services import costs
from convstore.services.principal import Right

blueprint = Blueprint("costs", __name__, url_prefix="/v1", description="What it cost.")


@blueprint.route("/responses/<response_id>/cost", methods=["GET"])
@blueprint.response(200, description="Its cost, line by line, and that of the path to it.")
@guard(Right.READ)
def of_response(response_id: str) -> Response:
    """Return what a response cost, and what everything from the root to it did."""
    return json(costs.of_response(deps(), principal().project_id, response_id))


@blueprint.route("/conversations/<conversation_id>/cost", methods=["GET"])
@blueprint.response(200, description="Its parts, which come to the whole; and the path of each named branch.")
@guard(Right.READ)
def of_conversation(conversation_id: str) -> Response:
    """Return what a conversation cost: its main thread, abandoned branches, replays and failed attempts."""
    return json(costs.of_conversation(deps(), principal().project_id, conversation_id))


@blueprint.route("/costs", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": ReadCosts}])
@blueprint.response(200, description="Totals and groups; as CSV, where that was asked for.")
@guard(Right.READ)
def report() -> Response:
    """Add up what exchanges cost, in groups; or what they would cost at another price."""
    asked = query(ReadCosts)
    wanted = shapes.wanted(asked, named(shapes.OF_METADATA))
    found = costs.report(deps(), principal().project_id, wanted).as_dict()
    if asked.get("format") != "csv":
        return json(jsontext.dumps(found))
    file = Response(csv.report(found), content_type=csv.TYPE)
    file.headers["Content-Disposition"] = 'attachment; filename="costs.csv"'
    return file
