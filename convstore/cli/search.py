"""`convstore search`: what was asked and answered, filtered and searched, on the terminal."""

from collections.abc import Iterator, Mapping, Sequence

import click
from rich.text import Text

from convstore.cli import door, exchange, given, terminal
from convstore.cli.door import Json, Place

# The filters of the API that are options here under their own names, with what they are about.
FILTERS = {
    "since": "Asked then or later: 2026-12-01, 2026-12-01T08:00:00+08:00, seconds since 1970.",
    "until": "Asked before this Unix time.",
    "model": "The model that answered.",
    "requested-model": "The model that was asked for.",
    "upstream": "The name of the upstream.",
    "status": "completed, failed, incomplete, cancelled, in_progress or queued.",
    "origin": "create, branch, replay or import.",
    "api-key": "The id of the API key that asked.",
    "user": "The request's user.",
    "safety-identifier": "The request's safety identifier.",
    "tool": "A tool that was called.",
    "error": "The code of the error that it ended with.",
    "finish-reason": "Why it is incomplete.",
    "min-input-tokens": "So many input tokens at least.",
    "max-input-tokens": "So many at most.",
    "min-output-tokens": "So many output tokens at least.",
    "max-output-tokens": "So many at most.",
    "min-total-tokens": "So many tokens at least.",
    "max-total-tokens": "So many at most.",
    "min-latency-ms": "It took so many milliseconds at least.",
    "max-latency-ms": "So many at most.",
    "min-cost": "It cost so much at least.",
    "max-cost": "So much at most.",
    "currency": "It was billed in this currency.",
    "min-depth": "So many exchanges stand before it at least.",
    "max-depth": "So many at most.",
    "has-children": "true: something continues it; false: nothing does.",
    "conversation": "The id of its conversation.",
    "ancestor": "Only this exchange or branch and what hangs below it.",
    "descendant": "Only this exchange or branch and what it continues.",
    "fields": "The members to show, with commas between them; for --json.",
}
# Where an option cannot have the name of the parameter: --key is the key of the service.
_NAMES = {"api_key": "key"}
# Around what was found, as grep marks it.
_FOUND = "bold red"


def _filters(command: given.Command) -> given.Command:
    for name, what in reversed(FILTERS.items()):
        command = click.option(f"--{name}", metavar="…", help=what)(command)
    return command


@click.command()
@click.argument("text", metavar="[QUERY]", required=False)
@_filters
@click.option("--metadata", multiple=True, metavar="NAME=VALUE", help="With this label; may be repeated.")
@click.option("--relevance", is_flag=True, help="The best matches first, not the newest.")
@click.option("--oldest-first", is_flag=True, help="In order of time.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="So many at most.")
@given.at_a_door
def search(
    place: Place,
    text: str | None,
    metadata: Sequence[str],
    relevance: bool,
    oldest_first: bool,
    limit: int,
    as_json: bool,
    **filters: str | None,
) -> None:
    """Search what was asked and answered, or list it.

    QUERY: words, all of which are to be there, in any language. Signs and operators are no syntax.
    """
    manner = {"sort": "relevance" if relevance else None, "order": "asc" if oldest_first else None}
    wanted = asked(text, metadata, filters) | {name: value for name, value in manner.items() if value is not None}
    with door.opened(place) as there:
        found = list(door.responses(there, wanted, limit))
    if as_json:
        terminal.print_json({"object": "list", "data": found})
        return
    console = terminal.console()
    for each in found:
        for line in lines(each):
            console.print(line, soft_wrap=True)
    if not found:
        click.echo("Nothing was found.", err=True)


def asked(text: str | None, metadata: Sequence[str], filters: Mapping[str, str | None]) -> dict[str, str]:
    """What was given as options, as the query of the API."""
    found = {_NAMES.get(name, name): value for name, value in filters.items() if value is not None}
    found |= dict(_label(each) for each in metadata)
    return found | ({"q": text} if text is not None else {})


def lines(found: Json) -> Iterator[Text]:
    """What is printed of an exchange that was found: itself, and what was found in it."""
    yield _line(found)
    yield from map(_snippet, found.get("snippets", ()))


def _label(pair: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    if not equals or not name:
        raise click.UsageError(f"--metadata {pair}: expected NAME=VALUE")
    return f"metadata.{name}", value


def _line(found: Json) -> Text:
    node = {"branches": (), "deleted": False, **found}
    missing = dict.fromkeys(("status", "incomplete_reason", "error", "model", "origin", "usage", "latency_ms"))
    return exchange.line({**missing, "question": None, "answer": None, **node}, full_id=True)


def _snippet(snippet: Json) -> Text:
    """The piece of text with what was found in it marked."""
    shown = Text("    ").append_text(terminal.line(f"{snippet['field']}: ", "dim"))
    for words, is_found in _pieces(str(snippet["text"]), snippet["highlights"]):
        shown.append_text(terminal.line(words, _FOUND if is_found else ""))
    return shown


def _pieces(text: str, highlights: Sequence[Sequence[int]]) -> Iterator[tuple[str, bool]]:
    at = 0
    for start, end in sorted(map(tuple, highlights)):
        if start >= at:
            yield text[at:start], False
            yield text[start:end], True
            at = end
    yield text[at:], False
