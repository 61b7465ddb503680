"""`convstore retention`: how long things are kept, what would go, and letting it go."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Column, Table

from convstore import bootstrap, config
from convstore.cli import door, recorded, tables, terminal
from convstore.cli.door import Json, Place
from convstore.cli.given import at_a_door
from convstore.domain import jsontext
from convstore.errors import InvalidRequest, StorageUnavailable
from convstore.services import audit, projects
from convstore.services import retention as service
from convstore.services.deps import Deps
from convstore.services.projects import ProjectNotFound
from convstore.services.retention import Swept, Tell
from convstore.storage import migrations
from convstore.storage.everywhere import Project
from convstore.telemetry import logs

# Exchanges that a service looks at in one answer.
PART = 10_000
# Processes of the service answer every ten seconds whether they take a shared body for stored.
PATIENCE_S = 25
AGAIN_S = 1.0


@click.group()
def retention() -> None:
    """Say how long content and figures are kept, and let go what is due."""


@retention.command(name="list")
@at_a_door
def listed(place: Place, as_json: bool) -> None:
    """List the project's rules, in the order in which they are asked."""
    with door.opened(place) as there:
        found = there.rules()["data"]
    if as_json:
        terminal.print_json(found)
        return
    table = Table(Column("id", no_wrap=True), "name", "priority", "for", "content", "figures", "while descendants live")
    for rule in found:
        table.add_row(*map(terminal.line, _cells(rule)))
    tables.show(table)


def _members(command: Any) -> Any:
    for option in (
        click.option("--priority", type=int, help="The rule with the least is asked first; 100 unless told."),
        click.option(
            "--keep-while-descendants/--not-while-descendants",
            default=None,
            help="Keep content while that of what continues it is kept; so it is unless told.",
        ),
        click.option("--metadata", "pairs", metavar="KEY=VALUE", multiple=True, help="Only what carries it."),
        click.option("--model", metavar="PATTERN", help="Only of these models; * stands for anything."),
        click.option("--figures-days", metavar="DAYS", help="Keep figures so long, or 'forever'."),
        click.option("--content-days", metavar="DAYS", help="Keep content so long, or 'forever'."),
    ):
        command = option(command)
    return command


@retention.command(name="set")
@click.argument("name")
@_members
@at_a_door
def set_(place: Place, name: str, as_json: bool, **said: Any) -> None:
    """Make a rule called NAME. Without a model or metadata it is for everything."""
    body = jsontext.dumps({"name": name, **_body(said)})
    with door.opened(place) as there:
        _show(there.set_rule(body), as_json)


@retention.command()
@click.argument("rule_id", metavar="ID")
@_members
@at_a_door
def change(place: Place, rule_id: str, as_json: bool, **said: Any) -> None:
    """Change a rule; what is not given stays as it is."""
    with door.opened(place) as there:
        _show(there.change_rule(rule_id, jsontext.dumps(_body(said))), as_json)


@retention.command()
@click.argument("rule_id", metavar="ID")
@at_a_door
def remove(place: Place, rule_id: str, as_json: bool) -> None:
    """Forget a rule. What it had let go stays gone."""
    with door.opened(place) as there:
        there.forget_rule(rule_id)
    if as_json:
        terminal.print_json({"id": rule_id, "object": "retention.rule", "deleted": True})
    else:
        click.echo(f"{rule_id} is forgotten.")


@retention.command()
@at_a_door
def plan(place: Place, as_json: bool) -> None:
    """Say what the rules would let go now. Nothing goes."""
    with door.opened(place) as there:
        found = _whole_plan(there)
    if as_json:
        terminal.print_json(found)
        return
    table = Table("rule", "content", "items", "bytes", "figures", "held", "waiting for descendants", "oldest")
    for share in found["data"]:
        content, oldest = share["content"], share["oldest_at"]
        figures = [content["exchanges"], content["items"], content["bytes"], share["figures"]["exchanges"]]
        figures += [share["held"], share["waiting"]]
        table.add_row(terminal.line(share["name"]), *map(str, figures), moment(oldest) if oldest else "-")
    tables.show(table)


