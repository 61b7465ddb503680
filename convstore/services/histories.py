"""Clients that never link: a request that brings its whole history is put where it belongs.

Its longest beginning that is a stored thread, to the last item of an answer, is found by fingerprint; the exchange
becomes a child of that answer's, and only the items behind it are stored. How the client sent the rest is kept as the
difference to how we show it, so what was sent can be read back. The model is shown what the client sent.
See docs/decisions/0006-histories-are-recognised.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from convstore.domain import fingerprints, sent
from convstore.domain.exchange import Exchange, Linked, Sent
from convstore.domain.fingerprints import Thread
from convstore.domain.items import Item, shown_id
from convstore.domain.jsontext import dumps, loads
from convstore.domain.request import CreateRequest
from convstore.services.deps import Deps
from convstore.services.principal import Principal
from convstore.storage import direct, exchanges, histories, turns
from convstore.storage.direct import Cursor
from convstore.storage.exchanges import Placed
from convstore.storage.histories import Candidate
from convstore.storage.scope import Scope
from convstore.storage.turns import Parent

_ASKING = frozenset({"user", "system", "developer"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request without a parent belongs.

    parent: the exchange it continues; None when its history is new. stored: how many of its items are on record
    there already. sent and thread: what is stored about the history it came with.
    """

    parent: Parent | None
    stored: int
    sent: Sent
    thread: Thread


def place(deps: Deps, principal: Principal, request: CreateRequest) -> Place:
    """Find the thread that the items of a request continue.

    One indexed query finds whether there is one (a second one when its end is not among the last few items), and
    one reads it.
    """
    project_id, items = principal.project_id, request.items
    start = fingerprints.start(project_id, request.value("user"), request.value("safety_identifier"))
    states = list(start.growing(items))
    thread = states[-1] if states else start
    found = _longest(deps, project_id, request, states[:-1]) if any(map(_answers, items[:-1])) else None
    if found is None:
        return Place(None, 0, Sent(len(items), fingerprints.of_text(items)), thread)
    candidate, stored = found
    forms = _forms_of(deps, project_id, candidate, items[:stored])
    return Place(candidate.parent, stored, Sent(len(items), fingerprints.of_text(items), forms), thread)


def sent_items(scope: Scope, exchange: Exchange) -> list[tuple[str, Item]]:
    """The items that came with a request, as (id, item): the whole history when it brought one. Two statements."""
    of: dict[str, list[Placed]] = {}
    for placed in exchanges.thread(scope, exchange.id):
        of.setdefault(placed.exchange_id, []).append(placed)
    read: list[tuple[str, Item]] = []
    thread: list[Placed] = []
    answer: list[Placed] = []
    for step in histories.steps(scope, exchange.id):
        own = of.get(step.exchange_id, [])
        read = _restored(read, thread, answer, step.forms) if step.linked == Linked.INFERRED else []
        read += [(_id(placed), placed.item) for placed in own if not placed.output]
        answer = [placed for placed in own if placed.output]
        thread += own
    return read


def thread(scope: Scope, exchange: Exchange) -> Thread:
    """The fingerprint of the thread with a request at its end that has no answer yet, from what is stored of it."""
    if exchange.parent_id is None or exchange.linked == Linked.INFERRED:
        items = [item for _, item in sent_items(scope, exchange)]
    else:
        items = [placed.item for placed in exchanges.remaining(exchanges.thread(scope, exchange.id))]
    return fingerprints.start(scope.project_id, exchange.user, exchange.safety_identifier).after(items)


