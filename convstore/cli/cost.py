"""`convstore cost`: what was spent, as a table with a bar for each row; and what an answer or a conversation cost."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from convstore import ids
from convstore.cli import door, given, tables, terminal
from convstore.cli.door import Json, Place
from convstore.cli.reconcile import reconcile
from convstore.errors import InvalidRequest
from convstore.render.characters import visible

Figures = Mapping[str, Any]

# The longest bar, in characters; each of them has eight parts.
BAR = 12
_EIGHTHS = " ▏▎▍▌▋▊▉"
_PARTS = {
    "main_thread": "main thread",
    "abandoned_branches": "abandoned branches",
    "replays": "replays",
    "failed_attempts": "failed attempts",
}
_FILTERS = ("model", "upstream", "key-id", "user", "origin", "status", "conversation", "currency")
# Characters of a title, and of an id.
TITLE = 40
WHOLE = 37
# Of a service's page; --csv has all of them.
SHOWN = 100


def _filters(command: Any) -> Any:
    for each in reversed(_FILTERS):
        command = click.option(f"--{each}", metavar=each.upper(), help=f"Only of this {each.partition('-')[0]}.")(
            command
        )
    return command


class _Shown(click.Group):
    """A group whose first command is meant where none is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, "-h", "--help"):
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Shown)
def cost() -> None:
    """Show what was spent, and hold it against bills.

    Without a command it is shown: `convstore cost --by model` is `convstore cost show --by model`.
    """


@cost.command()
@click.argument("name", metavar="[ID]", required=False, callback=given.name)
@click.option(
    "--by", "group_by", metavar="GROUP,…", help="day, week, month, model, conversation, key, metadata.NAME, …"
)
@click.option("--from", "since", metavar="TIME", help="Requests of this moment or later.")
@click.option("--to", "until", metavar="TIME", help="Requests before this moment.")
@click.option("--timezone", metavar="ZONE", help="Whose days, weeks and months.")
@_filters
@click.option("--metadata", "metadata", multiple=True, metavar="NAME=VALUE", help="Only with this in the metadata.")
@click.option("--what-if", metavar="MODEL", help="What the same usage would cost on another model.")
@click.option("--price-set", metavar="NAME", help="What it would cost by the prices of a set.")
@click.option("--limit", type=click.IntRange(1, 10_000), metavar="N", help=f"Rows, {SHOWN} unless told.")
@click.option("--csv", "as_csv", is_flag=True, help="As CSV, for spreadsheets.")
@given.at_a_door
def show(place: Place, name: str | None, metadata: Sequence[str], as_csv: bool, as_json: bool, **asked: Any) -> None:
    """Show what was spent.

    Without ID: of everything, in groups. ID: of a response or a branch, which shows it and the path to it; or of a
    conversation, which shows its parts.
    """
    if name is not None:
        if as_csv or metadata or any(value is not None for value in asked.values()):
            raise click.UsageError("An ID is shown as it is: without groups, filters or another price.")
        _show_one(place, name, as_json=as_json)
        return
    query = _query(asked, metadata)
    with door.opened(place) as there:
        if as_csv:
            _write(there.costs_csv(query))
            return
        found = there.costs(query)
    if as_json:
        terminal.print_json(found)
        return
    for each in report(found):
        _print(each)


cost.add_command(reconcile)


def _write(text: str) -> None:
    """To the letter into a file; on a terminal without what would act on it."""
    sys.stdout.write(visible(text.replace("\r\n", "\n")) if sys.stdout.isatty() else text)


def _query(asked: Mapping[str, Any], metadata: Sequence[str]) -> dict[str, str]:
    """The options as the API's parameters."""
    names = {"since": "from", "until": "to", "key_id": "key"}
    query = {names.get(name, name): str(value) for name, value in asked.items() if value is not None}
    for pair in metadata:
        member, equals, value = pair.partition("=")
        if not (member and equals):
            raise InvalidRequest(f"--metadata {pair}: expected NAME=VALUE.")
        query[f"metadata.{member}"] = value
    return query


def _show_one(place: Place, name: str, *, as_json: bool) -> None:
    is_whole = ids.pack(ids.CONVERSATION, name) is not None
    with door.opened(place) as there:
        found = there.conversation_cost(name) if is_whole else there.response_cost(name)
    if as_json:
        terminal.print_json(found)
        return
    for each in conversation(found) if is_whole else response(found):
        _print(each)


def _print(each: Table | Text) -> None:
    if isinstance(each, Table):
        tables.show(each)
    else:
        terminal.console().print(each, soft_wrap=True)


# -- what is shown --------------------------------------------------------------------------------------------


def report(found: Json) -> Iterator[Table | Text]:
    """A report: a row for each group and currency, its bar beside the longest of its currency."""
    by: Sequence[str] = found["group_by"]
    if by:
        rows = [(_names(by, each["group"]), each) for each in found["data"]]
        yield table([each.replace("_", " ") for each in by], rows, has_other=found["what_if"] is not None)
        if found["has_more"]:
            yield Text("… and more: --limit, or --csv for all of them", "dim")
    yield table(["in total"], [([""], found["totals"])], has_other=found["what_if"] is not None, bars=False)
    yield from notes(found["totals"])


