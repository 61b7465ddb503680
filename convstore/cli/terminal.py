"""What commands write: lines, JSON and errors, without anything in them that acts on a terminal.

What people and models said is untrusted: it is never markup, and characters that act are shown instead.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from convstore.cli.tables import UNFOLDED
from convstore.domain import jsontext
from convstore.render.characters import on_a_line, visible

# What a shell says of a command that was interrupted.
INTERRUPTED = 130


def console(*, error: bool = False, width: int = UNFOLDED) -> Console:
    """Standard output, or standard error: as wide as the terminal, or as *width* where there is none."""
    stream = sys.stderr if error else sys.stdout
    return Console(width=None if stream.isatty() else width, markup=False, emoji=False, highlight=False, stderr=error)


def line(said: object, style: str = "") -> Text:
    """Untrusted words for one line."""
    return Text(on_a_line(str(said)), style=style)


def lines(said: str) -> list[str]:
    """Untrusted words on as many lines as they have."""
    return visible(said.replace("\r\n", "\n")).split("\n")


def print_json(value: Any) -> None:
    """JSON on one line. What a terminal could obey is escaped, which JSON allows."""
    written = jsontext.dumps(value).decode()
    if not written.isprintable():
        written = "".join(each if each.isprintable() else _escaped(each) for each in written)
    click.echo(written)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


@contextmanager
def progress(title: str, *, hidden: bool = False) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on standard error, where that is a terminal. It is told how much is done, of how much (None: unknown)."""
    if hidden or not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    # Here, because the other commands have no use for it.
    from rich.progress import Progress

    with Progress(console=console(error=True), transient=True) as bar:
        task = bar.add_task(title, total=None)

        def tell(done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=None if total is None else max(total, done, 1))

        yield tell


@contextmanager
def leaving(words: str) -> Iterator[None]:
    """Ctrl-C ends the command with these words, or with those that whoever was interrupted has to say."""
    try:
        yield
    except KeyboardInterrupt as interrupted:
        click.echo(f"\n{on_a_line(str(interrupted) or words)}", err=True)
        sys.exit(INTERRUPTED)
