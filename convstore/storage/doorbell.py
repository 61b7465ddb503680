"""Waiting for news in the journals and in the queue, without asking for them again and again.

On PostgreSQL who writes a part rings (NOTIFY) and who waits listens: nothing is asked while nothing happens. SQLite has
no such thing, but tells a connection by one number whether anybody else has written; it is looked at every few
milliseconds, which costs a fiftieth of a core while anybody waits. Either holds one connection for as long.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from convstore.storage import direct
from convstore.storage.database import Database
from convstore.storage.direct import Cursor

CHANNEL = "convstore_journal"
# Rung when a job is put in the queue.
JOBS = "convstore_jobs"
# How often SQLite is looked at: for the first news after a silence, and once they flow.
LOOK_S = 0.005
LOOK_FLOWING_S = 0.015
FLOWING_S = 0.15
# What is rung may get lost on the way, in a pooler that lends connections by the transaction.
UNHEARD_S = 0.25


class Doorbell:
    """Waits on one connection. Not for several threads at a time."""

    def __init__(self, cursor: Cursor, channel: str) -> None:
        self.cursor = cursor
        self._channel = channel
        self._seen: int | None = None
        self._rung_at = 0.0
        if not cursor.is_sqlite:
            cursor.execute(f"LISTEN {channel}")

    def wait(self, seconds: float) -> bool:
        """Wait until there may be news, for so long at most. Whether it was rung, as far as that is known."""
        if not self.cursor.is_sqlite:
            heard = self.cursor.driver_connection.notifies(timeout=min(seconds, UNHEARD_S), stop_after=1)
            return any(True for _ in heard)
        deadline = time.monotonic() + seconds
        while (version := self._version()) == self._seen and (now := time.monotonic()) < deadline:
            time.sleep(LOOK_FLOWING_S if now - self._rung_at < FLOWING_S else LOOK_S)
        if version != self._seen:
            self._seen, self._rung_at = version, time.monotonic()
            return True
        return False

    def _version(self) -> int:
        """A number that changes when somebody else writes to the database."""
        return int(self.cursor.execute("PRAGMA data_version").fetchone()[0])

    def leave(self) -> None:
        """Listen no more: the connection is for others to use."""
        if not self.cursor.is_sqlite:
            self.cursor.execute(f"UNLISTEN {self._channel}")


@contextmanager
def at(database: Database, channel: str = CHANNEL) -> Iterator[Doorbell]:
    """A doorbell, with a connection of its own. Raises StorageUnavailable, also from inside."""
    with direct.reading(database) as cursor:
        bell = Doorbell(cursor, channel)
        yield bell
        bell.leave()


def ring(cursor: Cursor) -> None:
    """There are news, once the transaction is over."""
    if not cursor.is_sqlite:
        cursor.execute(RING)


RING = f"SELECT pg_notify('{CHANNEL}', '')"
