"""What is new in the journals that are followed in this process: one reader for all of them.

A feed is one response; its followers share it, wherever each of them is. It keeps the newest parts: who falls behind
them reads them from the database himself, so a client that reads slowly costs no memory. The reader runs only while
there are feeds; it waits until somebody writes (storage/doorbell.py), and asks for all feeds in one statement.
"""

import threading
import time
from collections import deque
from collections.abc import Sequence

from convstore.errors import StorageUnavailable
from convstore.storage import direct, doorbell, journals
from convstore.storage.database import Database
from convstore.storage.direct import Cursor
from convstore.storage.journals import Part
from convstore.telemetry import logs

# How long the reader waits before it sees whether there are feeds still.
WAIT_S = 1.0
# When others write without a pause, their news are gathered for so long.
GATHER_S = 0.005
# A database that was away is left alone for so long.
PAUSE_S = 0.25
# The parts of the last seconds: who is further behind reads for himself.
KEPT = 256


class Feed:
    """What is new of one response, behind the part that its first follower had."""

    def __init__(self, exchange_id: str, part: int) -> None:
        self.exchange_id = exchange_id
        self.newest = part
        self.followers = 0
        # Behind this part, everything is kept.
        self._floor = part
        self._parts: deque[Part] = deque()
        self._news = threading.Condition()

    def after(self, part: int) -> list[Part] | None:
        """The parts behind this one; None when some of them are kept no more."""
        with self._news:
            if part < self._floor:
                return None
            return [each for each in self._parts if each.number > part] if part < self.newest else []

    def wait(self, part: int, seconds: float) -> None:
        """Wait until there are parts behind this one."""
        with self._news:
            if self.newest <= part:
                self._news.wait(seconds)

    def put(self, parts: Sequence[Part]) -> None:
        """New parts, in order."""
        with self._news:
            self._parts.extend(parts)
            self.newest = parts[-1].number
            while len(self._parts) > KEPT:
                self._floor = self._parts.popleft().number
            self._news.notify_all()


class Feeds:
    """The feeds of one process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._feeds: dict[str, Feed] = {}
        self._running = False

    def open(self, exchange_id: str, part: int) -> Feed:
        """The feed of a response, for a follower who has everything up to this part. To be closed.

        What was written before it was opened, it may not bring: look once more.
        """
        with self._lock:
            feed = self._feeds.setdefault(exchange_id, Feed(exchange_id, part))
            feed.followers += 1
            starts, self._running = not self._running, True
        if starts:
            threading.Thread(target=self._run, daemon=True).start()
        return feed

    def close(self, feed: Feed) -> None:
        """One follower less."""
        with self._lock:
            feed.followers -= 1
            if not feed.followers:
                del self._feeds[feed.exchange_id]

    def page(self, exchange_id: str, part: int, limit: int) -> list[Part]:
        """The parts behind this one, from the database. Raises StorageUnavailable."""
        with direct.reading(self._database) as cursor:
            return journals.after(cursor, exchange_id, part, limit)

    # -- the reader -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            try:
                if self._follow():
                    return
            except StorageUnavailable:
                logs.get().warning("journal_not_read")
            except Exception:
                logs.get().exception("journal_not_read")
            time.sleep(PAUSE_S)

    def _follow(self) -> bool:
        """Read as long as there are feeds. True when there are none any more."""
        with doorbell.at(self._database) as bell:
            while True:
                with self._lock:
                    feeds = list(self._feeds.values())
                    if not feeds:
                        self._running = False
                        return True
                self._look(feeds, bell.cursor)
                time.sleep(GATHER_S)
                bell.wait(WAIT_S)

    def _look(self, feeds: Sequence[Feed], cursor: Cursor) -> None:
        of: dict[str, list[Part]] = {}
        for part in journals.news(cursor, [(feed.exchange_id, feed.newest) for feed in feeds]):
            of.setdefault(part.exchange_id, []).append(part)
        for feed in feeds:
            if feed.exchange_id in of:
                feed.put(of[feed.exchange_id])
