"""What the model was shown with a response: item by item, where each came from, and why any was left out.

It is put together again from what is stored, as it was for the call; the digest that was stored before the call proves
that nothing is missing and nothing was changed.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from convstore import ids
from convstore.domain import context, jsontext, windows
from convstore.domain.context import ContextItem, Shown
from convstore.domain.exchange import Exchange, Linked
from convstore.domain.items import REMOVAL
from convstore.errors import ConvstoreError
from convstore.services import histories, naming
from convstore.services.deps import Deps
from convstore.storage import direct, exchanges, turns
from convstore.storage.exchanges import Placed
from convstore.storage.scope import Scope


@dataclass(frozen=True, slots=True)
class Part:
    """One item in front of the model, or left out for a *reason*; exchange_id: where it comes from."""

    exchange_id: str
    item_id: str
    type: str
    output: bool
    body: bytes
    reason: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The API's form, without the item's own words."""
        return {
            "id": self.item_id,
            "exchange_id": self.exchange_id,
            "side": "output" if self.output else "input",
            "type": self.type,
            "bytes": len(self.body),
            "estimated_tokens": windows.of_item(self.body),
            "left_out": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Context:
    """parts: shown and left out, in order. sha256: of the array as it was when the upstream was called, if known.

    is_restored: its client sent all of it, and of that only the difference to the thread is stored; put together again
    it is the same JSON, but not always the same bytes.
    """

    response_id: str
    upstream: str | None
    parts: Sequence[Part]
    sha256: bytes | None
    is_restored: bool = False

    def written(self) -> bytes:
        """The items the model was shown, as the JSON array that an upstream of the Responses API got."""
        return Shown(tuple(part.body for part in self.parts if part.reason is None)).written()

    def write(self) -> bytes:
        """The API's form."""
        array = self.written()
        parts = [part.as_dict() for part in self.parts]
        head = {
            "object": "response.context",
            "response_id": self.response_id,
            "upstream": self.upstream,
            "sha256": self.sha256.hex() if self.sha256 else None,
            "verified": self._is_verified(array),
            "bytes": len(array),
            "estimated_tokens": sum(part["estimated_tokens"] for part in parts if part["left_out"] is None),
            "items": parts,
        }
        return jsontext.dumps(head)[:-1] + b',"input":' + array + b"}"

    def _is_verified(self, array: bytes) -> bool | None:
        """Whether these are the bytes that were shown; None when that cannot be said."""
        if self.sha256 is None:
            return None
        return hashlib.sha256(array).digest() == self.sha256 or (None if self.is_restored else False)


def of(deps: Deps, project_id: str, name: str) -> Context:
    """The context of a response, named by its id or by a branch. Raises ResponseNotFound, ThreadDamaged.

    Five statements, whatever the depth.
    """
    with deps.database.reading(project_id) as scope:
        exchange = naming.exchange(scope, name)
        sha256, cut = exchanges.shown(scope, exchange.id) or (None, 0)
        if exchange.linked == Linked.INFERRED:
            sent = [
                Part(_home(item_id) or exchange.id, item_id, item.type, False, item.body)
                for item_id, item in histories.sent_items(scope, exchange)
            ]
            return Context(exchange.id, exchange.upstream, sent, sha256, is_restored=True)
        own = [_part(each, None) for each in exchanges.own_input(scope, exchange)]
        thread = _thread(deps, scope, exchange)
    return Context(exchange.id, exchange.upstream, [*_before(deps, exchange, thread, cut), *own], sha256)


def _thread(deps: Deps, scope: Scope, exchange: Exchange) -> Sequence[Placed]:
    """What was said before a request, and what was taken out of it since. Raises ThreadDamaged."""
    if exchange.parent_id is None:
        return []
    with direct.within(deps.database, scope.connection) as cursor:
        turns.parent(cursor, scope.project_id, exchange.parent_id, hidden=True)
    return exchanges.thread(scope, exchange.parent_id)


def _before(deps: Deps, exchange: Exchange, thread: Sequence[Placed], cut: int) -> list[Part]:
    """The thread in front of a request, with what was left out of it."""
    left = exchanges.remaining(thread)
    reasons = context.left_out(list(map(_seen, left)), exchange.upstream or _upstream(deps, exchange), cut)
    why = {(each.depth, each.position): reason for each, reason in zip(left, reasons, strict=True)}
    there = [each for each in thread if each.item.type != REMOVAL or each.output]
    return [_part(each, why.get((each.depth, each.position), "removed")) for each in there]


def _seen(placed: Placed) -> ContextItem:
    """An item as the request saw it."""
    item = placed.item
    return ContextItem(placed.depth, placed.output, item.type, item.item_id, item.call_id, placed.sealed_by, item.body)


def _part(placed: Placed, reason: str | None) -> Part:
    return Part(placed.exchange_id, placed.shown_id, placed.item.type, placed.output, placed.item.body, reason)


def _home(item_id: str) -> str | None:
    """The exchange that an item is known to come from, by its id."""
    home = ids.item_home(item_id)
    return home[0] if home else None


def _upstream(deps: Deps, exchange: Exchange) -> str:
    try:
        return deps.upstreams.serving(exchange.requested_model).name
    except ConvstoreError:
        return ""
