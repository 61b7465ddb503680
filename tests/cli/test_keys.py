"""`convstore keys`, on both engines: what is printed of them."""

import json
import re

import pytest

from tests.cli.conftest import Shell


class TestList:
    @pytest.fixture(autouse=True)
    def made(self, shell: Shell) -> None:
        shell.output("keys", "create", "--project", "globex", "--name", "carol")
        shell.output("keys", "create", "--project", "acme " + "x" * 100, "--name", "alice [bold]", "--scope", "read")

    def test_a_pipe_gets_whole_lines(self, shell: Shell) -> None:
        lines = shell.output("keys", "list").splitlines()
        for key in json.loads(shell.output("keys", "list", "--json")):
            (line,) = [line for line in lines if key["id"] in line]
            for value in filter(None, key.values()):
                assert value in line

    def test_a_terminal_gets_what_fits(self, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", "80")
        lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in shell.output("keys", "list").splitlines()]
        assert {len(line) for line in lines} == {80}
        ids = [key["id"] for key in json.loads(shell.output("keys", "list", "--json"))]
        assert all(any(key_id in line for line in lines) for key_id in ids)
