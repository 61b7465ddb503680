"""Threads from a point on: where two of them part, and the exchanges behind it."""

from collections.abc import Mapping

from sqlalchemy import and_, select

from convstore.domain.exchange import NOTHING, Exchange
from convstore.storage import exchanges, ledger, paths, tables
from convstore.storage.scope import Scope

_e = tables.exchanges
_p = tables.payloads
_l = tables.ledger
_COST = tuple(_l.c[name] for name in ledger.AMOUNT)
_IN_LEDGER = and_(_l.c.project_id == _e.c.project_id, _l.c.exchange_id == _e.c.id)


def lanes(scope: Scope, tip_id: str) -> dict[str, int]:
    """The lanes that a thread goes through, each with the depth it is left at. One statement, a step for each lane."""
    path = paths.to(scope, tip_id)
    return {row.lane: row.depth for row in scope.connection.execute(select(path.c.lane, path.c.depth))}


def parting(left: Mapping[str, int], right: Mapping[str, int]) -> tuple[str, int] | None:
    """The (lane, depth) of the last exchange of both threads, given their lanes; None when they share none.

    Both hold a lane they share from its beginning up to where the first of them leaves it.
    """
    shared = {lane: min(depth, right[lane]) for lane, depth in left.items() if lane in right}
    return max(shared.items(), key=lambda each: each[1], default=None)


def at(scope: Scope, lane: str, depth: int) -> str | None:
    """The id of the exchange at a place, be it hidden or not. One statement."""
    query = select(_e.c.id).where(_e.c.project_id == scope.project_id, _e.c.lane == lane, _e.c.depth == depth)
    return scope.connection.execute(query).scalar()


def turns(scope: Scope, tip_id: str, after: int) -> list[Exchange]:
    """The exchanges of a thread that are deeper than *after*, oldest first, hidden ones and additions too.

    Two statements. Settings are read once for all the exchanges that have them; what upstreams added to their answers
    (`reply`) is not read.
    """
    path = paths.to(scope, tip_id)
    behind = path.join(
        _e, and_(_e.c.lane == path.c.lane, _e.c.depth <= path.c.depth, _e.c.project_id == scope.project_id)
    )
    rows = scope.connection.execute(
        select(_e, *_COST).select_from(behind.outerjoin(_l, _IN_LEDGER)).where(_e.c.depth > after).order_by(_e.c.depth)
    ).fetchall()
    hashes = select(_e.c.settings_hash).select_from(behind).where(_e.c.depth > after)
    query = select(_p.c.hash, _p.c.body).where(_p.c.project_id == scope.project_id, _p.c.hash.in_(hashes))
    settings = {bytes(row.hash): row.body for row in scope.connection.execute(query)} if rows else {}
    found = [exchanges.of_row(scope, row, settings.get(bytes(row.settings_hash), NOTHING)) for row in rows]
    for exchange, row in zip(found, rows, strict=True):
        exchange.cost = ledger.of_columns(row.basis, row.reason, row.currency, row.millionths, row.rest)
    return found
