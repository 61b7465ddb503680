"""A store with trees in it, and both ways for a command to get there: its database, and a service on a socket."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from werkzeug.serving import make_server

from convstore import bootstrap
from convstore.app import create_app
from convstore.config import Settings
from convstore.errors import ConvstoreError
from convstore.services import jobs, keys, recovery
from convstore.services.deps import Deps
from convstore.services.kinds import KINDS
from convstore.services.running_job import Cancelled, RunningJob
from convstore.storage import queue
from convstore.telemetry import logs
from tests.cli.conftest import Ran, Shell
from tests.conftest import Client, upstream_settings
from tests.local_upstream import LocalUpstream, answer, message


def once(test: Any) -> Any:
    """A test of what depends neither on the engine nor on the door."""
    test = pytest.mark.parametrize("house", ["database"], indirect=True)(test)
    return pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)(test)


@dataclass
class House:
    """The store, its clients, and a shell. door: the options that lead a command to Acme's part of it."""

    shell: Shell
    deps: Deps
    upstream: LocalUpstream
    alice: Client
    carol: Client
    url: str
    database_url: str
    door: tuple[str, ...] = ()

    @property
    def is_remote(self) -> bool:
        return "--url" in self.door

    def run(self, *arguments: str) -> Ran:
        return self.shell.run(*arguments, *self.door)

    def output(self, *arguments: str) -> str:
        return self.shell.output(*arguments, *self.door)

    def ask(self, question: str, says: str, after: str | None = None) -> str:
        """A turn; its id."""
        self.upstream.will(answer(message(says)))
        return str(self.alice.ask(question, after=after)["id"])

    def chain(self, *questions: str) -> list[str]:
        """Turns behind one another, each answered by the answer to its question."""
        made: list[str] = []
        for question in questions:
            made.append(self.ask(question, f"Answer to {question}", made[-1] if made else None))
        return made

    @contextmanager
    def worker(self) -> Iterator[None]:
        """Somebody who runs jobs, and is known to."""
        settings = Settings(
            database_url=self.database_url, upstreams=(upstream_settings(self.upstream),), key_cache_s=0.0
        )
        over = threading.Event()
        with bootstrap.working(settings, role="worker") as deps:
            recovery.enter(deps)
            thread = threading.Thread(target=_work, args=(deps, over))
            thread.start()
            try:
                yield
            finally:
                over.set()
                thread.join(30)
                recovery.leave(deps)


@contextmanager
def built(shell: Shell, database_url: str, upstream: LocalUpstream, *, remote: bool) -> Iterator[House]:
    """A house with noise in it."""
    # Its service runs in this process, where commands are heard.
    logs.configure("critical", "console")
    settings = Settings(database_url=database_url, upstreams=(upstream_settings(upstream),), key_cache_s=0.0)
    with bootstrap.working(settings) as deps:
        recovery.enter(deps)
        app = create_app(settings, deps)
        alice, carol = (Client(app, keys.create(deps, project)[1]) for project in ("acme", "globex"))
        for client in (alice, carol):
            client.ask("Noise, second turn", after=client.ask("Noise, first turn")["id"])
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        door = ("--url", url, "--key", alice.key) if remote else ("--project", "acme")
        try:
            yield House(shell, deps, upstream, alice, carol, url, database_url, door)
        finally:
            server.shutdown()
            thread.join(10)
            server.server_close()


def _work(deps: Deps, over: threading.Event) -> None:
    while not over.wait(0.02):
        held = queue.take(deps.database, deps.process, list(KINDS), deps.clock())
        if held is None:
            continue
        job = RunningJob(deps.database, held)
        status, error = "completed", None
        try:
            KINDS[held.kind].run(deps, job)
        except Cancelled:
            status = "cancelled"
        except ConvstoreError as failed:
            status, error = "failed", {"code": failed.code, "message": failed.message}
        jobs.finish(deps, held, status, error, job.unsaid)
