"""The README is true: its snippets are run as they stand, only their addresses and keys are replaced."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from convstore.config import load
from tests.acceptance.service import Service, Shell
from tests.conftest import PROVIDER_KEY
from tests.local_upstream import LocalUpstream, answer

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8080"
# The README's example of a package; its major version is what the snippet is written for.
SDK = "openai@7"


def snippets(language: str) -> list[str]:
    """The code blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.S | re.M)


@dataclass
class Desk:
    """What a reader has after the README's commands: a running service and a key."""

    service: Service
    key: str
    upstream: LocalUpstream
    directory: Path

    def at_hand(self, snippet: str) -> str:
        """The snippet with this reader's address and key."""
        assert ADDRESS in snippet
        return snippet.replace(ADDRESS, self.service.root_url).replace("sk-your-convstore-key", self.key)

    def run(self, *command: str, **environment: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.directory,
            env={"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(self.directory), **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    directory = tmp_path_factory.mktemp("readme")
    with LocalUpstream() as upstream:
        settings = {
            "CONVSTORE_DATABASE_URL": f"sqlite:///{directory}/convstore.db",
            "CONVSTORE_UPSTREAM_URL": upstream.url,
            "CONVSTORE_UPSTREAM_KEY": PROVIDER_KEY,
        }
        shell = Shell(directory, settings)
        commands = [line.split()[1:] for line in snippets("sh")[2].splitlines() if line.startswith("convstore ")]
        assert commands.pop() == ["serve"]
        printed = [shell.output(*command) for command in commands]
        with shell.serving() as service:
            yield Desk(service, printed[-1], upstream, directory)


class TestSettings:
    @pytest.mark.parametrize("number", [0, 1])
    def test_the_examples_of_providers_are_settings(self, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
        given = dict(line.removeprefix("export ").split("=", 1) for line in snippets("sh")[number].splitlines())
        for name in ("CONVSTORE_UPSTREAM_DIALECT", "CONVSTORE_CONFIG"):
            monkeypatch.delenv(name, raising=False)
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        (upstream,) = load().upstreams
        assert upstream.url == given["CONVSTORE_UPSTREAM_URL"]
        assert upstream.key == given["CONVSTORE_UPSTREAM_KEY"]
        assert upstream.dialect == "responses"


class TestSnippets:
    def test_python(self, desk: Desk) -> None:
        desk.upstream.will(answer("Monads are burritos."), answer("A monoid."))
        (snippet,) = snippets("python")
        printed = desk.run(sys.executable, "-c", desk.at_hand(snippet))
        assert printed.split("\n") == ["Monads are burritos.", "A monoid.Monads are burritos.", ""]

    def test_curl(self, desk: Desk) -> None:
        if shutil.which("curl") is None:
            pytest.skip("curl is not installed")
        desk.upstream.will(answer("Monads are burritos."))
        printed = desk.run("sh", "-c", desk.at_hand(snippets("sh")[3]), CONVSTORE_KEY=desk.key)
        assert "Monads are burritos." in printed

    @pytest.mark.network
    def test_javascript(self, desk: Desk) -> None:
        if shutil.which("npm") is None:
            pytest.skip("Node.js is not installed")
        installed = subprocess.run(
            ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefer-offline", SDK],
            cwd=desk.directory,
            capture_output=True,
            timeout=100,
        )
        if installed.returncode != 0:
            pytest.skip("the openai package cannot be fetched here")
        desk.upstream.will(answer("Monads are burritos."), answer("A monoid."))
        (snippet,) = snippets("javascript")
        script = desk.directory / "snippet.mjs"
        script.write_text(desk.at_hand(snippet), encoding="utf-8")
        node = shutil.which("node") or "node"
        assert desk.run(node, str(script)).split("\n") == ["Monads are burritos.", "A monoid.", ""]


class TestCommands:
    def test_the_two_commands_are_targets(self) -> None:
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        for command in re.findall(r"^\$ make (\w+)$", README, re.M):
            assert re.search(rf"^{command}:", makefile, re.M)

    def test_every_page_it_points_at_is_there(self) -> None:
        for target in re.findall(r"\]\(([^)#]+)\)", README):
            assert (ROOT / target).exists(), target
