"""A yard of jobs for the tests of this room: one project's, and workers that run what they are told to.

jobs = Yard(database, clock)
own = jobs.put("export", "conv_1", limit=3)       a job in the queue
held = jobs.take("export")                        begun by this yard's worker
jobs.end(held, "failed")
"""

import os
from typing import Any

from convstore import ids
from convstore.domain.job import Job, NewJob
from convstore.storage import everywhere, jobs, queue
from convstore.storage.database import Database
from convstore.storage.everywhere import Process
from convstore.storage.queue import End, Held
from tests.conftest import FixedClock


class Yard:
    """One project's jobs."""

    def __init__(self, database: Database, clock: FixedClock, name: str) -> None:
        self.database = database
        self.clock = clock
        self.name = f"{name} {os.urandom(4).hex()}"
        self.worker = self.enter()
        with database.transaction() as connection:
            self.project = everywhere.project_id(connection, self.name, clock())

    def enter(self) -> bytes:
        """A worker that is known to be alive."""
        worker = os.urandom(16)
        with self.database.transaction() as connection:
            everywhere.enter(connection, Process(worker, "here", 1, self.clock(), self.clock(), "worker"))
        return worker

    def put(self, kind: str, subject: str | None = None, **arguments: Any) -> str:
        """A job in the queue."""
        job = NewJob(ids.new(ids.JOB), kind, self.clock(), subject, arguments)
        with self.database.writing(self.project) as scope:
            jobs.add(scope, job)
        return job.id

    def get(self, job_id: str) -> Job:
        with self.database.reading(self.project) as scope:
            found = jobs.get(scope, job_id)
        assert found is not None
        return found

    def look(self, *kinds: str, worker: bytes | None = None) -> Held | None:
        """The next job of these kinds, begun, if there is one."""
        return queue.take(self.database, worker or self.worker, kinds, self.clock())

    def take(self, *kinds: str, worker: bytes | None = None) -> Held:
        """The next job of these kinds, begun."""
        found = self.look(*kinds, worker=worker)
        assert found is not None
        return found

    def give_back(self, held: Held, *, counts: bool = True) -> bool:
        with self.database.transaction() as connection:
            return queue.give_back(connection, held, counts=counts)

    def step(self, held: Held, name: str, result: Any = None) -> None:
        with self.database.transaction() as connection:
            queue.add_step(connection, held, name, result)

    def steps(self, job_id: str) -> dict[str, Any]:
        with self.database.connection() as connection:
            return queue.steps(connection, job_id)

    def end(self, held: Held, status: str = "completed", **more: Any) -> bool:
        with self.database.transaction() as connection:
            return queue.end(connection, held, End(status, self.clock(), **more))


def crowd(*yards: Yard) -> None:
    """Jobs that are done: enough for a planner to care."""
    rows = [
        {
            "project_id": each.project,
            "id": ids.new(ids.JOB),
            "kind": "history",
            "arguments": "{}",
            "status": "completed",
            "created_at": each.clock(),
            "finished_at": each.clock(),
        }
        for _ in range(3000)
        for each in yards
    ]
    with yards[0].database.transaction() as connection:
        connection.execute(jobs.tables.jobs.insert(), rows)
    with yards[0].database.connection() as connection:
        connection.exec_driver_sql("ANALYZE")