@retention.command()
@click.option("--project", "name", metavar="NAME", help="Only this one's rules.")
@click.option("--limit", type=click.IntRange(1), help="Change so many exchanges at most, in each project.")
@click.option("--purge", is_flag=True, help="Then remove the traces from the file: writers wait while it is copied.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def run(config_path: str | None, name: str | None, limit: int | None, purge: bool, as_json: bool) -> None:
    """Let go what is due, in the database, while the service runs or not.

    It may be interrupted at any time; the next run goes on. What is to be removed is hidden first, and goes with the
    first run ten minutes later.
    """
    logs.configure("warning", "console")
    with bootstrap.working(config.load(config_path), role="command") as deps, _progress() as tell:
        migrations.check(deps.database)
        done = {project.name: _run(deps, project, limit, tell) for project in _wanted(deps, name)}
        is_purged = not purge or service.purge(deps)
    if as_json:
        terminal.print_json({project: swept.as_dict() for project, swept in done.items()})
    else:
        for project, swept in done.items():
            click.echo(f"{terminal.line(project)}: {_summary(swept)}")
    if not is_purged:
        raise StorageUnavailable("Others did not let the traces be removed. Try again: convstore retention run --purge")


def _run(deps: Deps, project: Project, limit: int | None, tell: Tell) -> Swept:
    # Before anything goes: what comes after it may be interrupted.
    with audit.calling(deps, recorded.call("retention.run", project.id)):
        pass
    swept = service.run(deps, project.id, tell, limit)
    deadline = time.monotonic() + PATIENCE_S
    while not service.drop_payloads(deps, project.id, swept) and time.monotonic() < deadline:
        time.sleep(AGAIN_S)
    return swept


def _wanted(deps: Deps, name: str | None) -> list[Project]:
    found = [project for project in projects.listed(deps) if name in (None, project.name)]
    if name is not None and not found:
        raise ProjectNotFound(f"No project has the name '{name}'.")
    return found


@contextmanager
def _progress() -> Iterator[Tell]:
    """A line on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task("")

        def tell(swept: Swept) -> None:
            bar.update(task, description=_summary(swept))

        yield tell


def _summary(swept: Swept) -> str:
    return (
        f"{swept.erased.exchanges} exchanges lost their content ({swept.erased.items} items), "
        f"{swept.hidden} were hidden and go with a later run, {swept.removed.exchanges} are gone."
    )


def _whole_plan(there: door.Door) -> Json:
    """A plan with all its parts in one."""
    whole = part = there.retention_plan(None, PART)
    while part["has_more"]:
        part = there.retention_plan(part["last_id"], PART)
        more = {share["rule_id"]: share for share in part["data"]}
        whole["data"] = [_added(share, more.get(share["rule_id"])) for share in whole["data"]]
        whole["looked_at"] += part["looked_at"]
    return {**whole, "last_id": part["last_id"], "has_more": False}


def _added(one: Json, other: Json | None) -> Json:
    if other is None:
        return one
    added: Json = {}
    for name, value in one.items():
        if isinstance(value, dict):
            added[name] = _added(value, other[name])
        elif name == "oldest_at":
            added[name] = min((each for each in (value, other[name]) if each is not None), default=None)
        else:
            added[name] = value + other[name] if isinstance(value, int) else value
    return added


def moment(seconds: float) -> str:
    """A time of the API as people read it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def labels(pairs: Sequence[str]) -> dict[str, str]:
    """Metadata of what was given as KEY=VALUE. Raises InvalidRequest."""
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise InvalidRequest(f"--metadata {pair}: expected KEY=VALUE.")
        found[key] = value
    return found


def _body(said: dict[str, Any]) -> Json:
    pairs = said.pop("pairs")
    body = {name: value for name, value in said.items() if value is not None}
    for name in ("content_days", "figures_days"):
        if name in body:
            body[name] = _days(name, body[name])
    return {**body, **({"metadata": labels(pairs)} if pairs else {})}


def _days(name: str, text: str) -> int | None:
    if text == "forever":
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise InvalidRequest(f"--{name.replace('_', '-')} {text}: expected a number of days, or 'forever'.")
    return int(text)


def _show(rule: Json, as_json: bool) -> None:
    if as_json:
        terminal.print_json(rule)
    else:
        _, name, _, subject, content, figures, _ = map(terminal.line, _cells(rule))
        click.echo(f"{rule['id']}: {name} keeps content {content} and figures {figures}, of {subject}.")


def _cells(rule: Json) -> list[str]:
    labels_ = [f"{key}={value}" for key, value in (rule["metadata"] or {}).items()]
    subject = ", ".join([*([rule["model"]] if rule["model"] else []), *labels_]) or "everything"
    days = ["for ever" if rule[name] is None else f"{rule[name]} days" for name in ("content_days", "figures_days")]
    descends = "yes" if rule["keep_while_descendants"] else "no"
    return [rule["id"], rule["name"], str(rule["priority"]), subject, *days, descends]
