"""Sealing what is stored anew, a batch at a time, each in a transaction of its own.

A batch is what has one key after another in its table; it seals what is plain or sealed with an older data key, and
leaves the rest alone. Exchanges come with their items and the parts of their journals; where they were plain, their
words leave the index and their fingerprints are marked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from convstore import ids
from convstore.domain import fingerprints
from convstore.domain.sealing import is_sealed, of_text
from convstore.errors import ContentShredded, ContentUnreadable
from convstore.storage import direct, indexing
from convstore.storage.database import Database
from convstore.storage.direct import Cursor
from convstore.storage.keys import packed
from convstore.storage.scope import Scope
from convstore.storage.sealed import SEALED
from convstore.storage.vault import Sealer

# Exchanges a transaction, and rows of other tables, whose bodies may be big: SQLite has one writer, and turns wait.
BATCH = 50
# (table, the column that names a row within its project, the sealed column)
TABLES = (
    ("payloads", "hash", "body"),
    ("idempotency_keys", "key", "body_sha256"),
    ("replays", "id", "plan"),
    ("conversations", "id", "title"),
    ("exports", "id", "filters"),
)
# Parts of files, a mebibyte each.
PARTS = 4


@dataclass(slots=True)
class Done:
    """What a batch did: where the next one begins (None: at the end), what was sealed, what could not be opened."""

    last: Any = None
    sealed: int = 0
    unreadable: int = 0


def exchanges(database: Database, scope: Scope, after: bytes) -> Done:
    """The exchanges behind an id, in the caller's transaction."""
    with direct.within(database, scope.connection) as cursor:
        work = _Work(database, scope, cursor)
        locking = "" if cursor.is_sqlite else " FOR UPDATE"
        rows = cursor.execute(_EXCHANGES + locking, (work.sealer.project, after, BATCH)).fetchall()
        if not rows:
            return work.done
        own = [bytes(row[0]) for row in rows]
        items, parts = (cursor.execute(_in(sql, own), (work.sealer.project, *own)).fetchall() for sql in _OF_EXCHANGES)
        plain = {bytes(row[0]) for row in items if not is_sealed(bytes(row[-1]))}
        plain |= {bytes(row[0]) for row in rows if any(_is_plain(value) for value in row[1:3])}
        if plain:
            indexing.without_words(database, scope, [ids.unpack(ids.EXCHANGE, each) for each in sorted(plain)])
        for exchange, *values in rows:
            work.exchange(bytes(exchange), values)
        for _, *place, body in items:
            work.put("items", ("lane", "depth", "position"), place, "body", body)
        for exchange, part, events in parts:
            work.part(bytes(exchange), part, bytes(events))
        work.done.last = own[-1]
        return work.done


def others(database: Database, scope: Scope, table: tuple[str, str, str], after: Any) -> Done:
    """The rows of a table behind one, in the caller's transaction."""
    name, key, column = table
    with direct.within(database, scope.connection) as cursor:
        work = _Work(database, scope, cursor)
        behind = "" if after is None else f' AND "{key}" > ?'
        sql = f'SELECT "{key}", {column} FROM {name} WHERE project_id = ? AND {column} IS NOT NULL{behind}'
        values = (work.sealer.project, *(() if after is None else (after,)), BATCH)
        locking = "" if cursor.is_sqlite else " FOR UPDATE"
        for own, value in cursor.execute(f'{sql} ORDER BY "{key}" LIMIT ?{locking}', values).fetchall():
            work.put(name, ("project_id", key), (work.sealer.project, own), column, value)
            work.done.last = own
        return work.done


def parts(database: Database, scope: Scope, after: Any) -> Done:
    """The parts of files behind one, in the caller's transaction."""
    with direct.within(database, scope.connection) as cursor:
        work = _Work(database, scope, cursor)
        locking = "" if cursor.is_sqlite else " FOR UPDATE"
        values = (work.sealer.project, *(after or (b"", -1)), PARTS)
        for own, number, body in cursor.execute(_PARTS + locking, values).fetchall():
            place = (work.sealer.project, own, number)
            work.put("file_parts", ("project_id", "file_id", "number"), place, "body", bytes(body))
            work.done.last = (bytes(own), number)
        return work.done


