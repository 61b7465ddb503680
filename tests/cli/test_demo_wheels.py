"""Which pip fetches, and what is said when it cannot. The pip is real, the package is a local file."""

import importlib.util
import shutil
import sys
import zipfile
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

import pytest

from convstore.cli.demo import wheels
from convstore.cli.demo.processes import free_ports

METADATA = "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\nRequires-Dist: does-not-exist\n"


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the only package index, with one package that requires one that is nowhere."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny/data.bin", b"data")
        wheel.writestr("tiny-1.0.dist-info/METADATA", METADATA)
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment as uv makes it: no pip inside, none on the PATH."""

    def find(name: str) -> ModuleSpec | None:
        return None if name == "pip" else find_spec(name)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    monkeypatch.setenv("PATH", "")


@pytest.fixture
def nothing(no_pip: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the pip that Python brings along."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


needs_a_pip = pytest.mark.skipif(not list(wheels.pips()), reason="no pip on this machine")
needs_ensurepip = pytest.mark.skipif(not find_spec("ensurepip"), reason="this Python brings no pip")


class TestDownload:
    @needs_a_pip
    def test_the_wheel_comes_without_its_requirements(self, tmp_path: Path) -> None:
        wheels.download("tiny==1.0", tmp_path / "here")

        assert [path.name for path in (tmp_path / "here").iterdir()] == ["tiny-1.0-py3-none-any.whl"]

    @needs_ensurepip
    def test_the_pip_that_python_brings_along_is_enough(self, tmp_path: Path, no_pip: None) -> None:
        wheels.download("tiny==1.0", tmp_path / "here")

        assert (tmp_path / "here" / "tiny-1.0-py3-none-any.whl").exists()

    @needs_a_pip
    def test_a_package_that_is_nowhere_is_one_line(self, tmp_path: Path) -> None:
        with pytest.raises(wheels.DownloadFailed) as failed:
            wheels.download("tiny==2.0", tmp_path / "here")

        assert str(failed.value) == "No matching distribution found for tiny==2.0"

    @needs_a_pip
    def test_an_index_out_of_reach_is_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        [port] = free_ports(1)
        monkeypatch.setenv("PIP_NO_INDEX", "0")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple")

        with pytest.raises(wheels.DownloadFailed) as failed:
            wheels.download("tiny==2.0", tmp_path / "here")

        assert str(failed.value) == "the package index cannot be reached"

    def test_no_pip_at_all_is_said(self, tmp_path: Path, nothing: None) -> None:
        with pytest.raises(wheels.DownloadFailed, match="there is no pip on this machine"):
            wheels.download("tiny==1.0", tmp_path / "here")


class TestPips:
    @pytest.mark.skipif(not find_spec("pip"), reason="no pip in this environment")
    def test_our_own_comes_first(self) -> None:
        assert next(wheels.pips()) == [sys.executable, "-m", "pip"]

    def test_the_path_comes_last(self, tmp_path: Path, nothing: None, monkeypatch: pytest.MonkeyPatch) -> None:
        found = tmp_path / "pip3"
        found.touch(mode=0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert shutil.which("pip3")

        assert list(wheels.pips()) == [[str(found)]]


class TestReason:
    def test_the_last_error_counts_and_not_the_notice_after_it(self) -> None:
        stderr = "WARNING: retrying\nERROR: first\nERROR: the cause\n\n[notice] a new pip is out\n"

        assert wheels.reason(stderr) == "the cause"

    def test_without_an_error_the_last_line_counts(self) -> None:
        assert wheels.reason("Traceback\nOSError: no space\n") == "OSError: no space"
        assert wheels.reason("") == ""
