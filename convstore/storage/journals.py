"""The journal of background responses: what followers and pollers see, and what a crash leaves.

One process writes the parts of a response, in their order; whoever has found the response in a project may read
them. A part holds events whose numbers go on where the part before ends. Parts are numbered upwards, not without gaps.
Only the process that a response is `running` under can write: one that was taken for dead, and is not, is told so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from convstore import ids
from convstore.storage import direct, tables
from convstore.storage.database import Database
from convstore.storage.direct import Cursor
from convstore.storage.doorbell import RING
from convstore.storage.rows import packed
from convstore.storage.statements import Insert
from convstore.storage.types import deflate, from_micros, micros

# Responses that one statement asks about; more are asked for in turn.
MOST = 200

_COLUMNS = ("exchange_id", "part", "first_number", "last_number", "events", "ended_at")


@dataclass(frozen=True, slots=True)
class Part:
    """Some events of a response, in their order: those numbered *first* to *last*.

    None and no events: a mark that its upstream has begun to answer. ended_at: set on the last part of all.
    project_id: whose it is; needed where it is not written with other rows of its project.
    """

    exchange_id: str
    number: int
    first: int | None
    last: int | None
    events: bytes
    ended_at: datetime | None = None
    project_id: str | None = None


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a journal goes: its last part, the number of its last event, and whether that one is the last of all."""

    part: int
    last: int
    ended: bool


def insert(parts: Sequence[Part]) -> Insert:
    """The rows of some parts, for a batch of writes. What is there already is left alone."""
    return Insert(tables.journal, _COLUMNS, [_row(part) for part in parts], ignore=True)


def append(database: Database, process: bytes, parts: Sequence[Part]) -> Mapping[str, bool]:
    """Write parts of responses that run under a process. Raises StorageUnavailable; it may be called again then.

    Returns for each response that does run there whether it is to be cancelled; nothing is written of the others.
    """
    with direct.writing(database) as cursor:
        if not cursor.is_sqlite:
            rows = [value for part in parts for value in _sealed_row(cursor, part)[:-1]]
            done = cursor.execute(_appended(len(parts)), (*rows, process)).fetchall()
            return {ids.unpack(ids.EXCHANGE, bytes(row[0])): row[1] is not None for row in done}
        told = running(cursor, process, sorted({part.exchange_id for part in parts}))
        for part in parts:
            if part.exchange_id in told:
                cursor.execute(_APPEND_ONE, _sealed_row(cursor, part)[:-1])
        return told


def running(cursor: Cursor, process: bytes, exchange_ids: Sequence[str]) -> dict[str, bool]:
    """Which of these responses run under a process, and whether they are to be cancelled."""
    found: dict[str, bool] = {}
    for start in range(0, len(exchange_ids), MOST):
        some = tuple(packed(ids.EXCHANGE, each) for each in exchange_ids[start : start + MOST])
        done = cursor.execute(_running(len(some)), (process, *some))
        found |= {ids.unpack(ids.EXCHANGE, bytes(row[0])): row[1] is not None for row in done.fetchall()}
    return found


def after(cursor: Cursor, exchange_id: str, part: int, limit: int) -> list[Part]:
    """The parts of one response behind the one of this number, the first of them."""
    rows = cursor.execute(_AFTER, (packed(ids.EXCHANGE, exchange_id), part, limit)).fetchall()
    return [_part(cursor, row) for row in rows]


def news(cursor: Cursor, known: Sequence[tuple[str, int]]) -> list[Part]:
    """The parts behind those that are known, as (exchange id, part): of several responses, each one's in order."""
    found: list[Part] = []
    for start in range(0, len(known), MOST):
        some = known[start : start + MOST]
        values = tuple(value for exchange_id, part in some for value in (packed(ids.EXCHANGE, exchange_id), part))
        found += [_part(cursor, row) for row in cursor.execute(_news(len(some)), values).fetchall()]
    return found


def extent(cursor: Cursor, exchange_id: str) -> Extent | None:
    """How far the journal of a response goes; None when it has no events."""
    row = cursor.execute(_EXTENT, (packed(ids.EXCHANGE, exchange_id),)).fetchone()
    return None if row is None else Extent(row[0], row[1], row[2] is not None)


def part_before(cursor: Cursor, exchange_id: str, number: int) -> int:
    """The part behind which the event after this number is found; -1 when that is the first one."""
    row = cursor.execute(_BEFORE, (packed(ids.EXCHANGE, exchange_id), number)).fetchone()
    return -1 if row is None or row[0] is None else int(row[0])