def _longest(
    deps: Deps, project_id: str, request: CreateRequest, states: Sequence[Thread]
) -> tuple[Candidate, int] | None:
    """The thread that the longest beginning of a request's items is, and how many items that are.

    states: the fingerprints after each item that may be the last of it.
    """
    key, items = request.value("prompt_cache_key"), request.items
    lengths = {mark: count for count, state in enumerate(states, 1) for mark in state.each()}
    rest = list(reversed(lengths))
    size = histories.FEW
    with direct.reading(deps.database) as cursor:
        while rest:
            wanted, rest = rest[:size], rest[size:]
            known = histories.known(cursor, project_id, wanted)
            for mark in wanted:
                found = histories.candidates(cursor, project_id, mark) if mark in known else []
                # A cache key is a hint, no proof: it only chooses between threads that are the same.
                found.sort(key=lambda each: each.prompt_cache_key == key, reverse=True)
                count = lengths[mark]
                for candidate in found:
                    if mark == states[count - 1].whole or _thought_so(cursor, project_id, candidate, items[:count]):
                        return candidate, count
            size = histories.MANY
    return None


def _thought_so(cursor: Cursor, project_id: str, candidate: Candidate, items: Sequence[Item]) -> bool:
    """Whether these items are the thread's with some of its reasoning left out, and none of another thread's."""
    marks = (fingerprints.of_body(each.body) for each in turns.context(cursor, project_id, candidate.parent))
    # Each is looked for behind the one before.
    return all(fingerprints.of_body(item.body) in marks for item in items)


def _answers(item: Item) -> bool:
    """Whether a model may have said this."""
    return item.role not in _ASKING and not item.type.endswith("_output")


def _forms_of(deps: Deps, project_id: str, found: Candidate, items: Sequence[Item]) -> bytes | None:
    """How the items that are on record were sent; None when the answer came back as it is shown."""
    before = found.sent
    if before and before.count <= len(items) and fingerprints.of_text(items[: before.count]) == before.digest:
        # What its parent was sent stands there in the very same words: only the answer's form is news.
        with direct.reading(deps.database) as cursor:
            shown = [_value(each.shown_id, each.body) for each in histories.answer(cursor, project_id, found.parent)]
        return _forms("answer", shown, items[before.count :])
    with deps.database.reading(project_id) as scope:
        return _forms(
            "thread", [_held(each) for each in exchanges.remaining(exchanges.thread(scope, found.parent.id))], items
        )


def _forms(base: str, shown: Sequence[Any], items: Sequence[Item]) -> bytes | None:
    values = [_value(item.item_id, item.body) for item in items]
    changes = sent.differences(shown, values)
    if changes is None:
        return dumps({"items": values})
    if base == "answer" and not any(change is not None for change in changes):
        return None
    return dumps({base: changes})


def _restored(
    before: list[tuple[str, Item]], thread: Sequence[Placed], answer: Sequence[Placed], forms: bytes | None
) -> list[tuple[str, Item]]:
    """The part of a history that was on record before: what its parent was sent, and the parent's answer."""
    kept = loads(forms) if forms else {}
    if "items" in kept:
        return [_item(value, None) for value in kept["items"]]
    if "thread" in kept:
        return _changed(exchanges.remaining(thread), kept["thread"])
    return before + _changed(answer, kept.get("answer") or [None] * len(answer))


def _changed(placed: Sequence[Placed], changes: Sequence[Any]) -> list[tuple[str, Item]]:
    return [
        _item(sent.restored(_held(each), change), _id(each))
        for each, change in zip(placed, changes, strict=True)
        if change is not sent.LEFT_OUT
    ]


def _item(value: dict[str, Any], shown: str | None) -> tuple[str, Item]:
    body = dumps({name: part for name, part in value.items() if name != "id"})
    return value.get("id") or shown or "", Item(value.get("type", "message"), body)


def _held(placed: Placed) -> Any:
    """An item as its client knows it: with the id it sent it with, or the one it got."""
    return _value(_id(placed) if placed.output else placed.item.item_id, placed.item.body)


def _value(item_id: str | None, body: bytes) -> dict[str, Any]:
    value = loads(body)
    return {"id": item_id, **value} if item_id else value


def _id(placed: Placed) -> str:
    return shown_id(placed.item, placed.exchange_id, placed.position, output=placed.output)
