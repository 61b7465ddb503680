"""What has arrived of running streams, saved a few times a second.

So that a process that is killed loses the last quarter of a second of a stream, not the stream. One thread writes
the news of all streams of the process in one transaction. Many a stream that ends soon is never written here: its
answer is. The events of background responses are others' to write (writer.py).
"""

import threading
import time
from dataclasses import dataclass

from convstore.domain.stream import ResponseStream
from convstore.errors import StorageUnavailable
from convstore.storage import everywhere
from convstore.storage.database import Database
from convstore.telemetry import logs

# Together, and with the time of a write, a quarter of a second: a stream that is a little too young for one save is
# that old, and one interval more, when the next one comes.
EVERY_S = 0.18
YOUNG_S = 0.05


@dataclass(eq=False, slots=True)
class Followed:
    """One stream being saved."""

    project_id: str
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


def unfollowed(project_id: str, exchange_id: str, stream: ResponseStream) -> Followed:
    """A stream of which nothing is to be saved."""
    stream.is_followed = False
    return Followed(project_id, exchange_id, stream, time.monotonic(), stopped=True)


class Journal:
    """The journal of one process. Its thread runs only while there are streams."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._followed: list[Followed] = []
        self._running = False

    def follow(self, project_id: str, exchange_id: str, stream: ResponseStream) -> Followed:
        """Save what arrives of a stream until it is stopped."""
        followed = Followed(project_id, exchange_id, stream, time.monotonic())
        with self._lock:
            self._followed.append(followed)
            starts, self._running = not self._running, True
        if starts:
            threading.Thread(target=self._run, daemon=True).start()
        return followed

    def _run(self) -> None:
        due_at = time.monotonic()
        while True:
            # The time a save took is not added to the interval.
            due_at = max(due_at + EVERY_S, time.monotonic() + EVERY_S / 4)
            time.sleep(due_at - time.monotonic())
            with self._lock:
                self._followed = [each for each in self._followed if not each.stopped]
                if not self._followed:
                    self._running = False
                    return
                due = [each for each in self._followed if time.monotonic() - each.since >= YOUNG_S]
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
        rows, projects = [], {each.exchange_id: each.project_id for each in due}
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
                everywhere.write_journal(connection, rows, self._database.vault, projects)
        except StorageUnavailable:
            # The answer itself is still to be written, and waits for the database longer than this does.
            logs.get().warning("journal_not_written", streams=len(rows))
            return
        for each in due:
            each.unwritten = b""
