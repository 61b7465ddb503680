"""The bodies and query parameters of the conversations' routes. Source: docs/api.md, conversations."""

from collections.abc import Mapping

from marshmallow import Schema

from convstore.domain import items
from convstore.domain.items import Item
from convstore.domain.jsontext import Raw
from convstore.schemas import problems
from convstore.schemas.bodies import Open, check, read
from convstore.schemas.fields import Checked, Moment, QueryInteger, QueryText, QueryWords, Text
from convstore.schemas.items import MOST_ADDED, check_added
from convstore.schemas.responses import INCLUDABLE, CreateResponse, ListInputItems

_ITEMS = Checked(check_added, one_of=[{"type": "array", "maxItems": MOST_ADDED, "items": {"type": "object"}}])


class CreateConversation(Open):
    """`POST /v1/conversations`."""

    items = _ITEMS
    metadata = CreateResponse._declared_fields["metadata"]


class ListConversations(Schema):
    """Query parameters of `GET /v1/conversations`; `metadata.NAME=VALUE` besides."""

    limit = QueryInteger(least=1, most=1_000, metadata={"description": "Conversations a page, 20 unless told."})
    order = ListInputItems._declared_fields["order"]
    after = QueryText(metadata={"description": "The id of the last conversation of the page before."})
    before = QueryText(metadata={"description": "The id of the first conversation of the page after."})
    since = Moment(allow_none=False, metadata={"description": "Begun at this moment or later."})
    until = Moment(allow_none=False, metadata={"description": "Begun before this moment."})
    title = QueryText(longest=255, metadata={"description": "Words of the title, in any case."})


class UpdateConversation(Open):
    """`POST /v1/conversations/{id}`: the metadata, or the title, replaces what was there."""

    title = Text(longest=255, metadata={"description": "Empty: the first line of the first question."})
    metadata = CreateResponse._declared_fields["metadata"]


class AddItems(Open):
    """`POST /v1/conversations/{id}/items`."""

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


def new_description(body: bytes) -> tuple[bytes | None, str | None]:
    """The metadata, a JSON object, and the title that are to replace a conversation's; None for what stays.

    Raises InvalidRequest.
    """
    members = read(body)
    check(UpdateConversation, members)
    if "metadata" not in members and "title" not in members:
        raise problems.missing("metadata")
    title = (members["title"].value or "") if "title" in members else None
    return (_metadata(members) if "metadata" in members else None), title


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
