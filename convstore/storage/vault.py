"""The vault: what seals what is stored of a project, and opens it again. Each Database has its own.

Writes are sealed where a transaction is put together (sealed.py), after the audit log has committed to them: it commits
to what was said, so neither a rotation nor the way back changes what it says. Readers open what they have read through
their Scope or Cursor, which know the project. What is plain stays readable.

Data keys are cached for `key_cache_s`: a key that was destroyed works no longer than that anywhere. Without a master
key nothing here costs more than a look at a first byte.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from convstore import clock, ids
from convstore.domain.sealing import DataKey, Masters, Unopened, as_text, is_sealed, number_of, of_text
from convstore.errors import ContentShredded, ContentUnreadable
from convstore.storage.types import inflate, micros

# Runs a statement with `?` for parameters where the caller reads or writes.
Ask = Callable[[str, tuple[Any, ...]], Any]

# An empty list says nothing, and reports look for it.
_NOTHING = ("", b"", "[]", "{}")
# Begins a part of a journal, with its project: it is read by whoever knows its exchange only.
_OF_JOURNAL = b"\x02"
# A key this process has made may still be rolled back: for so long it is looked up again each time.
UNSURE_S = 30.0


@dataclass(frozen=True)
class Ring:
    """The data keys of a project. keys: by number; None: destroyed, or not to be opened here."""

    keys: dict[int, DataKey | None] = field(default_factory=dict)
    destroyed: frozenset[int] = frozenset()
    current: DataKey | None = None
    newest: int = 0
    read_at: float = 0.0


class Vault:
    """See above. Threads and greenlets share it."""

    def __init__(self, masters: Masters | None = None, cache_s: float = 0.5, now: clock.Clock = clock.utc_now) -> None:
        self.masters = masters or Masters()
        self.cache_s = cache_s
        self._now = now
        self._rings: dict[bytes, Ring] = {}
        self._unsure: dict[tuple[bytes, int], float] = {}
        self._lock = threading.Lock()

    @property
    def seals(self) -> bool:
        """Whether what is written from now on is sealed."""
        return self.masters.key_id is not None

    @property
    def is_set(self) -> bool:
        """Whether there is any master key; without one nothing is sealed here."""
        return len(self.masters) > 0

    # -- reading ----------------------------------------------------------------------------------------------

    def body(self, ask: Ask, project_id: str, stored: bytes) -> bytes:
        """A body, of any stored form. Raises ContentShredded, ContentUnreadable."""
        return inflate(self.opened(ask, project_id, stored) if is_sealed(stored) else stored)

    def opened(self, ask: Ask, project_id: str, stored: bytes) -> bytes:
        """Bytes as they were before they were sealed; still compressed. Raises ContentShredded, ContentUnreadable."""
        return self._opened(ask, _project(project_id), stored, b"") if is_sealed(stored) else stored

    def part(self, ask: Ask, exchange: bytes, stored: bytes) -> bytes:
        """The events of a part of a journal, which says itself whose it is."""
        return inflate(self.stored_part(ask, exchange, stored))

    def stored_part(self, ask: Ask, exchange: bytes, stored: bytes) -> bytes:
        """The same, still compressed."""
        return self._opened(ask, stored[1:17], stored[17:], exchange) if stored[:1] == _OF_JOURNAL else stored

    def _opened(self, ask: Ask, project: bytes, stored: bytes, about: bytes) -> bytes:
        number = number_of(stored)
        ring = self.ring(project, ask)
        if number not in ring.keys:
            # Made since.
            ring = self.ring(project, ask, anew=True)
        key = ring.keys.get(number)
        if number in ring.destroyed:
            raise ContentShredded
        if key is None:
            raise ContentUnreadable
        try:
            return key.open(stored, project + about)
        except Unopened as error:
            raise ContentUnreadable from error

    def text(self, ask: Ask, project_id: str, stored: str) -> str:
        """A text as it was before it was sealed. Raises ContentShredded, ContentUnreadable."""
        sealed = of_text(stored)
        return stored if sealed is None else self.opened(ask, project_id, sealed).decode()

    def line(self, ask: Ask, project_id: str, stored: str | None) -> str | None:
        """The same for what lists show: nothing, when it was shredded."""
        if stored is None or stored[:1] != "\x01":
            return stored
        try:
            return self.text(ask, project_id, stored)
        except ContentShredded:
            return None

    def forms(self, ask: Ask, project_id: str, digest: bytes) -> list[bytes]:
        """What may stand for a digest in the store: itself, from before encryption, and its marks."""
        if not self.is_set:
            return [digest]
        ring = self.ring(_project(project_id), ask)
        return [digest, *sorted({key.mark(digest) for key in ring.keys.values() if key is not None})]

    def ring(self, project: bytes, ask: Ask, *, anew: bool = False) -> Ring:
        """The keys of a project."""
        ring = self._rings.get(project)
        if ring is not None and not anew and time.monotonic() - ring.read_at < self.cache_s:
            return ring
        ring = self._read(project, ask)
        if not self._is_unsure(project, ring.newest):
            self._rings[project] = ring
        return ring

    # -- writing ----------------------------------------------------------------------------------------------

    def sealer(self, ask: Ask, project: bytes) -> "Sealer":
        """What seals the writes of a transaction, whose statements *ask* runs."""
        return Sealer(project, self.current(project, ask))

    def sealed_part(self, ask: Ask, project_id: str, exchange: bytes, events: bytes) -> bytes:
        """The stored form of a part of a journal that is written by itself."""
        return self.sealer(ask, _project(project_id)).part(exchange, events) if self.seals else events

    def current(self, project: bytes, ask: Ask) -> DataKey:
        """The key that seals what is written now; made when there is none, with whatever else the transaction does."""
        ring = self.ring(project, ask)
        if ring.current is None:
            self.make(project, ask, ring)
            ring = self.ring(project, ask, anew=True)
        assert ring.current is not None
        return ring.current

    def make(self, project: bytes, ask: Ask, ring: Ring) -> int:
        """A new data key behind those of the ring. What was marked stays found, unless those are destroyed."""
        number = ring.newest + 1
        key = DataKey.new(number, ring.current)
        key_id, wrapped = self.masters.wrap(key.secret, _context(project, number))
        with self._lock:
            self._unsure[project, number] = time.monotonic()
        ask(_MAKE, (project, number, wrapped, key_id, micros(self._now())))
        return number

    def kept(self, sealer: "Sealer") -> None:
        """What was sealed is on disk, and so is the key that was seen there: it may be believed from now on."""
        self._unsure.pop((sealer.project, sealer.key.number), None)

    def forget(self, project: bytes) -> None:
        """Ask for a project's keys anew next time."""
        self._rings.pop(project, None)

    def _is_unsure(self, project: bytes, number: int) -> bool:
        made_at = self._unsure.get((project, number))
        if made_at is None:
            return False
        if time.monotonic() - made_at < UNSURE_S:
            return True
        self._unsure.pop((project, number), None)
        return False

    def _read(self, project: bytes, ask: Ask) -> Ring:
        before = self._rings.get(project)
        keys: dict[int, DataKey | None] = {}
        destroyed, newest, current = set(), 0, None
        for number, wrapped, key_id, destroyed_at in ask(_KEYS, (project,)).fetchall():
            newest = number
            if destroyed_at is not None:
                destroyed.add(number)
                keys[number] = None
                continue
            keys[number] = self._unwrapped(project, number, bytes(key_id), bytes(wrapped))
            if keys[number] is None and before is not None:
                # Wrapped under a master key that came after this process: what it had it still has.
                keys[number] = before.keys.get(number)
            current = keys[number]
        return Ring(keys, frozenset(destroyed), current, newest, time.monotonic())

    def _unwrapped(self, project: bytes, number: int, key_id: bytes, wrapped: bytes) -> DataKey | None:
        try:
            secret = self.masters.unwrap(key_id, wrapped, _context(project, number))
        except Unopened as error:
            raise ContentUnreadable from error
        return DataKey.of(number, secret) if secret is not None else None

    def rewrapped(self, project: bytes, number: int, key_id: bytes, wrapped: bytes) -> tuple[bytes, bytes]:
        """The same data key under the present master key, as (id, wrapped). Raises ContentUnreadable."""
        key = self._unwrapped(project, number, key_id, wrapped)
        if key is None:
            raise ContentUnreadable
        return self.masters.wrap(key.secret, _context(project, number))


