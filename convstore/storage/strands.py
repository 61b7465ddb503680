"""The audit log's strands: entries get their place and their seal, and go to disk with what they are about.

A strand belongs to this process, and is lent to one transaction at a time: its number and the seal before are those of
the last entry that is on disk for certain. So there are as many strands as transactions at a time, nobody waits, and a
crash leaves no gap; the strand of a process that died is never continued.
"""

import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache

from sqlalchemy import Connection

from convstore import ids
from convstore.domain import audit, calls
from convstore.domain.audit import Commits, Entry, Keyring, Outcome, Point
from convstore.domain.calls import Call
from convstore.storage import direct, tables
from convstore.storage.database import Database
from convstore.storage.direct import Cursor
from convstore.storage.seals import Committed, Seal
from convstore.storage.statements import Insert, Update, Write, each
from convstore.storage.types import micros

# How often the strands of others are linked: after so many entries of this process, or so many seconds.
LINK_EVERY = 100
LINK_AFTER_S = 60.0
# Entries that are looked through for them: since our last link (with what was on its way to disk then), or the newest.
SLACK_MS = 60_000
FIRST = 1_000
MOST = 5_000
# Of so many projects the strands are remembered. A forgotten one ends; the next entry opens another.
_REMEMBERED = 10_000


class Strands:
    """The strands of one process. Threads and greenlets share it."""

    def __init__(self, database: Database, keyring: Keyring, clock: Callable[[], datetime]) -> None:
        self.keyring = keyring
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._logs: dict[bytes, _Log] = {}
        self._process = os.getpid()

    def now(self) -> int:
        """The present moment, as entries have it."""
        return micros(self._clock())

    def insertion(
        self, cursor: Cursor, project_id: bytes, entry: Entry, *, call: Call | None = None, if_updated: bool = False
    ) -> Insert:
        """The write of an entry, for the transaction of *cursor*, whose seals are settled by whoever ends it.

        call: whose entry it is, and who has it when the transaction is on disk.
        """
        lent = next((has for has in cursor.seals if isinstance(has, _Lent) and has.log.project_id == project_id), None)
        if lent is None:
            lent = self._lend(project_id)
            cursor.seals.append(lent)
        row = audit.sealed(self.keyring, project_id, entry, lent.end, self._links(cursor, lent))
        lent.end = Point(entry.id, lent.end.strand, lent.end.number + 1, row[-1])
        if call is not None:
            lent.calls.append((call, entry.commits is not None))
        # Only what is said, as `statements.py` would make it: its way there costs as much as the rest.
        said = tuple(place for place, value in enumerate(row) if value is not None)
        return Insert(tables.audit_log, _columns(said), [[row[place] for place in said]], if_updated=if_updated)

    def record_call(self, connection: Connection) -> None:
        """See Recorder."""
        call = calls.unwritten()
        if call is not None and call.project_id is not None:
            with direct.within(self._database, connection) as cursor:
                if writes := self._own(cursor, call.project_id):
                    each(cursor, writes)

    def calling(self, cursor: Cursor, project_id: str) -> Sequence[Insert]:
        """See Recorder."""
        return self._own(cursor, ids.pack(ids.PROJECT, project_id) or b"")

    def committing(self, cursor: Cursor, writes: Sequence[Write], what: Committed) -> Insert:
        """See Recorder."""
        project, call = ids.pack(ids.PROJECT, what.project_id) or b"", calls.current()
        exchange = ids.pack(ids.EXCHANGE, what.exchange_id) or b""
        salt = os.urandom(16)
        if what.side is Commits.REQUEST:
            digest = committed(salt, writes, REQUEST)
            if call is not None and call.project_id == project and what.action is None:
                entry = call.entry(exchange, self.now())
            else:
                call, entry = None, self._service(exchange, what.action or "responses.create", what)
        else:
            call, digest = None, committed(salt, writes, ANSWER)
            entry = self._service(new_id(), what.action or "responses.answer", what)
        entry.commits, entry.digest, entry.salt = str(what.side), digest, salt
        return self.insertion(cursor, project, entry, call=call, if_updated=isinstance(writes[0], Update))

    def imported(self, cursor: Cursor, what: Committed) -> Insert:
        """See Recorder."""
        entry = self._service(new_id(), what.action or "", what)
        entry.object = audit.plain(what.exchange_id, calls.LONGEST_OBJECT)
        return self.insertion(cursor, ids.pack(ids.PROJECT, what.project_id) or b"", entry)

    def erasing(
        self, cursor: Cursor, project: bytes, action: str, erasure_id: str, digest: bytes
    ) -> tuple[bytes, Insert]:
        """See Recorder."""
        entry = Entry(
            id=new_id(),
            at=self.now(),
            actor="service",
            action=action,
            outcome=str(Outcome.DONE),
            object=audit.plain(erasure_id, calls.LONGEST_OBJECT),
            commits=str(Commits.ERASURE),
            digest=digest,
        )
        return entry.id, self.insertion(cursor, project, entry)

    def _service(self, own: bytes, action: str, what: Committed) -> Entry:
        """What the service does by itself, for the key whose request it was."""
        is_answer = what.side is Commits.ANSWER
        return Entry(
            id=own,
            at=self.now(),
            actor="service",
            action=action,
            # Of what is put back it is told how it once ended; putting it back went well.
            outcome=str(Outcome.FAILED if what.status == "failed" and what.action is None else Outcome.DONE),
            object=what.exchange_id if is_answer else None,
            detail=what.status,
            api_key_id=ids.pack(ids.KEY, what.api_key_id) if what.api_key_id else None,
            request_id=ids.pack(ids.REQUEST, what.request_id) if what.request_id else None,
        )

    def _own(self, cursor: Cursor, project: bytes) -> Sequence[Insert]:
        call = calls.unwritten()
        if call is None or call.project_id != project or _has(cursor.seals, call):
            return ()
        return [self.insertion(cursor, project, call.entry(new_id(), self.now()), call=call)]

    def _lend(self, project_id: bytes) -> "_Lent":
        with self._lock:
            if self._process != os.getpid() or len(self._logs) > _REMEMBERED:
                # The strands of a process that forked are its own.
                self._process = os.getpid()
                self._logs = {}
            log = self._logs.get(project_id)
            if log is None:
                log = self._logs[project_id] = _Log(project_id)
            end = log.free.pop() if log.free else Point(b"", secrets.token_bytes(8), -1, b"")
            return _Lent(log, end)

    def _links(self, cursor: Cursor, lent: "_Lent") -> bytes | None:
        """The newest entries of the other strands, when it is time to link them."""
        log, now = lent.log, time.monotonic()
        log.unlinked += 1
        if lent.linked is not None:
            # A transaction of many entries does so once: until it is over, nothing else of it is there to be linked.
            return None
        if lent.end.number >= 0 and log.unlinked < LINK_EVERY and now - log.linked_at < LINK_AFTER_S:
            return None
        lent.linked = now, int(time.time() * 1000)
        since = (log.linked_ms - SLACK_MS).to_bytes(6, "big") + bytes(10) if log.linked_ms else bytes(16)
        found = newest(cursor, log.project_id, MOST if log.linked_ms else FIRST, since)
        return audit.links([point for point in found if point.strand != lent.end.strand])


