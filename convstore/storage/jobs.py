"""Jobs as their project sees them: put in the queue, read, listed, asked to stop, tried again.

What workers do with them, whoever's they are, is queue.py's.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, literal, select, update

from convstore import ids
from convstore.domain import jsontext
from convstore.domain.job import Job, NewJob, Progress
from convstore.storage import doorbell, listing, tables
from convstore.storage.scope import Scope
from convstore.storage.statements import Insert
from convstore.storage.types import micros

_j = tables.jobs
_COLUMNS = ("project_id", "id", "kind", "subject", "arguments", "status", "created_at")


def add(scope: Scope, job: NewJob) -> None:
    """Put a job in the queue, in the transaction of what it is about."""
    scope.connection.execute(
        _j.insert().values(
            project_id=scope.project_id,
            id=job.id,
            kind=job.kind,
            subject=job.subject,
            arguments=_text(job),
            status="queued",
            created_at=job.created_at,
        )
    )
    if scope.connection.dialect.name == "postgresql":
        # Heard with the commit: a worker need not look for it.
        scope.connection.exec_driver_sql(f"NOTIFY {doorbell.JOBS}")


def insertion(project_id: str, job: NewJob) -> Insert:
    """The same as one write of a batch (statements.py): for what goes to the driver's cursor."""
    project, own = ids.pack(ids.PROJECT, project_id), ids.pack(ids.JOB, job.id)
    return Insert(_j, _COLUMNS, [(project, own, job.kind, job.subject, _text(job), "queued", micros(job.created_at))])


def get(scope: Scope, job_id: str) -> Job | None:
    """The job with this id."""
    row = scope.connection.execute(_mine(scope).where(_j.c.id == job_id)).fetchone()
    return of_row(row) if row is not None else None


def unfinished(scope: Scope, subject: str) -> Job | None:
    """The newest job about this that is queued or running."""
    query = _mine(scope).where(_j.c.subject == subject, _j.c.finished_at.is_(None))
    row = scope.connection.execute(query.order_by(_j.c.id.desc()).limit(1)).fetchone()
    return of_row(row) if row is not None else None


def listed(
    scope: Scope,
    limit: int,
    *,
    newest_first: bool,
    after: str | None = None,
    before: str | None = None,
    status: str | None = None,
    kind: str | None = None,
) -> list[Job]:
    """At most *limit* jobs. after and before are ids, exclusive, in the direction of the list.

    With before alone they are those right in front of it; else the first ones.
    """
    query = _mine(scope)
    for column, wanted in ((_j.c.status, status), (_j.c.kind, kind)):
        if wanted is not None:
            query = query.where(column == wanted)
    rows = listing.page(scope, query, _j.c.id, limit, newest_first=newest_first, after=after, before=before)
    return [of_row(row) for row in rows]


def request_cancel(scope: Scope, job_id: str, process: bytes, now: datetime) -> tuple[Job, bool] | None:
    """Ask a job to stop; None when it is not there, or has finished. With whether it is now *process*'s to end.

    That is one that was queued: nobody else can begin it any more, and should the process die before it has ended
    it, it is found like everything that a dead process had begun.
    """
    asked = update(_j).where(_j.c.project_id == scope.project_id, _j.c.id == job_id).returning(_j)
    own = asked.where(_j.c.status == "queued").values(status="running", worker=process, cancel_requested_at=now)
    row = scope.connection.execute(own).fetchone()
    if row is not None:
        return of_row(row), True
    # The first time counts.
    moment = func.coalesce(_j.c.cancel_requested_at, literal(now, _j.c.cancel_requested_at.type))
    row = scope.connection.execute(asked.where(_j.c.status == "running").values(cancel_requested_at=moment)).fetchone()
    return (of_row(row), False) if row is not None else None


def requeue(scope: Scope, job_id: str) -> Job | None:
    """Put a job that failed or was cancelled back in the queue. None when it is not there, or is neither."""
    again = (
        update(_j)
        .where(_j.c.project_id == scope.project_id, _j.c.id == job_id, _j.c.status.in_(("failed", "cancelled")))
        .values(status="queued", attempts=0, error=None, worker=None, finished_at=None, cancel_requested_at=None)
    )
    row = scope.connection.execute(again.returning(_j)).fetchone()
    return of_row(row) if row is not None else None


def of_row(row: Row[Any]) -> Job:
    """The job in a row of the table."""
    return Job(
        id=row.id,
        project_id=row.project_id,
        kind=row.kind,
        subject=row.subject,
        arguments=jsontext.loads(row.arguments),
        status=row.status,
        progress=Progress(**jsontext.loads(row.progress)) if row.progress else Progress(),
        attempts=row.attempts,
        runs=row.runs,
        error=jsontext.loads(row.error) if row.error else None,
        worker=bytes(row.worker) if row.worker is not None else None,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        cancel_requested_at=row.cancel_requested_at,
    )


def _mine(scope: Scope) -> Any:
    return select(_j).where(_j.c.project_id == scope.project_id)


def _text(job: NewJob) -> str:
    return jsontext.dumps(dict(job.arguments)).decode()
