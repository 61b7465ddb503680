"""What the demo takes with it: from the real service, asked with the real client."""

import json
from pathlib import Path

import openai
import pytest
from rich.console import Console

from convstore.archives import verifying
from convstore.cli.demo import leaving
from convstore.domain.exporting import FORMATS
from convstore.errors import ConvstoreError
from tests.cli.house import House

pytestmark = [
    pytest.mark.parametrize("house", ["service"], indirect=True),
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "exports"


def told(house: House, client: openai.OpenAI, folder: Path) -> str:
    console = Console(width=120)
    with house.worker(), console.capture() as printed:
        leaving.leave(console, client, folder)
    return printed.get()


class TestLeave:
    def test_every_format_is_there_and_verifies(self, house: House, client: openai.OpenAI, folder: Path) -> None:
        house.chain("One", "Two")
        said = told(house, client, folder)
        files = {kind: folder / f"conversations.{FORMATS[kind].ending}" for kind in FORMATS}
        for kind, path in files.items():
            assert verifying.verify(path).count == 0
            assert path.name in said and f"{path.stat().st_size:,}" in said, kind
        assert str(folder) in said
        # With the noise of the house.
        assert "exchanges: 4 known; problems: 0." in said
        assert json.loads(verifying.beside(files["csv"]).read_text())["exchanges"] == 4

    def test_a_second_time_they_are_replaced(self, house: House, client: openai.OpenAI, folder: Path) -> None:
        told(house, client, folder)
        before = {path.name for path in folder.iterdir()}
        house.chain("One")
        assert "exchanges: 3 known" in told(house, client, folder)
        assert {path.name for path in folder.iterdir()} == before

    def test_without_pyarrow_it_says_so(
        self, house: House, client: openai.OpenAI, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(leaving, "PARQUET_NEEDS", "pyarrow_of_nobody")
        said = told(house, client, folder)
        assert "pip install 'convstore[parquet]'" in said
        assert not (folder / "conversations.parquet").exists()

    def test_one_that_is_not_what_it_was_is_said(
        self, house: House, client: openai.OpenAI, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = leaving.written.whole
        monkeypatch.setattr(leaving.written, "whole", lambda path, pieces: real(path, [*pieces, b"\n"]))
        with pytest.raises(ConvstoreError, match="is not what was exported"):
            told(house, client, folder)
