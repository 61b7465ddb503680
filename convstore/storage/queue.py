"""The queue of jobs as workers see it: across projects, like everywhere.py, and for the same reason.

A job is taken by one statement that finds it and marks it: PostgreSQL's SKIP LOCKED lets every worker find another
one, SQLite's one writer lets them look one after the other. From then on it is *held*, by that worker in that run,
and every write about it says so: whoever wrote about a run that is over finds no row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, String, and_, delete, func, literal_column, select, update

from convstore import ids
from convstore.domain import jsontext
from convstore.domain.job import FINISHED, Job, Progress
from convstore.storage import direct, tables
from convstore.storage.database import Database
from convstore.storage.jobs import of_row
from convstore.storage.types import micros

_j = tables.jobs
_s = tables.job_steps
_p = tables.projects
_o = tables.processes


@dataclass(frozen=True, slots=True)
class Held:
    """A job that a worker has begun, for the *runs*th time."""

    project_id: str
    id: str
    kind: str
    subject: str | None
    arguments: dict[str, Any]
    attempts: int
    runs: int
    worker: bytes


# Both say which worker and which run.
Holding = Held | Job


@dataclass(frozen=True, slots=True)
class End:
    """How a job ended. progress: when it is another than was noted last."""

    status: str
    at: datetime
    error: Mapping[str, Any] | None = None
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class Depth:
    """The queue of one kind, over all projects. oldest_at: since when its first job is waiting."""

    kind: str
    queued: int = 0
    running: int = 0
    failed: int = 0
    oldest_at: datetime | None = None


# -- one job after the other ----------------------------------------------------------------------------------


def take(database: Database, worker: bytes, kinds: Sequence[str], now: datetime) -> Held | None:
    """Begin the oldest job of these kinds, if there is one: nobody else has it then. Asked fifty times a second.

    A worker that others have taken for dead gets nothing before it has entered again: they would take that, too.
    """
    values = (worker, micros(now), *kinds, worker)
    if not database.is_sqlite:
        with direct.reading(database) as cursor:
            row = cursor.execute(_take(len(kinds), " FOR UPDATE SKIP LOCKED"), values).fetchone()
    else:
        # Looking costs others nothing; taking needs the place of the one writer.
        with direct.reading(database) as cursor:
            if cursor.execute(_find("1", len(kinds)), tuple(kinds)).fetchone() is None:
                return None
        with direct.writing(database) as cursor:
            row = cursor.execute(_take(len(kinds), ""), values).fetchone()
    if row is None:
        return None
    project, own, kind, subject, arguments, attempts, runs = row
    return Held(
        project_id=ids.unpack(ids.PROJECT, bytes(project)),
        id=ids.unpack(ids.JOB, bytes(own)),
        kind=kind,
        subject=subject,
        arguments=jsontext.loads(arguments),
        attempts=attempts,
        runs=runs,
        worker=worker,
    )


@lru_cache(maxsize=64)
def _find(columns: str, kinds: int) -> str:
    # The status is a literal: only so is the partial index on it used.
    marks = ", ".join("?" * kinds)
    return f"SELECT {columns} FROM jobs WHERE status = 'queued' AND kind IN ({marks}) ORDER BY id LIMIT 1"


@lru_cache(maxsize=64)
def _take(kinds: int, locking: str) -> str:
    return (
        "UPDATE jobs SET status = 'running', worker = ?, attempts = attempts + 1, runs = runs + 1,"
        " started_at = COALESCE(started_at, ?)"
        f" WHERE (project_id, id) = ({_find('project_id, id', kinds)}{locking})"
        " AND EXISTS (SELECT 1 FROM processes WHERE processes.id = ?)"
        " RETURNING project_id, id, kind, subject, arguments, attempts, runs"
    )


def note(connection: Connection, held: Holding, progress: Progress) -> bool:
    """Write down how far a job is. False when it is no longer this worker's, here and below."""
    return _change(connection, held, progress=jsontext.dumps(progress.as_dict()).decode())


def give_back(connection: Connection, held: Holding, *, counts: bool) -> bool:
    """Put a job back in the queue. counts: as an attempt, because something went wrong."""
    return _change(connection, held, status="queued", worker=None, attempts=held.attempts - (not counts))


def end(connection: Connection, held: Holding, ending: End) -> bool:
    """Finish a job. What it remembers of its steps goes when nobody will go on from there."""
    values: dict[str, Any] = {"status": ending.status, "finished_at": ending.at}
    if ending.error is not None:
        values["error"] = jsontext.dumps(dict(ending.error)).decode()
    if ending.progress is not None:
        values["progress"] = jsontext.dumps(ending.progress.as_dict()).decode()
    done = _change(connection, held, **values)
    if done and ending.status == "completed":
        connection.execute(delete(_s).where(_s.c.job_id == held.id))
    return done


