"""The audit log and what it commits to, read to be checked: raw rows, a batch at a time, in a few statements each."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convstore import ids
from convstore.domain import audit, erasing, jsontext
from convstore.domain.audit import COLUMNS
from convstore.errors import ContentShredded, ContentUnreadable
from convstore.storage import direct, tables
from convstore.storage.database import Database
from convstore.storage.direct import Cursor
from convstore.storage.strands import ANSWER, ITEM, REQUEST
from convstore.storage.types import inflate

# Stands for what was sealed with a key that is destroyed.
SHREDDED = object()
# SQLite takes at least so many parameters in one statement.
_AT_ONCE = 500
Raw = tuple[Any, ...]
Rows = Mapping[str, Any]


def entries(database: Database, project_id: bytes, after: bytes, limit: int) -> list[Raw]:
    """At most *limit* rows behind an id, in the order of COLUMNS, bytes as bytes and nothing else converted."""
    with direct.reading(database) as cursor:
        return [plain(row) for row in cursor.execute(_ENTRIES, (project_id, after, limit)).fetchall()]


def some(database: Database, project_id: bytes, wanted: Collection[bytes]) -> dict[bytes, Raw]:
    """The rows with these ids."""
    with direct.reading(database) as cursor:
        return {row[1]: row for row in _in(cursor, _SOME, project_id, wanted)}


def contents(
    database: Database, project_id: bytes, requests: Collection[bytes], answers: Collection[bytes]
) -> tuple["Contents", "Contents"]:
    """What is stored of these exchanges: of the request's side, and of the answer's."""
    with direct.reading(database) as cursor:
        return contents_within(cursor, project_id, {*requests, *answers})


def contents_within(cursor: Cursor, project_id: bytes, exchanges: Collection[bytes]) -> tuple["Contents", "Contents"]:
    """The same in somebody's transaction."""
    opener = Opener(cursor, project_id)
    both = {
        row[0]: dict(zip(_EXCHANGE, opener.opened(row), strict=True))
        for row in _in(cursor, _FOUND, project_id, exchanges)
    }
    said: dict[bytes, list[Raw]] = {}
    for exchange, *item in _in(cursor, _ITEMS, project_id, both):
        said.setdefault(exchange, []).append(opener.opened(item))
    return Contents(both, said, REQUEST, output=False), Contents(both, said, ANSWER, output=True)


def tombstones(database: Database, project_id: bytes, exchanges: Collection[bytes]) -> list["Tombstone"]:
    """What is said to be erased of these exchanges."""
    with direct.reading(database) as cursor:
        return [Tombstone(*row) for row in _in(cursor, _TOMBSTONES.format("exchange_id"), project_id, exchanges)]


def batches(database: Database, project_id: bytes, entries: Collection[bytes]) -> dict[bytes, list["Tombstone"]]:
    """All that these entries commit to, by entry."""
    found: dict[bytes, list[Tombstone]] = {own: [] for own in entries}
    with direct.reading(database) as cursor:
        for row in _in(cursor, _TOMBSTONES.format("batch_id"), project_id, entries):
            found[row[3]].append(Tombstone(*row))
    return found


def unproved(database: Database, project_id: bytes, after: bytes, until: bytes, limit: int) -> list[bytes]:
    """The first exchanges between two ids that are said to be erased by an entry that is not there."""
    with direct.reading(database) as cursor:
        rows = cursor.execute(_UNPROVED, (project_id, after, until, limit)).fetchall()
    return [bytes(own) for (own,) in rows]


def states(database: Database, project_id: bytes, exchanges: Collection[bytes]) -> dict[bytes, bytes | None]:
    """What stands for what is left of exchanges that were erased; None of those that are not there."""
    with direct.reading(database) as cursor:
        return states_within(cursor, project_id, exchanges)


def states_within(cursor: Cursor, project_id: bytes, exchanges: Collection[bytes]) -> dict[bytes, bytes | None]:
    """The same in somebody's transaction."""
    request, answer = contents_within(cursor, project_id, exchanges)
    # Nothing in it is secret, so their own ids are salt enough.
    sides = {own: (request.digest(own, own), answer.digest(own, own)) for own in exchanges}
    return {own: erasing.state(*both) if all(both) else None for own, both in sides.items()}


