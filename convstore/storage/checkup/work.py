"""What has not ended, and who is at it."""

from typing import Any, NamedTuple

from sqlalchemy import func, literal, select, text

from convstore.storage import tables
from convstore.storage.checkup import UNFINISHED, following
from convstore.storage.scope import Scope

_e = tables.exchanges
_c = tables.conversations
_r = tables.running
_j = tables.jobs


class Unfinished(NamedTuple):
    """An exchange that waits for its answer, and who is at it."""

    id: str
    status: str
    background: str | None
    process: bytes | None
    has_job: bool


def unfinished(scope: Scope, after: str | None, *, only: str | None = None) -> list[Unfinished]:
    """The next exchanges that have not ended; or *only* this one, if it has not. Reads past all that have."""
    job = select(_j.c.id).where(
        # In the words of the partial index on subject.
        text("jobs.finished_at IS NULL AND jobs.subject IS NOT NULL"),
        _j.c.project_id == _e.c.project_id,
        _j.c.subject == literal("resp_").concat(_hex(scope)),
    )
    query = select(_e.c.id, _e.c.status, _e.c.background, _r.c.process_id, job.exists().label("has_job"))
    query = query.select_from(_e.outerjoin(_r, _r.c.exchange_id == _e.c.id)).where(_e.c.status.in_(UNFINISHED))
    if only is not None:
        query = query.where(_e.c.id == only)
    rows = scope.connection.execute(following(scope, query, after))
    return [
        Unfinished(row.id, row.status, row.background, bytes(row.process_id) if row.process_id else None, row.has_job)
        for row in rows
    ]


def ended_and_running(scope: Scope) -> list[str]:
    """Exchanges on record as running that have ended, or are not there."""
    query = select(_r.c.exchange_id).where(_r.c.project_id == scope.project_id, ~_goes_on(_r.c.exchange_id, scope))
    return list(scope.connection.execute(query.order_by(_r.c.exchange_id)).scalars())


def writers_that_ended(scope: Scope) -> list[tuple[str, str]]:
    """(conversation id, exchange id) where the exchange that was to append has ended, or is not there."""
    query = select(_c.c.id, _c.c.writer_id).where(
        _c.c.project_id == scope.project_id, _c.c.writer_id.is_not(None), ~_goes_on(_c.c.writer_id, scope)
    )
    return [(row.id, row.writer_id) for row in scope.connection.execute(query.order_by(_c.c.id))]


def _goes_on(exchange_id: Any, scope: Scope) -> Any:
    query = select(_e.c.id).where(_e.c.project_id == scope.project_id, _e.c.id == exchange_id)
    return query.where(_e.c.status.in_(UNFINISHED)).exists()


def _hex(scope: Scope) -> Any:
    """The digits of an exchange's id, in SQL: a job knows what it is about by the text of an id."""
    if scope.connection.dialect.name == "sqlite":
        return func.lower(func.hex(_e.c.id))
    return func.encode(_e.c.id, "hex")
