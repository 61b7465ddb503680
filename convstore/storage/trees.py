"""Reading trees: lanes, figures and headers of exchanges. No body is read here.

A tree is read by its lanes: those of a conversation are found by an index of their own, the exchanges of a lane by
(lane, depth). What is not shown of a tree is summed up by the database.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, Select, and_, func, literal_column, select, union_all

from convstore import ids
from convstore.domain import jsontext, money, usage
from convstore.domain.costs import Money
from convstore.domain.tree import Figures, Lane, Leaf, Node, Run
from convstore.storage import direct, exchanges, ledger, paths, tables
from convstore.storage.database import Database
from convstore.storage.rows import packed
from convstore.storage.scope import Scope

_e = tables.exchanges

# SQLite takes 32,766 parameters; a statement of this many is planned and parsed in no time.
MOST = 500

_PLAIN = tuple(
    "id conversation_id parent_id depth status origin origin_id linked stored requested_model model upstream question "
    "answer incomplete_reason created_at first_event_at completed_at deleted_at erased_at".split()
)
_LINES = ("question", "answer")
_l = tables.ledger
# What a node is made of, and from where.
HEADER: tuple[Any, ...] = (
    *(_e.c[name] for name in (*_PLAIN, *usage.COLUMNS, "error")),
    *(_l.c[name] for name in ledger.AMOUNT),
)
IN_LEDGER = and_(_l.c.project_id == _e.c.project_id, _l.c.exchange_id == _e.c.id)
WITH_COST = _e.outerjoin(_l, IN_LEDGER)


def lanes(database: Database, project_id: str, conversation_id: str) -> dict[str, Lane]:
    """The lanes of a conversation, by id. One statement."""
    with direct.reading(database) as cursor:
        values = (packed(ids.PROJECT, project_id), packed(ids.CONVERSATION, conversation_id))
        rows = cursor.execute(_LANES, values).fetchall()
    found = [
        Lane(_exchange(own), depth, (_exchange(parent_lane), parent_depth) if parent_lane else None)
        for own, depth, parent_lane, parent_depth in rows
    ]
    return {lane.id: lane for lane in found}


def runs(database: Database, project_id: str, lanes_from: Mapping[str, int]) -> dict[str, Run]:
    """What there is of these lanes, each from a depth on, with the sums of its exchanges."""
    found: dict[str, Run] = {}
    # A row for each way in which costs of a lane are known, or not.
    for lane, depth, nodes, known, *rest in _of_lanes(database, project_id, lanes_from, _RUNS):
        halves, (basis, reason, currency, millionths, least) = rest[:-5], rest[-5:]
        high, low = map(int, halves[::2]), map(int, halves[1::2])
        tokens = dict(zip(_SUMMED, ((one << 32) + other for one, other in zip(high, low, strict=True)), strict=True))
        sums = Figures(nodes, unknown=nodes - known, money=Money(), **tokens)
        if basis is not None:
            sums.money.count(basis, reason, currency, money.whole(millionths or 0, least or 0), nodes)
        own = _exchange(lane)
        there = found.get(own)
        if there is not None:
            sums.add(there.sums)
        found[own] = Run(depth if there is None else min(depth, there.depth), sums)
    return found


def members(database: Database, project_id: str, lanes_from: Mapping[str, int]) -> dict[str, list[Leaf]]:
    """The exchanges of these lanes, each from a depth on, with their figures: by lane, in order."""
    names = {packed(ids.EXCHANGE, lane): lane for lane in lanes_from}
    found: dict[str, list[Leaf]] = {lane: [] for lane in lanes_from}
    for own, lane, depth, *rest in _of_lanes(database, project_id, lanes_from, _MEMBERS):
        name, counts = names[bytes(lane)], rest[: len(usage.COLUMNS)]
        cost = ledger.of_columns(*rest[len(usage.COLUMNS) :])
        found[name].append(Leaf(_exchange(own), name, depth, usage.of_columns(*counts), cost))
    return found


def _of_lanes(
    database: Database, project_id: str, lanes_from: Mapping[str, int], sql: tuple[str, str]
) -> Iterator[tuple[Any, ...]]:
    """The rows that a statement gives of these lanes, each from a depth on."""
    wanted, project = list(lanes_from.items()), packed(ids.PROJECT, project_id)
    with direct.reading(database) as cursor:
        for start in range(0, len(wanted), MOST):
            part = wanted[start : start + MOST]
            values = [value for lane, depth in part for value in (packed(ids.EXCHANGE, lane), depth)]
            places = ", ".join(["(?, ?)" if cursor.is_sqlite else "(?::bytea, ?::integer)"] * len(part))
            whole = f"WITH wanted(lane, depth) AS (VALUES {places}) {sql[0]}{_IN_LANES}{sql[1]}"
            yield from cursor.execute(whole, (*values, project)).fetchall()


def nodes(scope: Scope, exchange_ids: Sequence[str]) -> dict[str, Node]:
    """The headers of these exchanges, by id."""
    found: dict[str, Node] = {}
    for start in range(0, len(exchange_ids), MOST):
        query = (
            select(*HEADER)
            .select_from(WITH_COST)
            .where(_e.c.project_id == scope.project_id, _e.c.id.in_(exchange_ids[start : start + MOST]))
        )
        found |= {row.id: node(scope, row) for row in scope.connection.execute(query)}
    return found


def place(scope: Scope, exchange_id: str) -> tuple[str, str, int] | None:
    """(conversation, lane, depth) of an exchange, whether clients can ask for it or not."""
    query = select(_e.c.conversation_id, _e.c.lane, _e.c.depth)
    row = scope.connection.execute(query.where(_e.c.project_id == scope.project_id, _e.c.id == exchange_id)).fetchone()
    return None if row is None else (row.conversation_id, row.lane, row.depth)


def thread(scope: Scope, tip_id: str, first: int, last: int) -> list[Node]:
    """The headers of a thread's exchanges from one depth to another, in order. One statement."""
    path = paths.to(scope, tip_id)
    source = path.join(_e, and_(_e.c.lane == path.c.lane, _e.c.depth <= path.c.depth)).outerjoin(_l, IN_LEDGER)
    query = select(*HEADER).select_from(source).where(_e.c.project_id == scope.project_id)
    rows = scope.connection.execute(query.where(_e.c.depth >= first, _e.c.depth <= last).order_by(_e.c.depth))
    return [node(scope, row) for row in rows]


