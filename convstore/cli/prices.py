"""`convstore prices`: the price book."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.table import Column, Table

from convstore import bootstrap, config
from convstore.cli import door, given, recorded, tables, terminal
from convstore.cli.door import Json, Place
from convstore.domain import jsontext
from convstore.domain.jsontext import NotJson
from convstore.domain.pricing.rule import UNITS
from convstore.errors import InvalidRequest
from convstore.storage import migrations

_PLAIN = ("model", "upstream", "service_tier", "currency", "effective_from", "effective_to", "price_set")
_everywhere = click.option("--everywhere", is_flag=True, help="For every project of this database.")


@click.group()
def prices() -> None:
    """What models cost, where the price library does not know it or knows another price."""


@prices.command(name="list")
@click.option("--price-set", metavar="NAME", help="Those of a set, which are not in force.")
@click.option("--model", metavar="MODEL", help="Those that match this model.")
@given.at_a_door
def listed(place: Place, price_set: str | None, model: str | None, as_json: bool) -> None:
    """List the project's own prices and those of the installation."""
    with door.opened(place) as there:
        found = list(_all(there, price_set, model))
    if as_json:
        terminal.print_json(found)
        return
    table = Table(Column("id", no_wrap=True), "of", "model", "upstream", "tier", "rates", "from", "until")
    for price in found:
        name = price["price_set"] or price["scope"]
        until = price["effective_to"] or "-"
        cells = (price["model"], price["upstream"] or "any", price["service_tier"] or "any", _rates(price))
        table.add_row(price["id"], name, *map(terminal.line, cells), price["effective_from"], until)
    tables.show(table)


@prices.command(name="set")
@click.argument("model")
@click.option("--currency", required=True, metavar="CODE", help="As in ISO 4217, or one of CONVSTORE_CURRENCIES.")
@click.option("--input", metavar="DECIMAL", help="A million input tokens.")
@click.option("--cached-input", metavar="DECIMAL", help="A million of those that were read from the cache.")
@click.option("--cache-write", metavar="DECIMAL", help="A million of those that were written to it.")
@click.option("--output", metavar="DECIMAL", help="A million output tokens.")
@click.option("--web-search", metavar="DECIMAL", help="A thousand web searches.")
@click.option("--file-search", metavar="DECIMAL", help="A thousand file searches.")
@click.option("--request", metavar="DECIMAL", help="A thousand requests.")
@click.option("--above", type=click.IntRange(min=1), metavar="TOKENS", help="Where a long context begins; then:")
@click.option("--long-input", metavar="DECIMAL", help="A million input tokens of those.")
@click.option("--long-cached-input", metavar="DECIMAL", help="A million of those, read from the cache.")
@click.option("--long-output", metavar="DECIMAL", help="A million output tokens of those.")
@click.option("--upstream", metavar="NAME", help="Only at this upstream.")
@click.option("--service-tier", metavar="TIER", help="Only in this tier: flex, priority, …")
@click.option("--from", "effective_from", metavar="WHEN", help="From when on: 2026-12-01, 2026-12-01T08:00:00+08:00.")
@click.option("--until", "effective_to", metavar="WHEN", help="Until when.")
@click.option("--price-set", metavar="NAME", help="Put it in a set that reports can be asked by; it is not in force.")
@click.option("--replace", is_flag=True, help="End the price before it where this one begins.")
@_everywhere
@given.at_a_door
def set_(place: Place, everywhere: bool, as_json: bool, replace: bool, above: int | None, **said: str | None) -> None:
    """Name the price of MODEL, in which * stands for anything."""
    wanted: Json = {name: value for name, value in said.items() if value is not None and not name.startswith("long_")}
    long = {name[len("long_") :]: value for name, value in said.items() if value is not None and name[:5] == "long_"}
    if bool(long) != (above is not None):
        raise click.UsageError("--above and --long-… belong together.")
    if above is not None:
        wanted["long_context"] = [{"above": above, **long}]
    (made,) = _named(place, [wanted | ({"replace": True} if replace else {})], everywhere=everywhere)
    if as_json:
        terminal.print_json(made)
    else:
        click.echo(f"{made['id']}: {_rates(made)}, from {made['effective_from']} on.")


@prices.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--price-set", metavar="NAME", help="Put them in a set.")
@click.option("--replace", is_flag=True, help="End the prices before them where these begin.")
@_everywhere
@given.at_a_door
def import_(place: Place, file: Path, price_set: str | None, replace: bool, everywhere: bool, as_json: bool) -> None:
    """Name the prices in FILE: all of them, or none if one is wrong.

    A JSON array, JSON Lines, or CSV with the names of the members in its first line: model, currency, input,
    cached_input, output, upstream, effective_from, …
    """
    # Told of by its line before anything is sent.
    from convstore.schemas.prices import wanted_price

    found = list(_rows(file))
    more = {**({"price_set": price_set} if price_set else {}), **({"replace": True} if replace else {})}
    for where, row in found:
        wanted_price(row | more if isinstance(row, dict) else row, where)
    if not found:
        raise InvalidRequest(f"{file}: there is no price in it.")
    made = _named(place, [{**row, **more} for _, row in found], everywhere=everywhere)
    if as_json:
        terminal.print_json(made)
    else:
        click.echo(f"{len(made)} prices were named.")


