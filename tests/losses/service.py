"""The service as processes that are killed, and clients on bare sockets that leave when they like.

Starting and stopping is tests/acceptance/service.py's. Every process is ended by its own id.
"""

import http.client
import json
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil
from werkzeug.datastructures import Headers
from werkzeug.test import TestResponse

from convstore import bootstrap
from convstore.config import Settings
from convstore.services import keys
from tests.acceptance.service import Service, Shell
from tests.conftest import Client
from tests.local_upstream import wait_until
from tests.losses import providers
from tests.losses.providers import DeadEnds

PATIENCE_S = 30.0


def shell(directory: Path, database_url: str, upstream_url: str, nowhere: DeadEnds, **settings: str) -> Shell:
    """A shell whose service has this database and the providers of providers.py."""
    upstreams = providers.settings(upstream_url, nowhere)
    return Shell(
        directory,
        {
            "CONVSTORE_DATABASE_URL": database_url,
            "CONVSTORE_CONFIG": str(providers.configuration(directory / "convstore.toml", upstreams)),
            "CONVSTORE_GRACEFUL_S": "3",
            **settings,
        },
    )


@contextmanager
def serving(shell: Shell) -> Iterator[Service]:
    """A service all of whose workers have taken up work; nothing of it is left afterwards, killed or not."""
    with shell.serving() as service:
        wanted = int(shell.settings.get("CONVSTORE_WORKERS", "2"))
        wait_until(lambda: len(ready(service)) == wanted, PATIENCE_S)
        family = processes(service)
        try:
            yield service
        finally:
            # A killed master leaves its workers to themselves.
            if service.process.poll() is not None:
                _kill(family)


def key(database_url: str, project: str = "acme") -> str:
    """The text of a new key."""
    with bootstrap.working(Settings(database_url=database_url)) as deps:
        return keys.create(deps, project)[1]


def ready(service: Service) -> list[int]:
    """The workers that have said so and are still there."""
    said = {line.get("pid") for line in service.log_entries() if line.get("event") == "worker_ready"}
    return [pid for pid in service.workers if pid in said]


def processes(service: Service) -> list[psutil.Process]:
    """The service's processes, the master first."""
    master = psutil.Process(service.pid)
    return [master, *master.children(recursive=True)]


def kill(service: Service) -> None:
    """kill -9 for the master and every worker, at once."""
    _kill(processes(service))
    service.process.wait(PATIENCE_S)


def kill_worker(pid: int) -> None:
    """kill -9 for one worker."""
    psutil.Process(pid).kill()


@dataclass(frozen=True)
class Call:
    """A connection of a worker to an upstream."""

    pid: int
    port: int


def calls_of(service: Service, upstream_port: int) -> list[Call]:
    """The workers' connections to the upstream at this port."""
    return [
        Call(pid, each.laddr.port)
        for pid in service.workers
        for each in psutil.Process(pid).net_connections("tcp")
        if each.raddr and each.raddr.port == upstream_port and each.status == psutil.CONN_ESTABLISHED
    ]


def _kill(family: list[psutil.Process]) -> None:
    for process in family:
        if process.is_running():
            process.kill()
    # Not until they are gone: whoever inherits a dead master's workers may take seconds to collect them.
    wait_until(lambda: all(map(_is_dead, family)), PATIENCE_S)


def _is_dead(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@dataclass
class Remote(Client):
    """A client of a running service, with the verbs of the one in conftest.py. app is the service."""

    app: Any
    key: str

    def __post_init__(self) -> None:
        """There is no Flask here."""

    def open(self, method: str, path: str, **kwargs: Any) -> Any:
        answered = self.app.send(method, path, kwargs.get("json"), key=self.key, headers=kwargs.get("headers"))
        return TestResponse([answered.raw], str(answered.status), Headers(answered.headers), request=None)


@dataclass
class Wire:
    """A client on a bare socket. It reads when it is told to, and leaves when it is told to."""

    port: int
    key: str
    # Bytes that the system keeps for a client that does not read; 0 is as many as it likes.
    buffer: int = 0
    connection: socket.socket = field(init=False)
    received: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.connection = socket.socket()
        if self.buffer:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.buffer)
        self.connection.settimeout(PATIENCE_S)
        self.connection.connect(("127.0.0.1", self.port))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def ask(self, input: Any = "Hello?", *, after: str | None = None, **members: Any) -> Self:
        """Send a create request, and read nothing."""
        body = {"model": "gpt-5.4", "input": input, **members}
        if after is not None:
            body["previous_response_id"] = after
        raw = json.dumps(body).encode()
        self.say(
            f"POST /v1/responses HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n".encode()
            + raw
        )
        return self

    def say(self, data: bytes) -> None:
        self.connection.sendall(data)

    def until(self, marker: bytes) -> bytes:
        """Read until these bytes have come; everything so far."""
        seen = 0
        while self.received.find(marker, max(0, seen - len(marker))) < 0:
            seen = len(self.received)
            data = self.connection.recv(1_000_000)
            assert data, f"the connection ended before {marker!r}: {self.received[-500:]!r}"
            self.received += data
        return bytes(self.received)

    def answer(self) -> http.client.HTTPResponse:
        """The head of the answer, by the standard library's client; nothing may have been read before."""
        answered = http.client.HTTPResponse(self.connection)
        answered.begin()
        return answered

    def leave(self) -> None:
        """Close the connection, as a client does that has seen enough."""
        self.connection.close()

    def vanish(self) -> None:
        """Close it with a reset, as the system does for a client that was killed."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    @property
    def response_id(self) -> str:
        """The id in the first event."""
        return self.until(b'"id":"resp_').partition(b'"id":"')[2][:37].decode()
