"""`GET /v1/responses`: the history of a project, filtered and searched."""

from flask import Response
from flask_smorest import Blueprint

from convstore.api import paging
from convstore.api.requests import deps, guard, json, named, principal, query
from convstore.schemas.history import LABEL, ListResponses, wanted
from convstore.services import history
from convstore.services.history import Asked
from convstore.services.principal import Right

blueprint = Blueprint("history", __name__, url_prefix="/v1/responses", description="What was asked and answered.")


@blueprint.route("", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": ListResponses}])
@blueprint.response(200, description="A page of responses, without what was said in them unless that is asked for.")
@guard(Right.READ)
def index() -> Response:
    """List the project's responses, those that are asked for, the newest first or by relevance."""
    asked = query(ListResponses)
    wants = Asked(**wanted(asked, named(LABEL)))
    return json(history.page(deps(), principal().project_id, wants, paging.page(asked)).write())