@dataclass(frozen=True, slots=True)
class Sealer:
    """Seals with one key, for one project."""

    project: bytes
    key: DataKey

    def value(self, value: Any) -> Any:
        """The sealed form of a value of a column."""
        if value is None or value in _NOTHING:
            return value
        if isinstance(value, str):
            return as_text(self.key.seal(value.encode(), self.project))
        return self.key.seal(bytes(value), self.project)

    def part(self, exchange: bytes, events: bytes) -> bytes:
        """The sealed form of a part of a journal. It never moves: so it is for its exchange alone."""
        return _OF_JOURNAL + self.project + self.key.seal(events, self.project + exchange) if events else events

    def mark(self, value: Any) -> Any:
        """What stands for a digest in rows."""
        return None if value is None else self.key.mark(value)


def asking(connection: Any) -> Ask:
    """How SQLAlchemy's connection runs statements with `?` for parameters."""
    mark = "?" if connection.dialect.name == "sqlite" else "%s"

    def ask(sql: str, values: tuple[Any, ...]) -> Any:
        return connection.exec_driver_sql(sql.replace("?", mark), values)

    return ask


def _project(project_id: str) -> bytes:
    return ids.pack(ids.PROJECT, project_id) or b""


def _context(project: bytes, number: int) -> bytes:
    return b"convstore data key" + project + number.to_bytes(4, "big")


_KEYS = "SELECT number, wrapped, key_id, destroyed_at FROM storage_keys WHERE project_id = ? ORDER BY number"
_MAKE = (
    "INSERT INTO storage_keys (project_id, number, wrapped, key_id, created_at) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)
