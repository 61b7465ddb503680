"""`convstore import`: at both doors, on both engines."""

import gzip
import json
import os
import signal
import zipfile
from pathlib import Path
from typing import Any

import pytest

from convstore.cli import files
from convstore.cli.bring import SHOWN
from convstore.services import importing
from tests.cli.conftest import Ran, Shell
from tests.cli.house import House, once
from tests.cli.stranger import stranger

remote = pytest.mark.parametrize("house", ["service"], indirect=True)
sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
CHAT = {
    "messages": [{"role": "user", "content": "Foreign question"}, {"role": "assistant", "content": "Foreign answer"}]
}


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    """A thread of somebody else's."""
    path = tmp_path / "chat.jsonl"
    path.write_text(json.dumps(CHAT) + "\n")
    return path


@pytest.fixture
def exported(house: House, tmp_path: Path) -> Path:
    """Carol's two turns: what Acme cannot have under the ids that they have."""
    path = tmp_path / "globex.jsonl"
    house.shell.output("export", "all", "--project", "globex", "-o", str(path))
    return path


def run(house: House, *arguments: str) -> Ran:
    """With somebody who works, where it is a service that is asked."""
    with house.worker():
        return house.run("import", *arguments)


def count(house: House) -> int:
    return len(house.alice.get("/v1/responses?limit=100").json["data"])


class TestImport:
    def test_it_is_here_and_counted(self, house: House, chat: Path) -> None:
        ran = run(house, str(chat))
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.splitlines() == [
            "chat.jsonl (completions):",
            " conversations 1 new",
            "     exchanges 1 new",
            "         items 2 new",
        ]
        (found,) = house.alice.get("/v1/responses?q=Foreign").json["data"]
        assert (found["origin"], found["answer"]) == ("import", "Foreign answer")
        again = run(house, str(chat))
        assert (again.code, again.out.splitlines()[1:]) == (0, [" conversations 1 known", "     exchanges 1 known"])

    def test_as_json(self, house: House, chat: Path) -> None:
        ran = run(house, str(chat), "--json", "--format", "completions")
        found = json.loads(ran.out)
        assert (found["object"], found["status"], found["format"]) == ("import", "completed", "completions")
        assert (found["counts"]["exchanges"], found["problems"]) == ({"new": 1}, [])

    def test_a_dry_run_keeps_nothing(self, house: House, chat: Path) -> None:
        before = count(house)
        ran = run(house, str(chat), "--dry-run")
        assert (ran.code, ran.out.splitlines()[2]) == (0, "     exchanges 1 would be new")
        assert count(house) == before

    def test_ids_of_another_project_are_refused_and_a_copy_is_not(self, house: House, exported: Path) -> None:
        before = count(house)
        ran = run(house, str(exported))
        assert ran.code == 1
        assert "exchanges 2 refused" in ran.out
        assert [line.split(": ")[0] for line in ran.err.splitlines()] == ["line 3", "line 4"]
        assert all(" other_project: " in line for line in ran.err.splitlines())
        copied = run(house, str(exported), "--new-ids")
        assert (copied.code, copied.err) == (0, "")
        assert count(house) == before + 2
        assert "exchanges 2 known" in run(house, str(exported), "--new-ids").out

    def test_what_was_exported_here_is_known(self, house: House, tmp_path: Path) -> None:
        path = tmp_path / "acme.jsonl"
        house.shell.output("export", "all", "--project", "acme", "-o", str(path))
        ran = run(house, str(path), "--dry-run")
        assert (ran.code, ran.err) == (0, "")
        assert "exchanges 2 would be known" in ran.out

    def test_it_is_on_record(self, house: House, chat: Path) -> None:
        own = json.loads(run(house, str(chat), "--json").out)["id"]
        (entry,) = house.alice.get("/v1/audit?action=imports.create").json["data"]
        assert (entry["object_id"], entry["outcome"]) == (own, "done")
        assert house.alice.get("/v1/audit/verify").json["problems"] == []


class TestProblems:
    def test_they_are_told_with_their_place_and_act_on_nothing(self, house: House, chat: Path) -> None:
        lines = ['{"\x1b[31m', json.dumps({"messages": "\x9b2J"}, ensure_ascii=False), "[]"]
        chat.write_text(chat.read_text() + "\n".join(lines) + "\n")
        ran = run(house, str(chat))
        assert ran.code == 1
        assert [line.split(":")[0] for line in ran.err.splitlines()] == ["line 2", "line 3", "line 4"]
        assert not set("\x1b\x9b") & set(ran.out + ran.err)
        assert "records 3 broken" in ran.out and "exchanges 1 new" in ran.out
        found = run(house, str(chat), "--json")
        assert [each["place"] for each in json.loads(found.out)["problems"]] == ["line 2", "line 3", "line 4"]
        assert found.code == 1 and not set("\x1b\x9b") & set(found.out + found.err)

    @once
    def test_many_are_counted(self, house: House, chat: Path) -> None:
        chat.write_text(chat.read_text() + "[]\n" * 1_500)
        ran = run(house, str(chat))
        told = ran.err.splitlines()
        assert len(told) == SHOWN + 1
        assert told[-1] == f"… and {1_500 - SHOWN} more: --json has the first thousand."

    @once
    def test_a_name_that_acts_is_shown(self, house: House, chat: Path) -> None:
        path = chat.rename(chat.with_name("x\x1b[31m\n.jsonl"))
        ran = run(house, str(path))
        assert ran.out.startswith("x␛[31m␊.jsonl (completions):\n")


