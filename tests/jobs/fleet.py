"""Workers as processes on one database, and somebody who hands them jobs.

fleet.put("steps", steps=3, wait_at=1)     a job, with a diary of its own
fleet.start(2)                             two workers that have taken up work
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from convstore import bootstrap
from convstore.config import Settings
from convstore.domain.job import Job
from convstore.services import jobs
from convstore.services.deps import Deps
from convstore.services.kinds import KINDS
from convstore.storage import everywhere
from tests.acceptance.service import Shell
from tests.jobs import kinds
from tests.local_upstream import wait_until

SCRIPT = Path(__file__).parent / "convstore_with_kinds.py"
PATIENCE_S = 30.0


@dataclass
class Worker:
    """A running `convstore worker`."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return '"job_worker_ready"' in self.log.read_text()

    def entries(self) -> list[dict[str, Any]]:
        """The lines of its log. One that is no JSON object is a failure."""
        return [dict(json.loads(line)) for line in self.log.read_text().splitlines()]

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)


@dataclass
class Task:
    """A job that was put in the queue, and what its kind wrote down."""

    fleet: "Fleet"
    id: str
    diary: Path

    def job(self) -> Job:
        """As it stands now."""
        return jobs.get(self.fleet.deps, self.fleet.project_id, self.id)

    def lines(self, what: str | None = None) -> list[dict[str, Any]]:
        return [line for line in kinds.read(self.diary) if what is None or line["what"] == what]

    def words(self) -> list[str]:
        return [line["what"] for line in self.lines()]

    def wait_for(self, what: str, times: int = 1) -> dict[str, Any]:
        """The line that says this, when it is there."""
        return dict(wait_until(lambda: len(self.lines(what)) >= times and self.lines(what)[-1], PATIENCE_S))

    def wait_until(self, status: str) -> Job:
        wait_until(lambda: self.job().status == status, PATIENCE_S)
        return self.job()

    def go(self) -> None:
        """Let it go on."""
        kinds.open_gate(self.diary)


@dataclass
class Fleet:
    """A database, a project of it, and workers."""

    deps: Deps
    shell: Shell
    project_id: str
    workers: list[Worker] = field(default_factory=list)

    def put(self, kind: str, *, diary: Path | None = None, **arguments: Any) -> Task:
        """A job in the queue, as another service of ours puts it there."""
        diary = diary or self.shell.directory / f"{kind}-{os.urandom(4).hex()}"
        with self.deps.database.writing(self.project_id) as scope:
            job_id = jobs.enqueue(
                self.deps, scope, kind, subject=f"thing_{kind}", arguments={"diary": str(diary), **arguments}
            )
        return Task(self, job_id, diary)

    def start_with_parent(self) -> Worker:
        """A worker that has taken up work, as the child of the process that is returned."""
        worker = self.begin("--child-of", "$$", shell=True)
        wait_until(worker.is_ready, PATIENCE_S)
        return worker

    def begin(self, *arguments: str, shell: bool = False) -> Worker:
        """A worker that is not ready yet. shell: with a shell between it and us."""
        command = [sys.executable, str(SCRIPT), "worker", *arguments]
        if shell:
            # Not the last command: the shell would become it.
            command = ["sh", "-c", f"{' '.join(command)}; true"]
        log = self.shell.directory / f"worker-{os.urandom(4).hex()}.log"
        with log.open("wb") as written:
            process = subprocess.Popen(
                command,
                cwd=self.shell.directory,
                env=self.shell.environment(),
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=subprocess.STDOUT,
            )
        self.workers.append(Worker(process, log))
        return self.workers[-1]

    def start(self, number: int, *arguments: str) -> list[Worker]:
        """Workers that have taken up work."""
        begun = [self.begin(*arguments) for _ in range(number)]
        for worker in begun:
            wait_until(worker.is_ready, PATIENCE_S)
        return begun

    def of_pid(self, pid: int) -> Worker:
        return next(worker for worker in self.workers if worker.pid == pid)

    def alive(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.process.poll() is None]


@contextmanager
def fleet(directory: Path, database_url: str, **settings: str) -> Iterator[Fleet]:
    """A fleet without workers; those that are started end with it."""
    shell = Shell(directory, {"CONVSTORE_DATABASE_URL": database_url, **settings})
    with bootstrap.working(Settings(database_url=database_url)) as plain:
        deps = with_kinds(plain)
        with deps.database.transaction() as connection:
            project_id = everywhere.project_id(connection, "acme", deps.clock())
        made = Fleet(deps, shell, project_id)
        try:
            yield made
        finally:
            for worker in made.alive():
                worker.kill()


def with_kinds(deps: Deps) -> Deps:
    """The same, knowing the tests' kinds."""
    return replace(deps, kinds={**KINDS, **kinds.KINDS})