class _Log:
    """What this process knows of a project's log."""

    __slots__ = ("free", "linked_at", "linked_ms", "project_id", "unlinked")

    def __init__(self, project_id: bytes) -> None:
        self.project_id = project_id
        self.free: list[Point] = []
        self.unlinked = 0
        self.linked_at = 0.0
        self.linked_ms = 0


class _Lent:
    """See Seal."""

    __slots__ = ("_start", "calls", "end", "linked", "log")

    def __init__(self, log: _Log, end: Point) -> None:
        self.log = log
        self.end = self._start = end
        self.linked: tuple[float, int] | None = None
        self.calls: list[tuple[Call, bool]] = []

    def kept(self) -> None:
        if self.linked is not None:
            self.log.linked_at, self.log.linked_ms = self.linked
            self.log.unlinked = 0
        self.log.free.append(self.end)
        for call, begun in self.calls:
            call.is_written = True
            call.has_begun = call.has_begun or begun

    def undone(self) -> None:
        if self._start.number >= 0:
            self.log.free.append(self._start)


def _has(seals: Sequence[Seal], call: Call) -> bool:
    """Whether an entry of the call goes with this transaction already."""
    return any(call is other for lent in seals if isinstance(lent, _Lent) for other, _ in lent.calls)


def settle(seals: Sequence[Seal], *, kept: bool) -> None:
    """Give the strands of a transaction back."""
    for seal in seals:
        if kept:
            seal.kept()
        else:
            seal.undone()


