"""The demo's child processes: started, waited for, and ended with the demo, however it ends.

Each runs under a guard (guard.py) in a session of its own: Ctrl-C reaches only the demo, which then stops
its children in order, and a demo killed by kill -9 takes them along. What a child says goes to a file, and
the file's path is in the error when the child fails.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from convstore.cli.demo import guard
from convstore.errors import ConvstoreError

# A little longer than the guard's own patience.
STOP_S = guard.GRACE_S + 2.0
# Ready is noticed within this time; a poll costs a connection on loopback.
POLL_S = 0.05
# Loopback is never behind a proxy, whatever the environment says.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ChildFailed(ConvstoreError):
    """A process of the demo failed."""


@dataclass
class Child:
    """One process under its guard. Closing the guard's standard input ends both."""

    name: str
    guard: subprocess.Popen[str]
    log: Path
    started_at: float = field(default_factory=time.monotonic)

    def check(self) -> None:
        """Raise ChildFailed if the process has ended."""
        code = self.guard.poll()
        if code is not None:
            said = last_line(self.log)
            raise ChildFailed(f"{self.name} ended with exit code {code}: {said} (log: {self.log})")

    def stop(self) -> None:
        """End the process and wait for its end."""
        if self.guard.stdin:
            with suppress(OSError):
                self.guard.stdin.close()
        try:
            self.guard.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self.guard.pid, signal.SIGKILL)
            self.guard.wait()
        if self.guard.stdout:
            self.guard.stdout.close()


@dataclass
class Children:
    """The processes of one demo, stopped in reverse order when the block ends."""

    environment: dict[str, str]
    # <path>.<name>.log is the log of each.
    logs: Path
    running: list[Child] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self.running:
            self.running[-1].stop()
            self.running.pop()

    def start(self, name: str, *arguments: str, capture: bool = False) -> Child:
        """Start Python with *arguments*; *capture* keeps its standard output out of the log, to be read."""
        log = self.logs.with_name(f"{self.logs.name}.{name.replace(' ', '-')}.log")
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-I", str(Path(guard.__file__)), sys.executable, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if capture else file,
                stderr=file,
                text=True,
                env=self.environment,
                start_new_session=True,
            )
        self.running.append(Child(name, process, log))
        return self.running[-1]

    def run(self, name: str, *arguments: str) -> str:
        """Run Python to its end; returns its standard output. Raises ChildFailed."""
        child = self.start(name, *arguments, capture=True)
        assert child.guard.stdout is not None
        output = child.guard.stdout.read()
        if child.guard.wait() != 0:
            child.check()
        self.running.remove(child)
        child.stop()
        return output

    def check(self, patience_s: float) -> None:
        """Raise ChildFailed for a process that has ended, or ends within *patience_s* each."""
        for child in self.running:
            with suppress(subprocess.TimeoutExpired):
                child.guard.wait(timeout=patience_s)
            child.check()


def wait_until_ready(child: Child, url: str, timeout_s: float) -> float:
    """Poll until *url* answers 200; returns the seconds since the child's start. Raises ChildFailed."""
    while True:
        child.check()
        ready = answers(url)
        elapsed_s = time.monotonic() - child.started_at
        if ready:
            return elapsed_s
        if elapsed_s > timeout_s:
            raise ChildFailed(f"{child.name} was not ready after {timeout_s:.0f} s (log: {child.log})")
        time.sleep(POLL_S)


def answers(url: str) -> bool:
    """Does a GET give 200?"""
    try:
        with OPENER.open(url, timeout=2.0) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def free_ports(count: int) -> list[int]:
    """Different loopback ports that nobody listens on at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def last_line(log: Path) -> str:
    """The last thing a process said, or that it said nothing."""
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
