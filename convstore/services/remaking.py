"""Requests made from exchanges: the same question again, with anything about it changed."""

from collections.abc import Mapping, Sequence

from convstore.domain import request
from convstore.domain.exchange import Exchange
from convstore.domain.items import REMOVAL, Item
from convstore.domain.jsontext import Raw
from convstore.domain.request import CreateRequest
from convstore.domain.response import FINISHED
from convstore.domain.tree import Node, unbroken
from convstore.errors import InvalidRequest, NotFinished
from convstore.services import asked, naming
from convstore.storage import exchanges, trees
from convstore.storage.scope import Scope


def again(exchange: Exchange, own: Sequence[Item], edits: Mapping[str, Raw]) -> CreateRequest:
    """What was asked with an exchange, with these members replaced. own: the items it brings. Raises InvalidRequest."""
    members = asked.members(exchange)
    if request.is_masked(members) and "tools" not in edits:
        raise InvalidRequest(
            "The tools of this response have secrets of an MCP server, which are not stored. Send 'tools' again.",
            param="tools",
            code="missing_required_parameter",
        )
    return request.edited(members, edits, tuple(own))


def own_items(scope: Scope, exchange: Exchange) -> list[Item]:
    """The items that an exchange brought, but for those that only say what was taken out."""
    return [each.item for each in exchanges.own_input(scope, exchange) if each.item.type != REMOVAL]


def finished(scope: Scope, name: str) -> Exchange:
    """The exchange that *name* stands for, when it has ended. Raises ResponseNotFound, NotFinished."""
    found = naming.exchange(scope, name)
    if found.status not in FINISHED:
        raise NotFinished(found.id)
    return found


def between(scope: Scope, first: Exchange | None, last: Exchange) -> Sequence[Node]:
    """The exchanges of a thread from one to another, both included; from the root if no first one is given.

    Raises ThreadDamaged, and InvalidRequest when the first is not on the thread to the last.
    """
    start = first.depth if first else 0
    found = unbroken(trees.thread(scope, last.id, start, last.depth), last.id, start, last.depth)
    if first is not None and (not found or found[0].id != first.id):
        raise InvalidRequest(f"'{first.id}' is not on the thread to '{last.id}'.", code="invalid_value")
    return found


def there(nodes: Sequence[Node]) -> Sequence[Node]:
    """The same exchanges, when none is deleted: what was said in it is not to be said again. Raises InvalidRequest."""
    for node in nodes:
        if node.deleted_at is not None:
            raise InvalidRequest(f"Response '{node.id}' of this thread is deleted.", code="response_deleted")
    return nodes
