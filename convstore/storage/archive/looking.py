"""What the store knows of exchanges that are to be put back: a batch in a few statements, in its transaction."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from convstore import ids
from convstore.domain.archive import Archived
from convstore.domain.erasing import What
from convstore.domain.fingerprints import Thread
from convstore.storage.direct import Cursor
from convstore.storage.erasing import UNFINISHED
from convstore.storage.rows import packed
from convstore.storage.turns import thread_of

# SQLite takes at least so many parameters in one statement.
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Known:
    """An exchange that is there. continued: whether its lane goes on behind it. imported_at: in microseconds.

    may_be_continued: not what its client asked not to store, nor what is still being answered.
    """

    id: str
    conversation_id: str
    lane: str
    depth: int
    may_be_continued: bool
    settings_hash: bytes
    continued: bool
    thread: Thread | None
    imported_at: int | None


@dataclass(slots=True)
class Found:
    """What was found of a batch: exchanges by id, and ids that cannot be used or need not be."""

    exchanges: dict[str, Known] = field(default_factory=dict)
    elsewhere: set[str] = field(default_factory=set)
    erased: set[str] = field(default_factory=set)
    on_record: set[str] = field(default_factory=set)


def look(cursor: Cursor, project_id: str, batch: Sequence[Archived]) -> Found:
    """What is known of these and of their parents. On PostgreSQL those that are there stay until the end."""
    own = {each.id for each in batch}
    found = Found(exchanges=_exchanges(cursor, project_id, own | {each.parent_id for each in batch if each.parent_id}))
    new = own - found.exchanges.keys()
    project = packed(ids.PROJECT, project_id)
    found.elsewhere = _ids(cursor, ids.EXCHANGE, _ELSEWHERE.format("exchanges", "{}"), (project,), new)
    found.erased = _ids(cursor, ids.EXCHANGE, _ERASED, (project, str(What.ALL)), new)
    found.on_record = _ids(cursor, ids.EXCHANGE, _ON_RECORD, (project,), new)
    return found


def one(cursor: Cursor, project_id: str, exchange_id: str) -> Known | None:
    """The exchange with this id."""
    return _exchanges(cursor, project_id, {exchange_id}).get(exchange_id) if exchange_id else None


def conversations(cursor: Cursor, project_id: str, wanted: Collection[str]) -> tuple[set[str], set[str]]:
    """Of these conversations those that are there, and those that are another project's."""
    project = packed(ids.PROJECT, project_id)
    there = _ids(cursor, ids.CONVERSATION, _CONVERSATIONS, (project,), wanted)
    elsewhere = _ELSEWHERE.format("conversations", "{}")
    return there, _ids(cursor, ids.CONVERSATION, elsewhere, (project,), set(wanted) - there)


def _exchanges(cursor: Cursor, project_id: str, wanted: Collection[str]) -> dict[str, Known]:
    sql = _KNOWN if cursor.is_sqlite else f"{_KNOWN} FOR SHARE OF e"
    found = {}
    for row in _rows(cursor, ids.EXCHANGE, sql, (packed(ids.PROJECT, project_id),), wanted):
        own, conversation, lane, depth, stored, status, settings_hash, fingerprint, imported_at, continued = row
        name = ids.unpack(ids.EXCHANGE, bytes(own))
        found[name] = Known(
            id=name,
            conversation_id=ids.unpack(ids.CONVERSATION, bytes(conversation)),
            lane=ids.unpack(ids.EXCHANGE, bytes(lane)),
            depth=depth,
            may_be_continued=bool(stored) and status not in UNFINISHED,
            settings_hash=bytes(settings_hash),
            continued=bool(continued),
            thread=thread_of(cursor, project_id, fingerprint),
            imported_at=imported_at,
        )
    return found


def _ids(cursor: Cursor, prefix: str, sql: str, before: tuple[object, ...], wanted: Collection[str]) -> set[str]:
    return {ids.unpack(prefix, bytes(row[0])) for row in _rows(cursor, prefix, sql, before, wanted)}


def _rows(cursor: Cursor, prefix: str, sql: str, before: tuple[object, ...], wanted: Collection[str]) -> list[Any]:
    names = sorted(wanted)
    found: list[Any] = []
    for start in range(0, len(names), _AT_ONCE):
        some = [packed(prefix, each) for each in names[start : start + _AT_ONCE]]
        found += cursor.execute(sql.format(", ".join("?" * len(some))), (*before, *some)).fetchall()
    return found


_KNOWN = (
    "SELECT e.id, e.conversation_id, e.lane, e.depth, e.stored, e.status, e.settings_hash, e.fingerprint,"
    " e.imported_at, EXISTS (SELECT 1 FROM exchanges n WHERE n.lane = e.lane AND n.depth = e.depth + 1)"
    " FROM exchanges e WHERE e.project_id = ? AND e.id IN ({})"
)
# A look into each project: no index knows an id without one.
_ELSEWHERE = "SELECT x.id FROM projects p JOIN {} x ON x.project_id = p.id WHERE p.id <> ? AND x.id IN ({})"
_ERASED = "SELECT t.exchange_id FROM erased t WHERE t.project_id = ? AND t.what = ? AND t.exchange_id IN ({})"
_ON_RECORD = "SELECT a.id FROM audit_log a WHERE a.project_id = ? AND a.id IN ({})"
_CONVERSATIONS = "SELECT c.id FROM conversations c WHERE c.project_id = ? AND c.id IN ({})"
