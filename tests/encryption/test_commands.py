"""What the command line says where what was said is encrypted."""

import pytest

from tests.cli.conftest import Shell
from tests.encryption.conftest import Stage
from tests.encryption.test_keys import NEW


@pytest.fixture
def shell(stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.setenv("CONVSTORE_DATABASE_URL", stage.settings.database_url)
    monkeypatch.setenv("CONVSTORE_STORAGE_KEY", stage.settings.storage_key)
    monkeypatch.delenv("CONVSTORE_CONFIG", raising=False)
    return Shell(monkeypatch, capsys)


class TestCommands:
    def test_a_search_for_words_is_refused_in_one_line(self, shell: Shell) -> None:
        ran = shell.run("search", "--project", "globex", "noise")
        assert (ran.code, ran.out, len(ran.err.splitlines())) == (1, "", 1)
        assert "encrypted" in ran.err

    def test_reindex_says_so(self, shell: Shell) -> None:
        ran = shell.run("reindex")
        assert ran.code == 0, ran.err
        assert "found by filters, not by words" in ran.err

    def test_reindex_passes_over_what_was_shredded(self, stage: Stage, shell: Shell) -> None:
        client = stage.client("shredded")
        own = client.ask("Shredded")["id"]
        assert shell.run("projects", "shred", "shredded", "--yes").code == 0
        stage.sql("DELETE FROM searches WHERE number IS NOT NULL OR number IS NULL")
        assert shell.run("reindex").code == 0
        assert client.get("/v1/responses?model=gpt-5.4").status_code == 200
        assert client.get("/v1/responses").json["data"][0]["id"] == own

    @pytest.mark.parametrize("command", [("serve",), ("worker",), ("keys", "list"), ("doctor",), ("reindex",)])
    def test_without_the_key_nothing_starts(
        self, stage: Stage, shell: Shell, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
    ) -> None:
        monkeypatch.setenv("CONVSTORE_UPSTREAM_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("CONVSTORE_STORAGE_KEY", NEW)
        ran = shell.run(*command)
        assert (ran.code, len(ran.err.splitlines())) == (1, 1)
        assert "CONVSTORE_STORAGE_KEY" in ran.err
        assert stage.settings.storage_key not in ran.err

    def test_rotation_tells_what_it_did(self, shell: Shell, monkeypatch: pytest.MonkeyPatch, stage: Stage) -> None:
        assert shell.output("keys", "rotate-storage") == "0 data keys were wrapped anew.\n"
        monkeypatch.setenv("CONVSTORE_STORAGE_KEY", "")
        monkeypatch.setenv("CONVSTORE_STORAGE_KEYS_OLD", stage.settings.storage_key)
        assert "nothing to encrypt with" in shell.run("keys", "rotate-storage").err

    def test_the_doctor_finds_nothing(self, shell: Shell) -> None:
        ran = shell.run("doctor")
        assert ran.code == 0, ran.out + ran.err
