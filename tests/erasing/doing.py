"""Running the jobs of erasures here, as a worker would."""

from convstore.services import jobs
from convstore.services.deps import Deps
from convstore.services.running_job import RunningJob
from convstore.storage import queue, tables
from convstore.storage.types import inflate


def run(deps: Deps) -> RunningJob:
    """The oldest erasure in the queue, to its end."""
    job = taken(deps)
    deps.kinds[job.kind].run(deps, job)
    assert jobs.finish(deps, job.held, "completed", progress=job.unsaid)
    return job


def taken(deps: Deps) -> RunningJob:
    """The oldest erasure in the queue, begun."""
    held = queue.take(deps.database, deps.process, ["erasure"], deps.clock())
    assert held is not None
    return RunningJob(deps.database, held)


def dump(deps: Deps) -> bytes:
    """Every value of every table, bodies opened, as UTF-8."""
    found: list[bytes] = []
    with deps.database.connection() as connection:
        for table in tables.metadata.tables:
            for row in connection.exec_driver_sql(f'SELECT * FROM "{table}"').fetchall():
                for value in row:
                    if isinstance(value, bytes | memoryview):
                        found.append(inflate(bytes(value)))
                    elif value is not None:
                        found.append(str(value).encode())
    return b"\n".join(found)


def on_disk(deps: Deps) -> bytes:
    """What is in SQLite's file and its log."""
    from pathlib import Path

    path = str(deps.database.engine.url.database)
    files = [Path(path + end) for end in ("", "-wal", "-shm", "-journal")]
    return b"".join(each.read_bytes() for each in files if each.exists())
