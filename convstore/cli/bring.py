"""`convstore import`: conversations brought in from a file of ours or of others."""

import sys
from pathlib import Path

import click

from convstore.archives.formats import ALL
from convstore.cli import door, given, terminal
from convstore.cli.door import Json, Place
from convstore.cli.files import Bringing
from convstore.render.characters import on_a_line

# Problems a person reads; --json has more.
SHOWN = 20
_NOUNS = ("conversations", "exchanges", "items", "branches", "records")
_OUTCOMES = ("new", "known", "refused", "broken")


@click.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--format", type=click.Choice(ALL), help="What it is; told by its beginning else.")
@click.option("--new-ids", is_flag=True, help="Make a copy, under ids of its own.")
@click.option("--dry-run", is_flag=True, help="Say what would come of it, and keep nothing.")
@given.at_a_door
def bring(place: Place, file: Path, format: str | None, new_ids: bool, dry_run: bool, as_json: bool) -> None:
    """Import our own exports, ChatGPT's, Claude's, Chat Completions as JSON Lines, or the log of llm.

    What is here already is left as it is: a file can be imported again, and one that was interrupted goes on.
    Exit code 1 when some of it could not be brought in.
    """
    wanted = Bringing(format, "new" if new_ids else "keep", dry_run)
    so_far = "Nothing was kept." if dry_run else "What was brought in is here: import the file again, and it goes on."
    with (
        terminal.leaving(so_far),
        door.opened(place) as there,
        terminal.progress("Importing") as tell,
    ):
        found = there.bring(file, wanted, tell)
    if as_json:
        terminal.print_json(found)
    else:
        _show(file, found, dry_run=dry_run)
    sys.exit(1 if found["problems"] else 0)


def _show(file: Path, found: Json, *, dry_run: bool) -> None:
    for problem in found["problems"][:SHOWN]:
        named = f" {problem['id']}" if problem["id"] else ""
        told = f"{problem['place']}:{named} {problem['reason']}: {problem['message']}"
        click.echo(on_a_line(told), err=True)
    more = len(found["problems"]) - SHOWN + found["problems_left_out"]
    if more > 0:
        click.echo(f"… and {more} more: --json has the first thousand.", err=True)
    would = "would be " if dry_run else ""
    click.echo(on_a_line(f"{file.name} ({found['format']}):"))
    for noun in _NOUNS:
        of = found["counts"].get(noun)
        if of:
            told = ", ".join(f"{of[word]} {would}{word}" for word in _OUTCOMES if word in of)
            click.echo(f"{noun:>14} {on_a_line(told)}")