def drop(database: Database, ended_before: datetime, limit: int) -> int:
    """Forget journals of responses that ended before a moment, *limit* at most. Returns how many."""
    with direct.reading(database) as cursor:
        old = [bytes(row[0]) for row in cursor.execute(_OLD, (micros(ended_before), limit)).fetchall()]
    if old:
        with direct.writing(database) as cursor:
            marks = ", ".join("?" * len(old))
            cursor.execute(f"DELETE FROM journal WHERE exchange_id IN ({marks})", tuple(old))
    return len(old)


# -- the statements -------------------------------------------------------------------------------------------

_FIELDS = "j.exchange_id, j.part, j.first_number, j.last_number, j.events, j.ended_at"
_AFTER = f"SELECT {_FIELDS} FROM journal j WHERE j.exchange_id = ? AND j.part > ? ORDER BY j.part LIMIT ?"
_EXTENT = (
    "SELECT part, last_number, ended_at FROM journal WHERE exchange_id = ? AND last_number IS NOT NULL"
    " ORDER BY part DESC LIMIT 1"
)
_BEFORE = "SELECT MAX(part) FROM journal WHERE exchange_id = ? AND last_number <= ?"
_OLD = "SELECT exchange_id FROM journal WHERE ended_at IS NOT NULL AND ended_at < ? ORDER BY ended_at LIMIT ?"
_APPEND_ONE = (
    f"INSERT INTO journal ({', '.join(_COLUMNS[:-1])}) VALUES ({', '.join('?' * len(_COLUMNS[:-1]))})"
    " ON CONFLICT DO NOTHING"
)


@lru_cache(maxsize=MOST)
def _running(size: int) -> str:
    marks = ", ".join("?" * size)
    return f"SELECT exchange_id, cancel_requested_at FROM running WHERE process_id = ? AND exchange_id IN ({marks})"


@lru_cache(maxsize=MOST)
def _news(size: int) -> str:
    # Each response is a probe of the primary key; of a join, a planner might read the whole table.
    marks = ", ".join(["(?, ?)"] * size)
    return (
        f"WITH wanted(exchange_id, part) AS (VALUES {marks}) SELECT {_FIELDS} FROM wanted"
        " JOIN journal j ON j.exchange_id = wanted.exchange_id AND j.part > wanted.part"
        " ORDER BY j.exchange_id, j.part"
    )


@lru_cache(maxsize=MOST)
def _appended(size: int) -> str:
    """The row of `running` stays locked until the parts are there: who takes the response over sees them all."""
    marks = ", ".join(["(?::bytea, ?::integer, ?::integer, ?::integer, ?::bytea)"] * size)
    columns = ", ".join(_COLUMNS[:-1])
    return (
        f"WITH news({columns}) AS (VALUES {marks}), mine AS (SELECT exchange_id, cancel_requested_at FROM running"
        " WHERE process_id = ? AND exchange_id IN (SELECT exchange_id FROM news) FOR UPDATE),"
        f" written AS (INSERT INTO journal ({columns}) SELECT n.* FROM news n JOIN mine USING (exchange_id)"
        f" ON CONFLICT DO NOTHING) SELECT exchange_id, cancel_requested_at, ({RING}) FROM mine"
    )


def _row(part: Part) -> tuple[Any, ...]:
    return (
        packed(ids.EXCHANGE, part.exchange_id),
        part.number,
        part.first,
        part.last,
        deflate(part.events),
        micros(part.ended_at) if part.ended_at else None,
    )


def _sealed_row(cursor: Cursor, part: Part) -> tuple[Any, ...]:
    """The row of a part that is written by itself."""
    exchange, number, first, last, events, ended_at = _row(part)
    if part.project_id is not None:
        events = cursor.vault.sealed_part(cursor.execute, part.project_id, exchange, events)
    return exchange, number, first, last, events, ended_at


def _part(cursor: Cursor, row: Sequence[Any]) -> Part:
    exchange_id, number, first, last, events, ended_at = row
    return Part(
        ids.unpack(ids.EXCHANGE, bytes(exchange_id)),
        number,
        first,
        last,
        cursor.vault.part(cursor.execute, bytes(exchange_id), bytes(events)),
        from_micros(ended_at) if ended_at is not None else None,
    )