@prices.command()
@click.argument("model")
@click.option("--upstream", metavar="NAME", help="At this upstream; else at the one that serves the model.")
@click.option("--service-tier", metavar="TIER")
@click.option("--at", metavar="WHEN", help="Then; now unless told.")
@given.at_a_door
def find(place: Place, as_json: bool, **asked: str | None) -> None:
    """Say which price applies to MODEL, and where it comes from."""
    with door.opened(place) as there:
        found = there.find_price(**{name: value for name, value in asked.items() if value is not None})
    price = found["price"]
    if as_json:
        terminal.print_json(found)
    elif price is None:
        click.echo("No price is known. Name one: convstore prices set")
    else:
        source = terminal.line(f"{price['source']} {price['version']}, {price['model']}")
        click.echo(f"{_rates(price)} ({source})")


@prices.command()
@click.argument("price_id", metavar="ID")
@_everywhere
@given.at_a_door
def remove(place: Place, price_id: str, everywhere: bool, as_json: bool) -> None:
    """Forget a price. What was stored by it keeps its cost."""
    if everywhere:
        with _installation(place) as (deps, service):
            service.delete(deps, None, price_id)
    else:
        with door.opened(place) as there:
            there.forget_price(price_id)
    if as_json:
        terminal.print_json({"id": price_id, "object": "price", "deleted": True})
    else:
        click.echo(f"{price_id} is forgotten.")


def _all(there: door.Door, price_set: str | None, model: str | None) -> Iterator[Json]:
    after: str | None = None
    while True:
        page = there.prices(after, price_set=price_set, model=model)
        yield from page["data"]
        if not page["has_more"]:
            return
        after = page["last_id"]


def _named(place: Place, wanted: list[Json], *, everywhere: bool) -> list[Json]:
    if everywhere:
        from convstore.schemas.prices import wanted_prices

        with _installation(place) as (deps, service):
            made = service.create(deps, None, wanted_prices(jsontext.dumps(wanted)))
            return [service.as_dict(each) for each in made]
    with door.opened(place) as there:
        found: list[Json] = there.name_prices(jsontext.dumps(wanted))["data"]
        return found


@contextmanager
def _installation(place: Place) -> Iterator[tuple[Any, Any]]:
    """The database, as whoever runs the service."""
    from convstore.services import audit
    from convstore.services import prices as service

    if place.url or place.project:
        raise click.UsageError("--everywhere is for the database, and for all projects: without --url and --project.")
    with bootstrap.working(config.load(place.config), role="command") as deps:
        migrations.check(deps.database)
        with audit.calling(deps, recorded.call("prices.everywhere", audit.INSTALLATION)):
            yield deps, service


def _rows(file: Path) -> Iterator[tuple[str, Any]]:
    """What stands in a file, and where. Raises InvalidRequest."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file}: it is not UTF-8 text: {error}") from error
    if text.lstrip().startswith("["):
        yield from ((f"[{number}]", row) for number, row in enumerate(_json(text, str(file))))
    elif text.lstrip().startswith("{"):
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield f"line {number}", _json(line, f"{file}, line {number}")
    else:
        reader = csv.DictReader(io.StringIO(text, newline=""))
        unknown = [name for name in reader.fieldnames or () if name not in (*_PLAIN, *UNITS)]
        if unknown:
            known = ", ".join((*_PLAIN, *UNITS))
            raise InvalidRequest(
                f"{file}, line 1: unknown column '{unknown[0]}'. Known are: {known}.", param=unknown[0]
            )
        for row in reader:
            if None in row:
                raise InvalidRequest(f"{file}, line {reader.line_num}: more values than columns.")
            yield f"line {reader.line_num}", {name: value for name, value in row.items() if value}


def _json(text: str, where: str) -> Any:
    try:
        return jsontext.loads(text)
    except NotJson as error:
        raise InvalidRequest(f"{where}: not JSON: {error.reason}.") from error


def _rates(price: Json) -> str:
    """The rates in a line: 'input 2.5, output 15 USD; above 272000: input 5'."""
    parts = [f"{_given(price)} {price['currency']}"]
    parts += [f"above {tier['above']}: {_given(tier)}" for tier in price["long_context"]]
    return "; ".join(parts)


def _given(rates: Json) -> str:
    return ", ".join(f"{kind.replace('_', ' ')} {rates[kind]}" for kind in UNITS if rates.get(kind) is not None)
