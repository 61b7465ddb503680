"""The service as its operators know it: commands at a shell, and processes on a loopback port.

    shell = Shell(directory, {"CONVSTORE_DATABASE_URL": …})
    shell.run("db", "upgrade")                     a command that ends
    with shell.serving() as service: …             `convstore serve`, ready, and killed by its process id

Nothing here knows convstore from inside.
"""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import psutil

from tests.local_upstream import blocks_of, wait_until

# Seconds that a command or a start may take on a busy machine; reaching them is a failure.
PATIENCE_S = 60.0
Done = subprocess.CompletedProcess[str]
# What the surroundings of a test run must not decide.
_NOT_INHERITED = re.compile(r"(CONVSTORE|OPENAI|PROMETHEUS|GUNICORN|PYTEST|UV)_|.*_proxy$|VIRTUAL_ENV$|PYTHON", re.I)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. headers: names in lower case."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events of a streamed answer."""
        return list(blocks_of(self.raw))


@dataclass
class Door:
    """Where the service is to be had: a port of this machine."""

    port: int = field(default=0, kw_only=True)

    @property
    def root_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What goes into an SDK."""
        return f"{self.root_url}/v1"

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        chunked: bool = False,
    ) -> Answer:
        """One request on a connection of its own, with these headers and no others but Host.

        body: bytes as they are, anything else as JSON; with its type, and its length unless it is chunked.
        """
        given = {"Authorization": f"Bearer {key}"} if key else {}
        if body is not None:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            size = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(len(raw))}
            raw = b"%x\r\n%b\r\n0\r\n\r\n" % (len(raw), raw) if chunked else raw
            given |= {"Content-Type": "application/json", **size}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in {**given, **(headers or {})}.items():
                connection.putheader(name, value)
            connection.endheaders(raw if body is not None else None)
            answered = connection.getresponse()
            found = {name.lower(): value for name, value in answered.getheaders()}
            return Answer(answered.status, found, answered.read())
        finally:
            connection.close()


@dataclass
class Service(Door):
    """A running `convstore serve`."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def workers(self) -> list[int]:
        """The process ids of the workers that answer requests, oldest first: forks of the master."""
        return sorted(set(_children(self.pid)) - set(self.job_workers))

    @property
    def job_workers(self) -> list[int]:
        """The process id of the worker that runs jobs, if the service has one."""
        return sorted(pid for pid, command in _children(self.pid).items() if "--child-of" in command)

    @property
    def log_text(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def log_entries(self) -> list[dict[str, Any]]:
        """The lines of the log. A line that is no JSON object is a failure."""
        return [dict(json.loads(line)) for line in self.log_text.splitlines()]

    def is_ready(self) -> bool:
        """Whether /readyz says so. A service that has ended is a failure."""
        assert self.process.poll() is None, f"the service ended: {self.log_text[-2000:]}"
        self.port = self.port or _listening(self.pid)
        try:
            return bool(self.port) and self.send("GET", "/readyz").status == 200
        except OSError:
            return False

    def terminate(self) -> None:
        """Ask it to stop."""
        self.process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        """Wait for its end; the exit code."""
        return self.process.wait(PATIENCE_S)


@dataclass(frozen=True)
class Shell:
    """A shell with convstore installed. settings: its CONVSTORE_* variables."""

    directory: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = (sys.executable, "-m", "convstore")

    def run(self, *arguments: str) -> Done:
        """A command that ends, whatever its exit code."""
        return self.running(*arguments)()

    def run_all(self, *commands: Sequence[str]) -> list[Done]:
        """Several commands at the same time."""
        return all_at_once(self.running(*arguments) for arguments in commands)

    def output(self, *arguments: str) -> str:
        """What a command that works says on standard output."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def running(self, *arguments: str) -> Callable[[], Done]:
        """A command to be run."""
        return lambda: subprocess.run(
            [*self.command, *arguments],
            cwd=self.directory,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )

    def with_settings(self, **settings: str) -> Self:
        """The same shell with other settings."""
        return replace(self, settings={**self.settings, **settings})

    @contextmanager
    def serving(self) -> Iterator[Service]:
        """A service that is ready to answer, on a port the system chooses."""
        service = self.begin_serving()
        try:
            wait_until(service.is_ready, PATIENCE_S)
            yield service
        finally:
            _end(service.process)

    def begin_serving(self) -> Service:
        """A service that is not ready yet, and that nobody stops."""
        return Service(*self.begin("serve"))

    def begin(self, *arguments: str) -> tuple[subprocess.Popen[bytes], Path]:
        """A command that goes on, and its log."""
        log = self.directory / f"{arguments[0]}-{os.urandom(4).hex()}.log"
        with log.open("wb") as written:
            process = subprocess.Popen(
                [*self.command, *arguments],
                cwd=self.directory,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=subprocess.STDOUT,
            )
        return process, log

    def environment(self) -> dict[str, str]:
        """What the commands are told of their surroundings."""
        inherited = {name: value for name, value in os.environ.items() if not _NOT_INHERITED.match(name)}
        # A test that failed leaves streams behind: nobody waits ten minutes for them. Who needs a worker asks for one.
        ours = {
            "TMPDIR": str(self.directory),
            "CONVSTORE_PORT": "0",
            "CONVSTORE_GRACEFUL_S": "10",
            "CONVSTORE_WORKER": "off",
        }
        return {**inherited, **ours, **self.settings}


def all_at_once(commands: Iterable[Callable[[], Done]]) -> list[Done]:
    """What the commands did, in order. Two at a time: each costs a second of a core."""
    with ThreadPoolExecutor(2) as pool:
        return [each.result() for each in [pool.submit(command) for command in commands]]


def _children(pid: int) -> dict[int, list[str]]:
    """The command lines of a process's children that are no zombies."""
    found = {}
    for child in psutil.Process(pid).children():
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            found[child.pid] = child.cmdline()
    return found


def _listening(pid: int) -> int:
    """The port that a process listens on; 0 when there is none yet."""
    connections = psutil.Process(pid).net_connections("tcp")
    return next((each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN), 0)


def _end(process: subprocess.Popen[Any]) -> None:
    """Kill a process and the children it has: how a service stops by itself is told by test_operations.py."""
    if process.poll() is not None:
        return
    # The process first, which would start others in the place of those that are gone.
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait(10)
