"""What has arrived of running streams, saved a few times a second.

So that a process that is killed loses the last quarter of a second of a stream, not the stream. One thread writes
the news of all streams of the process in one transaction. A stream that ends sooner is never written here: its
answer is.
"""

import threading
import time
from dataclasses import dataclass

from convstore.domain.stream import ResponseStream
from convstore.errors import StorageUnavailable
from convstore.storage import everywhere
from convstore.storage.database import Database
from convstore.telemetry import logs

EVERY_S = 0.25


@dataclass(eq=False, slots=True)
class Followed:
    """One stream being saved."""

    exchange_id: str
    stream: ResponseStream
    since: float
    parts: int = 0
    stopped: bool = False

    def stop(self) -> bool:
        """End it, because the answer is about to be written. True when parts of it were saved."""
        self.stopped = True
        return self.parts > 0


class Journal:
    """The journal of one process. Its thread runs only while there are streams."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._followed: list[Followed] = []
        self._running = False

    def follow(self, exchange_id: str, stream: ResponseStream) -> Followed:
        """Save what arrives of a stream until it is stopped."""
        followed = Followed(exchange_id, stream, time.monotonic())
        with self._lock:
            self._followed.append(followed)
            starts, self._running = not self._running, True
        if starts:
            threading.Thread(target=self._run, daemon=True).start()
        return followed

    def _run(self) -> None:
        while True:
            time.sleep(EVERY_S)
            with self._lock:
                self._followed = [each for each in self._followed if not each.stopped]
                if not self._followed:
                    self._running = False
                    return
                due = [each for each in self._followed if time.monotonic() - each.since >= EVERY_S]
            self._save(due)

    def _save(self, due: list[Followed]) -> None:
        rows = []
        for each in due:
            if each.stopped:
                continue
            news = each.stream.take_unsaved()
            if news:
                rows.append((each.exchange_id, each.parts, b"".join(news)))
                each.parts += 1
        if not rows:
            return
        try:
            with self._database.transaction() as connection:
                everywhere.write_journal(connection, rows)
        except StorageUnavailable:
            # The answer itself is still to be written, and waits for the database longer than this does.
            logs.get().warning("journal_not_written", streams=len(rows))
