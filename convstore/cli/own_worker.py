"""A worker for as long as a command waits for what only workers do: where there is none, the command has its own."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from convstore.child import Child
from convstore.config import Settings
from convstore.services import recovery
from convstore.services.deps import Deps

# What a worker that was told to stop takes to leave, beyond the time it gives its jobs.
LEAVES_S = 10.0


@contextmanager
def working(deps: Deps, settings: Settings, config_path: str | None) -> Iterator[None]:
    """While this lasts, jobs are run: by those who do anyway, or by a worker of our own."""
    if recovery.workers(deps):
        yield
        return
    chosen = ("--config", config_path) if config_path else ()
    child = Child(
        say=lambda said: click.echo(said, err=True),
        died=lambda _: None,
        command=(sys.executable, "-m", "convstore", *chosen, "worker"),
        # Beside our progress only what went wrong.
        environment={**os.environ, "CONVSTORE_LOG_LEVEL": "error", "CONVSTORE_LOG_FORMAT": "console"},
    )
    child.start()
    try:
        yield
        # Politely: it may be at somebody else's job by now.
        child.stop()
        child.wait(settings.graceful_s + LEAVES_S)
    except BaseException:
        child.stop(graceful=False)
        child.wait(LEAVES_S)
        raise