def is_held(connection: Connection, held: Holding) -> bool:
    """Whether a job is still this worker's; nobody takes it over before the end of the transaction."""
    query = select(_j.c.id).where(_is_of(held)).with_for_update()
    return connection.execute(query).fetchone() is not None


def steps(connection: Connection, job_id: str) -> dict[str, Any]:
    """The results of the steps that are done, by name."""
    rows = connection.execute(select(_s.c.name, _s.c.result).where(_s.c.job_id == job_id))
    return {row.name: jsontext.loads(row.result) for row in rows}


def add_step(connection: Connection, held: Holding, name: str, result: Any) -> None:
    """Remember that a step is done, and with what result."""
    text = jsontext.dumps(result).decode()
    connection.execute(_s.insert().values(job_id=held.id, name=name, result=text))


# -- many -----------------------------------------------------------------------------------------------------


def left_by(connection: Connection, workers: Sequence[bytes]) -> list[Job]:
    """What these workers had begun and not ended."""
    return [of_row(row) for row in connection.execute(select(_j).where(_runs(), _j.c.worker.in_(workers)))]


def ownerless(connection: Connection) -> list[bytes]:
    """Workers that have begun something and are not among the processes."""
    query = select(_j.c.worker).where(_runs(), ~select(_o.c.id).where(_o.c.id == _j.c.worker).exists())
    return [bytes(row.worker) for row in connection.execute(query.distinct())]


def find(connection: Connection, job_id: str, project: str | None = None) -> tuple[str, Job] | None:
    """(project, job) of this id, whoever's it is, or only of the project with this name: a look into each project."""
    query = _of_projects(project).where(_j.c.id == job_id)
    row = connection.execute(query).fetchone()
    return (row.project, of_row(row)) if row is not None else None


def newest(
    connection: Connection, limit: int, project: str | None = None, status: str | None = None, kind: str | None = None
) -> list[tuple[str, Job]]:
    """(project, job) of the newest jobs, of all projects or of the one with this name."""
    query = _of_projects(project)
    for column, wanted in ((_j.c.status, status), (_j.c.kind, kind)):
        if wanted is not None:
            query = query.where(column == wanted)
    rows = connection.execute(query.order_by(_j.c.id.desc()).limit(limit))
    return [(row.project, of_row(row)) for row in rows]


def depths(connection: Connection) -> list[Depth]:
    """How many jobs of each kind are waiting, running and failed. One statement, from three small indexes."""
    counted = func.count().label("number")
    parts = [
        select(_j.c.kind, _j.c.status, counted, func.min(_j.c.created_at).label("oldest"))
        .where(_j.c.status == _literal(status))
        .group_by(_j.c.kind, _j.c.status)
        for status in ("queued", "running", "failed")
    ]
    found: dict[str, dict[str, Any]] = {}
    for row in connection.execute(parts[0].union_all(*parts[1:])):
        of_kind = found.setdefault(row.kind, {})
        of_kind[row.status] = row.number
        if row.status == "queued":
            of_kind["oldest_at"] = row.oldest
    return [Depth(kind, **figures) for kind, figures in sorted(found.items())]


def forget(connection: Connection, before: datetime, limit: int) -> int:
    """Delete jobs that finished before this moment, with what is left of their steps. Returns how many."""
    query = select(_j.c.project_id, _j.c.id).where(_j.c.finished_at < before).limit(limit)
    old = [(row.project_id, row.id) for row in connection.execute(query)]
    for project_id, job_id in old:
        still = and_(_j.c.project_id == project_id, _j.c.id == job_id, _j.c.status.in_(FINISHED))
        if connection.execute(delete(_j).where(still)).rowcount:
            connection.execute(delete(_s).where(_s.c.job_id == job_id))
    return len(old)


def _of_projects(name: str | None) -> Any:
    query = select(_j, _p.c.name.label("project")).join(_p, _p.c.id == _j.c.project_id)
    return query if name is None else query.where(_p.c.name == name)


def _change(connection: Connection, held: Holding, **values: Any) -> bool:
    return connection.execute(update(_j).where(_is_of(held)).values(**values)).rowcount > 0


def _is_of(held: Holding) -> ColumnElement[bool]:
    return and_(
        _j.c.project_id == held.project_id,
        _j.c.id == held.id,
        _j.c.status == "running",
        _j.c.worker == held.worker,
        _j.c.runs == held.runs,
    )


def _runs() -> ColumnElement[bool]:
    return _j.c.status == _literal("running")


def _literal(status: str) -> ColumnElement[str]:
    # In the text of the statement, not a parameter: a planner must see it to use the index of that status.
    return literal_column(f"'{status}'", String)