def conversation(found: Json) -> Iterator[Table | Text]:
    """A conversation: its parts, and the paths of its branches."""
    yield terminal.line(f"{found['title'] or '(no title)'}  {found['conversation_id']}", "bold")
    parts = [([label], found["parts"][name]) for name, label in _PARTS.items()]
    yield table(["part"], [*parts, (["all of it"], found["total"])])
    if found["branches"]:
        yield table(["path of branch"], [([each["name"]], each["path"]) for each in found["branches"]])
        if found["branches_overlap"]:
            yield Text("What several paths have in common is in each of them: they do not come to the whole.", "dim")
    yield from notes(found["total"])


def response(found: Json) -> Iterator[Table | Text]:
    """An answer, line by line, and the path to it."""
    yield terminal.line(f"{found['id']}  {found['model']}", "bold")
    own = found["cost"]
    if own is None:
        yield Text("It has not ended.", "dim")
    elif own["amount"] is None:
        yield terminal.line(f"What it cost is not known: {own['reason']}.", "yellow")
    else:
        drawn = Table("what", "how many", "price", "per", "amount")
        for each in own["lines"]:
            cells = (each["kind"], f"{each['quantity']:,}", each["price"], f"{each['per']:,}", each["amount"])
            drawn.add_row(*(terminal.line(cell) for cell in cells))
        yield drawn
        price = own["price"]
        where = f", by {price['source']} {price['version']} for {price['model']}" if price else ""
        yield terminal.line(f"{own['amount']} {own['currency'] or ''} ({own['basis']}){where}")
    yield table(["to here from the root"], [([""], found["path"])], bars=False)
    yield from notes(found["path"])


def table(heads: Sequence[str], rows: Sequence[tuple[Sequence[str], Figures]], *, has_other: bool = False,
          bars: bool = True) -> Table:  # fmt: skip
    """Figures in rows, one for each currency."""
    drawn = Table()
    for head in heads:
        # Ids are for copying: whole on a line.
        drawn.add_column(Text(head), overflow="fold", min_width=WHOLE if head in ("conversation", "key") else None)
    for head in ("calls", "input", "output", "amount", *(("otherwise",) if has_other else ())):
        drawn.add_column(head, justify="right")
    if bars:
        drawn.add_column("")
    longest: dict[str, Decimal] = {}
    for _, figures in rows:
        for each in _drawn(figures, has_other=has_other):
            longest[each["currency"]] = max(longest.get(each["currency"], Decimal(0)), Decimal(each["amount"]))
    for names, figures in rows:
        for cells in _rows(names, figures, longest, has_other=has_other, bars=bars):
            drawn.add_row(*cells)
    return drawn


def bar(amount: Decimal, longest: Decimal) -> str:
    """A bar as long as its part of the longest; of what is more than nothing something is seen."""
    if amount <= 0 or longest <= 0:
        return ""
    eighths = max(1, int(amount * BAR * 8 / longest))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def notes(figures: Figures) -> Iterator[Text]:
    """What the amounts leave out, and what of them is estimated."""
    unpriced = figures["unpriced"]
    if unpriced["exchanges"]:
        why = ", ".join(f"{number} {reason}" for reason, number in unpriced["reasons"].items())
        yield terminal.line(f"Not known of {unpriced['exchanges']} exchanges: {why}.", "yellow")
    if figures["not_billed"]:
        yield Text(f"Not billed: {figures['not_billed']} exchanges.", "dim")
    for each in figures["costs"]:
        if Decimal(each["estimated"]):
            yield terminal.line(f"Estimated: {each['estimated']} {each['currency']}.", "dim")


def _rows(
    names: Sequence[str], figures: Figures, longest: Mapping[str, Decimal], *, has_other: bool, bars: bool
) -> Iterator[list[Text]]:
    own = {each["currency"]: each["amount"] for each in figures["costs"]}
    drawn = {each["currency"]: Decimal(each["amount"]) for each in _drawn(figures, has_other=has_other)}
    other = {each["currency"]: each["amount"] for each in figures["what_if"]["costs"]} if has_other else {}
    head = [*names, *(f"{figures[name]:,}" for name in ("exchanges", "input_tokens", "output_tokens"))]
    for currency in sorted({*own, *other}) or [""]:
        unknown = "?" if figures["unpriced"]["exchanges"] and not currency else "–"
        amounts = [own.get(currency, unknown), *([other.get(currency, "–")] if has_other else [])]
        cells = [*head, *(f"{amount} {currency}".strip() for amount in amounts)]
        texts = [terminal.line(cell) for cell in cells]
        if bars:
            share = bar(drawn.get(currency, Decimal(0)), longest.get(currency, Decimal(0)))
            texts.append(Text(share, "cyan"))
        yield texts
        head = [""] * len(head)


def _drawn(figures: Figures, *, has_other: bool) -> Sequence[Figures]:
    """The amounts that bars are drawn of: of a what-if, those that it asks for."""
    found: Sequence[Figures] = figures["what_if"]["costs"] if has_other else figures["costs"]
    return found


def _short(called: str) -> str:
    """As much of a title as tells it from others."""
    return called if len(called) <= TITLE else f"{called[: TITLE - 1].rstrip()}…"


def _names(by: Sequence[str], group: Mapping[str, Any]) -> list[str]:
    return [_name(group[each]) for each in by]


def _name(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, dict):
        called = value.get("name") or value.get("title")
        return f"{value['id']} {_short(called)}" if called else str(value["id"])
    return str(value)
