"""The stage of this room: the command line, run as its users run it but for the process."""

import sys
from dataclasses import dataclass

import pytest

from convstore import cli


@dataclass(frozen=True)
class Ran:
    """What a command did: its exit code, and what it wrote."""

    code: int
    out: str
    err: str


class Shell:
    """Runs commands on one database."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def run(self, *arguments: str) -> Ran:
        self._monkeypatch.setattr(sys, "argv", ["convstore", *arguments])
        self._capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = self._capsys.readouterr()
        return Ran(code, out, err)

    def output(self, *arguments: str) -> str:
        """What a command that works writes to standard output."""
        ran = self.run(*arguments)
        assert ran.code == 0, ran.err
        return ran.out


@pytest.fixture
def shell(database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.setenv("CONVSTORE_DATABASE_URL", database_url)
    monkeypatch.delenv("CONVSTORE_CONFIG", raising=False)
    return Shell(monkeypatch, capsys)
