"""`/v1/conversations`: made, described, deleted; their items added, listed, read, taken out.

An item's id may be a client's own, with slashes in it.
"""

from flask import Response
from flask_smorest import Blueprint

from convstore.api import paging
from convstore.api.requests import body, deps, guard, json, named, principal, query, request_id
from convstore.domain import jsontext
from convstore.schemas.conversations import (
    AddItems,
    CreateConversation,
    Including,
    ListConversations,
    ListItems,
    UpdateConversation,
    new_conversation,
    new_description,
    new_items,
)
from convstore.services import conversations
from convstore.services.conversations import Wanted
from convstore.services.principal import Right

blueprint = Blueprint(
    "conversations", __name__, url_prefix="/v1/conversations", description="What is said, item by item."
)


@blueprint.route("", methods=["POST"])
@blueprint.doc(requestBody={"content": {"application/json": {"schema": CreateConversation}}})
@blueprint.response(200, description="The conversation.")
@guard(Right.WRITE)
def create() -> Response:
    """Begin a conversation, with items or without."""
    metadata, items = new_conversation(body())
    return json(conversations.create(deps(), principal(), metadata, items, request_id()).write())


@blueprint.route("", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": ListConversations}])
@blueprint.response(200, description="A page of conversations.")
@guard(Right.READ)
def index() -> Response:
    """List the project's conversations, with their titles."""
    asked = query(ListConversations)
    wanted = Wanted(asked.get("since"), asked.get("until"), asked.get("title"), named("metadata."))
    return json(paging.written(conversations.index(deps(), principal(), paging.page(asked), wanted)))


@blueprint.route("/<conversation_id>", methods=["GET"])
@blueprint.response(200, description="The conversation.")
@guard(Right.READ)
def get(conversation_id: str) -> Response:
    """Return a conversation, without its items."""
    return json(conversations.get(deps(), principal(), conversation_id).write())


@blueprint.route("/<conversation_id>", methods=["POST"])
@blueprint.doc(requestBody={"required": True, "content": {"application/json": {"schema": UpdateConversation}}})
@blueprint.response(200, description="The conversation.")
@guard(Right.WRITE)
def update(conversation_id: str) -> Response:
    """Replace the metadata of a conversation, or give it a title."""
    metadata, title = new_description(body())
    return json(conversations.describe(deps(), principal(), conversation_id, metadata, title).write())


@blueprint.route("/<conversation_id>", methods=["DELETE"])
@blueprint.response(200, description="Deleted.")
@guard(Right.WRITE)
def delete(conversation_id: str) -> Response:
    """Hide a conversation: it is found no more, its responses are."""
    conversations.delete(deps(), principal(), conversation_id)
    return json(jsontext.dumps({"id": conversation_id, "object": "conversation.deleted", "deleted": True}))


@blueprint.route("/<conversation_id>/items", methods=["POST"])
@blueprint.doc(
    parameters=[{"in": "query", "schema": Including}],
    requestBody={"required": True, "content": {"application/json": {"schema": AddItems}}},
)
@blueprint.response(200, description="The items that were added.")
@guard(Right.WRITE)
def add_items(conversation_id: str) -> Response:
    """Add items to a conversation."""
    query(Including)
    items = new_items(body())
    return json(paging.written(conversations.add(deps(), principal(), conversation_id, items, request_id())))


@blueprint.route("/<conversation_id>/items", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": ListItems}])
@blueprint.response(200, description="A page of items.")
@guard(Right.READ)
def list_items(conversation_id: str) -> Response:
    """List the items of a conversation: what was added to it, asked in it and answered in it."""
    page = paging.page(query(ListItems))
    return json(paging.written(conversations.items(deps(), principal(), conversation_id, page)))


@blueprint.route("/<conversation_id>/items/<path:item_id>", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": Including}])
@blueprint.response(200, description="The item.")
@guard(Right.READ)
def get_item(conversation_id: str, item_id: str) -> Response:
    """Return one item of a conversation."""
    query(Including)
    return json(conversations.item(deps(), principal(), conversation_id, item_id))


@blueprint.route("/<conversation_id>/items/<path:item_id>", methods=["DELETE"])
@blueprint.response(200, description="The conversation, which is without the item from now on.")
@guard(Right.WRITE)
def remove_item(conversation_id: str, item_id: str) -> Response:
    """Take an item out of a conversation; what was forked off before still has it."""
    return json(conversations.remove(deps(), principal(), conversation_id, item_id, request_id()).write())
