"""The settings the demo starts convstore with, and the commands it leaves the reader with."""

import shlex
import sys
from pathlib import Path

import pytest

from convstore.cli.demo import directions, service, upstreams

PLACE = service.Place(Path("/tmp/a b/demo.db"), upstream_port=4001, port=4002)


class TestEnvironment:
    def test_it_says_where_everything_is(self) -> None:
        made = service.environment(PLACE)

        assert made["CONVSTORE_DATABASE_URL"] == "sqlite:////tmp/a b/demo.db"
        assert made["CONVSTORE_UPSTREAM_URL"] == "http://127.0.0.1:4001/v1"
        assert made["CONVSTORE_UPSTREAM_DIALECT"] == "chat"
        assert (made["CONVSTORE_HOST"], made["CONVSTORE_PORT"]) == ("127.0.0.1", "4002")
        assert made["CONVSTORE_AUTH"] == "keys"

    def test_the_readers_own_settings_stay_outside(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
        monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere.invalid")
        monkeypatch.setenv("CONVSTORE_UPSTREAM_KEY", "sk-real")
        monkeypatch.setenv("CONVSTORE_CONFIG", "production.toml")
        monkeypatch.setenv("NOISE", "stays")

        made = service.environment(PLACE)

        assert not {name for name in made if name.startswith("OPENAI_")}
        assert not {"CONVSTORE_UPSTREAM_KEY", "CONVSTORE_CONFIG"} & made.keys()
        assert made["NOISE"] == "stays"

    def test_no_proxy_stands_in_between(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_PROXY", "example.com")

        assert service.environment(PLACE)["NO_PROXY"] == "127.0.0.1"


class TestDirections:
    def test_the_commands_survive_a_shell(self) -> None:
        lines = directions.text(PLACE.database, upstreams.ECHO, "resp_1").splitlines()

        assert "/tmp/a b/demo.db" in lines[0]
        exports = [shlex.split(line) for line in lines if line.startswith("  export ")]
        assert exports[0] == ["export", "CONVSTORE_DATABASE_URL=sqlite:////tmp/a b/demo.db"]
        assert exports[1][1:] == [
            "CONVSTORE_UPSTREAM_URL=http://127.0.0.1:8181/v1",
            "CONVSTORE_UPSTREAM_DIALECT=chat",
        ]
        assert f"  {shlex.quote(sys.executable)} -m convstore.cli.demo.echo 8181 &" in lines
        assert lines[-1].endswith(" http://127.0.0.1:8080/v1/responses/resp_1")

    def test_the_short_command_where_the_shell_finds_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
        (tmp_path / "convstore").touch(mode=0o755)

        monkeypatch.setenv("PATH", "")
        assert directions.command("python") == "python -m convstore"
        monkeypatch.setenv("PATH", str(tmp_path))
        assert directions.command("python") == "convstore"
