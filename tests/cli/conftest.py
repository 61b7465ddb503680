"""The stage of this room: the command line, run as its users run it but for the process."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import openai
import pytest
import structlog

from convstore import cli
from tests.conftest import PROVIDER_KEY
from tests.local_upstream import LocalUpstream

if TYPE_CHECKING:
    from tests.cli.house import House


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


@pytest.fixture(params=["database", "service"])
def house(
    request: pytest.FixtureRequest,
    shell: Shell,
    database_url: str,
    upstream: LocalUpstream,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator["House"]:
    """Both doors to a store, on both engines."""
    from tests.cli.house import built

    for name in ("CONVSTORE_URL", "CONVSTORE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CONVSTORE_UPSTREAM_URL", upstream.url)
    monkeypatch.setenv("CONVSTORE_UPSTREAM_KEY", PROVIDER_KEY)
    with built(shell, database_url, upstream, remote=request.param == "service") as made:
        yield made
    # The commands have set up the logs of their process, which is this one.
    structlog.reset_defaults()


@pytest.fixture
def client(house: "House") -> Iterator[openai.OpenAI]:
    """The official client, for the service of the house."""
    with openai.OpenAI(
        base_url=f"{house.url}/v1",
        api_key=house.alice.key,
        max_retries=0,
        http_client=openai.DefaultHttpxClient(trust_env=False),
    ) as made:
        yield made
