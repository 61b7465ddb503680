"""`convstore holds`: what must be kept, whatever rules and requests say."""

from collections.abc import Sequence

import click
from rich.table import Column, Table

from convstore.cli import door, tables, terminal
from convstore.cli.door import Json, Place
from convstore.cli.given import at_a_door
from convstore.cli.retention import labels, moment
from convstore.domain import jsontext
from convstore.domain.hold import SELECTORS

_PAGE = "100"


@click.group()
def holds() -> None:
    """Keep conversations from being erased or removed."""


@holds.command(name="list")
@click.option("--all", "everything", is_flag=True, help="Released ones, too.")
@at_a_door
def listed(place: Place, everything: bool, as_json: bool) -> None:
    """List the project's holds, newest first."""
    asked = {"limit": _PAGE, **({} if everything else {"released": "false"})}
    found: list[Json] = []
    with door.opened(place) as there:
        page = there.holds(asked)
        found += page["data"]
        while page["has_more"]:
            page = there.holds({**asked, "after": found[-1]["id"]})
            found += page["data"]
    if as_json:
        terminal.print_json(found)
        return
    table = Table(Column("id", no_wrap=True), "name", "for", "since", "released")
    for hold in found:
        times = (moment(hold[name]) if hold[name] else "-" for name in ("created_at", "released_at"))
        table.add_row(*map(terminal.line, (hold["id"], hold["name"], _subject(hold), *times)))
    tables.show(table)


@holds.command()
@click.argument("name")
@click.option("--reason", metavar="TEXT", help="Why; for whoever decides on its release.")
@click.option("--conversation", "conversation_id", metavar="ID", help="Keep this conversation.")
@click.option("--response", "response_id", metavar="ID", help="Keep the conversation that this response is in.")
@click.option("--user", metavar="TEXT", help="Keep each conversation with a request of theirs.")
@click.option("--safety-identifier", metavar="TEXT", help="The same by this identifier.")
@click.option("--metadata", "pairs", metavar="KEY=VALUE", multiple=True, help="Each with a request that carries it.")
@at_a_door
def create(place: Place, pairs: Sequence[str], as_json: bool, **said: str | None) -> None:
    """Keep what belongs to a case called NAME, until the hold is released."""
    wanted = {name: value for name, value in said.items() if value is not None}
    with door.opened(place) as there:
        made = there.hold(jsontext.dumps({**wanted, **({"metadata": labels(pairs)} if pairs else {})}))
    if as_json:
        terminal.print_json(made)
    else:
        click.echo(f"{made['id']} keeps what is of {terminal.line(_subject(made))}.")


@holds.command()
@click.argument("hold_id", metavar="ID")
@at_a_door
def show(place: Place, hold_id: str, as_json: bool) -> None:
    """Show a hold."""
    with door.opened(place) as there:
        found = there.held(hold_id)
    if as_json:
        terminal.print_json(found)
        return
    for name, value in found.items():
        if value is not None and name != "object":
            shown = moment(value) if name.endswith("_at") else value if isinstance(value, str) else None
            click.echo(f"{name}: {terminal.line(shown or jsontext.dumps(value).decode())}")


@holds.command()
@click.argument("hold_id", metavar="ID")
@at_a_door
def release(place: Place, hold_id: str, as_json: bool) -> None:
    """Let go of what a hold keeps. It stays on record."""
    with door.opened(place) as there:
        found = there.release_hold(hold_id)
    if as_json:
        terminal.print_json(found)
    else:
        click.echo(f"{hold_id} is released.")


def _subject(hold: Json) -> str:
    name = next(name for name in SELECTORS if hold[name] is not None)
    if name == "metadata":
        return ", ".join(f"{key}={value}" for key, value in hold[name].items())
    return f"{name.removesuffix('_id')} {hold[name]}"
