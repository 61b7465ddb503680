"""`convstore cost reconcile`: a provider's bill against our figures."""

from pathlib import Path

import click
from rich.table import Column, Table

from convstore.cli import door, given, tables, terminal
from convstore.cli.door import Json, Place
from convstore.domain.billing import COLUMNS, FIGURES
from convstore.errors import InvalidRequest

_SIDES = ("theirs", "ours", "delta")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--column", "columns", multiple=True, metavar="WHAT=NAME", help=f"Which column is {', '.join(COLUMNS)}.")
@click.option("--only", multiple=True, metavar="COLUMN=VALUE", help="Pass over lines with another value there.")
@click.option("--timezone", metavar="ZONE", help="Of the bill's days; UTC unless told.")
@click.option("--currency", metavar="CODE", help="Of the amounts, where no column says it.")
@click.option("--upstream", metavar="NAME", help="Only what was asked of this one.")
@click.option("--all", "everything", is_flag=True, help="Lines that agree, too.")
@given.at_a_door
def reconcile(
    place: Place,
    file: Path,
    columns: tuple[str, ...],
    only: tuple[str, ...],
    everything: bool,
    as_json: bool,
    **said: str | None,
) -> None:
    """Compare a provider's usage or billing CSV with what is on record, by day and model.

    The exports of OpenAI's usage page are known. Of others say which column is what:
    --column day=Date --column model=Model --column amount=Cost --currency CNY
    """
    asked = {name: value for name, value in said.items() if value is not None}
    asked |= {f"column.{what}": name for what, name in _pairs("--column", columns)}
    asked |= {f"only.{name}": value for name, value in _pairs("--only", only)}
    with door.opened(place) as there:
        found = there.reconcile(file.read_bytes(), asked)
    if as_json:
        terminal.print_json(found)
        return
    lines = [line for line in found["data"] if everything or _differs(line)]
    for line in lines:
        click.echo(terminal.line(f"{line['day']}  {line['model']}"))
        _show(line)
    agreed = len(found["data"]) - sum(map(_differs, found["data"]))
    click.echo(f"{found['from']} to {found['to']} ({found['timezone']}): {agreed} of {len(found['data'])} lines agree.")


def _pairs(option: str, given_pairs: tuple[str, ...]) -> list[tuple[str, str]]:
    found = []
    for pair in given_pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InvalidRequest(f"{option} {pair}: expected NAME=VALUE.")
        found.append((name, value))
    return found


def _differs(line: Json) -> bool:
    return any(value not in (None, 0, "0") for value in line["delta"].values())


def _show(line: Json) -> None:
    known = [name for name in FIGURES if any(line[side] and line[side][name] is not None for side in _SIDES)]
    money = f"amount, {line['currency']}"
    names = [money if name == "amount" else name.replace("_", " ") for name in known]
    table = Table("", *(Column(name, justify="right") for name in names))
    for side in _SIDES:
        figures = line[side] or {}
        table.add_row(side, *(str(figures.get(name)) if figures.get(name) is not None else "-" for name in known))
    tables.show(table)
    for why in line["explained_by"]:
        more = "" if why["exchanges"] <= len(why["ids"]) else " …"
        click.echo(f"  {why['cause'].replace('_', ' ')}: {why['exchanges']} ({' '.join(why['ids'])}{more})")
