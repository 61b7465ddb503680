"""The four that are measured, each as real processes on a free loopback port.

direct     the upstream itself
relay      the bare relay in front of it
sqlite     convstore on SQLite in front of it
postgres   convstore on PostgreSQL in front of it

All are up at the same time, so that rounds can be interleaved, and all are stopped on the way out.
"""

import http.client
import os
import socket
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import databases, processes

NAMES = ("direct", "relay", "sqlite", "postgres")
WORKERS = 2
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Server:
    """One way to the upstream. *pid* is the root of its processes; a stateful one remembers what was said.

    settings: the environment of its processes. log: where they write.
    """

    name: str
    port: int
    pid: int
    key: str = "sk-bench"
    database: databases.Database | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    log: Path = Path(os.devnull)

    @property
    def is_stateful(self) -> bool:
        """Whether `previous_response_id` works here."""
        return self.database is not None

    @property
    def database_pid(self) -> int | None:
        """Root of the database's own processes, if it has any."""
        return self.database.pid if self.database else None


@dataclass(frozen=True)
class House:
    """Everything that is up."""

    upstream_pid: int
    servers: list[Server]


@contextmanager
def running(names: list[str], burst: int) -> Iterator[House]:
    """Start the upstream and the servers called *names*. *burst*: events the upstream writes together."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)))
        folder.chmod(0o755)  # PostgreSQL's own user must get through
        upstream = stack.enter_context(upstream_running(folder, burst))
        servers = []
        for name in names:
            if name == "direct":
                servers.append(upstream)
            elif name == "relay":
                servers.append(stack.enter_context(relay_running(folder, upstream.port)))
            else:
                database = stack.enter_context(database_running(name, folder))
                servers.append(stack.enter_context(convstore_running(name, folder, upstream.port, database)))
        yield House(upstream.pid, servers)


@contextmanager
def upstream_running(folder: Path, burst: int) -> Iterator[Server]:
    """Start the upstream; it says its port when it is ready."""
    log = folder / "upstream.log"
    command = [sys.executable, "-m", "bench.upstream", "--burst", str(burst)]
    with processes.running(command, {}, log) as process:
        processes.wait_until(lambda: log.read_bytes().endswith(b"\n"), process, log)
        yield Server("direct", int(log.read_text()), process.pid)


@contextmanager
def relay_running(folder: Path, upstream_port: int) -> Iterator[Server]:
    """Start the bare relay under gunicorn."""
    port, log = free_port(), folder / "relay.log"
    command = [
        *(sys.executable, "-m", "gunicorn", "bench.relay:app", "--worker-class", "gevent"),
        *(
            "--workers",
            str(WORKERS),
            "--bind",
            f"{HOST}:{port}",
            "--timeout",
            "120",
            "--log-level",
            "warning",
        ),
    ]
    extra = {"BENCH_UPSTREAM_URL": f"http://{HOST}:{upstream_port}/v1"}
    with processes.running(command, extra, log) as process:
        processes.wait_until(lambda: is_healthy(port), process, log)
        yield Server("relay", port, process.pid)


@contextmanager
def database_running(name: str, folder: Path) -> Iterator[databases.Database]:
    """Provide an empty database of the engine *name*."""
    if name == "sqlite":
        yield databases.Sqlite(folder / "bench.db")
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a folder for sockets it can do without
        with databases.postgres(folder / "pg") as database:
            yield database


@contextmanager
def convstore_running(name: str, folder: Path, upstream_port: int, database: databases.Database) -> Iterator[Server]:
    """Prepare the database, create a key and start `convstore serve`."""
    port, log = free_port(), folder / f"{name}.log"
    extra = {
        "CONVSTORE_DATABASE_URL": database.url,
        "CONVSTORE_UPSTREAM_URL": f"http://{HOST}:{upstream_port}/v1",
        "CONVSTORE_UPSTREAM_KEY": "sk-bench",
        "CONVSTORE_HOST": HOST,
        "CONVSTORE_PORT": str(port),
        "CONVSTORE_WORKERS": str(WORKERS),
        "CONVSTORE_AUTH": "keys",
        # What is measured is answering requests; a worker that looks for jobs is a constant beside it. Where jobs are
        # measured, there is one: `worker_running`.
        "CONVSTORE_WORKER": "off",
    }
    convstore = [sys.executable, "-m", "convstore"]
    processes.output_of([*convstore, "db", "upgrade"], extra)
    key = processes.output_of([*convstore, "keys", "create", "--project", "bench"], extra)
    with processes.running([*convstore, "serve"], extra, log) as process:
        processes.wait_until(lambda: is_healthy(port), process, log)
        yield Server(name, port, process.pid, key, database, extra, log)


@contextmanager
def worker_running(server: Server) -> Iterator[int]:
    """Start a process that runs the jobs of a server that has a database; its id."""
    log = server.log.with_suffix(".worker.log")
    with processes.running([sys.executable, "-m", "convstore", "worker"], server.settings, log) as process:
        processes.wait_until(lambda: b"job_worker_ready" in log.read_bytes(), process, log)
        yield process.pid


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_healthy(port: int) -> bool:
    """Whether `GET /healthz` is answered with 200."""
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def raise_file_limit() -> None:
    """Allow this process and those it starts as many open files as the system lets us."""
    if os.name != "posix":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
