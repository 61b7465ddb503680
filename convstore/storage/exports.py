"""The rows of exports."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, update

from convstore.domain import jsontext
from convstore.domain.transfers import OPEN, Export
from convstore.storage import files, listing, tables
from convstore.storage.scope import Scope

_x = tables.exports


def add(scope: Scope, export: Export) -> None:
    """Put an export on record."""
    filters = None if export.filters is None else scope.sealed(jsontext.dumps(dict(export.filters)).decode())
    scope.connection.execute(
        _x.insert().values(
            project_id=scope.project_id,
            id=export.id,
            job_id=export.job_id,
            api_key_id=export.api_key_id,
            format=export.format,
            scope=export.scope,
            filters=filters,
            status=export.status,
            created_at=export.created_at,
        )
    )


def get(scope: Scope, export_id: str) -> Export | None:
    """The export with this id."""
    row = scope.connection.execute(_mine(scope).where(_x.c.id == export_id)).fetchone()
    return _export(scope, row) if row is not None else None


def listed(
    scope: Scope, limit: int, *, newest_first: bool, after: str | None = None, before: str | None = None
) -> list[Export]:
    """Exports in order of age; with *before* alone the last ones in front of it."""
    rows = listing.page(scope, _mine(scope), _x.c.id, limit, newest_first=newest_first, after=after, before=before)
    return [_export(scope, row) for row in rows]


def begin(scope: Scope, export_id: str) -> int | None:
    """Begin its file anew: the number of this attempt. None when nobody wants it any more."""
    change = update(_x).where(_x.c.project_id == scope.project_id, _x.c.id == export_id, _x.c.status.in_(OPEN))
    change = change.values(status="in_progress", begun=_x.c.begun + 1).returning(_x.c.begun)
    begun = scope.connection.execute(change).scalar()
    if begun is not None:
        files.drop(scope, export_id)
    return begun


def write(scope: Scope, export_id: str, begun: int, number: int, body: bytes) -> bool:
    """Put a part of its file on disk, unless it was begun anew since: then False."""
    holding = select(_x.c.id).where(*_attempt(scope, export_id, begun)).with_for_update()
    if scope.connection.execute(holding).fetchone() is None:
        return False
    files.add(scope, export_id, number, body)
    return True


def finish(
    scope: Scope, export_id: str, begun: int, manifest: Mapping[str, Any], size: int, now: datetime, until: datetime
) -> bool:
    """Say that its file is complete, unless it was begun anew since: then False."""
    change = update(_x).where(*_attempt(scope, export_id, begun))
    written = jsontext.dumps(dict(manifest)).decode()
    values = {"manifest": written, "bytes": size, "status": "completed", "finished_at": now, "expires_at": until}
    return scope.connection.execute(change.values(**values)).rowcount > 0


def close(scope: Scope, export_id: str, status: str, now: datetime) -> None:
    """Say that it was cancelled or has failed, and drop what there is of its file."""
    change = update(_x).where(_x.c.project_id == scope.project_id, _x.c.id == export_id, _x.c.status.in_(OPEN))
    if scope.connection.execute(change.values(status=status, finished_at=now)).rowcount:
        files.drop(scope, export_id)


def reopen(scope: Scope, export_id: str) -> None:
    """Let one that failed or was cancelled be begun again."""
    change = update(_x).where(_x.c.project_id == scope.project_id, _x.c.id == export_id)
    change = change.where(_x.c.status.in_(("failed", "cancelled")))
    scope.connection.execute(change.values(status="queued", finished_at=None))


def expire(scope: Scope, export_id: str) -> bool:
    """Drop its file, and what says of whom it was."""
    change = update(_x).where(_x.c.project_id == scope.project_id, _x.c.id == export_id, _x.c.status == "completed")
    done = scope.connection.execute(change.values(status="expired", filters=None)).rowcount > 0
    if done:
        files.drop(scope, export_id)
    return done


def due(scope: Scope, now: datetime) -> list[str]:
    """Those whose files have been kept for long enough."""
    query = select(_x.c.id).where(_x.c.project_id == scope.project_id, _x.c.status == "completed")
    return [row.id for row in scope.connection.execute(query.where(_x.c.expires_at <= now))]


def remove(scope: Scope, export_id: str) -> None:
    """Take it off the record, with its file."""
    files.drop(scope, export_id)
    scope.connection.execute(_x.delete().where(_x.c.project_id == scope.project_id, _x.c.id == export_id))


def _attempt(scope: Scope, export_id: str, begun: int) -> tuple[Any, ...]:
    own = (_x.c.project_id == scope.project_id, _x.c.id == export_id)
    return *own, _x.c.begun == begun, _x.c.status == "in_progress"


def _mine(scope: Scope) -> Any:
    return select(_x).where(_x.c.project_id == scope.project_id)


def _export(scope: Scope, row: Row[Any]) -> Export:
    columns = row._mapping
    filters = scope.line(row.filters)
    return Export(
        id=row.id,
        format=row.format,
        scope=row.scope,
        status=row.status,
        created_at=row.created_at,
        filters=jsontext.loads(filters) if filters is not None else None,
        job_id=row.job_id,
        api_key_id=row.api_key_id,
        begun=row.begun,
        manifest=jsontext.loads(row.manifest) if row.manifest is not None else None,
        size=columns["bytes"],
        finished_at=row.finished_at,
        expires_at=row.expires_at,
    )
