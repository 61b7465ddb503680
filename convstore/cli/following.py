"""A replay, followed to its end: a bar for each model on a terminal, lines elsewhere, both on standard error.

Whoever stops looking does not stop the replay.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.table import Column, Table

from convstore.cli import tables, terminal
from convstore.cli.door import Door, Json
from convstore.render.characters import on_a_line

OPEN = ("queued", "in_progress")
LOOK_EVERY_S = 0.25


def follow(there: Door, replay_id: str) -> Json:
    """The replay, when it has ended. Ctrl-C ends the command, and not the replay."""
    try:
        with there.working(), _shown() as show:
            while True:
                replay = there.replayed(replay_id)
                show(replay)
                if replay["status"] not in OPEN:
                    return replay
                time.sleep(LOOK_EVERY_S)
    except KeyboardInterrupt:
        click.echo(f"\n{left(replay_id)}", err=True)
        sys.exit(terminal.INTERRUPTED)


def left(replay_id: str) -> str:
    """What there is to do about a replay that goes on alone."""
    return (
        f"{replay_id} goes on as long as a worker runs (convstore serve, convstore worker).\n"
        f"Follow it:  convstore replay {replay_id}\n"
        f"Cancel it:  convstore replay {replay_id} --cancel"
    )


def summary(replay: Json) -> None:
    """What came of it, model by model."""
    click.echo(f"{terminal.line(replay['id']).plain} {terminal.line(replay['status']).plain}")
    table = Table("model", "status", "turns", Column("tip", no_wrap=True), "tokens", "cost, USD", "why")
    for run in replay["runs"]:
        # A replay that has only just been made says nothing of its turns.
        done = f"{run.get('done', 0)}/{run['total']}" if "total" in run else "-"
        cells = (_model(run), run["status"], done, run.get("tip"), run.get("total_tokens"), run.get("cost"))
        table.add_row(*(on_a_line(str(cell)) if cell is not None else "-" for cell in (*cells, run["reason"])))
    tables.show(table)


def leave(replay: Json | None) -> None:
    """End the command with 1 unless the replay was completed, and say on standard error why it was not."""
    if replay is None or replay["status"] == "completed":
        return
    for run in replay["runs"]:
        if run["status"] != "completed":
            reason = on_a_line(run["reason"] or "No reason is known.")
            click.echo(f"convstore: {_model(run)}: {on_a_line(run['status'])}: {reason}", err=True)
    sys.exit(1)


@contextmanager
def _shown() -> Iterator[Callable[[Json], None]]:
    console = terminal.console(error=True)
    if not console.is_terminal:
        yield _in_lines()
        return
    # Here, because the other commands have no use for it.
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    name = TextColumn("{task.description}", markup=False)
    with Progress(name, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console) as bars:
        tasks: dict[int, Any] = {}

        def show(replay: Json) -> None:
            for run in replay["runs"]:
                number = run["number"]
                if number not in tasks:
                    tasks[number] = bars.add_task(_model(run), total=run["total"])
                bars.update(tasks[number], completed=run["done"], description=f"{_model(run)} {run['status']}")

        yield show


def _in_lines() -> Callable[[Json], None]:
    """A line for a model when something has changed."""
    said: dict[int, str] = {}

    def show(replay: Json) -> None:
        for run in replay["runs"]:
            line = f"{_model(run)}: {run['done']}/{run['total']} {on_a_line(run['status'])}"
            if said.get(run["number"]) != line:
                said[run["number"]] = line
                click.echo(line, err=True)

    return show


def _model(run: Json) -> str:
    return on_a_line(run["model"] or "as recorded")
