"""Jobs: put in the queue, looked at, cancelled, tried again; and what a dead worker leaves, taken over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from convstore import ids
from convstore.domain import jsontext
from convstore.domain.job import Job, NewJob, Progress
from convstore.errors import InvalidRequest, NotFound, StorageUnavailable
from convstore.services import paging
from convstore.services.deps import Deps
from convstore.services.paging import Listing, Page
from convstore.storage import jobs, queue
from convstore.storage.queue import Depth, End, Holding
from convstore.storage.scope import Scope
from convstore.storage.statements import Insert
from convstore.telemetry import logs, metrics

# A job that is there whenever a worker dies is the likely reason that it does.
MOST_ATTEMPTS = 5
WORKERS_DIED = {"code": "worker_died", "message": f"The worker died {MOST_ATTEMPTS} times while it ran this job."}


class JobNotFound(NotFound):
    """No job with this id belongs to this project."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"Job with id '{job_id}' not found.")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which jobs of a list: of this status, of this kind."""

    status: str | None = None
    kind: str | None = None


# -- for the services whose work they are ---------------------------------------------------------------------


def enqueue(
    deps: Deps, scope: Scope, kind: str, *, subject: str | None = None, arguments: Mapping[str, Any] | None = None
) -> str:
    """Put a job in the queue, in the transaction of *scope*: it is there when that is committed. Returns its id."""
    job = _new(deps, kind, subject, arguments)
    jobs.add(scope, job)
    return job.id


def insertion(
    deps: Deps,
    project_id: str,
    kind: str,
    *,
    subject: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    job_id: str | None = None,
) -> tuple[str, Insert]:
    """The id of a new job, and the write that puts it in the queue, for a batch of others (storage/statements.py).

    job_id: where the job's id was needed before it.
    """
    job = _new(deps, kind, subject, arguments)
    if job_id is not None:
        job = replace(job, id=job_id)
    return job.id, jobs.insertion(project_id, job)


def _new(deps: Deps, kind: str, subject: str | None, arguments: Mapping[str, Any] | None) -> NewJob:
    return NewJob(ids.new(ids.JOB), kind, deps.clock(), subject, arguments or {})


# -- for those who ask ----------------------------------------------------------------------------------------


def get(deps: Deps, project_id: str, job_id: str) -> Job:
    """A job of a project. Raises JobNotFound."""
    with deps.database.reading(project_id) as scope:
        found = jobs.get(scope, job_id)
    if found is None:
        raise JobNotFound(job_id)
    return found


def listed(deps: Deps, project_id: str, page: Page, wanted: Wanted) -> Listing:
    """A page of a project's jobs, as JSON. Raises InvalidRequest for a cursor that is no job of the project."""
    with deps.database.reading(project_id) as scope:
        for name, cursor in (("after", page.after), ("before", page.before)):
            if cursor is not None and jobs.get(scope, cursor) is None:
                raise InvalidRequest(
                    f"Job with id '{cursor}' not found in this list.", param=name, code="invalid_value"
                )
        found = jobs.listed(
            scope,
            page.limit + 1,
            newest_first=page.order == "desc",
            after=page.after,
            before=page.before,
            status=wanted.status,
            kind=wanted.kind,
        )
    chosen, has_more = paging.chosen(found, page)
    return Listing([(job.id, jsontext.dumps(job.as_dict())) for job in chosen], has_more)


def cancel(deps: Deps, project_id: str, job_id: str) -> Job:
    """Ask a job to stop. One that is queued has stopped; one that runs does so within a second or two.

    Raises JobNotFound, and InvalidRequest when it has ended otherwise.
    """
    with deps.database.writing(project_id) as scope:
        asked = jobs.request_cancel(scope, job_id, deps.process, deps.clock())
    if asked is not None:
        job, is_ours = asked
        if not is_ours:
            if job.kind in deps.kinds:
                deps.kinds[job.kind].stop(deps, job)
            return job
        finish(deps, job, "cancelled")
    job = get(deps, project_id, job_id)
    if job.status != "cancelled":
        raise InvalidRequest(f"Cannot cancel a job that has {job.status}.", code="job_finished")
    return job


