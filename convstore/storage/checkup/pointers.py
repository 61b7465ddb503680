"""What points at exchanges that are not there, or lies where none is. But for branches, across projects."""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, and_, literal, or_, select, tuple_

from convstore.storage import tables
from convstore.storage.checkup import BATCH, Spot, chunks
from convstore.storage.scope import Scope

_e = tables.exchanges
_i = tables.items
_b = tables.branches
_f = tables.fingerprints


class Stray(NamedTuple):
    """Items at a place where no exchange lies."""

    lane: str
    depth: int
    items: int


def branches(scope: Scope) -> list[tuple[str, str, str, str | None]]:
    """(name, tip id, conversation id, the tip's own) of branches whose tip is not there or says otherwise."""
    query = (
        select(_b.c.name, _b.c.tip_id, _b.c.conversation_id, _e.c.conversation_id.label("own"))
        .select_from(_b.outerjoin(_e, and_(_e.c.project_id == _b.c.project_id, _e.c.id == _b.c.tip_id)))
        .where(_b.c.project_id == scope.project_id)
        .where(or_(_e.c.id.is_(None), _e.c.conversation_id != _b.c.conversation_id))
    )
    return [tuple(row) for row in scope.connection.execute(query.order_by(_b.c.name))]


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
    for some in chunks(sorted(exchange_ids)):
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
