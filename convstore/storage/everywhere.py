"""The queries that look across projects: keys, projects, and what dead processes left behind.

Each is here because it cannot know its project beforehand; those about jobs are in queue.py. Nothing else may.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, text, update

from convstore import ids
from convstore.domain.project import ProjectSettings, settings_of
from convstore.storage import tables
from convstore.storage.types import deflate
from convstore.storage.vault import Vault, asking

_p = tables.projects
_k = tables.api_keys
_r = tables.running
_o = tables.processes
_j = tables.journal
_jobs = tables.jobs
_n = tables.epochs
_e = tables.exchanges


@dataclass(frozen=True, slots=True)
class Key:
    """An API key as the store knows it: never the key itself."""

    id: str
    project_id: str
    project: str
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Project:
    """A project and what it has chosen."""

    id: str
    name: str
    settings: ProjectSettings
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Process:
    """A process of the service, on whatever machine. role: "web", or "worker" when it runs jobs."""

    id: bytes
    host: str
    pid: int
    started_at: datetime
    seen_at: datetime
    role: str = "web"
    # Up to which number of `epochs` it has forgotten what is stored (storage/memory.py).
    epoch: int | None = None


_KEY = select(_k, _p.c.name.label("project"), _p.c.settings.label("chosen")).join(_p, _p.c.id == _k.c.project_id)


def project_id(connection: Connection, name: str, now: datetime) -> str:
    """The project of this name, made if it is not there. Inside a transaction."""
    found = connection.execute(select(_p.c.id).where(_p.c.name == name)).scalar()
    if found is not None:
        return str(found)
    made = ids.new(ids.PROJECT)
    connection.execute(insert(_p).values(id=made, name=name, created_at=now))
    return made


def projects(connection: Connection) -> list[Project]:
    """All projects, newest last."""
    return [_project(row) for row in connection.execute(select(_p).order_by(_p.c.id))]


def project(connection: Connection, name: str, *, for_update: bool = False) -> Project | None:
    """The project of this name. for_update: inside a transaction, with nobody changing it until the end."""
    query = select(_p).where(_p.c.name == name)
    row = connection.execute(query.with_for_update() if for_update else query).fetchone()
    return _project(row) if row is not None else None


def project_of(connection: Connection, project_id: str) -> Project | None:
    """The project with this id."""
    row = connection.execute(select(_p).where(_p.c.id == project_id)).fetchone()
    return _project(row) if row is not None else None


def set_project(connection: Connection, project_id: str, settings: ProjectSettings) -> None:
    """Give a project other settings."""
    connection.execute(update(_p).where(_p.c.id == project_id).values(settings=settings.as_json()))


def add_key(connection: Connection, key: Key, sha256: bytes) -> None:
    """Store a new key by the digest of its text."""
    connection.execute(
        insert(_k).values(
            id=key.id,
            project_id=key.project_id,
            name=key.name,
            prefix=key.prefix,
            sha256=sha256,
            scopes=" ".join(key.scopes),
            created_at=key.created_at,
            expires_at=key.expires_at,
        )
    )


def key_by_digest(connection: Connection, sha256: bytes) -> tuple[Key, ProjectSettings] | None:
    """The key whose text has this digest, and what its project has chosen."""
    row = connection.execute(_KEY.where(_k.c.sha256 == sha256)).fetchone()
    return (_key(row), settings_of(row.chosen)) if row is not None else None


def keys(connection: Connection, project: str | None = None) -> list[Key]:
    """All keys, newest last; of one project if it is named."""
    query = _KEY.order_by(_k.c.id)
    if project is not None:
        query = query.where(_p.c.name == project)
    return [_key(row) for row in connection.execute(query)]


def revoke_key(connection: Connection, key_id: str, now: datetime) -> str | None:
    """End a key's life; the project it opened. None when there is no such key, or it was revoked before."""
    query = update(_k).where(_k.c.id == key_id, _k.c.revoked_at.is_(None)).values(revoked_at=now)
    project_id: str | None = connection.execute(query.returning(_k.c.project_id)).scalar()
    return project_id


def touch_key(connection: Connection, key_id: str, now: datetime) -> None:
    """Note that a key was used."""
    connection.execute(update(_k).where(_k.c.id == key_id).values(last_used_at=now))


def with_rules(connection: Connection) -> list[str]:
    """The projects that have retention rules."""
    rows = connection.execute(select(tables.retention_rules.c.project_id).distinct())
    return [row.project_id for row in rows]


# -- processes and what they are working on -------------------------------------------------------------------


