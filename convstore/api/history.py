"""`GET /v1/responses`: the history of a project, filtered and searched."""

from flask import Response
from flask_smorest import Blueprint

from convstore.api import paging
from convstore.api.requests import deps, guard, json, named, principal, query
from convstore.domain import jsontext
from convstore.errors import InvalidRequest
from convstore.schemas.history import ListResponses, filters
from convstore.services import history
from convstore.services.history import Asked, Found
from convstore.services.principal import Right

blueprint = Blueprint("history", __name__, url_prefix="/v1/responses", description="What was asked and answered.")


@blueprint.route("", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": ListResponses}])
@blueprint.response(200, description="A page of responses, without what was said in them unless that is asked for.")
@guard(Right.READ)
def index() -> Response:
    """List the project's responses, those that are asked for, the newest first or by relevance."""
    asked = query(ListResponses)
    by_relevance = asked.get("sort") == "relevance"
    if by_relevance and "q" not in asked:
        raise InvalidRequest(
            "Only what is searched for has a relevance: 'q' is missing.", param="sort", code="invalid_value"
        )
    wanted = Asked(asked.get("q"), filters(asked), named("metadata."), by_relevance, asked.get("fields"))
    return json(written(history.page(deps(), principal().project_id, wanted, paging.page(asked))))


def written(found: Found) -> bytes:
    """The JSON of a page."""
    tail = {"first_id": found.first, "last_id": found.last, "has_more": found.has_more}
    return b'{"object":"list","data":[' + b",".join(found.data) + b"]," + jsontext.dumps(tail)[1:]
