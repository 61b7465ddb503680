"""Kinds of jobs for the tests. What they do they write to a file, a line each, and they go on when a file is there.

arguments: diary, the path of the file; and what a kind says.
"""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gevent import monkey
from sqlalchemy import insert

from convstore import ids
from convstore.domain.job import Job
from convstore.errors import ConvstoreError
from convstore.services.deps import Deps
from convstore.services.kind import Kind
from convstore.services.running_job import RunningJob
from convstore.storage import tables
from convstore.storage.scope import Scope


def write(arguments: dict[str, Any] | Any, what: str, **more: Any) -> None:
    """One line, whoever else is writing."""
    line = json.dumps({"what": what, "pid": os.getpid(), "thread": threading.get_ident(), **more}) + "\n"
    with open(arguments["diary"], "ab", buffering=0) as file:  # noqa: PTH123
        file.write(line.encode())


def read(diary: Path) -> list[dict[str, Any]]:
    """The lines written so far."""
    return [json.loads(line) for line in diary.read_text().splitlines()] if diary.exists() else []


def _wait(job: RunningJob, name: str) -> Iterator[None]:
    """Until the file of this name is there; gives a chance to look at other things each time."""
    gate = Path(f"{job.arguments['diary']}.{name}")
    while not gate.exists():
        yield
        job.wait(0.01)


def open_gate(diary: Path, name: str = "go") -> None:
    """What jobs wait for."""
    Path(f"{diary}.{name}").touch()


def simple(_deps: Deps, job: RunningJob) -> None:
    """Does one thing."""
    write(job.arguments, "ran", job=job.id, resumed=job.is_resumed, attempts=job.attempts)


def steps(_deps: Deps, job: RunningJob) -> None:
    """Does some steps, and waits before one of them: `wait_at`. Can be stopped between them, and while it waits."""
    write(job.arguments, "begun", job=job.id, resumed=job.is_resumed, attempts=job.attempts)
    total = job.arguments["steps"]
    for number in range(total):
        if number == job.arguments.get("wait_at"):
            for _ in _wait(job, "go"):
                job.checkpoint()
        job.checkpoint()
        job.step(f"step {number}", lambda number=number: write(job.arguments, f"step {number}", job=job.id))
        job.progress(number + 1, total, "stepping")
    write(job.arguments, "done", job=job.id)


def stubborn(_deps: Deps, job: RunningJob) -> None:
    """Goes on until it may end, whatever it is told."""
    write(job.arguments, "begun", job=job.id, resumed=job.is_resumed)
    for _ in _wait(job, "go"):
        pass
    job.step("the end", lambda: write(job.arguments, "done", job=job.id))


def settle(_deps: Deps, job: Job) -> None:
    """Says how it was called."""
    write(job.arguments, f"settled as {job.status}", job=job.id)


class OutOfLuck(ConvstoreError):
    """No luck today."""

    code = "out_of_luck"


def failing(_deps: Deps, job: RunningJob) -> None:
    """Does one step, and fails until it may not."""
    job.step("first", lambda: write(job.arguments, "first"))
    if not Path(f"{job.arguments['diary']}.luck").exists():
        raise ValueError("a secret") if job.arguments.get("unexpected") else OutOfLuck()
    write(job.arguments, "done")


def deadly(_deps: Deps, job: RunningJob) -> None:
    """Kills its worker, like one that takes all memory."""
    write(job.arguments, "begun")
    os._exit(9)


def counting(deps: Deps, job: RunningJob) -> None:
    """Adds rows, each in a transaction of its own, and waits in the middle."""

    def add(scope: Scope) -> str:
        made = ids.new(ids.CONVERSATION)
        row = {"project_id": scope.project_id, "id": made, "created_at": deps.clock(), "title": job.id}
        scope.connection.execute(insert(tables.conversations).values(**row))
        return made

    for number in range(6):
        if number == 3:
            write(job.arguments, "half")
            for _ in _wait(job, "go"):
                job.checkpoint()
        job.step_in_transaction(f"row {number}", add)


def looking(_deps: Deps, job: RunningJob) -> None:
    """Says what kind of process it is in."""
    write(job.arguments, "seen", patched=monkey.is_module_patched("socket"))


KINDS = {
    "simple": Kind(simple),
    "steps": Kind(steps, settle=settle),
    "stubborn": Kind(stubborn, settle=settle),
    "failing": Kind(failing, settle=settle),
    "deadly": Kind(deadly, settle=settle),
    "counting": Kind(counting),
    "few": Kind(stubborn, settle=settle, most=1),
    "looking": Kind(looking),
}
