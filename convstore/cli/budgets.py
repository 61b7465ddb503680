"""`convstore budgets`: what may be spent, and what has been."""

import click
from rich.table import Column, Table

from convstore.cli import door, given, tables, terminal
from convstore.cli.door import Json, Place
from convstore.domain import jsontext
from convstore.domain.budget import Period


@click.group()
def budgets() -> None:
    """Limit what projects, keys and conversations may cost."""


@budgets.command(name="list")
@given.at_a_door
def listed(place: Place, as_json: bool) -> None:
    """List the project's budgets, with what has been spent of them."""
    with door.opened(place) as there:
        found = there.budgets()["data"]
    if as_json:
        terminal.print_json(found)
        return
    table = Table(Column("id", no_wrap=True), "name", "of", "period", "amount", "spent", "left", "kind")
    for budget in found:
        table.add_row(*map(terminal.line, _cells(budget)))
    tables.show(table)


@budgets.command(name="set")
@click.argument("name")
@click.option("--amount", required=True, metavar="DECIMAL", help="How much may be spent.")
@click.option("--currency", required=True, metavar="CODE", help="In which currency; others do not count.")
@click.option("--period", required=True, type=click.Choice([str(each) for each in Period]), help="In what time.")
@click.option("--soft", is_flag=True, help="Tell of calls beyond it, and let them go on.")
@click.option("--api-key", "api_key_id", metavar="ID", help="Only what this key spends.")
@click.option("--conversation", "conversation_id", metavar="ID", help="Only what this conversation costs.")
@given.at_a_door
def set_(place: Place, soft: bool, as_json: bool, **said: str | None) -> None:
    """Set a budget called NAME."""
    wanted = {name: value for name, value in said.items() if value is not None}
    with door.opened(place) as there:
        made = there.set_budget(jsontext.dumps({**wanted, "hard": not soft}))
    if as_json:
        terminal.print_json(made)
    else:
        click.echo(f"{made['id']}: {made['spent']} of {made['amount']} {made['currency']} are spent.")


@budgets.command()
@click.argument("budget_id", metavar="ID")
@given.at_a_door
def remove(place: Place, budget_id: str, as_json: bool) -> None:
    """Lift a limit."""
    with door.opened(place) as there:
        there.lift_budget(budget_id)
    if as_json:
        terminal.print_json({"id": budget_id, "object": "budget", "deleted": True})
    else:
        click.echo(f"{budget_id} is lifted.")


def _cells(budget: Json) -> list[str]:
    of = budget["api_key_id"] or budget["conversation_id"] or "the project"
    kind = ("hard" if budget["hard"] else "soft") + (", exceeded" if budget["exceeded"] else "")
    money = [f"{budget[name]} {budget['currency']}" for name in ("amount", "spent", "left")]
    return [budget["id"], budget["name"], of, budget["period"], *money, kind]