def broken_payloads(database: Database, project_id: bytes, hashes: Collection[bytes]) -> set[bytes]:
    """Those whose body is not there, or is another one."""
    with direct.reading(database) as cursor:
        opener, whole = Opener(cursor, project_id), set()
        for own, stored in _in(cursor, _PAYLOADS, project_id, hashes):
            (body,) = opener.opened((stored,))
            if body is SHREDDED or _is_of(own, body, opener.forms):
                whole.add(own)
    return set(hashes) - whole


def unrecorded(database: Database, project_id: bytes, after: bytes, until: bytes, limit: int) -> list[bytes]:
    """The first exchanges between two ids that have no entry; those from before the log are no part of it."""
    with direct.reading(database) as cursor:
        rows = cursor.execute(_UNRECORDED, (project_id, after, until, project_id, limit)).fetchall()
    return [bytes(own) for (own,) in rows]


def count(database: Database, project_id: bytes) -> int:
    """How many entries there are."""
    with direct.reading(database) as cursor:
        return int(cursor.execute("SELECT count(*) FROM audit_log WHERE project_id = ?", (project_id,)).fetchone()[0])


def tells_of(database: Database, project_id: bytes, action: str) -> bool:
    """Whether any entry says that this was done."""
    with direct.reading(database) as cursor:
        return cursor.execute(_TELLS, (project_id, action)).fetchone() is not None


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is said to be erased: how much of which exchange, by which entry, and what stands for what was left."""

    exchange: bytes
    what: str
    state: bytes | None
    batch: bytes | None
    erasure_id: str

    @property
    def committed(self) -> tuple[bytes, str, bytes | None]:
        """What the entry's digest is made of (domain/erasing.py)."""
        return self.exchange, self.what, self.state


class Contents:
    """One side of some exchanges, as it is stored."""

    def __init__(
        self, rows: Mapping[bytes, Rows], items: Mapping[bytes, list[Raw]], columns: Sequence[str], *, output: bool
    ) -> None:
        self._rows = rows
        self._items = items
        self._columns = columns
        self._output = output

    def digest(self, exchange: bytes, salt: bytes) -> bytes | None:
        """The digest of what is stored; None when the exchange is not there, or was shredded."""
        row = self._rows.get(exchange)
        if row is None:
            return None
        if self.is_shredded(exchange):
            return None
        values, bodies = [row[name] for name in self._columns], []
        for item in self._of(exchange):
            values += item[:-1]
            bodies.append(item[-1] if isinstance(item[-1], bytes) else str(item[-1] or "").encode())
        return audit.digest(salt, values, bodies)

    def is_shredded(self, exchange: bytes) -> bool:
        """Whether any of it was sealed with a key that is destroyed."""
        row = self._rows.get(exchange, {})
        stored = (row.get(name) for name in self._columns)
        return SHREDDED in stored or any(SHREDDED in item for item in self._of(exchange))

    def has(self, exchange: bytes) -> bool:
        """Whether it is there."""
        return exchange in self._rows

    def payloads(self, exchange: bytes, *, history: bool = True) -> set[bytes]:
        """The digests under which more of it is stored. history: with how the items before it were sent along."""
        row = self._rows.get(exchange, {})
        names = {"settings_hash", "reply_hash", *(["sent_hash"] if history else [])} & set(self._columns)
        found = {row.get(name) for name in names} | {item[len(ITEM) - 1] for item in self._of(exchange)}
        return {each for each in found if isinstance(each, bytes)}

    def _of(self, exchange: bytes) -> Iterable[Raw]:
        return (item for item in self._items.get(exchange, ()) if bool(item[1]) is self._output)


