"""The states of a background response: queued, taken up by a process, taken over by another, ended.

    queue()      it is on record, and waits                              with the job, in one transaction
    withdraw()   it was cancelled while it waited
    take_up()    queued → in progress, under the process that took it
    take_over()  in progress under another process, which has died
    begin_anew() what the dead one had begun is forgotten
    end()        the answer, by the process it runs under and no other

Each is one transaction, and each says whether it found the response in the state that it needs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from convstore import ids
from convstore.domain.exchange import Beginning, Ending, Place
from convstore.storage import direct, doorbell, journals, tables, turns
from convstore.storage.database import Database
from convstore.storage.direct import Clash, Cursor
from convstore.storage.journals import Part
from convstore.storage.rows import as_stored, each_recorded, packed, transact
from convstore.storage.scope import Scope
from convstore.storage.statements import Delete, Insert, Update, Write, each
from convstore.storage.turns import ConversationTaken, IdempotencyKey
from convstore.storage.types import micros

Attempts = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Found:
    """What a process finds of a response that it takes over: everything that was written of it."""

    parts: Sequence[Part]
    is_cancelled: bool


def queue(
    database: Database,
    scope: Scope,
    beginning: Beginning,
    parts: Sequence[Part],
    key: IdempotencyKey | None = None,
    besides: Sequence[Write] = (),
) -> None:
    """Put a request on disk, in the caller's transaction. Raises KeyTaken, LaneTaken, NameTaken, ConversationTaken."""
    writes = turns.beginning_rows(database, scope.project_id, beginning, b"", key)
    request = turns.request(scope.project_id, beginning)
    try:
        with direct.within(database, scope.connection) as cursor:
            if not each_recorded(database, cursor, [*writes, *_journal(parts), *besides], request):
                raise ConversationTaken
    except Clash as clash:
        raise turns.named(clash) from clash


def withdraw(database: Database, project_id: str, place: Place, ending: Ending, parts: Sequence[Part]) -> bool:
    """End a response that nobody has taken up yet."""
    with database.writing(project_id) as scope, direct.within(database, scope.connection) as cursor:
        writes = turns.ending_rows(database, project_id, place, ending, False, before="queued")
        doorbell.ring(cursor)
        return each_recorded(database, cursor, writes + _journal(parts), turns.answer(project_id, place, ending))


def take_up(
    database: Database, project_id: str, exchange_id: str, process: bytes, attempts: Attempts, parts: Sequence[Part]
) -> bool:
    """Begin to see to a response that waits. attempts: what will be tried, as far as it is known."""
    exchange, project = packed(ids.EXCHANGE, exchange_id), packed(ids.PROJECT, project_id)
    values = ("in_progress", turns.as_json(attempts), project, exchange, "queued")
    writes: list[Write] = [Update(tables.exchanges, ("status", "attempts"), ("project_id", "id", "status"), values)]
    row = (exchange, project, process)
    writes.append(Insert(tables.running, turns.RUNNING_COLUMNS, [row], if_updated=True))
    if parts:
        writes.append(replace(journals.insert(parts), if_updated=True))
    done = transact(database, writes, project_id=project_id)
    if done and parts:
        with direct.reading(database) as cursor:
            doorbell.ring(cursor)
    return done


def take_over(database: Database, project_id: str, exchange_id: str, process: bytes) -> Found | None:
    """Make a response this process's own. None when it is running no more."""
    exchange, project = packed(ids.EXCHANGE, exchange_id), packed(ids.PROJECT, project_id)
    with database.writing(project_id) as scope, direct.within(database, scope.connection) as cursor:
        done = cursor.execute(_TAKE_OVER, (process, exchange, project))
        if not done.rowcount:
            return None
        # Behind this lock nobody else's parts can come.
        (asked,) = cursor.execute(_CANCELLED, (exchange,)).fetchone()
        return Found(journals.after(cursor, exchange_id, -1, _ALL), asked is not None)


def begin_anew(
    database: Database, project_id: str, exchange_id: str, process: bytes, attempts: Attempts, *, seen: int | None
) -> bool:
    """Note what has been tried, and forget what came of it.

    seen: the number of the last event that followers may have seen; these stay.
    """
    exchange, project = packed(ids.EXCHANGE, exchange_id), packed(ids.PROJECT, project_id)
    with database.writing(project_id) as scope, direct.within(database, scope.connection) as cursor:
        if not _is_mine(cursor, exchange, process):
            return False
        values = (turns.as_json(attempts), project, exchange)
        noted = Update(tables.exchanges, ("attempts",), ("project_id", "id"), values)
        each(cursor, as_stored(database, cursor, project_id, [noted]))
        if seen is None:
            cursor.execute(_FORGET, (exchange,))
        else:
            # That an upstream had begun no longer counts. The part stays: a follower who has read it would miss what
            # came later under its number.
            cursor.execute(_NO_MORE, (seen, exchange))
        return True


def request_cancel(scope: Scope, database: Database, exchange_id: str, now: datetime) -> None:
    """Ask the process that a response runs under to end it. Once is enough."""
    with direct.within(database, scope.connection) as cursor:
        own = (packed(ids.EXCHANGE, exchange_id), packed(ids.PROJECT, scope.project_id))
        cursor.execute(_ASK_TO_CANCEL, (micros(now), *own))


def end(
    database: Database, project_id: str, place: Place, ending: Ending, process: bytes, parts: Sequence[Part]
) -> bool:
    """Put an answer on disk, with the last parts of its journal; without any its journal goes. May be called again."""
    exchange = packed(ids.EXCHANGE, place.id)
    with database.writing(project_id) as scope, direct.within(database, scope.connection) as cursor:
        if not _is_mine(cursor, exchange, process):
            return False
        writes = turns.ending_rows(database, project_id, place, ending, False)
        writes += _journal(parts) or [Delete(tables.journal, ("exchange_id",), (exchange,))]
        if parts:
            doorbell.ring(cursor)
        return each_recorded(database, cursor, writes, turns.answer(project_id, place, ending))


def _is_mine(cursor: Cursor, exchange: bytes | None, process: bytes) -> bool:
    """Whether a response runs under a process; nobody can take it over until the transaction is over."""
    return (
        cursor.execute(_MINE if cursor.is_sqlite else f"{_MINE} FOR UPDATE", (exchange, process)).fetchone() is not None
    )


def _journal(parts: Sequence[Part]) -> list[Write]:
    return [journals.insert(parts)] if parts else []


# More parts than any response has.
_ALL = 2**31 - 1
_MINE = "SELECT 1 FROM running WHERE exchange_id = ? AND process_id = ?"
_TAKE_OVER = "UPDATE running SET process_id = ? WHERE exchange_id = ? AND project_id = ?"
_CANCELLED = "SELECT cancel_requested_at FROM running WHERE exchange_id = ?"
_NO_MORE = "UPDATE journal SET last_number = ? WHERE exchange_id = ? AND last_number IS NULL"
_FORGET = "DELETE FROM journal WHERE exchange_id = ?"
_ASK_TO_CANCEL = (
    "UPDATE running SET cancel_requested_at = ? WHERE exchange_id = ? AND project_id = ?"
    " AND cancel_requested_at IS NULL"
)
