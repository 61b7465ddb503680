"""The demo's children: started, waited for, and never left behind."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import convstore
from convstore.cli.demo import processes
from convstore.cli.demo.processes import ChildFailed, Children

# Longer than anything here takes; reaching it is a failure.
PATIENCE_S = 20
# A child of our children, in the same group; it says its id and stays.
PARENT = """
    import subprocess, sys, time
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print(child.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(convstore.__file__).parents[1]),
        "PYTHONUNBUFFERED": "1",
    }
    with Children(environment, logs=tmp_path / "demo") as made:
        yield made


def script(text: str) -> tuple[str, str]:
    """A child's arguments."""
    return "-c", textwrap.dedent(text)


def gone(*pids: int) -> bool:
    """Wait for the end of processes that are not ours to wait for."""
    alive = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    return not psutil.wait_procs(alive, timeout=PATIENCE_S)[1]


class TestRun:
    def test_the_output_is_returned_and_not_logged(self, children: Children) -> None:
        assert children.run("keys create", *script("print('sk-secret')")) == "sk-secret\n"
        assert (children.logs.parent / "demo.keys-create.log").read_text() == ""
        assert children.running == []

    def test_a_failure_says_the_last_words_and_where_the_rest_is(self, children: Children) -> None:
        with pytest.raises(ChildFailed) as failed:
            children.run("db upgrade", *script("import sys; print('no disk\\n', file=sys.stderr); sys.exit(3)"))

        log = children.logs.parent / "demo.db-upgrade.log"
        assert failed.value.message == f"db upgrade ended with exit code 3: no disk (log: {log})"

    def test_a_silent_death_is_a_failure_too(self, children: Children) -> None:
        with pytest.raises(ChildFailed, match="ended with exit code 137: it said nothing"):
            children.run("db upgrade", *script("import os; os.kill(os.getpid(), 9)"))


class TestWaitUntilReady:
    def test_the_echo_becomes_ready(self, children: Children) -> None:
        [port] = processes.free_ports(1)
        echo = children.start("upstream", "-m", "convstore.cli.demo.echo", str(port))

        assert processes.wait_until_ready(echo, f"http://127.0.0.1:{port}/v1/models", PATIENCE_S) > 0

        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/v1/models")
        assert connection.getresponse().status == 200
        connection.close()

    def test_the_death_of_the_child_ends_the_wait(self, children: Children) -> None:
        child = children.start("upstream", *script("raise SystemExit('cannot read the file')"))

        with pytest.raises(ChildFailed, match=r"upstream ended with exit code 1: cannot read the file \(log: "):
            processes.wait_until_ready(child, "http://127.0.0.1:9/", PATIENCE_S)

    def test_a_child_that_never_answers_is_given_up(self, children: Children) -> None:
        [port] = processes.free_ports(1)
        child = children.start("upstream", *script("import time; time.sleep(600)"))

        with pytest.raises(ChildFailed, match=r"upstream was not ready after 0 s \(log: "):
            processes.wait_until_ready(child, f"http://127.0.0.1:{port}/", 0.1)


class TestStop:
    def test_nothing_is_left_of_a_child_and_its_own_children(self, tmp_path: Path) -> None:
        with Children(dict(os.environ), logs=tmp_path / "demo") as children:
            child = children.start("convstore", *script(PARENT), capture=True)
            assert child.guard.stdout is not None
            grandchild = int(child.guard.stdout.readline())
            family = [each.pid for each in psutil.Process(child.guard.pid).children(recursive=True)]
            assert grandchild in family

        assert gone(child.guard.pid, *family)

    def test_an_exception_stops_them_too(self, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt), Children(dict(os.environ), logs=tmp_path / "demo") as children:
            child = children.start("upstream", *script("import time; time.sleep(600)"))
            raise KeyboardInterrupt

        assert child.guard.poll() is not None

    def test_a_child_may_end_in_its_own_way(self, tmp_path: Path) -> None:
        with Children(dict(os.environ), logs=tmp_path / "demo") as children:
            orderly = """
                import signal, sys
                signal.signal(signal.SIGTERM, lambda *_: sys.exit("closed the books"))
                print("open", flush=True)
                signal.pause()
            """
            child = children.start("convstore", *script(orderly), capture=True)
            assert child.guard.stdout is not None
            child.guard.stdout.readline()

        assert child.log.read_text() == "closed the books\n"

    def test_a_killed_demo_takes_its_children_along(self, tmp_path: Path) -> None:
        demo = f"""
            import os
            from pathlib import Path
            from convstore.cli.demo.processes import Children
            children = Children(dict(os.environ), logs=Path({str(tmp_path)!r}) / "demo")
            child = children.start("convstore", "-c", {textwrap.dedent(PARENT)!r}, capture=True)
            print(child.guard.pid, child.guard.stdout.readline(), flush=True)
            child.guard.wait()
        """
        root = str(Path(convstore.__file__).parents[1])
        with subprocess.Popen(
            [sys.executable, *script(demo)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": root},
        ) as killed:
            assert killed.stdout is not None
            guard, grandchild = map(int, killed.stdout.readline().split())
            family = [each.pid for each in psutil.Process(guard).children(recursive=True)]
            killed.send_signal(signal.SIGKILL)

        assert gone(guard, grandchild, *family)


class TestFreePorts:
    def test_they_differ_and_can_be_listened_on(self) -> None:
        ports = processes.free_ports(3)

        assert len(set(ports)) == 3
        for port in ports:
            with socket.create_server(("127.0.0.1", port)):
                pass
