"""Shared bodies that may be nobody's any more: the second step of an erasure (see memory.py for why there are two).

Whether anybody refers to a body is asked twice. First without a lock, of every exchange of the project: what is found
then is kept. Of the few that are left it is asked again with their rows locked, but only of exchanges that can have
begun to refer to them meanwhile: those that are new, and those that had not ended. Whoever stores an exchange with such
a body locks its row, too (rows.py), so it is there in time, or waits and stores the body again.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from convstore import ids
from convstore.domain.erasing import Erased, What
from convstore.storage import direct, evidence
from convstore.storage.database import Database
from convstore.storage.direct import Cursor
from convstore.storage.rows import packed
from convstore.storage.scope import Scope
from convstore.storage.statements import MOST_PARAMETERS

# Bodies of one transaction.
MOST = 200
# Ids carry the clock of whoever made them: nobody's is an hour behind, and no beginning takes an hour to be stored.
SLACK_MS = 3_600_000
_UNFINISHED = "('queued', 'in_progress')"


@dataclass(frozen=True, slots=True)
class Doubtful:
    """A body that may be nobody's, and the number of `epochs` behind which no process remembers it."""

    hash: bytes
    epoch: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What a first look found: who is referred to, and whom a second one must ask again."""

    kept: frozenset[bytes]
    since: bytes
    unfinished: tuple[bytes, ...]


def doubtful(scope: Scope, database: Database, erasure_id: str) -> list[Doubtful]:
    """The next ones that an erasure has put under doubt."""
    with direct.within(database, scope.connection) as cursor:
        rows = cursor.execute(_DOUBTFUL, (_project(scope), erasure_id, MOST)).fetchall()
    return [Doubtful(bytes(own), number) for own, number in rows]


def look(database: Database, project_id: str, hashes: Sequence[bytes]) -> Seen:
    """The first look. It reads a project's exchanges once or twice, and holds up nobody."""
    project = packed(ids.PROJECT, project_id) or b""
    since = max(0, int(time.time() * 1000) - SLACK_MS).to_bytes(6, "big") + bytes(10)
    with direct.reading(database) as cursor:
        # Before the others are asked: one that ends meanwhile is asked twice.
        unfinished = tuple(bytes(own) for (own,) in cursor.execute(_RUNNING, (project,)).fetchall())
        found = _of_exchanges(cursor, project, hashes, "TRUE") | _of_items(cursor, project, hashes)
    return Seen(frozenset(found), since, unfinished)


def drop(database: Database, scope: Scope, wanted: Sequence[Doubtful], seen: Seen) -> Erased:
    """Delete what nobody refers to, in the caller's transaction."""
    project = _project(scope)
    with direct.within(database, scope.connection) as cursor:
        if cursor.is_sqlite:
            cursor.execute("PRAGMA secure_delete = ON")
        maybe = sorted(each.hash for each in wanted if each.hash not in seen.kept)
        sizes: dict[bytes, int] = {}
        if maybe:
            lock = "" if cursor.is_sqlite else " FOR UPDATE"
            rows = cursor.execute(_LOCK.format(_marks(maybe)) + lock, (project, *maybe)).fetchall()
            sizes = {bytes(own): size for own, size in rows}
            # A statement of its own: on PostgreSQL it sees what was committed while we waited for the locks.
            for own in _referred_to(cursor, project, maybe, seen):
                sizes.pop(own, None)
        if sizes:
            cursor.execute(_DELETE.format(_marks(sizes)), (project, *sizes))
        # Unless it was put under doubt once more, by an erasure that others have not answered yet.
        cursor.execute_many(_SETTLE, [(project, each.hash, each.epoch) for each in wanted])
    return Erased(
        payloads=len(sizes), bytes=sum(sizes.values()), kept=len(wanted) - len(sizes), tables={"payloads": len(sizes)}
    )


def _referred_to(cursor: Cursor, project: bytes, hashes: Sequence[bytes], seen: Seen) -> set[bytes]:
    found = _of_items(cursor, project, hashes) | _of_exchanges(cursor, project, hashes, "e.id >= ?", (seen.since,))
    for start in range(0, len(seen.unfinished), MOST_PARAMETERS):
        some = seen.unfinished[start : start + MOST_PARAMETERS]
        found |= _of_exchanges(cursor, project, hashes, f"e.id IN ({_marks(some)})", some)
    return found


def _of_exchanges(
    cursor: Cursor, project: bytes, hashes: Sequence[bytes], where: str, values: Sequence[Any] = ()
) -> set[bytes]:
    found: set[bytes] = set()
    for sql in (_SETTINGS, _REPLIES, _SENT):
        rows = cursor.execute(sql.format(where, _marks(hashes)), (project, *values, *hashes)).fetchall()
        found |= {bytes(own) for (own,) in rows}
    return found


def _of_items(cursor: Cursor, project: bytes, hashes: Sequence[bytes]) -> set[bytes]:
    rows = cursor.execute(_ITEMS.format(_marks(hashes)), (*hashes, project)).fetchall()
    return {evidence.plain(row)[0] for row in rows}


def _project(scope: Scope) -> bytes:
    return packed(ids.PROJECT, scope.project_id) or b""


def _marks(some: Collection[Any]) -> str:
    return ", ".join("?" * len(some))


_DOUBTFUL = "SELECT hash, epoch FROM doubtful WHERE project_id = ? AND erasure_id = ? ORDER BY hash LIMIT ?"
_RUNNING = f"SELECT id FROM exchanges WHERE project_id = ? AND status IN {_UNFINISHED}"
_OF = "SELECT DISTINCT e.{} FROM exchanges e WHERE e.project_id = ? AND {{}} AND e.{} IN ({{}})"
_SETTINGS = _OF.format("settings_hash", "settings_hash")
_REPLIES = _OF.format("reply_hash", "reply_hash")
# How erased items were sent along is no content of an exchange any more (erasing.py).
_SENT = _OF.format("sent_hash", "sent_hash") + (
    " AND NOT EXISTS (SELECT 1 FROM erased t WHERE t.project_id = e.project_id AND t.exchange_id = e.id"
    f" AND t.what = '{What.HISTORY}')"
)
_ITEMS = (
    "SELECT DISTINCT i.payload_hash FROM items i JOIN exchanges e ON e.lane = i.lane AND e.depth = i.depth"
    " WHERE i.payload_hash IN ({}) AND i.payload_hash IS NOT NULL AND e.project_id = ?"
)
_LOCK = "SELECT hash, length(body) FROM payloads WHERE project_id = ? AND hash IN ({}) ORDER BY hash"
_DELETE = "DELETE FROM payloads WHERE project_id = ? AND hash IN ({})"
_SETTLE = "DELETE FROM doubtful WHERE project_id = ? AND hash = ? AND epoch = ?"
