"""What a process remembers of its database: which payloads are stored, so that no turn need write them again.

A payload that is erased while somebody takes it for stored would be a loss. So trust in memory has rules:

* Only a process that is known to be alive trusts it, and for 30 seconds behind its last beat: one that was stopped for
  a while may have been given up. Processes that are not among `processes` (short commands) never do.
* A transaction that relies on it says so before it looks (`trusting`). Who asks for memory to be forgotten is answered
  when all transactions that looked before have ended; nobody deletes a payload before every process has answered.
* One that took so long that its process may have been given up meanwhile writes what it left out once more.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

# Payloads, as (project, hash).
Key = tuple[bytes, bytes]
# Distinct settings and envelopes are few; forgetting them all now and then costs one redundant write each.
REMEMBERED = 10_000
# Half of the silence after which others take a process for dead (services/recovery.py).
TRUSTED_S = 30.0
NAP_S = 0.005


@dataclass(slots=True)
class Trust:
    """One transaction that may rely on memory. again: writes what it left out, for the case that it is gone."""

    memory: "Memory"
    generation: int
    again: list[Callable[[], None]] = field(default_factory=list)


class Memory:
    """Of one process. Threads and greenlets share it."""

    def __init__(self) -> None:
        # The number of `epochs` up to which this process has answered.
        self.epoch = 0
        self._lock = threading.Lock()
        self._stored: set[Key] = set()
        self._generation = 0
        self._trusting: dict[int, int] = {}
        self._heard_at = float("-inf")

    def heard(self, at: float | None = None) -> None:
        """This process is known to be alive. at: since when, on the monotonic clock."""
        self._heard_at = time.monotonic() if at is None else at

    @contextmanager
    def trusting(self) -> Iterator[Trust]:
        """While this lasts, what `holds` says stays true. For a whole transaction, and before it begins."""
        outer = _trust.get()
        if outer is not None and outer.memory is self:
            yield outer
            return
        with self._lock:
            trust = Trust(self, self._generation)
            self._trusting[trust.generation] = self._trusting.get(trust.generation, 0) + 1
        token = _trust.set(trust)
        try:
            yield trust
            if trust.again and not self._is_alive():
                for write in trust.again:
                    write()
        finally:
            _trust.reset(token)
            with self._lock:
                self._trusting[trust.generation] -= 1
                if not self._trusting[trust.generation]:
                    del self._trusting[trust.generation]

    def trust(self) -> Trust | None:
        """The trust that the caller is in, if there is reason for any."""
        trust = _trust.get()
        return trust if trust is not None and trust.memory is self and self._is_alive() else None

    def holds(self, trust: Trust | None, key: Key) -> bool:
        """Whether a payload is stored for certain. Nothing is, without trust."""
        return trust is not None and trust.generation == self._generation and key in self._stored

    def remember(self, keys: Iterable[Key]) -> None:
        """Payloads that a transaction has stored, which has just been committed."""
        trust = _trust.get()
        with self._lock:
            if trust is None or trust.memory is not self or trust.generation != self._generation:
                return
            if len(self._stored) > REMEMBERED:
                self._stored.clear()
            self._stored.update(keys)

    def forget(self, wait_s: float) -> bool:
        """Forget everything, and wait for those who have relied on it. False when some have not ended by then.

        Not from inside a transaction: that would wait for itself.
        """
        with self._lock:
            self._stored.clear()
            self._generation += 1
            now = self._generation
        deadline = time.monotonic() + wait_s
        while self._is_relied_on(before=now):
            if time.monotonic() > deadline:
                return False
            time.sleep(NAP_S)
        return True

    def _is_relied_on(self, before: int) -> bool:
        with self._lock:
            return any(generation < before for generation in self._trusting)

    def _is_alive(self) -> bool:
        return time.monotonic() - self._heard_at < TRUSTED_S


_trust: ContextVar[Trust | None] = ContextVar("trust", default=None)
