"""The bodies and query parameters of the conversations' routes. Source: docs/api.md, conversations."""

from collections.abc import Mapping

from marshmallow import INCLUDE, Schema

from convstore.domain import items
from convstore.domain.items import Item
from convstore.domain.jsontext import Raw
from convstore.schemas import problems
from convstore.schemas.fields import Checked, QueryWords
from convstore.schemas.items import MOST_ADDED, check_added
from convstore.schemas.responses import INCLUDABLE, CreateResponse, ListInputItems, check, read

_ITEMS = Checked(check_added, one_of=[{"type": "array", "maxItems": MOST_ADDED, "items": {"type": "object"}}])


class CreateConversation(Schema):
    """`POST /v1/conversations`."""

    class Meta:
        unknown = INCLUDE

    items = _ITEMS
    metadata = CreateResponse._declared_fields["metadata"]


class UpdateConversation(Schema):
    """`POST /v1/conversations/{id}`: the metadata replaces what was there."""

    class Meta:
        unknown = INCLUDE

    metadata = CreateResponse._declared_fields["metadata"]


class AddItems(Schema):
    """`POST /v1/conversations/{id}/items`."""

    class Meta:
        unknown = INCLUDE

    items = _ITEMS


class Including(Schema):
    """Query parameters of the routes that answer with items. All of an item is kept, and shown, as it came."""

    include = QueryWords(*INCLUDABLE, metadata={"description": "Checked; items are always shown whole."})


class ListItems(Including):
    """Query parameters of `GET /v1/conversations/{id}/items`."""

    limit = ListInputItems._declared_fields["limit"]
    order = ListInputItems._declared_fields["order"]
    after = ListInputItems._declared_fields["after"]
    before = ListInputItems._declared_fields["before"]


def new_conversation(body: bytes) -> tuple[bytes, tuple[Item, ...]]:
    """The metadata, a JSON object, and the items of a new conversation. Raises InvalidRequest."""
    # Clients that have nothing to say send nothing.
    members = read(body or b"{}", split=("items",))
    check(CreateConversation, members)
    return _metadata(members), _items(members)


def new_metadata(body: bytes) -> bytes:
    """The metadata, a JSON object, that is to replace a conversation's. Raises InvalidRequest."""
    members = read(body)
    check(UpdateConversation, members)
    if "metadata" not in members:
        raise problems.missing("metadata")
    return _metadata(members)


def new_items(body: bytes) -> tuple[Item, ...]:
    """The items that are to be added to a conversation. Raises InvalidRequest."""
    members = read(body, split=("items",))
    check(AddItems, members)
    if "items" not in members or members["items"].value is None:
        raise problems.missing("items")
    return _items(members)


def _metadata(members: Mapping[str, Raw]) -> bytes:
    raw = members.get("metadata")
    return b"{}" if raw is None or raw.value is None else raw.text.encode()


def _items(members: Mapping[str, Raw]) -> tuple[Item, ...]:
    raw = members.get("items")
    return tuple(items.of_raw(element) for element in raw.elements or ()) if raw else ()
