"""The worker that `convstore serve` starts: there while the service is, and not a moment longer.

Real processes; on one engine, because what is tested is processes.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from convstore.child import Child
from tests.acceptance.service import Service, Shell
from tests.acceptance.test_operations import figures, processes, runs
from tests.conftest import fresh_database
from tests.local_upstream import LocalUpstream, wait_until


@pytest.fixture(scope="module")
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    directory = tmp_path_factory.mktemp("child")
    with fresh_database("sqlite", request, directory) as url, LocalUpstream() as upstream:
        settings = {
            "CONVSTORE_DATABASE_URL": url,
            "CONVSTORE_UPSTREAM_URL": upstream.url,
            "CONVSTORE_WORKERS": "1",
            "CONVSTORE_WORKER": "child",
        }
        yield Shell(directory, settings)


def a_worker(service: Service, *, other_than: int | None = None) -> int:
    """The process id of the worker that has taken up work."""

    def ready() -> list[int]:
        said = {line.get("pid") for line in service.log_entries() if line["event"] == "job_worker_ready"}
        return [pid for pid in service.job_workers if pid in said and pid != other_than]

    (found,) = wait_until(ready)
    return int(found)


def test_it_is_there_and_is_again_when_it_was_killed_and_stops_with_the_service(shell: Shell) -> None:
    with shell.serving() as service:
        first = a_worker(service)
        wait_until(lambda: service.send("GET", "/readyz").json == {"status": "ready", "workers": 1})
        assert figures(service)["convstore_job_workers"] == 1
        os.kill(first, signal.SIGKILL)
        second = a_worker(service, other_than=first)
        assert [each.pid for each in processes(shell) if each.role == "worker"] == [second]
        assert any(f"pid:{first}) has ended" in entry["event"] for entry in service.log_entries())
        service.terminate()
        assert service.ended() == 0
    assert not runs(second)
    assert processes(shell) == []
    assert not list(shell.directory.glob("convstore-metrics-*"))


def test_it_does_not_outlive_a_service_that_was_killed(shell: Shell) -> None:
    with shell.serving() as service:
        worker = a_worker(service)
        web = service.workers
        os.kill(service.pid, signal.SIGKILL)
        service.ended()
        wait_until(lambda: not any(map(runs, [worker, *web])))
    assert [each for each in processes(shell) if each.role == "worker"] == []


def test_one_that_cannot_start_is_tried_less_and_less_often(tmp_path: Path) -> None:
    """Its parent is this process."""
    said: list[str] = []
    died: list[int] = []
    child = Child(said.append, died.append, ("false",))
    child.start()
    wait_until(lambda: len(said) == 3)
    child.stop()
    child.wait(5)
    assert [line.rpartition(" in ")[2] for line in said] == ["0.5 s.", "1.0 s.", "2.0 s."]
    assert not psutil.pid_exists(died[0])


# A process that forks all the time, as gunicorn's master does when its workers die, and a child that keeps dying.
FORKING = """
import os, signal, time
from convstore import child

child.FIRST_PAUSE_S = child.LONGEST_PAUSE_S = 0.0
child.LOOK_EVERY_S = 0.001
said, forks = [], []
child.Child(said.append, lambda pid: None, ("true",)).start()
deadline = time.monotonic() + 30
while len(said) < 50 and time.monotonic() < deadline:
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    forks.append(pid)
    time.sleep(0.005)
for pid in forks:
    os.kill(pid, signal.SIGKILL)
print(len(said) >= 50, flush=True)
os._exit(0)
"""


def test_it_is_started_again_while_its_parent_starts_others() -> None:
    """A fork in the middle of a start would hold the end of a pipe that the start waits for."""
    done = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "True"