class TestUnreadable:
    """A file that cannot be read whole: nothing of it is kept."""

    def test_what_is_damaged_is_one_line(self, house: House, exported: Path, tmp_path: Path) -> None:
        before, body = count(house), exported.read_bytes()
        bomb = tmp_path / "bomb.zip"
        with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("conversations.json", b"[" + b" " * (80 * 2**20) + b"]")
        slip = tmp_path / "slip.zip"
        with zipfile.ZipFile(slip, "w") as archive:
            archive.writestr("../\x1bconversations.json", b"[]")
        path = tmp_path / "x"
        given = [
            bomb.read_bytes(),
            slip.read_bytes(),
            body[:-5],
            gzip.compress(body)[:-9],
            b"hello",
            b"",
            b"SQLite format 3\0",
        ]
        for each in given:
            path.write_bytes(each)
            ran = run(house, str(path), "--new-ids")
            assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1), ran
            assert ran.err.startswith("convstore: The ") and "\x1b" not in ran.err
        assert count(house) == before

    @once
    def test_what_is_no_file(self, house: House, chat: Path, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        for wrong, code in ((tmp_path / "nowhere", 2), (tmp_path, 2), (pipe, 1), (Path("-"), 2)):
            ran = run(house, str(wrong))
            assert (ran.code, ran.out) == (code, ""), ran
            assert "Traceback" not in ran.err
        for options in (("--format", "docx"), ("--format", "markdown"), ("extra",)):
            assert run(house, str(chat), *options).code == 2
        ran = run(house, str(chat), "--format", "llm")
        assert ran.code == 1 and "it is not of the format 'llm'" in ran.err

    @once
    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_one_that_may_not_be_read(self, house: House, chat: Path) -> None:
        chat.chmod(0)
        assert run(house, str(chat)).code == 2


class TestWaiting:
    @once
    def test_ctrl_c_says_that_it_can_go_on(self, house: House, chat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importing, "_once", _interrupted)
        ran = house.run("import", str(chat))
        assert (ran.code, ran.out) == (130, "")
        assert ran.err.strip() == "What was brought in is here: import the file again, and it goes on."
        assert house.run("import", str(chat), "--dry-run").err.strip() == "Nothing was kept."

    @remote
    @sqlite
    def test_ctrl_c_does_not_stop_a_service(self, house: House, chat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(files.time, "sleep", _interrupted)
            ran = house.run("import", str(chat))
        (made,) = house.alice.get("/v1/imports").json["data"]
        assert (ran.code, ran.out) == (130, "")
        assert f"{made['id']} goes on: GET /v1/imports/{made['id']} says how far it is" in ran.err
        assert f"POST /v1/jobs/{made['job_id']}/cancel stops it" in ran.err
        assert "exchanges 1 known" in run(house, str(chat)).out

    @remote
    @sqlite
    def test_ctrl_c_while_it_is_sent(self, house: House, chat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("requests.Session.request", _interrupted)
        ran = house.run("import", str(chat))
        assert ran.code == 130 and "GET /v1/imports says whether all of it arrived" in ran.err
        monkeypatch.undo()
        assert house.alice.get("/v1/imports").json["data"] == []

    @once
    def test_a_bar_is_for_a_terminal_alone(self, house: House, chat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        told: list[Any] = []
        monkeypatch.setattr("rich.progress.Progress.update", lambda *given, **more: told.append(more))
        house.output("import", str(chat))
        assert told == []
        for stream in ("CaptureIO", "EncodedFile"):
            monkeypatch.setattr(f"_pytest.capture.{stream}.isatty", lambda _: True, raising=False)
        house.output("import", str(chat))
        assert told[-1]["total"] == chat.stat().st_size


class TestStranger:
    @sqlite
    def test_what_it_says_is_shown_and_not_obeyed(self, shell: Shell, chat: Path) -> None:
        acting = "\x1b[31m\x9b2J\u202e"
        problem = dict.fromkeys(("place", "id", "reason", "message"), acting)
        said: dict[str, Any] = dict.fromkeys(("id", "format", "job_id"), acting)
        said |= {"status": "completed", "counts": {"exchanges": {"new": acting}, acting: {}}}
        said |= {"problems": [problem], "problems_left_out": 3}
        with stranger(json.dumps(said, ensure_ascii=False).encode()) as url:
            for options in ((), ("--json",)):
                ran = shell.run("import", str(chat), "--url", url, *options)
                assert ran.code == 1
                assert not set("\x1b\x9b\u202e") & set(ran.out + ran.err)

    @sqlite
    def test_one_that_refuses_unread(self, shell: Shell, chat: Path) -> None:
        said = json.dumps({"error": {"message": "The request body is too \x1blarge.", "code": "request_too_large"}})
        with stranger(said.encode(), status=413) as url:
            ran = shell.run("import", str(chat), "--url", url)
        assert (ran.code, ran.out, ran.err) == (1, "", "convstore: The request body is too ␛large.\n")

    @sqlite
    def test_nobody_is_there(self, shell: Shell, chat: Path) -> None:
        with stranger(b"") as url:
            pass
        ran = shell.run("import", str(chat), "--url", url)
        assert (ran.code, ran.err) == (1, f"convstore: The service at {url} cannot be reached.\n")


def _interrupted(*_: Any, **__: Any) -> None:
    signal.raise_signal(signal.SIGINT)
