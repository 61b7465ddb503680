"""`convstore reindex`: make exchanges searchable that are from before there was a search."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import Progress

from convstore import bootstrap, config
from convstore.services import reindexing
from convstore.services.reindexing import Tell
from convstore.storage import migrations
from convstore.telemetry import logs


@click.command()
@click.pass_obj
def reindex(config_path: str | None) -> None:
    """Make older exchanges searchable, while the service runs or not.

    Once, after `convstore db upgrade`. It may be interrupted, and goes on where it was.
    """
    logs.configure("warning", "console")
    with bootstrap.working(config.load(config_path)) as deps, _progress() as tell:
        migrations.check(deps.database)
        added = reindexing.reindex(deps, tell)
        words = not deps.database.vault.seals
    click.echo(f"{added} exchanges were added to the index.")
    if not words:
        click.echo("What was said is encrypted: they are found by filters, not by words.", err=True)


@contextmanager
def _progress() -> Iterator[Tell]:
    """A bar on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")

        def tell(project: str, done: int, total: int) -> None:
            bar.update(task, description=project, completed=done, total=max(total, 1))

        yield tell
