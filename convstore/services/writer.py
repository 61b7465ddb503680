"""The journal's writer: the events of the background responses of one process, on disk before anybody sees them.

Whoever adds an event writes it himself, when the last part is a while ago: a first event is on disk a millisecond after
it came. What comes sooner waits for company, and a thread sees to it that it does not wait for long. All responses of
the process go in one transaction. The same thread looks whether any of them is to be cancelled, or is not this
process's any more.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from enum import Enum

from convstore.errors import StorageUnavailable
from convstore.storage import direct, journals
from convstore.storage.database import Database
from convstore.storage.journals import Part
from convstore.telemetry import logs

# Between two parts of a response that may be followed. Its first events, and those after a silence, are wanted at once;
# of a steady flow nobody notices a tenth of a second, and every part costs as much CPU as half an event on its way.
QUICK_S = 0.01
STEADY_S = 0.06
SLOWING = 1.5
SILENCE_S = 0.25
# The same of one that is only polled: a killed process may lose no more than a quarter of a second.
POLLED_S = 0.2
# That an upstream has begun to answer can wait for its first event, so that the event need not wait for it.
MARK_S = 0.01
# How often it is looked whether a response is to be cancelled.
LOOK_S = 0.25
# A database that was away is left alone for so long.
PAUSE_S = 0.1


class Stop(Enum):
    """Why a response is not to be gone on with: its client wants it no more, or it runs elsewhere."""

    CANCELLED = "cancelled"
    LOST = "lost"


class Outgoing:
    """The events of one response on their way to disk.

    part: the number of the next part. number: that of the last event there is. quick: whether it may be followed.
    stop: told once or more, from any thread, when the response is not to be gone on with.
    """

    def __init__(
        self,
        project_id: str,
        exchange_id: str,
        process: bytes,
        part: int,
        number: int,
        stop: Callable[[Stop], None],
        *,
        quick: bool,
    ) -> None:
        self.project_id = project_id
        self.exchange_id = exchange_id
        self.process = process
        self.part = part
        self.number = number
        self.stop = stop
        self._quick = quick
        self._every_s = QUICK_S if quick else POLLED_S
        self._lock = threading.Lock()
        self._closed = False
        self._due = 0.0
        self._has_begun = False
        self._mark_due = 0.0
        self._events: list[bytes] = []
        self._written = number
        # What a database that was away may have taken or not: it is offered again as it was.
        self._offered: Part | None = None

    def due(self) -> float | None:
        """When it should be written, on the monotonic clock; None when there is nothing to write."""
        if self._closed:
            return None
        if self._events or self._offered:
            return self._due
        return self._mark_due if self._has_begun else None

    def begin(self) -> None:
        """Note that the upstream has begun to answer, though it may have said nothing yet."""
        with self._lock:
            self._has_begun = True
            self._mark_due = time.monotonic() + MARK_S

    def add(self, events: bytes, last: int) -> bool:
        """More events, up to the one with number *last*. False when nobody wants them any more."""
        with self._lock:
            if self._closed:
                return False
            self._events.append(events)
            self.number = last
        return True

    def offer(self, now: float) -> Part | None:
        """What is to be written now."""
        with self._lock:
            due = self.due()
            if due is None or due > now:
                return None
            self._offered = self._offered or self._gathered()
            return self._offered

    def taken(self, now: float) -> None:
        """What was offered is on disk."""
        with self._lock:
            if self._offered is not None and self._offered.events:
                if self._quick:
                    silent = now - self._due > SILENCE_S
                    self._every_s = QUICK_S if silent else min(STEADY_S, SLOWING * self._every_s)
                self._due = now + self._every_s
            self._offered = None

    def put_off(self, now: float) -> None:
        """The database could not be written."""
        with self._lock:
            self._due = self._mark_due = now + PAUSE_S

    def close(self) -> list[Part]:
        """No more events. What is not on disk yet, to be written with the answer."""
        with self._lock:
            self._closed = True
            return [part for part in (self._offered, self._gathered()) if part is not None]

    def _gathered(self) -> Part | None:
        if not self._events and not self._has_begun:
            return None
        first, last = (self._written + 1, self.number) if self._events else (None, None)
        part = Part(self.exchange_id, self.part, first, last, b"".join(self._events), project_id=self.project_id)
        self._events.clear()
        self._has_begun = False
        self._written = self.number
        self.part += 1
        return part


class Writer:
    """The writer of one process. Its thread runs only while there are responses."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._saving = threading.Lock()
        self._outgoing: list[Outgoing] = []
        self._running = False
        self._late = threading.Event()
        self._looked = 0.0

    def open(self, outgoing: Outgoing) -> None:
        """See to a response until it is closed."""
        with self._lock:
            self._outgoing.append(outgoing)
            starts, self._running = not self._running, True
        if starts:
            threading.Thread(target=self._watch, daemon=True).start()

    def close(self, outgoing: Outgoing) -> list[Part]:
        """No more of this response. What is left to write of it; nothing of it is being written any more."""
        with self._lock:
            self._outgoing.remove(outgoing)
        with self._saving:
            return outgoing.close()

    def news(self, outgoing: Outgoing) -> None:
        """There is something to write."""
        due = outgoing.due()
        if due is not None and due <= time.monotonic() and self._saving.acquire(blocking=False):
            try:
                self._save()
            finally:
                self._saving.release()
        elif not self._late.is_set():
            self._late.set()

    # -- the thread -------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while True:
            due = min(_known(each.due() for each in self._open()), default=None)
            now = time.monotonic()
            if due is None:
                self._late.wait(LOOK_S)
                self._late.clear()
            elif due > now:
                time.sleep(min(due - now, LOOK_S))
            with self._lock:
                if not self._outgoing:
                    self._running = False
                    return
            try:
                with self._saving:
                    self._save()
                    self._look()
            except Exception:
                logs.get().exception("journal_failed")
                time.sleep(PAUSE_S)

    def _save(self) -> None:
        now = time.monotonic()
        offered = [(each, part) for each in self._open() if (part := each.offer(now)) is not None]
        for process in {each.process for each, _ in offered}:
            own = [(each, part) for each, part in offered if each.process == process]
            try:
                told = journals.append(self._database, process, [part for _, part in own])
            except StorageUnavailable:
                logs.get().warning("journal_not_written", streams=len(own))
                for each, _ in own:
                    each.put_off(now)
                continue
            now = time.monotonic()
            for each, _ in own:
                each.taken(now)
                _tell(each, told)

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        outgoing = self._open()
        try:
            with direct.reading(self._database) as cursor:
                for process in {each.process for each in outgoing}:
                    own = [each for each in outgoing if each.process == process]
                    told = journals.running(cursor, process, [each.exchange_id for each in own])
                    for each in own:
                        _tell(each, told)
        except StorageUnavailable:
            logs.get().warning("cancellations_not_read", streams=len(outgoing))

    def _open(self) -> list[Outgoing]:
        with self._lock:
            return list(self._outgoing)


def _tell(outgoing: Outgoing, told: Mapping[str, bool]) -> None:
    is_cancelled = told.get(outgoing.exchange_id)
    if is_cancelled is None:
        outgoing.stop(Stop.LOST)
    elif is_cancelled:
        outgoing.stop(Stop.CANCELLED)


def _known(times: Iterable[float | None]) -> list[float]:
    return [each for each in times if each is not None]
