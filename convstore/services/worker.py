"""A worker: a process that runs jobs until it is told to stop.

It takes a job when it has a thread for it, looks four times a second whether somebody asked one to stop, and is known
to be alive by its entry among the processes. When it stops it lets its jobs end for a while, then puts back in the
queue what is left. When it dies, another worker's sweep does that (recovery.py).
"""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog

from convstore.domain.job import Job
from convstore.errors import ConvstoreError, StorageUnavailable
from convstore.services import jobs, recovery, sweeping, transfers
from convstore.services.deps import Deps
from convstore.services.engine import Engine
from convstore.services.running_job import Cancelled, HandedBack, Lost, RunningJob
from convstore.storage import doorbell, queue
from convstore.telemetry import logs

# A job starts within this time, or half of it on average; on PostgreSQL at once, as a rule: who puts it in the queue
# rings. A look costs 20 µs on SQLite, 150 on PostgreSQL.
LOOK_EVERY_S = 0.02
# While there is work: who has just asked for something will ask again.
LOOK_BUSY_S = 0.005
BUSY_S = 10.0
# How long the doorbell is listened to in one go.
LISTEN_S = 0.25
WATCH_EVERY_S = 0.25
# Others on this machine see by it that a worker has died; elsewhere a minute of silence says so (recovery.SILENT).
BEAT_EVERY_S = 2.0
# Cut off from the database for so long, a worker lets go of its jobs: soon others will take it for dead.
CUT_OFF_S = 0.75 * recovery.SILENT.total_seconds()
AGAIN_S = 0.5
# How long a worker that leaves tries to put its jobs back.
LEAVING_S = 5.0
TIDY_EVERY_S = 3600.0
# Jobs forgotten in one transaction: SQLite has one writer.
BATCH = 500


@dataclass(frozen=True)
class Options:
    """threads: jobs at a time. patience_s: how long they may go on after a stop was asked for.

    parent: the process whose child this is, and without which it stops. keep: how long finished jobs are kept.
    sweep: how often retention rules are carried out.
    """

    threads: int = 16
    patience_s: float = 600.0
    keep: timedelta | None = timedelta(days=30)
    parent: int | None = None
    sweep: timedelta | None = None


