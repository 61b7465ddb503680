"""`convstore replay`: a thread again, turn by turn, on other models; and a replay that is there already."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import click
from rich.table import Table

from convstore import ids
from convstore.cli import door, following, given, tables, terminal
from convstore.cli.door import Json, Place
from convstore.domain import jsontext
from convstore.domain.replay import TOOL_OUTPUTS
from convstore.render.characters import on_a_line


@click.command()
@click.argument("name", metavar="ID", callback=given.name)
@click.option("--model", "models", multiple=True, metavar="MODEL", help="On this model; give several side by side.")
@click.option("--from", "first", metavar="ID", callback=given.name, help="The first turn.")
@click.option("--until", metavar="ID", callback=given.name, help="The last turn.")
@click.option("--last", is_flag=True, help="This turn alone, on what was answered then.")
@click.option("--tool-outputs", type=click.Choice(TOOL_OUTPUTS), help="Whether recorded outputs answer the same calls.")
@click.option("--set", "pairs", multiple=True, metavar="NAME=JSON", help="A member to be different in each request.")
@click.option("--max-calls", type=click.IntRange(min=1), metavar="N", help="Calls to upstreams at most.")
@click.option(
    "--max-cost", type=click.FloatRange(min=0), callback=given.number, metavar="USD", help="What it may cost at most."
)
@click.option("--dry-run", is_flag=True, help="Only say what it would take.")
@click.option("--detach", is_flag=True, help="Do not wait for its end.")
@click.option("--cancel", is_flag=True, help="Stop the replay with this ID.")
@given.at_a_door
def replay(place: Place, name: str, dry_run: bool, detach: bool, cancel: bool, as_json: bool, **asked: Any) -> None:
    """Ask a thread again, turn by turn.

    ID: of its last exchange, or a branch that points there; or of a replay, which is then followed to its end. The
    exit code is 0 when every turn was answered.
    """
    is_made = ids.pack(ids.REPLAY, name) is not None
    if is_made and (dry_run or any(asked.values())):
        raise click.UsageError(f"{name} is a replay already: it can be followed, or stopped with --cancel.")
    if cancel and not is_made:
        raise click.UsageError("--cancel needs the id of a replay.")
    with door.opened(place) as there:
        if is_made:
            found = there.cancel(name) if cancel else there.replayed(name)
        else:
            found = there.replay(name, door.body(_members(asked, dry_run=dry_run)))
        waits = not (dry_run or detach or cancel) and found["status"] in following.OPEN
        if waits:
            found = following.follow(there, found["id"])
    if as_json:
        terminal.print_json(found)
    elif dry_run:
        _show_plan(found)
    else:
        following.summary(found)
        if detach and found["status"] in following.OPEN:
            click.echo(following.left(found["id"]), err=True)
    if not (dry_run or detach or cancel):
        following.leave(found)


def _members(asked: Mapping[str, Any], *, dry_run: bool) -> dict[str, str]:
    """The body's members as JSON texts. Raises InvalidRequest."""
    own: dict[str, Any] = {
        "models": list(asked["models"]) or None,
        "from": asked["first"],
        "until": asked["until"],
        "mode": "last" if asked["last"] else None,
        "tool_outputs": asked["tool_outputs"],
        "max_calls": asked["max_calls"],
        "dry_run": dry_run or None,
    }
    found = {member: jsontext.dumps(value).decode() for member, value in own.items() if value is not None}
    if asked["max_cost"] is not None:
        found["max_cost"] = f"{Decimal(str(asked['max_cost'])):f}"
    overrides = given.members(asked["pairs"])
    return found | ({"overrides": jsontext.join(overrides)} if overrides else {})


def _show_plan(plan: Json) -> None:
    turns = Table("turn", "exchange", "question", "model")
    for number, turn in enumerate(plan["turns"], start=1):
        turns.add_row(str(number), *(_cell(turn[member]) for member in ("id", "question", "model")))
    tables.show(turns)
    runs = Table("model", "calls", "input tokens", "output tokens", "cost, USD")
    for run in plan["runs"]:
        model = run["model"] or "as recorded"
        figures = ("calls", "estimated_input_tokens", "estimated_output_tokens", "estimated_cost")
        runs.add_row(_cell(model), *(_cell(run[member]) for member in figures))
    tables.show(runs)
    click.echo(f"{plan['calls']} calls. Tokens and costs are those of the recorded turns.")


def _cell(value: object) -> str:
    return "-" if value is None else on_a_line(str(value))
