"""The engine that runs jobs: huey's consumer. This is all that is known of it.

huey brings threads, replaced when they die, and a stop that has patience, but not for ever. Its queue is our table:
`take` finds the next job there. So whoever puts a job in the queue does it in a transaction of their own, and nothing
is written down twice. See docs/decisions/0008-jobs.md.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from huey import Huey
from huey.consumer import Consumer
from huey.serializer import Serializer
from huey.storage import BlackHoleStorage

from convstore.services.running_job import RunningJob
from convstore.telemetry import logs

HEAR_WITHIN_S = 0.1
# So many of those between two looks whether a thread has died.
LOOKS = 10


class Engine:
    """Threads that take jobs and work on them.

    take waits for the next job, and returns None only when `stopping` is set; work must not raise.
    """

    def __init__(
        self,
        take: Callable[[], RunningJob | None],
        work: Callable[[RunningJob], None],
        *,
        threads: int,
        patience_s: float,
    ) -> None:
        self._told: int | None = None
        self._has_patience = False
        huey = Huey("convstore", storage_class=_Table, serializer=_AsItIs(), results=False)
        task = huey.task(name="job")(work)

        def message() -> Any:
            job = take()
            return None if job is None else huey.serialize_task(task.s(job))

        huey.storage.dequeue = message
        self._consumer = _Consumer(huey, workers=threads, periodic=False, shutdown_timeout=patience_s)
        self.stopping: threading.Event = self._consumer.stop_flag

    def listen(self) -> None:
        """Hear from now on that this process is told to stop: `run` does it, be it at once.

        SIGTERM lets jobs end, for *patience_s*; SIGINT does not.
        """
        for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(each, self._hear)

    def run(self) -> None:
        """Work until this process is told to stop."""
        said = logging.getLogger("huey")
        said.addHandler(_Forward(logging.WARNING))
        said.propagate = False
        self._consumer.start()
        looks = 0
        while self._told is None:
            time.sleep(HEAR_WITHIN_S)
            looks += 1
            if looks % LOOKS == 0:
                self._consumer.check_worker_health()
        self._has_patience = self._told != signal.SIGINT
        self._consumer.stop(graceful=self._has_patience)
        self._has_patience = False

    def _hear(self, number: int, _frame: Any) -> None:
        if number == signal.SIGINT and self._has_patience:
            self._has_patience = False
            # What huey understands while it waits.
            raise KeyboardInterrupt
        self._told = self._told or number


class _Consumer(Consumer):  # type: ignore[misc]  # huey has no types
    """huey's, which does not listen itself.

    A second SIGTERM would tell it to hurry: a service manager sends one, our parent another.
    """

    def _set_signal_handlers(self) -> None:
        pass


class _Table(BlackHoleStorage):  # type: ignore[misc]
    """A storage that only gives: what huey would keep is in our tables, or not wanted."""

    blocking = True


class _AsItIs(Serializer):  # type: ignore[misc]
    """Messages do not leave the process: nothing is pickled."""

    def serialize(self, data: Any) -> Any:
        return data

    def deserialize(self, data: Any) -> Any:
        return data


class _Forward(logging.Handler):
    """huey's own words, in the form of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        logs.get().warning("engine", reason=record.getMessage(), exc_info=record.exc_info or None)
