"""What exchanges say of their contents, and the items that they have, with and without bodies."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import and_, or_, select, text, union_all

from convstore.domain.checkup import Kept
from convstore.domain.exchange import ADDED
from convstore.domain.items import CALLS, OUTPUTS, Item
from convstore.errors import ContentShredded
from convstore.storage import tables
from convstore.storage.checkup import Spot, chunks, following
from convstore.storage.scope import Scope

_e = tables.exchanges
_i = tables.items
_pay = tables.payloads

_HASHES = ("settings_hash", "reply_hash", "sent_hash")


class Head(NamedTuple):
    """What an exchange says of its contents."""

    id: str
    parent_id: str | None
    lane: str
    depth: int
    input_count: int
    status: str
    origin: str
    question: str | None
    answer: str | None
    # The columns whose payload is not there.
    lacks: tuple[str, ...]


class Outline(NamedTuple):
    """An item without its body. lacks: its body is a payload that is not there."""

    exchange_id: str
    position: int
    output: bool
    type: str
    call_id: str | None
    lacks: bool


class Child(NamedTuple):
    """A child of an exchange, and the calls that it brings the outputs of."""

    parent_id: str
    id: str
    origin: str
    input_count: int
    answered: str | None


def heads(scope: Scope, after: str | None) -> list[Head]:
    """The next exchanges, and what they say of their contents."""
    plain = "id parent_id lane depth input_count status origin question answer".split()
    lacks = [_is_missing(_e.c[name], _e.c.project_id).label(f"no_{name}") for name in _HASHES]
    rows = scope.connection.execute(following(scope, select(*(_e.c[name] for name in plain), *lacks), after)).fetchall()
    found = []
    for row in rows:
        gone = tuple(name for name, is_gone in zip(_HASHES, row[len(plain) :], strict=True) if is_gone)
        lines = (_line(scope, row.question), _line(scope, row.answer))
        found.append(Head._make((*row[: len(plain) - 2], *lines, gone)))
    return found


def outlines(scope: Scope, exchange_ids: Sequence[str]) -> list[Outline]:
    """The items of these exchanges, exchange by exchange, in order."""
    query = (
        select(
            _e.c.id,
            _i.c.position,
            _i.c.output,
            _i.c.type,
            _i.c.call_id,
            _is_missing(_i.c.payload_hash, _e.c.project_id).label("lacks"),
        )
        .select_from(_e.join(_i, and_(_i.c.lane == _e.c.lane, _i.c.depth == _e.c.depth)))
        .where(_e.c.project_id == scope.project_id, _e.c.id.in_(exchange_ids))
        .order_by(_e.c.id, _i.c.position)
    )
    return [Outline(*row) for row in scope.connection.execute(query)]


def at(scope: Scope, spots: Collection[Spot]) -> dict[Spot, list[Kept]]:
    """The items at these places (lane, depth), in order; places without any are left out."""
    shared = select(_pay.c.body).where(_pay.c.project_id == scope.project_id, _pay.c.hash == _i.c.payload_hash)
    names = "lane depth position output type item_id role call_id name body".split()
    query = select(*(_i.c[name] for name in names), shared.scalar_subquery().label("shared"))
    found: dict[Spot, list[Kept]] = {}
    for some in chunks(sorted(set(spots)), 50):
        wanted = query.where(or_(*(and_(_i.c.lane == lane, _i.c.depth == depth) for lane, depth in some)))
        for row in scope.connection.execute(wanted.order_by(_i.c.lane, _i.c.depth, _i.c.position)):
            body = row.body if row.body is not None else row.shared
            item = Item(row.type, _body(scope, body) if body else b"{}", row.item_id, row.role, row.call_id, row.name)
            found.setdefault((row.lane, row.depth), []).append(Kept(row.position, row.output, item))
    return found


def _line(scope: Scope, stored: str | None) -> str | None:
    """A first line; an empty one, when it is shredded: it is not lacking."""
    line = scope.line(stored)
    return "" if line is None and stored is not None else line


def _body(scope: Scope, stored: bytes) -> bytes:
    """A body; an empty one, when it is shredded."""
    try:
        return scope.body(stored)
    except ContentShredded:
        return b"{}"


def children(scope: Scope, exchange_ids: Sequence[str]) -> list[Child]:
    """The children of these exchanges that were asked of a model, a row for each tool output that they bring."""
    child = _e.alias("child")
    own = and_(_e.c.project_id == scope.project_id, _e.c.id.in_(exchange_ids))
    same = and_(child.c.project_id == _e.c.project_id, child.c.parent_id == _e.c.id, child.c.origin != ADDED)
    # In the words of the partial index on parent_id: SQLite compares texts to see that it may be used.
    opened = and_(same, text("child.lane = child.id"))
    next_ = and_(same, child.c.lane == _e.c.lane, child.c.depth == _e.c.depth + 1)
    outputs = and_(_i.c.lane == child.c.lane, _i.c.depth == child.c.depth, ~_i.c.output, _i.c.type.in_(OUTPUTS))
    parts = [
        select(_e.c.id.label("parent_id"), child.c.id, child.c.origin, child.c.input_count, _i.c.call_id)
        .select_from(_e.join(child, how).outerjoin(_i, outputs))
        .where(own)
        for how in (opened, next_)
    ]
    return [Child(*row) for row in scope.connection.execute(union_all(*parts))]


def calls_of_parents(scope: Scope, exchange_ids: Sequence[str]) -> set[tuple[str, str]]:
    """(exchange id, call id) of the calls that the parents of these exchanges hold."""
    parent = _e.alias("parent")
    query = (
        select(_e.c.id, _i.c.call_id)
        .select_from(
            _e.join(parent, and_(parent.c.project_id == _e.c.project_id, parent.c.id == _e.c.parent_id)).join(
                _i, and_(_i.c.lane == parent.c.lane, _i.c.depth == parent.c.depth)
            )
        )
        .where(_e.c.project_id == scope.project_id, _e.c.id.in_(exchange_ids), _i.c.type.in_(CALLS))
    )
    return {(row.id, row.call_id) for row in scope.connection.execute(query)}


def _is_missing(hash_: Any, project_id: Any) -> Any:
    there = select(_pay.c.hash).where(_pay.c.project_id == project_id, _pay.c.hash == hash_).exists()
    return and_(hash_.is_not(None), ~there)