def end_of_lane(scope: Scope, exchange_id: str) -> str | None:
    """The exchange that the first children lead to from here; None when there is none with this id."""
    here = _e.alias("here")
    source = here.join(_e, and_(_e.c.lane == here.c.lane, _e.c.depth >= here.c.depth))
    query = select(_e.c.id).select_from(source).where(here.c.project_id == scope.project_id, here.c.id == exchange_id)
    return scope.connection.execute(query.order_by(_e.c.depth.desc()).limit(1)).scalar()


def children(scope: Scope, exchange_id: str, limit: int, after: str | None = None) -> list[Node]:
    """The headers of an exchange's children, oldest first, behind the one with the id *after*. One statement.

    The first child goes on in its parent's lane; the others open one of their own, and are found by that.
    """
    parent = _e.alias("parent")
    going_on = (
        select(_e.c.id)
        .select_from(parent.join(_e, and_(_e.c.lane == parent.c.lane, _e.c.depth == parent.c.depth + 1)))
        .where(parent.c.project_id == scope.project_id, parent.c.id == exchange_id)
    )
    # The index of parents holds what opens a lane; SQLite compares texts to see that it may be used.
    opening = select(_e.c.id).where(_e.c.parent_id == exchange_id, literal_column("exchanges.lane = exchanges.id"))
    both = union_all(going_on, opening).subquery()
    query = select(*HEADER).select_from(WITH_COST)
    query = query.where(_e.c.project_id == scope.project_id, _e.c.id.in_(select(both.c.id)))
    if after is not None:
        query = query.where(_e.c.id > after)
    return [node(scope, row) for row in scope.connection.execute(query.order_by(_e.c.id).limit(limit))]


def tips(scope: Scope, conversation_id: str, limit: int, after: str | None = None) -> list[Node]:
    """The headers of a conversation's tips, newest first, behind the one with the id *after*. One statement.

    Each lane ends in one, and no exchange between its ends is one.
    """
    lane, inner = _e.alias("lane"), _e.alias("inner")
    last = select(func.max(inner.c.depth)).where(inner.c.lane == lane.c.id).scalar_subquery()
    source = lane.join(_e, and_(_e.c.lane == lane.c.id, _e.c.depth == last)).outerjoin(_l, IN_LEDGER)
    query: Select[Any] = select(*HEADER).select_from(source)
    query = query.where(lane.c.conversation_id == conversation_id, literal_column("lane.lane = lane.id"))
    query = query.where(lane.c.project_id == scope.project_id)
    if after is not None:
        query = query.where(_e.c.id < after)
    return [node(scope, row) for row in scope.connection.execute(query.order_by(_e.c.id.desc()).limit(limit))]


def node(scope: Scope, row: Row[Any]) -> Node:
    """The header in a row of these columns, whatever else is in it."""
    columns = row._mapping
    shown: dict[str, Any] = {name: columns[name] for name in _PLAIN}
    shown |= {name: scope.line(columns[name]) for name in _LINES}
    told = scope.line(columns["error"])
    error = jsontext.loads(told) if told else exchanges.SHREDDED if columns["error"] else None
    return Node(
        **shown,
        usage=usage.of_columns(*(columns[name] for name in usage.COLUMNS)),
        error_code=error.get("code") if error else None,
        cost=ledger.of_columns(*(columns[name] for name in ledger.AMOUNT)),
    )


def _exchange(packed_id: bytes) -> str:
    return ids.unpack(ids.EXCHANGE, bytes(packed_id))


_LANES = (
    "SELECT h.id, h.depth, p.lane, p.depth FROM exchanges h"
    " LEFT JOIN exchanges p ON p.project_id = h.project_id AND p.id = h.parent_id"
    " WHERE h.project_id = ? AND h.conversation_id = ? AND h.lane = h.id"
)

# Each lane is a range of the index of places, however many there are.
_IN_LANES = (
    " FROM wanted CROSS JOIN exchanges e LEFT JOIN ledger l ON l.project_id = e.project_id AND l.exchange_id = e.id"
    " WHERE e.lane = wanted.lane AND e.depth >= wanted.depth AND e.project_id = ?"
)
_MEMBERS = (
    f"SELECT e.id, e.lane, e.depth, {', '.join(f'e.{name}' for name in usage.COLUMNS)}, "
    f"{', '.join(f'l.{name}' for name in ledger.AMOUNT)}",
    " ORDER BY e.lane, e.depth",
)
_SUMMED = tuple(name.removesuffix("_tokens") for name in usage.COLUMNS if name != "cache_write_tokens")
# In halves: the sum of a few of the biggest counts (domain/usage.py) would be too big for SQLite's integers.
_HALVES = ", ".join(
    f"sum(coalesce(e.{name}_tokens, 0) {half})" for name in _SUMMED for half in (">> 32", "& 4294967295")
)
_RUNS = (
    f"SELECT e.lane, min(e.depth), count(*), count(e.input_tokens), {_HALVES}, l.basis, l.reason,"
    " l.currency, sum(l.millionths), sum(l.rest)",
    " GROUP BY e.lane, l.basis, l.reason, l.currency",
)
