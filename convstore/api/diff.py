"""`/v1/diff`: two threads compared, for programs and for people."""

from flask import Response
from flask_smorest import Blueprint

from convstore.api.requests import deps, guard, json, principal, query
from convstore.domain import calls, jsontext
from convstore.render import html, text
from convstore.schemas.diff import Compare
from convstore.services import comparing
from convstore.services.principal import Right

blueprint = Blueprint("diff", __name__, url_prefix="/v1/diff", description="Threads compared.")


@blueprint.route("", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": Compare}])
@blueprint.response(200, description="The comparison; as text or as a page, where that was asked for.")
@guard(Right.READ)
def compare() -> Response:
    """Compare two threads from their last common ancestor on, turn by turn."""
    asked = query(Compare)
    calls.about(f"{asked['left']} {asked['right']}")
    found = comparing.compare(deps(), principal().project_id, asked["left"], asked["right"])
    if asked.get("format") == "text":
        return Response(text.comparison(found), content_type="text/plain; charset=utf-8")
    if asked.get("format") == "html":
        page = Response(html.comparison(found), content_type="text/html; charset=utf-8")
        page.headers["Content-Security-Policy"] = html.POLICY
        page.headers["Referrer-Policy"] = "no-referrer"
        return page
    return json(jsontext.dumps(found.as_dict()))
