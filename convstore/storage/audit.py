"""The audit log's rows: written for calls that change nothing, read, and read again to be checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, select

from convstore import ids
from convstore.domain.audit import Commits
from convstore.domain.calls import Call
from convstore.storage import listing, tables
from convstore.storage.database import Database
from convstore.storage.rows import transact_entry
from convstore.storage.scope import Scope
from convstore.storage.strands import Strands, new_id

_a = tables.audit_log


@dataclass(frozen=True, slots=True)
class Written:
    """An entry, to be shown. at: microseconds since 1970."""

    id: str
    at: int
    action: str
    outcome: str
    detail: str | None
    actor: str
    api_key_id: str | None
    object_id: str | None
    request_id: str | None
    remote: str | None
    agent: str | None
    commits: str | None
    strand: str
    number: int
    links: bytes | None
    seal: str


def write(database: Database, strands: Strands, call: Call, outcome: str, detail: str | None) -> None:
    """Write the entry of a call by itself. Raises StorageUnavailable."""
    assert call.project_id is not None
    transact_entry(database, strands, call.project_id, call.entry(new_id(), strands.now(), outcome, detail), call)


def conditions(
    scope: Scope,
    *,
    plain: Mapping[str, str | None],
    api_key_id: str | None,
    request_id: str | None,
    since: datetime | None,
    until: datetime | None,
) -> list[ColumnElement[bool]]:
    """What the entries of a list have in common."""
    found: list[ColumnElement[bool]] = [_a.c.project_id == scope.project_id]
    exchange = ids.pack(ids.EXCHANGE, plain.get("object") or "")
    for name, wanted in plain.items():
        if wanted is None:
            continue
        if name == "object" and exchange is not None:
            # The entry that begins an exchange has its id.
            begins = (_a.c.id == ids.unpack(ids.ENTRY, exchange)) & (_a.c.commits == str(Commits.REQUEST))
            found.append((_a.c.object == wanted) | begins)
        else:
            found.append(_a.c[name] == wanted)
    for column, value in ((_a.c.api_key_id, api_key_id), (_a.c.request_id, request_id)):
        if value is not None:
            found.append(column == value)
    if since is not None:
        found.append(_a.c.at >= since)
    if until is not None:
        found.append(_a.c.at < until)
    return found


def has(scope: Scope, conditions: Sequence[ColumnElement[bool]], entry_id: str) -> bool:
    """Whether an entry is in a list."""
    return scope.connection.execute(select(_a.c.id).where(*conditions, _a.c.id == entry_id)).fetchone() is not None


def listed(
    scope: Scope,
    conditions: Sequence[ColumnElement[bool]],
    limit: int,
    *,
    newest_first: bool,
    after: str | None = None,
    before: str | None = None,
) -> list[Written]:
    """At most *limit* entries. after and before are ids, exclusive, in the direction of the list."""
    query = select(_a).where(*conditions)
    rows = listing.page(scope, query, _a.c.id, limit, newest_first=newest_first, after=after, before=before)
    return [_written(row) for row in rows]


def _written(row: Row[Any]) -> Written:
    begins = row.commits == Commits.REQUEST and row.object is None
    return Written(
        id=row.id,
        at=round(row.at.timestamp() * 1_000_000),
        action=row.action,
        outcome=row.outcome,
        detail=row.detail,
        actor=row.actor,
        api_key_id=row.api_key_id,
        object_id=ids.EXCHANGE + row.id[len(ids.ENTRY) :] if begins else row.object,
        request_id=row.request_id,
        remote=row.remote,
        agent=row.agent,
        commits=row.commits,
        strand=bytes(row.strand).hex(),
        number=row.number,
        links=row.links,
        seal=bytes(row.seal).hex(),
    )
