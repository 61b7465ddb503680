"""An import is killed in the middle, at the command line and in a worker: what is there is whole, the rest follows.

Real processes, and SIGKILL.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from convstore import bootstrap
from convstore.app import create_app
from convstore.config import Settings
from convstore.services import keys
from convstore.services.deps import Deps
from tests.acceptance.service import Shell
from tests.conftest import ENGINES, Client
from tests.databases import migrated
from tests.jobs.fleet import Worker
from tests.local_upstream import wait_until

PATIENCE_S = 60.0
THREADS, TURNS = 200, 10


@dataclass
class Scene:
    """A database, a shell on it, a service in this process, and a file of two thousand exchanges."""

    shell: Shell
    deps: Deps
    alice: Client
    file: Path

    def count(self) -> int:
        with self.deps.database.connection() as connection:
            return int(connection.exec_driver_sql("SELECT count(*) FROM exchanges").scalar_one())

    def is_in_the_middle(self) -> bool:
        return 0 < self.count() < THREADS * TURNS

    def worker(self) -> Worker:
        worker = Worker(*self.shell.begin("worker"))
        wait_until(worker.is_ready, PATIENCE_S)
        return worker

    def is_whole(self) -> None:
        """Everything is there once, found by its words, and nothing is wrong with it."""
        assert self.count() == THREADS * TURNS
        for done in self.shell.run_all(("audit", "verify"), ("doctor",)):
            assert done.returncode == 0, done.stdout + done.stderr
        for number in (0, THREADS - 1):
            found = self.alice.get(f"/v1/responses?q=thread{number}question{TURNS - 1}").json["data"]
            assert [each["depth"] for each in found] == [TURNS - 1]


@pytest.fixture(params=ENGINES)
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("kills")
    with migrated(request, tmp_path_factory) as url:
        settings = Settings(database_url=url, key_cache_s=0.0)
        with bootstrap.working(settings) as deps:
            alice = Client(create_app(settings, deps), keys.create(deps, "acme")[1])
            file = folder / "threads.jsonl"
            file.write_bytes(b"".join(map(thread, range(THREADS))))
            yield Scene(Shell(folder, {"CONVSTORE_DATABASE_URL": url}), deps, alice, file)


def thread(number: int) -> bytes:
    said: list[dict[str, Any]] = []
    for turn in range(TURNS):
        said += [
            {"role": "user", "content": f"thread{number}question{turn}"},
            {"role": "assistant", "content": f"Answer {turn}"},
        ]
    return json.dumps({"messages": said, "created": 1_700_000_000 + number}).encode() + b"\n"


class TestKill:
    def test_a_command_that_is_killed_is_run_again(self, scene: Scene) -> None:
        process, _ = scene.shell.begin("import", str(scene.file))
        wait_until(scene.is_in_the_middle, PATIENCE_S)
        process.kill()
        process.wait(PATIENCE_S)
        left = scene.count()
        assert 0 < left < THREADS * TURNS
        found = json.loads(scene.shell.output("import", str(scene.file), "--json"))
        assert found["counts"]["exchanges"] == {"known": left, "new": THREADS * TURNS - left}
        assert found["problems"] == []
        scene.is_whole()

    def test_a_worker_that_is_killed_is_followed_by_another(self, scene: Scene) -> None:
        first = scene.worker()
        made = scene.alice.post("/v1/imports", data=scene.file.read_bytes()).json
        wait_until(scene.is_in_the_middle, PATIENCE_S)
        first.kill()
        left = scene.count()
        assert 0 < left < THREADS * TURNS
        second = scene.worker()
        path = f"/v1/imports/{made['id']}"
        try:
            # On SQLite a look may find the writer busy for too long (503): the next one will do.
            wait_until(lambda: scene.alice.get(path).json.get("status") == "completed", PATIENCE_S)
        finally:
            second.kill()
        found = scene.alice.get(path).json
        # What the first one had done counts: nothing is gone through again.
        assert (found["counts"]["exchanges"], found["problems"]) == ({"new": THREADS * TURNS}, [])
        assert scene.alice.get(f"/v1/jobs/{made['job_id']}").json["attempts"] == 2
        scene.is_whole()