def enter(connection: Connection, process: Process) -> None:
    """Announce a process, which remembers nothing yet."""
    connection.execute(
        insert(_o).values(
            epoch=select(func.coalesce(func.max(_n.c.number), 0)).scalar_subquery(),
            id=process.id,
            host=process.host,
            pid=process.pid,
            role=process.role,
            started_at=process.started_at,
            seen_at=process.seen_at,
        )
    )


def beat(connection: Connection, process_id: bytes, now: datetime) -> bool:
    """Say that a process is alive. False when others have taken it for dead."""
    return connection.execute(update(_o).where(_o.c.id == process_id).values(seen_at=now)).rowcount > 0


def epoch(connection: Connection) -> int:
    """The number behind which processes forget what they take for stored."""
    return int(connection.execute(select(func.coalesce(func.max(_n.c.number), 0))).scalar_one())


def acknowledge(connection: Connection, process_id: bytes, number: int) -> None:
    """Say that a process has forgotten everything from before that."""
    connection.execute(update(_o).where(_o.c.id == process_id).values(epoch=number))


def leave(connection: Connection, process_id: bytes) -> None:
    """Forget a process that has nothing running any more."""
    still = select(_r.c.exchange_id).where(_r.c.process_id == process_id).exists()
    jobs = select(_jobs.c.id).where(_jobs.c.worker == process_id, text("jobs.status = 'running'")).exists()
    connection.execute(delete(_o).where(_o.c.id == process_id, ~still, ~jobs))


def processes(connection: Connection) -> list[Process]:
    """Every process that has not left."""
    return [
        Process(bytes(row.id), row.host, row.pid, row.started_at, row.seen_at, row.role, row.epoch)
        for row in connection.execute(select(_o))
    ]


def abandoned(connection: Connection, process_ids: Sequence[bytes], limit: int) -> list[tuple[str, str]]:
    """(project id, exchange id) of exchanges that these processes had begun and not ended.

    Without those in the background: a worker goes on with them.
    """
    waits = select(_e.c.id).where(
        _e.c.project_id == _r.c.project_id, _e.c.id == _r.c.exchange_id, _e.c.background.is_not(None)
    )
    query = select(_r.c.project_id, _r.c.exchange_id).where(_r.c.process_id.in_(process_ids), ~waits.exists())
    query = query.limit(limit)
    return [(row.project_id, row.exchange_id) for row in connection.execute(query)]


def ownerless(connection: Connection, limit: int) -> list[bytes]:
    """Processes that have work on record but no entry of their own."""
    query = select(_r.c.process_id).where(~select(_o.c.id).where(_o.c.id == _r.c.process_id).exists())
    return [bytes(row.process_id) for row in connection.execute(query.distinct().limit(limit))]


def journal(connection: Connection, exchange_id: str, vault: Vault | None = None) -> list[bytes]:
    """What had arrived of a stream, in the order it came."""
    query = select(_j.c.events).where(_j.c.exchange_id == exchange_id).order_by(_j.c.part)
    exchange, ask = ids.pack(ids.EXCHANGE, exchange_id) or b"", asking(connection)
    vault = vault or Vault()
    return [vault.part(ask, exchange, row.events) for row in connection.execute(query).fetchall()]


def write_journal(
    connection: Connection,
    parts: Sequence[tuple[str, int, bytes]],
    vault: Vault | None = None,
    projects: Mapping[str, str] | None = None,
) -> None:
    """Add (exchange id, part number, event bytes) rows. projects: whose the exchanges are; only those are sealed."""
    rows = []
    for exchange, part, events in parts:
        project = (projects or {}).get(exchange)
        if vault is not None and vault.seals and project is not None:
            own = ids.pack(ids.EXCHANGE, exchange) or b""
            events = vault.sealed_part(asking(connection), project, own, deflate(events))
        rows.append({"exchange_id": exchange, "part": part, "events": events})
    connection.execute(insert(_j), rows)


def _project(row: Row[Any]) -> Project:
    return Project(row.id, row.name, settings_of(row.settings), row.created_at)


def _key(row: object) -> Key:
    columns = row._mapping  # type: ignore[attr-defined]
    return Key(
        id=columns["id"],
        project_id=columns["project_id"],
        project=columns["project"],
        name=columns["name"],
        prefix=columns["prefix"],
        scopes=tuple(columns["scopes"].split()),
        created_at=columns["created_at"],
        expires_at=columns["expires_at"],
        revoked_at=columns["revoked_at"],
        last_used_at=columns["last_used_at"],
    )
