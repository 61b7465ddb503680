"""Logs: written where they can be, and never in the way of what they are about."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import pytest
from structlog.typing import FilteringBoundLogger

from convstore.telemetry import logs

LEVELS = ("debug", "info", "warning", "error", "critical", "exception")


def closed() -> TextIO:
    stream = io.StringIO()
    stream.close()
    return stream


def full() -> TextIO:
    return Path("/dev/full").open("w", buffering=1)


def logger(monkeypatch: pytest.MonkeyPatch, stream: TextIO, form: str = "json") -> FilteringBoundLogger:
    """The logger of a process whose standard error is this."""
    monkeypatch.setattr(sys, "stderr", stream)
    logs.configure("debug", form)
    return logs.get()


class TestGet:
    def test_a_line_is_an_object(self, monkeypatch: pytest.MonkeyPatch) -> None:
        written = io.StringIO()
        logger(monkeypatch, written).info("answered", response_id="resp_1")
        entry = json.loads(written.getvalue())
        assert (entry["event"], entry["level"], entry["response_id"]) == ("answered", "info", "resp_1")

    @pytest.mark.parametrize("form", ["json", "console"])
    @pytest.mark.parametrize("stream", [closed, full])
    @pytest.mark.parametrize("level", LEVELS)
    def test_where_nobody_hears_it_nothing_is_raised(
        self, monkeypatch: pytest.MonkeyPatch, stream: Callable[[], TextIO], level: str, form: str
    ) -> None:
        speak = getattr(logger(monkeypatch, stream(), form), level)
        speak("stream_failed", response_id="resp_1")
