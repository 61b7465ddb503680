"""The tree at the doors: whole, in part, its tips; a response's thread, its children, what the model was shown."""

from collections.abc import Callable

from flask import Response
from flask_smorest import Blueprint

from convstore.api import paging
from convstore.api.requests import deps, guard, json, principal, query
from convstore.schemas.trees import ListExchanges, ReadContext, ReadThread, ReadTree
from convstore.services import contexts, trees
from convstore.services.deps import Deps
from convstore.services.paging import Listing
from convstore.services.principal import Right
from convstore.services.trees import USUAL, Wanted

blueprint = Blueprint("trees", __name__, url_prefix="/v1", description="Where everything that was said stands.")

LISTED = 100


@blueprint.route("/conversations/<conversation_id>/tree", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": ReadTree}])
@blueprint.response(200, description="The exchanges, each behind its parent, with the figures of what hangs below.")
@guard(Right.READ)
def tree(conversation_id: str) -> Response:
    """Return the tree of a conversation, or a part of it."""
    return json(trees.tree(deps(), principal().project_id, conversation_id, Wanted(**query(ReadTree))))


@blueprint.route("/conversations/<conversation_id>/tips", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": ListExchanges}])
@blueprint.response(200, description="A page of exchanges.")
@guard(Right.READ)
def tips(conversation_id: str) -> Response:
    """List the exchanges of a conversation that nothing continues, newest first."""
    return _listed(trees.tips, conversation_id)


@blueprint.route("/responses/<response_id>/children", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": ListExchanges}])
@blueprint.response(200, description="A page of exchanges.")
@guard(Right.READ)
def children(response_id: str) -> Response:
    """List the exchanges that continue a response, oldest first."""
    return _listed(trees.children, response_id)


@blueprint.route("/responses/<response_id>/thread", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": ReadThread}])
@blueprint.response(200, description="A page of exchanges, the root first.")
@guard(Right.READ)
def thread(response_id: str) -> Response:
    """Return the exchanges from the root to a response."""
    asked = query(ReadThread)
    limit, after, items = asked.get("limit", USUAL), asked.get("after"), asked.get("items", True)
    found = trees.thread(deps(), principal().project_id, response_id, limit, after, items=items)
    return json(paging.written(found))


@blueprint.route("/responses/<response_id>/context", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": ReadContext}])
@blueprint.response(200, description="The items, where each comes from, and why any was left out.")
@guard(Right.READ)
def context(response_id: str) -> Response:
    """Return exactly what the model was shown."""
    asked = query(ReadContext)
    found = contexts.of(deps(), principal().project_id, response_id)
    return json(found.written() if asked.get("format") == "input" else found.write())


def _listed(listing: Callable[[Deps, str, str, int, str | None], Listing], name: str) -> Response:
    asked = query(ListExchanges)
    found = listing(deps(), principal().project_id, name, asked.get("limit", LISTED), asked.get("after"))
    return json(paging.written(found))
