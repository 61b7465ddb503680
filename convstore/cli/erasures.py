"""`convstore erasures`: what somebody said, gone for good; the receipts; and the traces in the file."""

import sys
import time
from collections.abc import Callable
from typing import Any

import click
from rich.progress import Progress
from rich.table import Table

from convstore.cli import door, given, tables, terminal
from convstore.cli.door import Door, Json, Place
from convstore.domain import jsontext
from convstore.errors import InvalidRequest
from convstore.render.characters import on_a_line

LOOK_EVERY_S = 0.25
OPEN = ("in_progress", "purging")
_FIGURES = ("exchanges", "items", "bytes", "conversations", "copies", "descendants", "in_progress")


@click.group()
def erasures() -> None:
    """Erase what was said, for good, and look at the receipts."""


def _of_whom(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say what is to be erased, one of which is needed."""
    for option in (
        click.option("--no-copies", is_flag=True, help="Leave branches and replays of it alone."),
        click.option("--metadata", "pairs", multiple=True, metavar="NAME=VALUE", help="All with these pairs."),
        click.option("--response", "response_id", metavar="ID", help="This response, and all that continues it."),
        click.option("--conversation", "conversation_id", metavar="ID", help="All of this conversation."),
        click.option("--safety-identifier", metavar="NAME", help="The same by this identifier."),
        click.option("--user", metavar="NAME", help="All that was asked for this user."),
    ):
        command = option(command)
    return command


@erasures.command()
@_of_whom
@given.at_a_door
def preview(place: Place, as_json: bool, **asked: Any) -> None:
    """Say what would go, and do nothing."""
    with door.opened(place) as there:
        found = there.preview_erasure(_body(asked, dry_run=True))
    if as_json:
        terminal.print_json(found)
    else:
        _show_preview(found)


@erasures.command()
@_of_whom
@click.option("--no-purge", is_flag=True, help="Leave its traces in the file for `convstore erasures purge`.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--detach", is_flag=True, help="Do not wait for its end.")
@given.at_a_door
def create(place: Place, yes: bool, detach: bool, as_json: bool, **asked: Any) -> None:
    """Erase it. What is erased cannot be brought back."""
    body = _body(asked)
    with door.opened(place) as there:
        found = there.preview_erasure(_body(asked, dry_run=True))
        if not yes:
            _show_preview(found, to_error=True)
            click.confirm("Erase it for good?", abort=True, err=True)
        made = there.erase(body)
        if not detach:
            made = _followed(there, made, found["exchanges"])
    _show(made, as_json=as_json)
    if not detach:
        sys.exit(0 if made["status"] == "completed" else 1)


@erasures.command()
@click.argument("erasure_id", metavar="ID")
@given.at_a_door
def show(place: Place, erasure_id: str, as_json: bool) -> None:
    """Show a receipt."""
    with door.opened(place) as there:
        _show(there.erasure(erasure_id), as_json=as_json)


@erasures.command(name="list")
@click.option("--limit", type=click.IntRange(1, 100), default=20, help="So many of the newest.")
@given.at_a_door
def list_erasures(place: Place, limit: int, as_json: bool) -> None:
    """List the newest erasures."""
    with door.opened(place) as there:
        found = there.erasures(limit)
    if as_json:
        terminal.print_json(found)
        return
    table = Table("erasure", "by", "status", "exchanges", "purged")
    for each in found["data"]:
        purged = "yes" if each["purged_at"] else "no"
        cells = (each["id"], each["by"], each["status"], each["counts"].get("exchanges", 0), purged)
        table.add_row(*(on_a_line(str(cell)) for cell in cells))
    tables.show(table)


@erasures.command()
@given.at_a_door
def purge(place: Place, as_json: bool) -> None:
    """Remove the traces of what was erased from the file. Writers wait while it is copied."""
    with door.opened(place) as there:
        is_done = there.purge()
    if as_json:
        terminal.print_json({"object": "purge", "done": is_done})
    elif is_done:
        click.echo("Nothing of what was erased is left in the file.")
    if not is_done:
        click.echo("convstore: others are reading or writing all the time; try again later.", err=True)
        sys.exit(1)


def _body(asked: dict[str, Any], *, dry_run: bool = False) -> bytes:
    names = ("user", "safety_identifier", "conversation_id", "response_id")
    members: dict[str, Any] = {name: asked[name] for name in names if asked[name] is not None}
    if asked["pairs"]:
        members["metadata"] = dict(_pair(each) for each in asked["pairs"])
    members |= {"copies": not asked["no_copies"], "purge": not asked.get("no_purge", False)}
    return jsontext.dumps({**members, **({"dry_run": True} if dry_run else {})})


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InvalidRequest(f"--metadata {text}: expected NAME=VALUE.")
    return name, value


def _followed(there: Door, made: Json, total: int) -> Json:
    """The erasure, when it has ended. Ctrl-C ends the command, and not the erasure."""
    try:
        with there.working(), Progress(console=terminal.console(error=True), transient=True) as bar:
            task = bar.add_task("Erasing", total=total)
            while made["status"] in OPEN:
                time.sleep(LOOK_EVERY_S)
                made = there.erasure(made["id"])
                done = made["counts"].get("exchanges", 0)
                bar.update(task, completed=done, total=max(total, done), description=made["status"])
    except KeyboardInterrupt:
        click.echo(f"\n{made['id']} goes on as long as a worker runs: convstore erasures show {made['id']}", err=True)
        sys.exit(terminal.INTERRUPTED)
    return made


def _show_preview(found: Json, *, to_error: bool = False) -> None:
    for name in _FIGURES:
        click.echo(f"{name.replace('_', ' '):>13} {found[name]}", err=to_error)


def _show(found: Json, *, as_json: bool) -> None:
    if as_json:
        terminal.print_json(found)
        return
    click.echo(f"{on_a_line(found['id'])} {on_a_line(found['status'])}")
    counts = {name: value for name, value in found["counts"].items() if name != "tables"}
    for name, value in {**counts, **found["counts"].get("tables", {})}.items():
        click.echo(f"{on_a_line(name):>18} {on_a_line(str(value))}")
