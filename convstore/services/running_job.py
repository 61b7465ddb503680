"""A job from the inside: what the function that does the work is given.

Delivery is at least once: a job whose worker died is begun again by exactly one other, from its start, and `step`
leaves out what is done. Everything written through here is written only while the job is this worker's.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from convstore.domain.job import Progress
from convstore.errors import StorageUnavailable
from convstore.storage import queue
from convstore.storage.database import Database
from convstore.storage.queue import Held
from convstore.storage.scope import Scope

Result = TypeVar("Result")
# A job may say how far it is at every row; people look once a second.
PROGRESS_EVERY_S = 0.5
AGAIN_S = 0.5


class Interrupted(Exception):
    """The job does not go on here."""


class Cancelled(Interrupted):
    """Somebody asked the job to stop."""


class HandedBack(Interrupted):
    """The worker is told to stop; another one will go on."""


class Lost(Interrupted):
    """The job is another worker's by now. What it writes must not count any more."""


class RunningJob:
    """A job that this process has begun. For one thread, but for the flags, which the worker sets."""

    def __init__(self, database: Database, held: Held) -> None:
        self.held = held
        self.id = held.id
        self.project_id = held.project_id
        self.kind = held.kind
        self.subject = held.subject
        self.arguments = held.arguments
        self.attempts = held.attempts
        # Whether it was begun before, by a worker that died or stopped, or before somebody tried it again.
        self.is_resumed = held.runs > 1
        self._database = database
        self._cancelled = threading.Event()
        self._stopping = threading.Event()
        self._lost = threading.Event()
        # What `progress` was told and did not write down: it is, with the job's end.
        self.unsaid: Progress | None = None
        self._said_at = float("-inf")
        self._done: dict[str, Any] | None = None

    # -- asked often: these cost nothing ----------------------------------------------------------------------

    def is_cancelled(self) -> bool:
        """Whether to stop and leave things in order: true within a second of the request, and when the job is lost."""
        return self._cancelled.is_set() or self._lost.is_set()

    def is_stopping(self) -> bool:
        """Whether the worker is told to stop: what can go on elsewhere should not be begun here."""
        return self._stopping.is_set()

    def wait(self, seconds: float) -> None:
        """Sleep, but no longer than until the job is cancelled or lost."""
        self._cancelled.wait(seconds)

    def checkpoint(self) -> None:
        """A good place to stop. Raises Cancelled, HandedBack or Lost, if there is reason to."""
        self._still_mine()
        if self._cancelled.is_set():
            raise Cancelled
        if self._stopping.is_set():
            raise HandedBack

    # -- written down -----------------------------------------------------------------------------------------

    def progress(self, done: int, total: int | None = None, note: str | None = None) -> None:
        """Say how far it is; written down twice a second at most. Raises Lost, StorageUnavailable."""
        self._still_mine()
        self.unsaid = Progress(done, total, note)
        if time.monotonic() - self._said_at < PROGRESS_EVERY_S:
            return
        with self._database.transaction() as connection:
            if not queue.note(connection, self.held, self.unsaid):
                raise self._gone()
        self.unsaid, self._said_at = None, time.monotonic()

    def step(self, name: str, act: Callable[[], Result]) -> Result:
        """What *act* returns (JSON), or returned when the job was begun before: then it is not called.

        For calls to others. A worker that dies between the call and the note of it makes it happen twice. While the
        note cannot be written, it waits. Raises Lost.
        """
        known = self._known()
        if name in known:
            return known[name]  # type: ignore[no-any-return]
        self._still_mine()
        known[name] = result = act()
        self._remember(name, result)
        return result

    def step_in_transaction(self, name: str, act: Callable[[Scope], Result]) -> Result:
        """The same for work on the database: kept together with the note that it is done, so that it counts once.

        The transaction is open while *act* runs, and SQLite has one writer: milliseconds, not minutes.
        """
        known = self._known()
        if name in known:
            return known[name]  # type: ignore[no-any-return]
        with self._held() as scope:
            result = act(scope)
            queue.add_step(scope.connection, self.held, name, result)
        known[name] = result
        return result

    # -- the worker's -----------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """Let the function see that it is to stop."""
        self._cancelled.set()

    def stop(self) -> None:
        """Let the function see that the worker is to stop."""
        self._stopping.set()

    def lose(self) -> None:
        """Let nothing be written any more."""
        self._lost.set()
        # Whoever sleeps until it is cancelled need not go on sleeping.
        self._cancelled.set()

    @property
    def is_lost(self) -> bool:
        return self._lost.is_set()

    # -- inside -----------------------------------------------------------------------------------------------

    def _known(self) -> dict[str, Any]:
        if self._done is None:
            done: dict[str, Any] = {}
            if self.is_resumed:
                with self._database.connection() as connection:
                    done = queue.steps(connection, self.id)
            self._done = done
        return self._done

    def _remember(self, name: str, result: Any) -> None:
        written = False
        while True:
            self._still_mine()
            try:
                with self._held() as scope:
                    # When the connection broke at the end of the last attempt, nobody knows which end it was.
                    if not written or name not in queue.steps(scope.connection, self.id):
                        queue.add_step(scope.connection, self.held, name, result)
                return
            except StorageUnavailable:
                written = True
                time.sleep(AGAIN_S)

    @contextmanager
    def _held(self) -> Iterator[Scope]:
        """A transaction during which nobody takes the job over. Raises Lost if somebody has."""
        with self._database.writing(self.project_id) as scope:
            if not queue.is_held(scope.connection, self.held):
                raise self._gone()
            yield scope

    def _still_mine(self) -> None:
        if self._lost.is_set():
            raise Lost

    def _gone(self) -> Lost:
        self.lose()
        return Lost()
