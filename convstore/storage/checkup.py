"""Reading the whole store, a batch at a time, for what does not fit together. Nothing here writes: see mending.py.

Every function is one short statement, made for the next batch behind the one before: nothing is held open between
them, so a running service does not notice. What must be seen together is read in one statement. Those that look across
projects say so: fingerprints and items do not know their project.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, func, literal, or_, select, text, tuple_, union_all

from convstore.domain.checkup import Kept
from convstore.domain.exchange import ADDED
from convstore.domain.items import CALLS, OUTPUTS, Item
from convstore.storage import tables
from convstore.storage.scope import Scope

# Rows a statement: some milliseconds of it.
BATCH = 500

_e = tables.exchanges
_i = tables.items
_c = tables.conversations
_pay = tables.payloads
_r = tables.running
_j = tables.jobs
_b = tables.branches
_f = tables.fingerprints

UNFINISHED = ("queued", "in_progress")

Spot = tuple[str, int]


class Standing(NamedTuple):
    """An exchange beside its parent, to be judged without looking further."""

    id: str
    parent_id: str | None
    lane: str
    depth: int
    conversation_id: str
    input_count: int
    parent_lane: str | None
    parent_depth: int | None
    parent_conversation: str | None
    # Whether an exchange continues the parent's lane; whether the conversation is on record; its input items.
    goes_on: bool
    has_conversation: bool
    inputs: int

    @property
    def is_orphan(self) -> bool:
        return self.parent_id is not None and self.parent_depth is None

    @property
    def fits(self) -> bool:
        """Whether nothing about it asks for a closer look."""
        return self.has_conversation and self.inputs == self.input_count and self.fits_parent

    @property
    def fits_parent(self) -> bool:
        """Whether all that is derived follows from its parent: if it does for all, it is right for all."""
        if self.parent_id is None:
            return self.lane == self.id and self.depth == 0
        return (
            self.depth == (self.parent_depth or 0) + 1
            and self.lane in (self.id, self.parent_lane)
            and self.conversation_id == self.parent_conversation
            and self.goes_on
        )


@dataclass(frozen=True, slots=True)
class Member:
    """An exchange of a tree that is to be put in order."""

    id: str
    parent_id: str | None
    lane: str
    depth: int
    conversation_id: str
    status: str
    input_count: int
    question: str | None
    answer: str | None
    fingerprint: bytes | None
    user: str | None
    safety_identifier: str | None
    created_at: datetime

    @property
    def spot(self) -> Spot:
        return self.lane, self.depth


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


class Unfinished(NamedTuple):
    """An exchange that waits for its answer, and who is at it."""

    id: str
    status: str
    background: str | None
    process: bytes | None
    has_job: bool


def count(scope: Scope) -> int:
    """How many exchanges the project has."""
    return int(scope.connection.execute(_of(scope, select(func.count()).select_from(_e))).scalar_one())


def standings(scope: Scope, after: str | None) -> list[Standing]:
    """The next exchanges, each beside its parent."""
    parent, next_ = _e.alias("parent"), _e.alias("next")
    goes_on = select(next_.c.id).where(next_.c.lane == parent.c.lane, next_.c.depth == parent.c.depth + 1)
    conversation = select(_c.c.id).where(_c.c.project_id == _e.c.project_id, _c.c.id == _e.c.conversation_id)
    inputs = select(func.count()).where(_i.c.lane == _e.c.lane, _i.c.depth == _e.c.depth, ~_i.c.output)
    query = select(
        *(_e.c[name] for name in "id parent_id lane depth conversation_id input_count".split()),
        parent.c.lane.label("parent_lane"),
        parent.c.depth.label("parent_depth"),
        parent.c.conversation_id.label("parent_conversation"),
        goes_on.exists().label("goes_on"),
        conversation.exists().label("has_conversation"),
        inputs.scalar_subquery().label("inputs"),
    ).select_from(_e.outerjoin(parent, and_(parent.c.project_id == _e.c.project_id, parent.c.id == _e.c.parent_id)))
    return [Standing(*row) for row in scope.connection.execute(_next(scope, query, after))]


def links(scope: Scope, after: str | None, limit: int = 20 * BATCH) -> list[tuple[str, str | None]]:
    """The next exchanges and their parents, as ids."""
    query = _next(scope, select(_e.c.id, _e.c.parent_id), after, limit)
    return [(row.id, row.parent_id) for row in scope.connection.execute(query)]


def ancestors(scope: Scope, exchange_id: str) -> dict[str, str | None]:
    """The way up from an exchange, its own parent first, as id → parent id. It ends in a ring as well."""
    up = (
        select(_e.c.id, _e.c.parent_id)
        .where(_e.c.project_id == scope.project_id, _e.c.id == exchange_id)
        .cte("up", recursive=True)
    )
    parent = _e.alias("parent")
    # UNION, not UNION ALL: what was seen before is not followed again.
    up = up.union(
        select(parent.c.id, parent.c.parent_id).where(
            parent.c.project_id == scope.project_id, parent.c.id == up.c.parent_id
        )
    )
    return {row.id: row.parent_id for row in scope.connection.execute(select(up))}


def members(scope: Scope, exchange_ids: Collection[str], *, lock: bool = False) -> list[Member]:
    """These exchanges, in the order of their ids. lock: inside a transaction, nobody changes them until its end."""
    columns = [_e.c[name] for name in Member.__slots__]
    found = []
    for some in _chunks(sorted(exchange_ids)):
        query = _of(scope, select(*columns)).where(_e.c.id.in_(some)).order_by(_e.c.id)
        rows = scope.connection.execute(query.with_for_update() if lock else query)
        found += [Member(*row) for row in rows]
    return found


def lanes_with_items(scope: Scope, lanes: Collection[str]) -> set[str]:
    """Which of these lanes hold any item."""
    found: set[str] = set()
    for some in _chunks(sorted(lanes)):
        found |= set(scope.connection.execute(select(_i.c.lane).where(_i.c.lane.in_(some)).distinct()).scalars())
    return found


def contents(scope: Scope, spots: Collection[Spot]) -> dict[Spot, list[Kept]]:
    """The items at these places (lane, depth), in order; places without any are left out."""
    shared = select(_pay.c.body).where(_pay.c.project_id == scope.project_id, _pay.c.hash == _i.c.payload_hash)
    names = "lane depth position output type item_id role call_id name body".split()
    query = select(*(_i.c[name] for name in names), shared.scalar_subquery().label("shared"))
    found: dict[Spot, list[Kept]] = {}
    for some in _chunks(sorted(set(spots)), 50):
        wanted = query.where(or_(*(and_(_i.c.lane == lane, _i.c.depth == depth) for lane, depth in some)))
        for row in scope.connection.execute(wanted.order_by(_i.c.lane, _i.c.depth, _i.c.position)):
            body = row.body if row.body is not None else row.shared
            item = Item(row.type, body or b"{}", row.item_id, row.role, row.call_id, row.name)
            found.setdefault((row.lane, row.depth), []).append(Kept(row.position, row.output, item))
    return found


def conversations(scope: Scope, conversation_ids: Collection[str]) -> dict[str, datetime]:
    """Which of these are on record, and since when."""
    query = select(_c.c.id, _c.c.created_at).where(_c.c.project_id == scope.project_id)
    found: dict[str, datetime] = {}
    for some in _chunks(sorted(conversation_ids)):
        found |= {row.id: row.created_at for row in scope.connection.execute(query.where(_c.c.id.in_(some)))}
    return found


def held(scope: Scope, exchange_ids: Collection[str]) -> dict[str, bytes]:
    """Which of these exchanges a process is at, and which process."""
    query = select(_r.c.exchange_id, _r.c.process_id)
    found: dict[str, bytes] = {}
    for some in _chunks(sorted(exchange_ids)):
        rows = scope.connection.execute(query.where(_r.c.exchange_id.in_(some)))
        found |= {row.exchange_id: bytes(row.process_id) for row in rows}
    return found


def heads(scope: Scope, after: str | None) -> list[Head]:
    """The next exchanges, and what they say of their contents."""
    plain = "id parent_id lane depth input_count status origin question answer".split()
    lacks = [_is_missing(_e.c[name], _e.c.project_id).label(f"no_{name}") for name in _HASHES]
    rows = scope.connection.execute(_next(scope, select(*(_e.c[name] for name in plain), *lacks), after))
    found = []
    for row in rows:
        gone = tuple(name for name, is_gone in zip(_HASHES, row[len(plain) :], strict=True) if is_gone)
        found.append(Head._make((*row[: len(plain)], gone)))
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


# -- work, and pointers ---------------------------------------------------------------------------------------


def unfinished(scope: Scope, after: str | None, *, only: str | None = None) -> list[Unfinished]:
    """The next exchanges that have not ended; or *only* this one, if it has not. Reads past all that have."""
    job = select(_j.c.id).where(
        # In the words of the partial index on subject.
        text("jobs.finished_at IS NULL AND jobs.subject IS NOT NULL"),
        _j.c.project_id == _e.c.project_id,
        _j.c.subject == literal("resp_").concat(_hex(scope)),
    )
    query = select(_e.c.id, _e.c.status, _e.c.background, _r.c.process_id, job.exists().label("has_job"))
    query = query.select_from(_e.outerjoin(_r, _r.c.exchange_id == _e.c.id)).where(_e.c.status.in_(UNFINISHED))
    if only is not None:
        query = query.where(_e.c.id == only)
    rows = scope.connection.execute(_next(scope, query, after))
    return [
        Unfinished(row.id, row.status, row.background, bytes(row.process_id) if row.process_id else None, row.has_job)
        for row in rows
    ]


def ended_and_running(scope: Scope) -> list[str]:
    """Exchanges on record as running that have ended, or are not there."""
    query = select(_r.c.exchange_id).where(_r.c.project_id == scope.project_id, ~_goes_on(_r.c.exchange_id, scope))
    return list(scope.connection.execute(query.order_by(_r.c.exchange_id)).scalars())


def writers_that_ended(scope: Scope) -> list[tuple[str, str]]:
    """(conversation id, exchange id) where the exchange that was to append has ended, or is not there."""
    query = select(_c.c.id, _c.c.writer_id).where(
        _c.c.project_id == scope.project_id, _c.c.writer_id.is_not(None), ~_goes_on(_c.c.writer_id, scope)
    )
    return [(row.id, row.writer_id) for row in scope.connection.execute(query.order_by(_c.c.id))]


def branches(scope: Scope) -> list[tuple[str, str, str, str | None]]:
    """(name, tip id, conversation id, the tip's own) of branches whose tip is not there or says otherwise."""
    query = (
        select(_b.c.name, _b.c.tip_id, _b.c.conversation_id, _e.c.conversation_id.label("own"))
        .select_from(_b.outerjoin(_e, and_(_e.c.project_id == _b.c.project_id, _e.c.id == _b.c.tip_id)))
        .where(_b.c.project_id == scope.project_id)
        .where(or_(_e.c.id.is_(None), _e.c.conversation_id != _b.c.conversation_id))
    )
    return [tuple(row) for row in scope.connection.execute(query.order_by(_b.c.name))]


# -- across projects ------------------------------------------------------------------------------------------


class Stray(NamedTuple):
    """Items at a place where no exchange lies."""

    lane: str
    depth: int
    items: int


def stray_items(connection: Connection) -> Iterator[list[Stray]]:
    """Items of all projects whose exchange is not there, as they are found: a batch of items each time."""
    at: tuple[str, int, int] | None = None
    while True:
        keys = (_i.c.lane, _i.c.depth, _i.c.position)
        query = select(*keys, _e.c.id).select_from(
            _i.outerjoin(_e, and_(_e.c.lane == _i.c.lane, _e.c.depth == _i.c.depth))
        )
        if at is not None:
            query = query.where(tuple_(*keys) > tuple_(*(literal(v, k.type) for v, k in zip(at, keys, strict=True))))
        rows = connection.execute(query.order_by(*keys).limit(10 * BATCH)).fetchall()
        found: dict[Spot, int] = {}
        for row in rows:
            if row.id is None:
                found[row.lane, row.depth] = found.get((row.lane, row.depth), 0) + 1
        yield [Stray(*spot, items) for spot, items in found.items()]
        if len(rows) < 10 * BATCH:
            return
        at = tuple(rows[-1][:3])


def projects_of(connection: Connection, project_ids: Sequence[str], exchange_ids: Collection[str]) -> dict[str, str]:
    """exchange id → project id, of those exchanges that are there."""
    found: dict[str, str] = {}
    for some in _chunks(sorted(exchange_ids)):
        # The key begins with the project: naming all of them makes it a look-up for each.
        query = select(_e.c.id, _e.c.project_id).where(_e.c.project_id.in_(project_ids), _e.c.id.in_(some))
        found |= {row.id: row.project_id for row in connection.execute(query)}
    return found


def stray_fingerprints(connection: Connection, project_ids: Sequence[str]) -> Iterator[list[tuple[bytes, str]]]:
    """(fingerprint, exchange id) of all projects whose exchange is in none of them, a batch each time."""
    at: tuple[bytes, str] | None = None
    keys = (_f.c.fingerprint, _f.c.exchange_id)
    while True:
        there = select(_e.c.id).where(_e.c.project_id.in_(project_ids), _e.c.id == _f.c.exchange_id).exists()
        query = select(*keys, there.label("there"))
        if at is not None:
            query = query.where(tuple_(*keys) > tuple_(*(literal(v, k.type) for v, k in zip(at, keys, strict=True))))
        rows = connection.execute(query.order_by(*keys).limit(10 * BATCH)).fetchall()
        yield [(bytes(row.fingerprint), row.exchange_id) for row in rows if not row.there]
        if len(rows) < 10 * BATCH:
            return
        at = (bytes(rows[-1].fingerprint), rows[-1].exchange_id)


# -- in common ------------------------------------------------------------------------------------------------

_HASHES = ("settings_hash", "reply_hash", "sent_hash")


def _is_missing(hash_: Any, project_id: Any) -> Any:
    there = select(_pay.c.hash).where(_pay.c.project_id == project_id, _pay.c.hash == hash_).exists()
    return and_(hash_.is_not(None), ~there)


def _goes_on(exchange_id: Any, scope: Scope) -> Any:
    query = select(_e.c.id).where(_e.c.project_id == scope.project_id, _e.c.id == exchange_id)
    return query.where(_e.c.status.in_(UNFINISHED)).exists()


def _hex(scope: Scope) -> Any:
    """The digits of an exchange's id, in SQL: a job knows what it is about by the text of an id."""
    if scope.connection.dialect.name == "sqlite":
        return func.lower(func.hex(_e.c.id))
    return func.encode(_e.c.id, "hex")


def _of(scope: Scope, query: Any) -> Any:
    return query.where(_e.c.project_id == scope.project_id)


def _next(scope: Scope, query: Any, after: str | None, limit: int = BATCH) -> Any:
    query = _of(scope, query)
    if after is not None:
        query = query.where(_e.c.id > after)
    return query.order_by(_e.c.id).limit(limit)


def _chunks(values: Sequence[Any], size: int = BATCH) -> Iterator[list[Any]]:
    rest = iter(values)
    while some := list(islice(rest, size)):
        yield some