class Worker:
    """What this process has begun, and what is done about it."""

    def __init__(self, deps: Deps, options: Options) -> None:
        self._deps = deps
        self._options = options
        self._engine = Engine(self._take, self._work, threads=options.threads, patience_s=options.patience_s)
        self._running: dict[str, RunningJob] = {}
        self._lock = threading.Lock()
        # The one idle thread that looks for jobs has the turn; while it takes one, the table is ahead of `_running`.
        self._turn = threading.Lock()
        self._taking = threading.Lock()
        self._over = threading.Event()
        # There may be a job: set by the doorbell.
        self._rung = threading.Event()
        self._found_at = float("-inf")
        self._seen_at = time.monotonic()
        # The first time soon: a worker may live for less than an hour.
        self._tidied_at = time.monotonic() - TIDY_EVERY_S + 60
        self._asked_at = time.monotonic()

    def run(self) -> None:
        """Run jobs until this process is told to stop."""
        deps = self._deps
        # First of all: told to stop, whoever has an entry takes it back.
        self._engine.listen()
        recovery.enter(deps)
        # Silence is no sign yet: the database may have been away, for everybody. A dead process of this machine is.
        recovery.sweep(deps, since=deps.clock())
        stop_beating = recovery.start_beating(deps, BEAT_EVERY_S)
        threading.Thread(target=self._watch, daemon=True).start()
        if not deps.database.is_sqlite:
            threading.Thread(target=self._listen, daemon=True).start()
        logs.get().info("job_worker_ready", pid=os.getpid(), threads=self._options.threads, kinds=sorted(deps.kinds))
        self._engine.run()
        # Whoever is just taking one is waited for: what is begun from here on is nothing.
        self._turn.acquire(timeout=LEAVING_S)
        left = self._all()
        for job in left:
            self._hand_back(job, patience_s=LEAVING_S)
        self._over.set()
        stop_beating()
        recovery.leave(deps)
        logs.get().info("job_worker_stopped", pid=os.getpid(), interrupted=len(left))
        if left:
            # Their threads still run, and what they do is nobody's any more.
            os._exit(0)

    # -- taking -----------------------------------------------------------------------------------------------

    def _take(self) -> RunningJob | None:
        stopping = self._engine.stopping
        with self._turn:
            while not stopping.is_set():
                try:
                    job = self._look()
                except StorageUnavailable:
                    stopping.wait(AGAIN_S)
                    continue
                if job is not None:
                    return job
                is_busy = time.monotonic() - self._found_at < BUSY_S
                self._rung.wait(LOOK_BUSY_S if is_busy else LOOK_EVERY_S)
        return None

    def _listen(self) -> None:
        """Hear of new jobs, on a connection of its own."""
        while not self._over.is_set():
            try:
                with doorbell.at(self._deps.database, doorbell.JOBS) as bell:
                    while not self._over.is_set():
                        if bell.wait(LISTEN_S):
                            self._rung.set()
            except StorageUnavailable:
                self._over.wait(AGAIN_S)

    def _look(self) -> RunningJob | None:
        deps = self._deps
        # Before looking: who rings from here on is heard at the next look.
        self._rung.clear()
        begun = Counter(job.kind for job in self._all())
        kinds = [name for name, kind in deps.kinds.items() if kind.most is None or begun[name] < kind.most]
        if not kinds:
            return None
        with self._taking:
            held = queue.take(deps.database, deps.process, kinds, deps.clock())
            if held is None:
                return None
            self._found_at = time.monotonic()
            job = RunningJob(deps.database, held)
            with self._lock:
                self._running[job.id] = job
        return job

    def _all(self) -> list[RunningJob]:
        with self._lock:
            return list(self._running.values())

    # -- working ----------------------------------------------------------------------------------------------

    def _work(self, job: RunningJob) -> None:
        started = time.monotonic()
        with structlog.contextvars.bound_contextvars(job_id=job.id, kind=job.kind):
            logs.get().info("job_begun", attempt=job.attempts, resumed=job.is_resumed)
            try:
                outcome = self._outcome(job)
            finally:
                with self._lock:
                    # Handed back, it may have come here again.
                    if self._running.get(job.id) is job:
                        del self._running[job.id]
            logs.get().info("job_ended", outcome=outcome, ms=round((time.monotonic() - started) * 1000))

    def _outcome(self, job: RunningJob) -> str:
        """Run a job to its end and write that down. Returns what came of it, in a word."""
        try:
            self._deps.kinds[job.kind].run(self._deps, job)
        except Cancelled:
            return self._end(job, "cancelled")
        except HandedBack:
            return self._hand_back(job)
        except Lost:
            return self._hand_back(job, counts=True)
        except StorageUnavailable as error:
            # Not the job's fault, unless it is so every time.
            if job.attempts < jobs.MOST_ATTEMPTS:
                return self._hand_back(job, counts=True)
            return self._end(job, "failed", {"code": error.code, "message": error.message})
        except ConvstoreError as error:
            return self._end(job, "failed", {"code": error.code, "message": error.message})
        except (Exception, SystemExit) as error:
            logs.get().exception("job_broke")
            message = f"The job failed unexpectedly ({type(error).__name__})."
            return self._end(job, "failed", {"code": "server_error", "message": message})
        return self._end(job, "completed")

    def _end(self, job: RunningJob, status: str, error: Mapping[str, Any] | None = None) -> str:
        """Write an end down, however long the database is away. Should this process end first, others begin again."""
        while not job.is_lost:
            try:
                return status if jobs.finish(self._deps, job.held, status, error, job.unsaid) else "lost"
            except StorageUnavailable:
                time.sleep(AGAIN_S)
        return self._hand_back(job, counts=True)

    def _hand_back(self, job: RunningJob, *, counts: bool = False, patience_s: float = float("inf")) -> str:
        """Let another one go on with a job, unless another one has it. It is found dead with us if that fails."""
        job.lose()
        deadline = time.monotonic() + patience_s
        while True:
            try:
                with self._deps.database.transaction() as connection:
                    return "handed back" if queue.give_back(connection, job.held, counts=counts) else "lost"
            except StorageUnavailable:
                if time.monotonic() > deadline:
                    return "left"
            time.sleep(AGAIN_S)

    # -- watching ---------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._over.wait(WATCH_EVERY_S):
            self._watch_once()

    def _watch_once(self) -> None:
        try:
            self._mind_the_parent()
            self._look_after()
            if time.monotonic() - self._tidied_at > TIDY_EVERY_S:
                self._tidied_at = time.monotonic()
                self._tidy()
            if self._options.sweep is not None and time.monotonic() - self._asked_at > sweeping.LOOK_EVERY_S:
                self._asked_at = time.monotonic()
                sweeping.ask(self._deps, self._options.sweep)
        except StorageUnavailable:
            if time.monotonic() - self._seen_at > CUT_OFF_S:
                for job in self._all():
                    job.lose()
        except Exception:
            logs.get().exception("watch_failed")

    def _mind_the_parent(self) -> None:
        if self._options.parent is not None and os.getppid() != self._options.parent:
            # It was killed. The jobs go back at once, for whoever comes after it.
            signal.raise_signal(signal.SIGINT)

    def _look_after(self) -> None:
        running = self._all()
        with self._deps.database.connection() as connection:
            held = {job.id: job for job in queue.left_by(connection, [self._deps.process])}
        self._seen_at = time.monotonic()
        for job in running:
            if self._engine.stopping.is_set():
                job.stop()
            found = held.pop(job.id, None)
            if found is None or found.runs != job.held.runs:
                job.lose()
            elif found.cancel_requested_at is not None:
                job.cancel()
        if held:
            self._give_back_strays(held)

    def _give_back_strays(self, held: dict[str, Job]) -> None:
        """What the table says is ours and nobody here knows of: the connection broke between the two."""
        with self._taking:
            known = {job.id for job in self._all()}
        for job_id in held.keys() - known:
            jobs.put_back(self._deps, held[job_id])

    def _tidy(self) -> None:
        transfers.forget(self._deps)
        if self._options.keep is None:
            return
        before = self._deps.clock() - self._options.keep
        while not self._over.is_set():
            with self._deps.database.transaction() as connection:
                if queue.forget(connection, before, BATCH) < BATCH:
                    return