class _Work:
    """One batch."""

    def __init__(self, database: Database, scope: Scope, cursor: Cursor) -> None:
        self.cursor = cursor
        self.project_id = scope.project_id
        self.vault = database.vault
        self.sealer: Sealer = self.vault.sealer(cursor.execute, packed(scope.project_id))
        self.done = Done()

    def exchange(self, own: bytes, values: Sequence[Any]) -> None:
        """The columns of an exchange, in the order of SEALED."""
        names = SEALED["exchanges"]
        for name, value in zip(names, values, strict=True):
            if name == "fingerprint" and value is not None and not is_sealed(bytes(value)):
                self._mark(own, bytes(value))
            self.put("exchanges", ("project_id", "id"), (self.sealer.project, own), name, value)

    def put(self, table: str, key: Sequence[str], place: Sequence[Any], column: str, value: Any) -> None:
        """Seal a value where it lies, unless it is."""
        new = self._anew(value)
        if new is not None:
            where = " AND ".join(f'"{name}" = ?' for name in key)
            self.cursor.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (new, *place))
            self.done.sealed += 1

    def part(self, exchange: bytes, number: int, events: bytes) -> None:
        """A part of a journal."""
        if not events or events[17:22] == self.sealer.key.head():
            return
        try:
            plain = self.vault.stored_part(self.cursor.execute, exchange, events)
        except ContentShredded:
            return
        except ContentUnreadable:
            self.done.unreadable += 1
            return
        new = self.sealer.part(exchange, plain)
        self.cursor.execute(_PART, (new, exchange, number))
        self.done.sealed += 1

    def _anew(self, value: Any) -> Any:
        if value is None:
            return None
        head = self.sealer.key.text_head() if isinstance(value, str) else self.sealer.key.head()
        if value[: len(head)] == head:
            return None
        try:
            if isinstance(value, str):
                plain: Any = self.vault.text(self.cursor.execute, self.project_id, value)
            else:
                plain = self.vault.opened(self.cursor.execute, self.project_id, bytes(value))
        except ContentShredded:
            return None
        except ContentUnreadable:
            self.done.unreadable += 1
            return None
        new = self.sealer.value(plain)
        return None if new == plain else new

    def _mark(self, own: bytes, fingerprint: bytes) -> None:
        for each in fingerprints.unpack(fingerprint).each():
            self.cursor.execute(_MARK, (self.sealer.mark(each), each, own))


def _is_plain(value: Any) -> bool:
    return isinstance(value, str) and of_text(value) is None


def _in(sql: str, values: Sequence[bytes]) -> str:
    return sql.format(", ".join("?" * len(values)))


_EXCHANGES = (
    f"SELECT id, {', '.join(SEALED['exchanges'])} FROM exchanges WHERE project_id = ? AND id > ? ORDER BY id LIMIT ?"
)
_OF_EXCHANGES = (
    "SELECT e.id, i.lane, i.depth, i.position, i.body FROM exchanges e"
    " JOIN items i ON i.lane = e.lane AND i.depth = e.depth"
    " WHERE e.project_id = ? AND e.id IN ({}) AND i.body IS NOT NULL",
    "SELECT j.exchange_id, j.part, j.events FROM exchanges e JOIN journal j ON j.exchange_id = e.id"
    " WHERE e.project_id = ? AND e.id IN ({})",
)
_PARTS = (
    "SELECT file_id, number, body FROM file_parts WHERE project_id = ? AND (file_id, number) > (?, ?)"
    " ORDER BY file_id, number LIMIT ?"
)
_PART = "UPDATE journal SET events = ? WHERE exchange_id = ? AND part = ?"
_MARK = "UPDATE fingerprints SET fingerprint = ? WHERE fingerprint = ? AND exchange_id = ?"
