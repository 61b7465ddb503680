"""Commands that wait for what only workers do, where there is none: real processes, one database."""

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.acceptance.service import PATIENCE_S, Shell
from tests.conftest import ENGINES, PROVIDER_KEY, fresh_database
from tests.local_upstream import LocalUpstream, silence, wait_until

THREAD = """
import sys
from convstore import bootstrap, config, ids
from convstore.schemas.responses import create_request
from convstore.services import recovery, relay
from convstore.services.keys import create
from convstore.cli.local import _principal
with bootstrap.working(config.load()) as deps:
    create(deps, "acme")
    recovery.enter(deps)
    asked = create_request(b'{"model": "gpt-5.4", "input": "One"}', strict=False)
    print(relay.create(deps, _principal(deps, None), asked, relay.call_of(ids.new(ids.REQUEST), None, b"")).response_id)
    recovery.leave(deps)
"""


@pytest.fixture(params=ENGINES)
def shell(request: pytest.FixtureRequest, tmp_path: Path, upstream: LocalUpstream) -> Iterator[Shell]:
    with fresh_database(request.param, request, tmp_path) as url:
        settings = {
            "CONVSTORE_DATABASE_URL": url,
            "CONVSTORE_UPSTREAM_URL": upstream.url,
            "CONVSTORE_UPSTREAM_KEY": PROVIDER_KEY,
        }
        yield Shell(tmp_path, settings)


@pytest.fixture
def turn(shell: Shell) -> str:
    """A turn of the only project."""
    python = Shell(shell.directory, shell.settings, (shell.command[0], "-c", THREAD))
    return python.output()


class TestOwnWorker:
    def test_it_runs_the_replay_and_ends_with_the_command(self, shell: Shell, turn: str) -> None:
        done = shell.run("replay", turn)
        assert done.returncode == 0, done.stderr
        assert "as recorded: 1/1 completed" in done.stderr
        # Nothing of it is left: neither an entry, nor a process that could have written one.
        replay = json.loads(shell.output("replay", done.stdout.split()[0], "--json"))
        assert replay["runs"][0]["done"] == 1

    def test_an_interrupted_command_says_how_to_go_on(self, shell: Shell, turn: str, upstream: LocalUpstream) -> None:
        over = threading.Event()
        upstream.will(silence(over))
        before = len(upstream.questions)
        process = subprocess.Popen(
            [*shell.command, "replay", turn],
            cwd=shell.directory,
            env=shell.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: len(upstream.questions) > before, PATIENCE_S)
        (worker,) = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE_S)
        over.set()
        assert process.returncode == 130
        assert "Traceback" not in said
        assert not worker.is_running()
        replay_id = next(word for word in said.split() if word.startswith("replay_"))
        assert f"convstore replay {replay_id} --cancel" in said
        # What was left is there to be gone on with.
        done = shell.run("replay", replay_id)
        assert done.returncode == 0, done.stderr
