"""`convstore audit`: who did what, and whether the log of it is as it was written."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table

from convstore.cli import door, given, tables, terminal
from convstore.cli.door import Door, Json, Place
from convstore.domain.verification import KINDS
from convstore.errors import InvalidRequest
from convstore.schemas.audit import head_of

# Entries that are checked at a time; of the problems a person reads no more than so many.
PAGE = 2_000
SHOWN = 50


@click.group()
def audit() -> None:
    """Look at the audit log of a project, and check it."""


@audit.command()
@click.option("--against", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A head kept elsewhere.")
@click.option("--everywhere", is_flag=True, help="The logs of all projects and the installation's; on the database.")
@given.at_a_door
def verify(place: Place, against: Path | None, everywhere: bool, as_json: bool) -> None:
    """Check every entry, and every exchange that one commits to. Exit code 1 when something is wrong."""
    if everywhere:
        if place.url or place.project or against:
            raise click.UsageError("--everywhere is for the database: without --url, --project and --against.")
        sys.exit(_everywhere(place, as_json))
    head = head_of(against.read_bytes()) if against is not None else None
    if against is not None and head is None:
        raise InvalidRequest(f"{against}: there is no head in it.")
    with door.opened(place) as there:
        found = _checked(there, head)
    if as_json:
        terminal.print_json(found)
    else:
        _show(found)
    sys.exit(0 if found["valid"] else 1)


@audit.command()
@given.at_a_door
def head(place: Place, as_json: bool) -> None:  # noqa: ARG001 -- a head is JSON, asked for or not
    """Print a signed head, to be kept where nobody who can change the database can change it."""
    with door.opened(place) as there:
        terminal.print_json(there.audit_head())


@audit.command(name="list")
@click.option("--action", metavar="NOUN.VERB", help="responses.create, keys.revoke, …")
@click.option("--object", metavar="ID", help="What it was about.")
@click.option("--api-key", "key", metavar="ID", help="Whose call it was: key_…")
@click.option("--outcome", metavar="WORD", help="done, refused or failed.")
@click.option("--request-id", metavar="ID", help="The x-request-id of the answer.")
@click.option("--since", metavar="WHEN", help="2026-12-01, 2026-12-01T08:00:00+08:00.")
@click.option("--until", metavar="WHEN")
@click.option("--after", metavar="ID", help="Those behind this entry.")
@click.option("--limit", default="50", show_default=True, help="How many at most.")
@given.at_a_door
def listed(place: Place, as_json: bool, **asked: str | None) -> None:
    """List the newest entries, newest first."""
    with door.opened(place) as there:
        found = there.audited({name: value for name, value in asked.items() if value is not None})["data"]
    if as_json:
        terminal.print_json(found)
        return
    table = Table(Column("id", no_wrap=True), "when", "who", "what", "on", "outcome", "from")
    for each in found:
        who = each["api_key_id"] or each["actor"]
        cells = (who, each["action"], each["object_id"], each["outcome"], each["remote"])
        table.add_row(each["id"], _time(each["created_at"]), *(terminal.line(cell or "-") for cell in cells))
    tables.show(table)


def _everywhere(place: Place, as_json: bool) -> int:
    """Check all logs and print what is found of each; the exit code."""
    from convstore.cli import local

    with local.everywhere(place.config) as doors:
        found = {name: _checked(there, None) for name, there in doors.items()}
    if as_json:
        terminal.print_json(found)
    else:
        for name, checked in found.items():
            click.echo(f"{name}:")
            _show(checked)
    return 0 if all(checked["valid"] for checked in found.values()) else 1


def _checked(there: Door, head: Json | None) -> Json:
    """The whole log, page by page."""
    total = there.audit_size()
    summed: Json = {"object": "audit.verification", "valid": True, "entries": 0, "unkeyed": 0, "exchanges": 0}
    problems: dict[tuple[Any, ...], Json] = {}
    bar = Progress(console=Console(stderr=True), transient=True) if sys.stderr.isatty() else nullcontext()
    with bar:
        task = bar.add_task("entries", total=total) if isinstance(bar, Progress) else None
        for page in pages(lambda after: there.check_audit(after, PAGE, head if after is None else None)):
            for name in ("entries", "unkeyed", "exchanges"):
                summed[name] += page[name]
            for each in page["problems"]:
                problems.setdefault((each["kind"], each["entry_id"], each["object_id"]), each)
            if isinstance(bar, Progress) and task is not None:
                bar.update(task, completed=summed["entries"])
    return {**summed, "valid": not problems, "problems": list(problems.values())}


def pages(check: Callable[[str | None], Json]) -> Iterator[Json]:
    """A log checked page by page. check: the page behind an entry, or the first."""
    after: str | None = None
    while True:
        page = check(after)
        yield page
        if not page["has_more"]:
            return
        after = page["last_id"]


def _show(found: Json) -> None:
    table = Table("problem", "strand", "number", Column("entry", no_wrap=True), "request", "what")
    for each in found["problems"][:SHOWN]:
        cells = (each["kind"], each["strand"], each["number"], each["entry_id"], each["request_id"], each["object_id"])
        table.add_row(*(terminal.line(str(cell)) if cell is not None else "-" for cell in cells))
    if table.row_count:
        tables.show(table)
    for kind, many in Counter(each["kind"] for each in found["problems"]).items():
        click.echo(f"{kind}: {many}: {KINDS[kind]}")
    click.echo(f"{found['entries']} entries, {found['exchanges']} contents of exchanges, {_count(found)}.")
    if found["unkeyed"]:
        click.echo(f"{found['unkeyed']} entries are unkeyed: proves accidents, not attackers (CONVSTORE_AUDIT_KEY).")


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _count(found: Json) -> str:
    return f"{len(found['problems'])} problems" if found["problems"] else "nothing is wrong"
