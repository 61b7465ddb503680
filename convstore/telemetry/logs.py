"""Logs: one JSON object a line, with the request's id, and never a body or a key.

What cannot be written is lost, and whoever had it to say goes on.
"""

import logging
import sys
from contextlib import suppress
from functools import partial
from typing import Any, cast

import orjson
import structlog
from structlog.typing import FilteringBoundLogger


class _Logger(structlog.PrintLogger):
    def msg(self, message: str) -> None:
        # A full disk or a broken pipe is an OSError, a stream that was closed a ValueError.
        with suppress(OSError, ValueError):
            super().msg(message)

    debug = info = warning = error = critical = msg


def configure(level: str, form: str) -> None:
    """Set up this process's logs. form: "json", or "console" for people."""
    renderer: Any = structlog.processors.JSONRenderer(
        serializer=lambda value, **_: orjson.dumps(value, default=str).decode()
    )
    if form == "console":
        renderer = structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=partial(_Logger, sys.stderr),
        cache_logger_on_first_use=True,
    )


def get() -> FilteringBoundLogger:
    """The logger."""
    return cast(FilteringBoundLogger, structlog.get_logger())