def retry(deps: Deps, project_id: str, job_id: str) -> Job:
    """Put a job that failed or was cancelled back in the queue: what it remembers as done is left out.

    Raises JobNotFound, and InvalidRequest when it is neither.
    """
    with deps.database.writing(project_id) as scope:
        job = jobs.requeue(scope, job_id)
    if job is not None:
        return job
    found = get(deps, project_id, job_id)
    raise InvalidRequest(f"Only a failed or cancelled job can be tried again; this one is {found.status}.")


# -- for operators --------------------------------------------------------------------------------------------


def find(deps: Deps, job_id: str, project: str | None = None) -> tuple[str, Job]:
    """(project, job) of this id, of any project or of the one with this name. Raises JobNotFound."""
    with deps.database.connection() as connection:
        found = queue.find(connection, job_id, project)
    if found is None:
        raise JobNotFound(job_id)
    return found


def newest(deps: Deps, limit: int, project: str | None, wanted: Wanted) -> list[tuple[str, Job]]:
    """(project, job) of the newest jobs, of all projects or of one."""
    with deps.database.connection() as connection:
        return queue.newest(connection, limit, project, wanted.status, wanted.kind)


def depths(deps: Deps) -> list[Depth]:
    """How much is waiting, running and failed, by kind."""
    with deps.database.connection() as connection:
        return queue.depths(connection)


# -- their ends -----------------------------------------------------------------------------------------------


def finish(
    deps: Deps,
    held: Holding,
    status: str,
    error: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> bool:
    """Write down how a job ended, and before that settle what it leaves open. False when others are to end it.

    progress: the last of it, if that was not written down. Raises StorageUnavailable: then it is to be called again.
    """
    if status != "completed" and not _settle(deps, held, status, error):
        return False
    with deps.database.transaction() as connection:
        done = queue.end(connection, held, End(status, deps.clock(), error, progress))
    if done:
        metrics.jobs(held.kind, status).inc()
    return done


def take_over(deps: Deps, workers: Sequence[bytes]) -> None:
    """Let others go on with what these workers, which are dead, had begun. Two who try it at once do it once."""
    with deps.database.connection() as connection:
        left = queue.left_by(connection, workers)
    for job in left:
        put_back(deps, job)


def put_back(deps: Deps, job: Job) -> None:
    """Put a job whose run ended without a word back in the queue: once more than it was begun, but not for ever.

    One that was to be cancelled is.
    """
    if job.cancel_requested_at is not None:
        finish(deps, job, "cancelled")
        return
    if job.attempts >= MOST_ATTEMPTS:
        finish(deps, job, "failed", WORKERS_DIED)
        return
    with deps.database.transaction() as connection:
        done = queue.give_back(connection, job, counts=True)
    if done:
        logs.get().warning("job_put_back", job_id=job.id, kind=job.kind, attempts=job.attempts)


def _settle(deps: Deps, held: Holding, status: str, error: Mapping[str, Any] | None) -> bool:
    """Let the kind close what the job leaves open, unless others have the job by now."""
    with deps.database.reading(held.project_id) as scope:
        job = jobs.get(scope, held.id)
    if job is None or (job.status, job.worker, job.runs) != ("running", held.worker, held.runs):
        return False
    kind = deps.kinds.get(held.kind)
    if kind is None:
        logs.get().warning("job_not_settled", job_id=held.id, kind=held.kind, reason="unknown kind")
        return True
    try:
        kind.settle(deps, replace(job, status=status, error=error))
    except StorageUnavailable:
        raise
    except Exception:
        # A job that cannot be settled must not stay open as well.
        logs.get().exception("job_not_settled", job_id=held.id, kind=held.kind)
    return True
