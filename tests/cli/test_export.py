"""`convstore export`: at both doors, on both engines; and what a stranger's service says of files."""

import gzip
import json
import os
import signal
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from convstore.archives import verifying
from convstore.cli import files
from convstore.domain.exporting import FORMATS
from convstore.errors import FormatUnavailable
from tests.cli.conftest import Ran, Shell
from tests.cli.house import House, once
from tests.cli.stranger import stranger

TEXTS = ("jsonl", "markdown", "html", "csv", "openai-chat")


@pytest.fixture
def tree(house: House) -> list[str]:
    """A root, what goes on from it, and a branch beside that."""
    root = house.ask("Root question", "Root answer")
    return [root, house.ask("Main question", "Main answer", root), house.ask("Branch question", "Branch answer", root)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where files go, and nothing else is."""
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


def home(house: House, own: str) -> str:
    return str(house.alice.get(f"/v1/responses/{own}/thread").json["data"][0]["conversation_id"])


def exchanges(text: str) -> list[str]:
    return [line["id"] for line in map(json.loads, text.splitlines()) if line["object"] == "exchange"]


class TestConversation:
    def test_its_tree_on_standard_output(self, house: House, tree: list[str]) -> None:
        ran = house.run("export", "conversation", home(house, tree[0]))
        assert (ran.code, ran.err) == (0, "")
        assert sorted(exchanges(ran.out)) == sorted(tree)
        assert json.loads(ran.out.splitlines()[-1])["exchanges"] == 3

    @pytest.mark.parametrize("kind", FORMATS)
    def test_every_format_in_a_file_that_verifies(self, house: House, tree: list[str], folder: Path, kind: str) -> None:
        path = folder / f"my file.{FORMATS[kind].ending}"
        ran = house.run("export", "conversation", home(house, tree[0]), "--format", kind, "-o", str(path))
        assert (ran.code, ran.out) == (0, ""), ran.err
        assert ran.err.startswith(f"{path}: ") and ran.err.endswith(" bytes\n")
        if kind != "parquet":
            assert "Branch answer" in path.read_text() and "Noise" not in path.read_text()
        beside = [each.name for each in folder.iterdir() if each != path]
        assert beside == ([] if FORMATS[kind].manifest else [f"{path.name}.manifest.json"])
        assert house.shell.run("export", "verify", str(path)).code == 0
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        assert house.shell.run("export", "verify", str(path)).code == 1

    def test_what_is_not_there(self, house: House, tree: list[str], folder: Path) -> None:
        theirs = str(house.carol.get("/v1/conversations").json["data"][0]["id"])
        path = folder / "x.jsonl"
        for own in (theirs, "conv_1", "?limit=1", "../responses", "天气", "conv_" + "0" * 32):
            ran = house.run("export", "conversation", own, "-o", str(path))
            assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1), ran
        for own in ("", "a\x1b[31m", "a\nb", "\udcff"):
            assert house.run("export", "conversation", own).code == 2
        assert list(folder.iterdir()) == []


class TestResponse:
    def test_its_thread_or_its_tree(self, house: House, tree: list[str]) -> None:
        assert exchanges(house.output("export", "response", tree[2])) == [tree[0], tree[2]]
        assert sorted(exchanges(house.output("export", "response", tree[2], "--scope", "tree"))) == sorted(tree)

    def test_a_branch_may_be_named(self, house: House, tree: list[str]) -> None:
        house.alice.post("/v1/branches", json={"name": "best", "tip": tree[2]})
        assert exchanges(house.output("export", "response", "best")) == [tree[0], tree[2]]

    def test_lines_to_train_on(self, house: House, tree: list[str]) -> None:
        (line,) = house.output("export", "response", tree[1], "--format", "openai-chat").splitlines()
        said = ["Root question", "Root answer", "Main question", "Main answer"]
        assert [each["content"] for each in json.loads(line)["messages"]] == said

    def test_figures_are_a_line_each(self, house: House, tree: list[str]) -> None:
        rows = house.output("export", "response", tree[1], "--format", "csv").splitlines()
        assert [row.split(",")[0] for row in rows[1:]] == tree[:2]

    def test_what_is_not_there(self, house: House, tree: list[str]) -> None:
        theirs = house.carol.ask("Ours")["id"]
        for own in (theirs, "nobody", "resp_1", "天气", "a/../b"):
            ran = house.run("export", "response", own)
            assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1), ran
        for wrong in (("--scope", "response"), ("--format", "docx"), ("--format", "JSONL"), ("--scope", "")):
            assert house.run("export", "response", tree[0], *wrong).code == 2


class TestAll:
    def run(self, house: House, *options: str) -> str:
        with house.worker():
            return house.output("export", "all", *options)

    def test_everything_of_the_project(self, house: House, tree: list[str]) -> None:
        found = self.run(house)
        assert len(exchanges(found)) == 5 and set(tree) < set(exchanges(found))
        with house.worker():
            shown = house.run("export", "all", "-o", "/dev/null", "--json")
        assert json.loads(shown.out)["manifest"]["exchanges"] == 5
        assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)

    def test_both_doors_give_the_same_bytes(self, house: House, tree: list[str]) -> None:
        found = self.run(house)
        assert found == house.shell.output("export", "all", "--project", "acme")

    def test_what_filters_find(self, house: House, tree: list[str]) -> None:
        red = str(house.alice.ask("Labelled", user="zoe", metadata={"team": "red", "a=b": "c"})["id"])
        assert sorted(exchanges(self.run(house, "--search", "branch question"))) == sorted(tree)
        assert exchanges(self.run(house, "--search", "branch", "--scope", "thread")) == [tree[0], tree[2]]
        for options in (
            ("--user", "zoe"),
            ("--metadata", "team=red", "--user", "zoe"),
            ("--since", "2020-01-01", "--metadata", "team=red"),
            ("--conversation", home(house, red), "--status", "completed", "--min-depth", "0"),
        ):
            assert exchanges(self.run(house, *options)) == [red], options
        assert exchanges(self.run(house, "--user", "nobody")) == []

    def test_figures_of_matches_alone(self, house: House, tree: list[str]) -> None:
        rows = self.run(house, "--format", "csv", "--search", "branch").splitlines()
        assert [row.split(",")[0] for row in rows[1:]] == [tree[2]]
        whole = self.run(house, "--format", "csv", "--search", "branch", "--scope", "tree").splitlines()
        assert len(whole) == 4

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            (("--min-depth", "-1"), "min_depth"),
            (("--since", "yesterday"), "since"),
            (("--since", "5", "--until", "4"), "until"),
            (("--scope", "response"), "scope"),
            (("--ancestor", "nobody"), "nobody"),
            (("--conversation", "conv_1"), "conv"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, house: House, tree: list[str], folder: Path, options: tuple[str, ...], named: str
    ) -> None:
        path = folder / "x.jsonl"
        with house.worker():
            ran = house.run("export", "all", "-o", str(path), *options)
        assert ran.code == 1, ran
        assert named in ran.err and ran.err.count("\n") == 1
        assert list(folder.iterdir()) == []

    @once
    def test_options_that_do_not_fit(self, house: House) -> None:
        for wrong in (("--metadata", "x"), ("--scope", "all"), ("--fields", "id"), ("--limit", "5"), ("words",)):
            assert house.run("export", "all", *wrong).code == 2

    def test_a_service_keeps_its_file_for_a_while(self, house: House, tree: list[str]) -> None:
        self.run(house)
        found = json.loads(house.output("export", "list", "--json"))["data"]
        assert [each["status"] for each in found] == (["completed"] if house.is_remote else [])


class TestFile:
    """A file is whole, or not there; what was there before stays until then."""

    def test_one_that_broke_off_is_not_there(
        self, house: House, tree: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, other = folder / "x.csv", folder / "y.csv"
        other.write_text("before")
        for stop, code in ((KeyboardInterrupt(), 130), (OSError(28, "No space left"), 1)):
            for each in (path, other):
                command = ("export", "conversation", home(house, tree[0]), "--format", "csv", "-o", str(each))
                with monkeypatch.context() as patch:
                    patch.setattr("convstore.cli.written.os.fsync", _raising(stop))
                    ran = house.run(*command)
                assert ran.code == code, ran
                assert "Traceback" not in ran.err
        assert [each.name for each in folder.iterdir()] == ["y.csv"]
        assert other.read_text() == "before"

    @once
    def test_what_cannot_be_written_is_one_line(self, house: House, tree: list[str], folder: Path) -> None:
        (folder / "folder").mkdir()
        ran = house.run("export", "response", tree[0], "-o", str(folder / "nowhere" / "x"))
        assert (ran.code, ran.out) == (1, "")
        assert ran.err == f"convstore: {folder}/nowhere/x cannot be written: No such file or directory.\n"
        assert house.run("export", "response", tree[0], "-o", str(folder / "folder")).code == 2
        assert house.run("export", "response", tree[0], "-o", str(folder / ("x" * 300))).code == 1

    @once
    def test_behind_a_link_is_what_it_points_at(self, house: House, tree: list[str], folder: Path) -> None:
        (folder / "there").mkdir()
        link, target = folder / "x.jsonl", folder / "there" / "y.jsonl"
        link.symlink_to(target)
        house.output("export", "response", tree[0], "-o", str(link))
        assert link.is_symlink() and exchanges(target.read_text()) == [tree[0]]

    @once
    def test_a_pipe_is_written_as_it_is(self, house: House, tree: list[str], folder: Path) -> None:
        pipe = folder / "pipe"
        os.mkfifo(pipe)
        found: list[str] = []
        reader = threading.Thread(target=lambda: found.append(pipe.read_text()))
        reader.start()
        house.output("export", "response", tree[0], "-o", str(pipe), "--format", "csv")
        reader.join(10)
        assert tree[0] in found[0]
        assert [each.name for each in folder.iterdir()] == ["pipe"]

    @once
    def test_json_says_what_was_written(self, house: House, tree: list[str], folder: Path) -> None:
        path = folder / "x\x1b[31m.csv"
        ran = house.run("export", "response", tree[0], "--format", "csv", "-o", str(path), "--json")
        said = json.loads(ran.out)
        assert (said["file"], ran.err) == (str(path), "")
        assert said["manifest"] == json.loads(verifying.beside(path).read_text())
        assert "\x1b" not in ran.out
        assert house.run("export", "response", tree[0], "--json").code == 2
        told = house.run("export", "response", tree[0], "-o", str(path)).err
        assert "\x1b" not in told and "␛[31m.csv: 1 conversations, 1 exchanges" in told

    @once
    def test_without_pyarrow_it_says_what_to_install(
        self, house: House, tree: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from convstore.services import exporting

        def missing() -> Any:
            raise FormatUnavailable("parquet", "convstore[parquet]")

        monkeypatch.setitem(exporting._DOCUMENTS, "parquet", missing)
        ran = house.run("export", "response", tree[0], "--format", "parquet", "-o", str(folder / "x"))
        assert ran.code == 1 and "pip install 'convstore[parquet]'" in ran.err
        assert list(folder.iterdir()) == []


class TestTerminal:
    @pytest.fixture
    def terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("_pytest.capture.CaptureIO.isatty", lambda _: True, raising=False)
        monkeypatch.setattr("_pytest.capture.EncodedFile.isatty", lambda _: True, raising=False)

    @once
    def test_what_was_said_does_not_act(self, house: House, terminal: None) -> None:
        own = house.ask("Acting \x9b31m \u202eturned", "Also \x1b]0;title\x07")
        for kind in TEXTS:
            ran = house.run("export", "response", own, "--format", kind)
            assert ran.code == 0 and "Acting" in ran.out
            assert not set("\x1b\x9b\x07\u202e") & set(ran.out + ran.err), kind

    @once
    def test_a_table_of_figures_is_not_for_reading(self, house: House, tree: list[str], terminal: None) -> None:
        ran = house.run("export", "response", tree[0], "--format", "parquet")
        assert ran.code == 2 and "--output FILE" in ran.err

    @once
    def test_a_bar_is_for_a_terminal_alone(
        self, house: House, tree: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told: list[Any] = []
        monkeypatch.setattr("rich.progress.Progress.update", lambda *given, **more: told.append(more))
        house.output("export", "all", "-o", str(folder / "x.jsonl"))
        assert told == []
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)
        monkeypatch.setattr("_pytest.capture.CaptureIO.isatty", lambda _: True, raising=False)
        monkeypatch.setattr("_pytest.capture.EncodedFile.isatty", lambda _: True, raising=False)
        house.output("export", "all", "-o", str(folder / "x.jsonl"))
        assert told[-1] == {"completed": 5, "total": 5}


class TestVerify:
    @once
    def test_it_says_what_is_in_it(self, house: House, tree: list[str], folder: Path) -> None:
        path = folder / "x.jsonl"
        house.output("export", "response", tree[1], "-o", str(path))
        said = house.shell.output("export", "verify", str(path))
        assert said.startswith("x.jsonl: it is as it was exported (1 conversations, 2 exchanges, 4 items, 0 branches, ")
        found = json.loads(house.shell.output("export", "verify", str(path), "--json"))
        assert (found["valid"], found["problems"]) == (True, [])

    @once
    def test_what_was_changed_is_told_with_its_line(self, house: House, tree: list[str], folder: Path) -> None:
        path = folder / "x\x1b.jsonl"
        house.output("export", "response", tree[1], "-o", str(path))
        lines = path.read_bytes().splitlines(keepends=True)
        lines[2] = b'{"object": "exchange", "\x1b[31m\n'
        path.write_bytes(b"".join(lines))
        ran = house.shell.run("export", "verify", str(path))
        assert ran.code == 1
        assert ran.out.startswith("line 3: ") and "\x1b" not in ran.out + ran.err
        found = json.loads(house.shell.run("export", "verify", str(path), "--json").out)
        assert (found["valid"], found["problems"][0]["place"]) == (False, "line 3")

    @once
    def test_what_is_no_export(self, house: House, tree: list[str], folder: Path) -> None:
        path = folder / "x"
        for body in (b"", b"hello", b"\0" * 5000, gzip.compress(b"x")):
            path.write_bytes(body)
            ran = house.shell.run("export", "verify", str(path))
            assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1), ran
        verifying.beside(path).write_bytes(b"[]" * 10_000)
        assert "is no manifest" in house.shell.run("export", "verify", str(path)).err
        for missing in (folder / "nowhere", folder):
            assert house.shell.run("export", "verify", str(missing)).code == 2


class TestListAndDelete:
    def test_what_a_service_made(self, house: House, tree: list[str]) -> None:
        made = house.alice.post("/v1/exports", json={"format": "markdown", "filters": {"q": "Branch"}}).json
        house.carol.post("/v1/exports", json={})
        shown = house.output("export", "list")
        assert made["id"] in shown and "queued" in shown and shown.count("export_") == 1
        assert house.output("export", "delete", made["id"]) == f"{made['id']} is deleted.\n"
        assert json.loads(house.output("export", "list", "--json"))["data"] == []

    def test_the_newest(self, house: House, tree: list[str]) -> None:
        made = [house.alice.post("/v1/exports", json={}).json["id"] for _ in range(3)]
        found = json.loads(house.output("export", "list", "--json", "--limit", "2"))["data"]
        assert [each["id"] for each in found] == [made[2], made[1]]
        deleted = json.loads(house.output("export", "delete", made[0], "--json"))
        assert deleted == {"id": made[0], "object": "export", "deleted": True}

    def test_what_is_not_there(self, house: House) -> None:
        theirs = house.carol.post("/v1/exports", json={}).json["id"]
        for own in (theirs, "export_1", "../conversations", "天气"):
            ran = house.run("export", "delete", own)
            assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1), ran
        assert house.run("export", "delete", "a\x1b").code == 2
        assert house.run("export", "list", "--limit", "0").code == 2
        assert house.carol.get(f"/v1/exports/{theirs}").status_code == 200


class TestOnRecord:
    def test_both_doors_call_it_the_same(self, house: House, tree: list[str]) -> None:
        own = home(house, tree[0])
        house.output("export", "response", tree[0])
        house.output("export", "conversation", own)
        with house.worker():
            house.output("export", "all")
        for action, about in (("exports.response", tree[0]), ("exports.conversation", own)):
            (found,) = house.alice.get(f"/v1/audit?action={action}").json["data"]
            assert (found["object_id"], found["outcome"]) == (about, "done")
        assert len(house.alice.get("/v1/audit?action=exports.create").json["data"]) == 1


class TestWaiting:
    """For what a worker of the service makes."""

    @pytest.mark.parametrize("house", ["service"], indirect=True)
    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_ctrl_c_says_what_goes_on(self, house: House, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(files.time, "sleep", _interrupted)
        path = folder / "x.jsonl"
        ran = house.run("export", "all", "-o", str(path))
        (made,) = house.alice.get("/v1/exports").json["data"]
        assert (ran.code, ran.out) == (130, "")
        assert f"{made['id']} goes on: GET /v1/exports/{made['id']}" in ran.err
        assert f"POST /v1/jobs/{made['job_id']}/cancel stops it" in ran.err
        assert list(folder.iterdir()) == []

    @pytest.mark.parametrize("house", ["service"], indirect=True)
    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_one_that_is_cancelled_is_said(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        def cancel(_: float) -> None:
            job = house.alice.get("/v1/exports").json["data"][0]["job_id"]
            assert house.alice.post(f"/v1/jobs/{job}/cancel").status_code == 200

        monkeypatch.setattr(files.time, "sleep", cancel)
        ran = house.run("export", "all")
        assert (ran.code, ran.out) == (1, "")
        assert ran.err.startswith("convstore: export_") and ran.err.endswith(" is cancelled.\n")


class TestStranger:
    """Whoever answers: nothing of it acts on the terminal, breaks the command, or is taken for a file."""

    ACTING = "\x1b[31m\x9b2J\u202e"

    def run(self, shell: Shell, url: str, *arguments: str) -> Ran:
        ran = shell.run(*arguments, "--url", url, "--key", "sk-x")
        assert not set("\x1b\x9b\u202e") & set(ran.out + ran.err)
        assert "Traceback" not in ran.err
        return ran

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    @pytest.mark.parametrize(
        "said",
        [
            [],
            {},
            "text",
            None,
            {"id": 5, "status": "completed"},
            {"id": "x", "status": ["queued"], "job_id": "y"},
            {"id": "x", "status": "completed", "format": "jsonl", "scope": "tree", "job_id": None, "bytes": 1},
            {"id": "x", "status": "queued", "format": "", "scope": "", "job_id": "y", "bytes": None, "manifest": None},
            {"data": [{}]},
            {"data": [5]},
            {"data": {}},
        ],
    )
    def test_answers_that_are_none(
        self, shell: Shell, folder: Path, monkeypatch: pytest.MonkeyPatch, said: Any
    ) -> None:
        monkeypatch.setattr(files.time, "sleep", lambda _: None)
        path = folder / "x.jsonl"
        with stranger(json.dumps(said).encode()) as url:
            for arguments in (
                ("export", "all", "-o", str(path)),
                ("export", "conversation", "conv_1", "-o", str(path)),
                ("export", "response", "resp_1", "-o", str(path)),
                ("export", "list"),
                ("import", str(Path(__file__))),
            ):
                ran = self.run(shell, url, *arguments)
                assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1), (arguments, ran)
        assert list(folder.iterdir()) == []

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_what_it_says_is_shown_and_not_obeyed(self, shell: Shell, folder: Path) -> None:
        acting = self.ACTING
        export: dict[str, Any] = dict.fromkeys(("id", "format", "scope", "job_id"), acting)
        export |= {"status": "completed", "bytes": 1, "manifest": dict.fromkeys(("exchanges", "bytes", acting), acting)}
        csv = ("--format", "csv", "-o", str(folder / "x.csv"))
        with stranger(json.dumps({**export, "data": [export]}, ensure_ascii=False).encode()) as url:
            for options in ((), ("--json",)):
                assert self.run(shell, url, "export", "list", *options).code == 0
                assert self.run(shell, url, "export", "all", *csv, *options).code == 0
        with stranger(json.dumps({"error": {"message": acting}}).encode(), status=400) as url:
            for arguments in (("list",), ("delete", "export_1"), ("all",), ("response", "resp_1")):
                assert self.run(shell, url, "export", *arguments).code == 1

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_a_file_that_ends_too_early_is_not_kept(self, shell: Shell, folder: Path) -> None:
        for kind in ("jsonl", "markdown", "html"):
            path = folder / kind
            with stranger(b'{"object": "convstore.export"}\n') as url:
                ran = self.run(shell, url, "export", "response", "resp_1", "--format", kind, "-o", str(path))
            assert (ran.code, ran.out) == (1, "")
            assert "broke its answer off" in ran.err
        with stranger(b"id\r\n", missing=5) as url:
            ran = self.run(shell, url, "export", "response", "resp_1", "--format", "csv", "-o", str(path))
            assert "broke its answer off" in ran.err
        assert list(folder.iterdir()) == []

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_nobody_is_there(self, shell: Shell, folder: Path) -> None:
        with stranger(b"") as url:
            pass
        for arguments in (("all", "-o", str(folder / "x")), ("list",), ("response", "resp_1")):
            ran = self.run(shell, url, "export", *arguments)
            assert (ran.code, ran.err) == (1, f"convstore: The service at {url} cannot be reached.\n")
        assert list(folder.iterdir()) == []


def _interrupted(_: float) -> None:
    signal.raise_signal(signal.SIGINT)


def _raising(stop: BaseException) -> Any:
    def act(*_: Any) -> None:
        raise stop

    return act
