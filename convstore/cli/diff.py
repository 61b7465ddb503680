"""`convstore diff`: what differs between two threads, behind the last exchange that they share."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from convstore.cli import door, given, terminal
from convstore.cli.door import Json, Place
from convstore.domain import jsontext
from convstore.render.characters import visible

# Marks as git has them: they are there without colours, too.
_MARKS = {"equal": ("", "", ""), "delete": ("[-", "-]", "red"), "insert": ("{+", "+}", "green")}
_STATUSES = {"same": "same", "changed": "changed", "left": "only left", "right": "only right"}
_STYLES = {"-": "red", "+": "green", "@": "cyan"}
_FIGURES = {
    "turns": "turns",
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
    "latency_ms": "time, ms",
}


@click.command()
@click.argument("left", callback=given.name)
@click.argument("right", callback=given.name)
@click.option(
    "--html", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="As a page, in this file."
)
@given.at_a_door
def diff(place: Place, left: str, right: str, html: Path | None, as_json: bool) -> None:
    """Compare two threads.

    LEFT, RIGHT: the exchanges that they end at, or branches that point there.
    """
    with door.opened(place) as there:
        page = there.diff_page(left, right) if html else None
        found = there.diff(left, right) if as_json or not html else None
    if html is not None and page is not None:
        _write(html, page)
    if found is None:
        return
    if as_json:
        terminal.print_json(found)
        return
    console = terminal.console()
    for line in lines(found):
        console.print(line, soft_wrap=True)


def _write(path: Path, page: str) -> None:
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from error


def lines(found: Json) -> Iterator[Text]:
    """The comparison, line by line. What was said stands behind a bar, so none of it looks like ours."""
    yield _line(f"--- {found['left']['id']}")
    yield _line(f"+++ {found['right']['id']}")
    yield Text(f"    last common ancestor: {terminal.line(found['ancestor'] or 'none')}", "dim")
    yield from _totals(found["totals"])
    if found["same"]:
        yield Text("    No differences.")
    for turn in found["turns"]:
        yield _line(f"@@ turn {turn['number']}: {_STATUSES.get(turn['status'], turn['status'])} @@")
        for mark, side in (("-", turn["left"]), ("+", turn["right"])):
            if side:
                yield _line(f"{mark} {side['id']} {side['model']} {side['status']}")
        yield from _changes("setting", turn["settings"])
        for side in ("input", "output"):
            for pair in turn[side]:
                yield from _item(side, pair)


def _totals(totals: Mapping[str, Mapping[str, Any]]) -> Iterator[Text]:
    for name, label in _FIGURES.items():
        left, right, delta = (totals[side][name] for side in ("left", "right", "delta"))
        signed = "?" if delta is None else f"{delta:+d}"
        yield Text(f"    {label}: {_known(left)} → {_known(right)} ({signed})", "dim")
    sides = [{each["currency"]: each["amount"] for each in totals[side]["costs"]} for side in ("left", "right")]
    for each in totals["delta"]["costs"]:
        left, right = (side.get(each["currency"], "0") for side in sides)
        yield terminal.line(f"    cost: {left} → {right} {each['currency']} ({each['amount']})", "dim")


def _known(figure: int | None) -> str:
    return "?" if figure is None else str(figure)


def _item(side: str, pair: Json) -> Iterator[Text]:
    yield _line(f"  {side} {_named(pair)}: {_STATUSES.get(pair['status'], pair['status'])}")
    arguments = pair["arguments"]
    if arguments:
        both = {name: {"left": None, "right": value} for name, value in arguments["added"].items()}
        both |= {name: {"left": value, "right": None} for name, value in arguments["removed"].items()}
        yield from _changes("argument", {**both, **arguments["changed"]})
    yield from _changes("member", pair["members"])
    if pair["text"] is None:
        return
    if pair["text"]["granularity"] == "none":
        yield Text("    (too long to be compared)", "dim")
        return
    mark = {"left": "-", "right": "+"}.get(pair["status"], " ")
    for line in _marked(pair["text"]["segments"], alone=pair["status"] != "changed").split("\n", allow_blank=True):
        yield Text().append(f"{mark}   │ ", _STYLES.get(mark, "dim")).append_text(line)


def _named(pair: Json) -> str:
    sides = [each for each in (pair["left"], pair["right"]) if each]
    names = [" ".join(word for word in (each["type"], each["role"], each["name"]) if word) for each in sides]
    return " → ".join(dict.fromkeys(names))


def _changes(what: str, changes: Mapping[str, Mapping[str, Any]]) -> Iterator[Text]:
    for name, both in changes.items():
        for mark, side in (("-", "left"), ("+", "right")):
            if both[side] is not None:
                yield _line(f"{mark}   {what} {name}: {jsontext.dumps(both[side]).decode()}")


def _marked(segments: Sequence[Mapping[str, str]], *, alone: bool) -> Text:
    """The words of both sides; of an item that is alone its words as they are."""
    text = Text()
    for segment in segments:
        opening, closing, style = _MARKS[segment["op"]]
        words = visible(segment["text"])
        text.append(words if alone else f"{opening}{words}{closing}", style)
    return text


def _line(said: str) -> Text:
    return terminal.line(said, _STYLES.get(said[0], ""))
