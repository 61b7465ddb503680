"""`/v1/audit`: who did what; and whether the log, and what it commits to, is as it was written."""

from flask import Response, request
from flask_smorest import Blueprint

from convstore.api import paging
from convstore.api.requests import body, deps, guard, json, principal
from convstore.domain import jsontext
from convstore.schemas.audit import ListEntries, VerifyEntries, asked, head_of
from convstore.services import audit, verification
from convstore.services.principal import Right

blueprint = Blueprint("audit", __name__, url_prefix="/v1/audit", description="Who did what; proved.")


@blueprint.route("", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": ListEntries}])
@blueprint.response(200, description="A page of entries.")
@guard(Right.READ)
def index() -> Response:
    """List the entries of the project's audit log."""
    given = asked(ListEntries, request.args)
    return json(paging.written(audit.listed(deps(), principal().project_id, paging.page(given), audit.given(given))))


@blueprint.route("/head", methods=["GET"])
@blueprint.response(200, description="The newest entries, signed: to be kept elsewhere.")
@guard(Right.READ)
def head() -> Response:
    """Return a signed head: with it what is cut off or changed later can be found."""
    return json(jsontext.dumps(verification.head(deps(), principal().project_id)))


@blueprint.route("/verify", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": VerifyEntries}])
@blueprint.response(200, description="What was checked, and every problem.")
@guard(Right.READ)
def verify() -> Response:
    """Check a part of the log and the exchanges that it commits to."""
    given = asked(VerifyEntries, request.args)
    return json(jsontext.dumps(verification.verify(deps(), principal().project_id, **given).as_dict()))


@blueprint.route("/verify", methods=["POST"])
@blueprint.doc(
    parameters=[{"in": "query", "schema": VerifyEntries}],
    requestBody={"required": False, "content": {"application/json": {"schema": {"type": "object"}}}},
)
@blueprint.response(200, description="What was checked, and every problem.")
@guard(Right.READ)
def verify_against() -> Response:
    """The same, held against a head that was kept elsewhere."""
    given = asked(VerifyEntries, request.args)
    found = verification.verify(deps(), principal().project_id, **given, against=head_of(body()))
    return json(jsontext.dumps(found.as_dict()))
