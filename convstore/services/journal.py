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
    # What could not be written yet, and the end of the save that is writing.
    unwritten: bytes = b""
    saving: threading.Event | None = None

    def stop(self) -> bool:
        """End it, because the answer is about to be written. True when parts of it were saved.

        Waits for a save that is under way: parts that came after the answer would stay for ever.
        """
        self.stopped = True
        saving = self.saving
        if saving is not None:
            saving.wait()
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
            over = threading.Event()
            try:
                self._save(due, over)
            except Exception:
                logs.get().exception("journal_failed", streams=len(due))
            finally:
                for each in due:
                    each.saving = None
                over.set()

    def _save(self, due: list[Followed], over: threading.Event) -> None:
        rows = []
        for each in due:
            # In this order: either the stream sees that it is being saved, or this sees that it has stopped.
            each.saving = over
            if each.stopped:
                continue
            each.unwritten += b"".join(each.stream.take_unsaved())
            if each.unwritten:
                rows.append((each.exchange_id, each.parts, each.unwritten))
                each.parts += 1
        if not rows:
            return
        try:
            with self._database.transaction() as connection:
                everywhere.write_journal(connection, rows)
        except StorageUnavailable:
            # The answer itself is still to be written, and waits for the database longer than this does.
            logs.get().warning("journal_not_written", streams=len(rows))
            return
        for each in due:
            each.unwritten = b""
