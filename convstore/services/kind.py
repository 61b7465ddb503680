"""What a kind of job consists of. They are listed in kinds.py."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convstore.domain.job import Job
from convstore.services.running_job import RunningJob

if TYPE_CHECKING:
    from convstore.services.deps import Deps


def _nothing(_deps: "Deps", _job: Job) -> None:
    """Most kinds leave nothing open."""


@dataclass(frozen=True, slots=True)
class Kind:
    """run: does the work, in a thread of a worker. Returning is completing it; raising is failing, unless it raises
    one of running_job's.

    settle: called before a job is written down as failed or cancelled (its status says which), in whatever process
    that happens: by the worker, by a request that cancels what is still queued, by whoever finds that its worker
    died. It closes what the job leaves open, and may be called twice.

    stop: told when a running job is asked to stop, in the process that was asked: for work that does not look at its
    job's flags by itself, because it can be stopped another way as well.

    most: how many one worker runs of it at the same time; None is as many as it has room for. Long ones leave room.
    """

    run: "Callable[[Deps, RunningJob], None]"
    settle: "Callable[[Deps, Job], None]" = _nothing
    stop: "Callable[[Deps, Job], None]" = _nothing
    most: int | None = None