def newest(cursor: Cursor, project_id: bytes, most: int, since: bytes = bytes(16)) -> list[Point]:
    """The newest entry of each strand among the newest entries; since: the least id that is looked at."""
    found: dict[bytes, Point] = {}
    for row in cursor.execute(_NEWEST, (project_id, since, most)).fetchall():
        own, strand, number, seal = bytes(row[0]), bytes(row[1]), row[2], bytes(row[3])
        if strand not in found or number > found[strand].number:
            found[strand] = Point(own, strand, number, seal)
    return list(found.values())


def new_id() -> bytes:
    """The id of an entry that stands for no exchange's beginning."""
    return ids.new_packed()


# -- the content that entries commit to -----------------------------------------------------------------------

# What is worked out anew when the store is mended (lanes, depths, conversations, first lines) is not content, nor is
# what changes on the way (status, attempts); parent_id is what defines the tree.
REQUEST = tuple(
    "id project_id parent_id input_count origin origin_id stored requested_model settings_hash metadata user "
    "safety_identifier extras api_key_id request_id created_at linked sent_count sent_digest sent_hash background "
    "context_sha256 context_cut".split()
)
ANSWER = tuple(
    "id status model upstream upstream_response_id reply_hash error incomplete_reason input_tokens cached_tokens "
    "cache_write_tokens output_tokens reasoning_tokens total_tokens usage first_event_at completed_at".split()
)
ITEM = tuple("position output type item_id role call_id name sealed_by payload_hash".split())


def committed(salt: bytes, writes: Sequence[Write], columns: tuple[str, ...]) -> bytes:
    """The digest of the content of an exchange that these writes put on disk."""
    values: list[object] = []
    bodies: list[bytes] = []
    for write in writes:
        if isinstance(write, Insert | Update) and write.table is tables.exchanges and not values:
            row = write.rows[0] if isinstance(write, Insert) else write.values
            # Of an Update the id is among the conditions; what it sets stands in front of those.
            where = () if isinstance(write, Insert) else write.where
            values = [None if place is None else row[place] for place in _places((*write.columns, *where), columns)]
        elif isinstance(write, Insert) and write.table is tables.items:
            for item in write.rows:
                # lane and depth stand before what is content, the body behind it.
                values += item[2:-1]
                bodies.append(item[-1] or b"")
    return audit.digest(salt, values, bodies)


_NEWEST = "SELECT id, strand, number, seal FROM audit_log WHERE project_id = ? AND id >= ? ORDER BY id DESC LIMIT ?"


@lru_cache(maxsize=256)
def _columns(places: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(audit.COLUMNS[place] for place in places)


@lru_cache(maxsize=16)
def _places(names: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[int | None, ...]:
    """Where the wanted columns stand among others."""
    return tuple(names.index(name) if name in names else None for name in wanted)
