"""The context: the items the model is shown, and the rules they keep.

The thread's inputs and outputs, oldest first, then the request's own items. Every tool call has its output before
the model speaks again; no item stands twice; what another upstream sealed is left out.
Source: docs/api.md, conversation state.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from operator import attrgetter
from typing import NamedTuple

from convstore.domain.items import CALLS, OUTPUTS, REMOVAL, SEALED, Item
from convstore.errors import CallWithoutOutput, DuplicateItem, OutputWithoutCall


class ContextItem(NamedTuple):
    """An item of the thread, as the next request needs it. body has no id; depth is its exchange's."""

    depth: int
    output: bool
    type: str
    item_id: str | None
    call_id: str | None
    sealed_by: str | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Shown:
    """What goes upstream: bodies in order. dropped: how many items of the thread were left out.

    cut: how many of them because the window had no room. The others this upstream never knew.
    """

    bodies: tuple[bytes, ...]
    dropped: int = 0
    cut: int = 0

    def written(self) -> bytes:
        """The items as one JSON array: what upstreams of the Responses API get as `input`."""
        return b"[" + b",".join(self.bodies) + b"]"

    def sha256(self) -> bytes:
        """The digest by which it can be proved later what the model was shown."""
        return hashlib.sha256(self.written()).digest()


def remaining(thread: list[ContextItem]) -> list[ContextItem]:
    """The items of a thread without those that were taken out of it later on."""
    # An upstream may say whatever it likes: only what stands among the inputs is ours.
    removed = {item.call_id for item in thread if item.type == REMOVAL and not item.output}
    if not removed:
        return thread
    kept = []
    depth = position = -1
    for item in thread:
        position = position + 1 if item.depth == depth else 0
        depth = item.depth
        if (item.type != REMOVAL or item.output) and f"{depth}.{position}" not in removed:
            kept.append(item)
    return kept


def check(history: Sequence[ContextItem], items: Sequence[Item], *, whole: bool = False) -> None:
    """Raises DuplicateItem, CallWithoutOutput or OutputWithoutCall when the model could not be shown this.

    What the parent itself was shown had been checked, so only the calls it ended with can be open: the cost is
    that of the new items, unless one of them answers an older call. whole: check the history with them, where it
    was changed by hand.
    """
    _no_item_twice(history, items)
    open_calls = {} if whole else _open_calls(history)
    checked: Iterable[ContextItem | Item] = chain(history, items) if whole else items
    for item in checked:
        call_id = item.call_id
        if call_id is None:
            continue
        if item.type in CALLS:
            open_calls[call_id] = item.type
        elif item.type in OUTPUTS and open_calls.pop(call_id, None) is None and not _called(history, items, call_id):
            raise OutputWithoutCall(call_id)
    for call_id in open_calls:
        raise CallWithoutOutput(call_id)


def shown(history: Sequence[ContextItem], items: Sequence[Item], upstream: str) -> Shown:
    """What the model is shown of a thread and a request's own items."""
    kinds = {item.type for item in history}
    kept = history
    if kinds.intersection(SEALED):
        kept = [item for item, reason in zip(history, left_out(history, upstream), strict=True) if reason is None]
    bodies = [item.body for item in kept]
    return Shown((*bodies, *(item.body for item in items)), len(history) - len(kept))


def left_out(history: Sequence[ContextItem], upstream: str, cut: int = 0) -> list[str | None]:
    """Why each item of a thread is not shown to a model at this upstream; None for those that are.

    cut: how many of the first had no room. Of the others, what another upstream sealed is left out, and what stands
    before the last compaction that this one can open: that stands for everything before it, while one that cannot be
    opened stands for nothing.
    """
    reasons: list[str | None] = ["window"] * cut
    reasons += ["sealed" if item.sealed_by not in (None, upstream) else None for item in history[cut:]]
    last = max((n for n, item in enumerate(history) if item.type == "compaction" and reasons[n] is None), default=0)
    return [reason or ("compacted" if n < last else None) for n, reason in enumerate(reasons)]


def turns(history: Sequence[ContextItem]) -> list[list[ContextItem]]:
    """The thread cut where it may be cut: no exchange is cut from one whose calls it answers."""
    pieces: list[list[ContextItem]] = []
    called_in: dict[str | None, int] = {}  # call id → piece
    for _, group in groupby(history, key=attrgetter("depth")):
        exchange = list(group)
        first = min(
            (called_in[call_id] for call_id in _answered(exchange) if call_id in called_in), default=len(pieces)
        )
        if first < len(pieces):
            pieces[first:] = [[item for piece in pieces[first:] for item in piece] + exchange]
            called_in = {call_id: min(piece, first) for call_id, piece in called_in.items()}
        else:
            pieces.append(exchange)
        called_in.update((item.call_id, first) for item in exchange if item.type in CALLS)
    return pieces


def _answered(exchange: Sequence[ContextItem]) -> set[str | None]:
    """The calls of earlier exchanges that this one answers."""
    own: set[str | None] = set()
    found: set[str | None] = set()
    for item in exchange:
        if item.type in CALLS:
            own.add(item.call_id)
        elif item.type in OUTPUTS and item.call_id not in own:
            found.add(item.call_id)
    return found


def _open_calls(history: Sequence[ContextItem]) -> dict[str, str]:
    """The calls that the parent ended with, by id."""
    found: dict[str, str] = {}
    tip = history[-1].depth if history else 0
    for item in reversed(history):
        if item.depth != tip or not item.output:
            break
        if item.type in CALLS and item.call_id:
            found[item.call_id] = item.type
    return dict(reversed(found.items()))


def _called(history: Sequence[ContextItem], items: Sequence[Item], call_id: str) -> bool:
    thread = any(item.call_id == call_id and item.type in CALLS for item in history)
    return thread or any(item.call_id == call_id and item.type in CALLS for item in items)


def _no_item_twice(history: Sequence[ContextItem], items: Sequence[Item]) -> None:
    seen: set[str] = set()
    for item in items:
        if item.item_id is None:
            continue
        if item.item_id in seen:
            raise DuplicateItem(item.item_id)
        seen.add(item.item_id)
    if seen:
        for known in history:
            if not known.output and known.item_id in seen:
                raise DuplicateItem(str(known.item_id))