class Opener:
    """Opens what of raw rows is sealed. What cannot be opened stands for itself: it is not what was committed to."""

    def __init__(self, cursor: Cursor, project_id: bytes) -> None:
        self._cursor = cursor
        self._project = ids.unpack(ids.PROJECT, project_id)

    def opened(self, row: Sequence[Any]) -> Raw:
        """The row as it was committed to; SHREDDED where its key is destroyed."""
        return tuple(self._value(each) for each in row)

    def forms(self, digest: bytes) -> list[bytes]:
        """What may stand for a digest."""
        return self._cursor.vault.forms(self._cursor.execute, self._project, digest)

    def _value(self, value: Any) -> Any:
        try:
            if isinstance(value, bytes):
                return self._cursor.vault.opened(self._cursor.execute, self._project, value)
            if isinstance(value, str):
                return self._cursor.vault.text(self._cursor.execute, self._project, value)
        except ContentShredded:
            return SHREDDED
        except ContentUnreadable:
            pass
        return value


def _is_of(own: bytes, body: Any, forms: Callable[[bytes], Collection[bytes]]) -> bool:
    try:
        return own in forms(jsontext.digest(inflate(body)))
    except Exception:
        # Whatever it is, it is not what was stored.
        return False


def _in(cursor: Cursor, sql: str, project_id: bytes, wanted: Collection[bytes]) -> list[Raw]:
    found: list[Raw] = []
    each = sorted(wanted)
    for start in range(0, len(each), _AT_ONCE):
        some = each[start : start + _AT_ONCE]
        marks = ", ".join("?" * len(some))
        found += [plain(row) for row in cursor.execute(sql.format(marks), (project_id, *some)).fetchall()]
    return found


def plain(row: Sequence[Any]) -> Raw:
    """A row as both engines give it: bytes as bytes."""
    return tuple(bytes(each) if isinstance(each, memoryview | bytearray) else each for each in row)


def _names(columns: Iterable[str], alias: str) -> str:
    return ", ".join(f'{alias}."{name}"' for name in columns)


_EXCHANGE = tuple(dict.fromkeys((*REQUEST, *ANSWER)))
_OWN = f"SELECT {_names(COLUMNS, 'a')} FROM {tables.audit_log.name} a WHERE a.project_id = ?"
_ENTRIES = f"{_OWN} AND a.id > ? ORDER BY a.id LIMIT ?"
_SOME = f"{_OWN} AND a.id IN ({{}})"
_FOUND = f"SELECT {_names(_EXCHANGE, 'e')} FROM exchanges e WHERE e.project_id = ? AND e.id IN ({{}})"
_ITEMS = (
    f"SELECT e.id, {_names((*ITEM, 'body'), 'i')} FROM exchanges e"
    " JOIN items i ON i.lane = e.lane AND i.depth = e.depth WHERE e.project_id = ? AND e.id IN ({}) ORDER BY i.position"
)
_TELLS = "SELECT 1 FROM audit_log WHERE project_id = ? AND action = ? AND outcome = 'done' LIMIT 1"
_PAYLOADS = "SELECT p.hash, p.body FROM payloads p WHERE p.project_id = ? AND p.hash IN ({})"
# From the first entry on: exchanges from before the log have none. What was imported has one, however old it is; so its
# entries do not tell where the log begins.
_UNRECORDED = (
    "SELECT e.id FROM exchanges e WHERE e.project_id = ? AND e.id > ? AND e.id <= ?"
    " AND (e.imported_at IS NOT NULL OR e.id > (SELECT f.id FROM audit_log f WHERE f.project_id = ?"
    " AND f.action <> 'imports.import' ORDER BY f.id LIMIT 1))"
    " AND NOT EXISTS (SELECT 1 FROM audit_log a WHERE a.project_id = e.project_id AND a.id = e.id)"
    " ORDER BY e.id LIMIT ?"
)
_TOMBSTONES = (
    "SELECT t.exchange_id, t.what, t.state, t.batch_id, t.erasure_id FROM erased t"
    " WHERE t.project_id = ? AND t.{} IN ({{}})"
)
_UNPROVED = (
    "SELECT DISTINCT t.exchange_id FROM erased t WHERE t.project_id = ? AND t.exchange_id > ? AND t.exchange_id <= ?"
    " AND NOT EXISTS (SELECT 1 FROM audit_log a WHERE a.project_id = t.project_id AND a.id = t.batch_id)"
    " ORDER BY t.exchange_id LIMIT ?"
)
