"""The rows of imports."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, update

from convstore.domain import jsontext
from convstore.domain.report import Report
from convstore.domain.transfers import Import
from convstore.storage import files, listing, tables
from convstore.storage.scope import Scope

_m = tables.imports


def add(scope: Scope, made: Import) -> None:
    """Put an import on record."""
    scope.connection.execute(
        _m.insert().values(
            project_id=scope.project_id,
            id=made.id,
            api_key_id=made.api_key_id,
            format=made.format,
            ids=made.ids,
            dry_run=made.dry_run,
            status=made.status,
            created_at=made.created_at,
            expires_at=made.expires_at,
        )
    )


def get(scope: Scope, import_id: str) -> Import | None:
    """The import with this id."""
    row = scope.connection.execute(_mine(scope).where(_m.c.id == import_id)).fetchone()
    return _import(row) if row is not None else None


def listed(
    scope: Scope, limit: int, *, newest_first: bool, after: str | None = None, before: str | None = None
) -> list[Import]:
    """Imports in order of age; with *before* alone the last ones in front of it."""
    rows = listing.page(scope, _mine(scope), _m.c.id, limit, newest_first=newest_first, after=after, before=before)
    return [_import(row) for row in rows]


def arrived(scope: Scope, import_id: str, size: int, job_id: str) -> None:
    """Say that its file is here, and which job brings it in."""
    change(scope, import_id, status="queued", bytes=size, job_id=job_id)


def change(scope: Scope, import_id: str, **values: Any) -> bool:
    """Say how it stands."""
    own = update(_m).where(_m.c.project_id == scope.project_id, _m.c.id == import_id)
    return scope.connection.execute(own.values(**values)).rowcount > 0


def note(scope: Scope, import_id: str, report: Report, position: int) -> None:
    """Say how far it is, in the transaction of what it did: the whole report, and how many records are done with."""
    change(scope, import_id, report=jsontext.dumps(report.as_dict()).decode(), position=position)


def due(scope: Scope, now: datetime) -> list[str]:
    """Those whose files nobody needs any more: uploads that broke off, and what failed a while ago."""
    query = select(_m.c.id).where(_m.c.project_id == scope.project_id, _m.c.expires_at <= now)
    return [row.id for row in scope.connection.execute(query.where(_m.c.status.not_in(("queued", "in_progress"))))]


def remove(scope: Scope, import_id: str) -> None:
    """Take it off the record, with its file."""
    files.drop(scope, import_id)
    scope.connection.execute(_m.delete().where(_m.c.project_id == scope.project_id, _m.c.id == import_id))


def _mine(scope: Scope) -> Any:
    return select(_m).where(_m.c.project_id == scope.project_id)


def _import(row: Row[Any]) -> Import:
    columns = row._mapping
    plain = "id status created_at format ids dry_run job_id api_key_id position finished_at expires_at".split()
    return Import(**{name: columns[name] for name in plain}, size=columns["bytes"], report=jsontext.loads(row.report))
