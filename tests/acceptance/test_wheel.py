"""The wheel, alone: built from a copy of the source, installed where nothing else is, run elsewhere."""

import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.acceptance.conftest import sdk
from tests.acceptance.service import Shell
from tests.conftest import PROVIDER_KEY
from tests.local_upstream import LocalUpstream, answer

pytestmark = pytest.mark.network

SOURCE = Path(__file__).parents[2]
# What the build reads; a copy, so that nothing of a checkout helps by chance.
COPIED = ("pyproject.toml", "README.md", "alembic.ini", "convstore", "migrations")
LOCK = SOURCE / "requirements" / "lock.txt"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("source")
    for name in COPIED:
        found = SOURCE / name
        if found.is_dir():
            shutil.copytree(found, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(found, copy / name)
    work([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"], copy)
    [built] = (copy / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the commands of an environment that holds the wheel and what it asks for."""
    environment = tmp_path_factory.mktemp("elsewhere") / "env"
    uv = shutil.which("uv", path=Path(sys.executable).parent) or "uv"
    work([uv, "venv", "--quiet", "--python", sys.executable, environment], wheel.parent)
    commands = environment / "bin"
    install = [uv, "pip", "install", "--quiet", "--python", commands / "python", "--constraint", LOCK, wheel]
    try:
        work([*install, "--offline"], wheel.parent)
    except subprocess.CalledProcessError:
        # The cache is cold: this one needs the registry.
        work(install, wheel.parent)
    return commands


def work(command: list[str | Path], directory: Path) -> None:
    subprocess.run(command, cwd=directory, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=100)


class TestBuild:
    def test_it_holds_the_migrations_the_templates_and_no_tests(self, wheel: Path) -> None:
        names = ZipFile(wheel).namelist()
        revisions = {path.name for path in (SOURCE / "migrations/versions").glob("*.py")}
        assert revisions <= {Path(name).name for name in names if name.startswith("convstore/migrations/versions/")}
        assert "convstore/migrations/env.py" in names
        templates = SOURCE / "convstore/render/templates"
        assert {f"convstore/render/templates/{path.name}" for path in templates.iterdir()} <= set(names)
        assert {name.split("/")[0].split("-")[0] for name in names} == {"convstore"}


class TestInstall:
    def test_it_is_all_it_takes_to_serve(self, installed: Path, tmp_path: Path, upstream: LocalUpstream) -> None:
        upstream.will(answer("Out of the box."))
        settings = {
            "CONVSTORE_UPSTREAM_URL": upstream.url,
            "CONVSTORE_UPSTREAM_KEY": PROVIDER_KEY,
            "CONVSTORE_WORKERS": "1",
        }
        shell = Shell(tmp_path, settings, command=(str(installed / "convstore"),))
        assert shell.output("db", "upgrade").startswith("schema none -> ")
        api_key = shell.output("keys", "create", "--project", "acme")
        with shell.serving() as service, sdk(service, api_key) as client:
            given = client.responses.create(model="gpt-5.4", input="Hello?")
            assert given.output_text == "Out of the box."
            assert client.responses.retrieve(given.id) == given
            assert service.send("GET", "/docs/").status == 200
            assert service.send("GET", "/openapi.json").status == 200
            service.terminate()
            assert service.ended() == 0
        # The default database is where the commands were run.
        assert (tmp_path / "convstore.db").is_file()
        assert upstream.questions[0].header("authorization") == f"Bearer {PROVIDER_KEY}"
