"""Logs: one JSON object a line, with the request's id, and never a body or a key."""

import logging
import sys
from typing import Any, cast

import orjson
import structlog
from structlog.typing import FilteringBoundLogger


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
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def get() -> FilteringBoundLogger:
    """The logger."""
    return cast(FilteringBoundLogger, structlog.get_logger())
