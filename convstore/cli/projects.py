"""`convstore projects`: what projects have chosen."""

from typing import Any, get_args

import click
from rich.table import Column, Table

from convstore import bootstrap, config
from convstore.cli import recorded, tables
from convstore.domain import jsontext
from convstore.domain.project import BackgroundRetry, Unstored
from convstore.services import audit, storage_keys
from convstore.services import projects as service
from convstore.storage import migrations
from convstore.storage.everywhere import Project


@click.group()
def projects() -> None:
    """List projects and set what they choose."""


@projects.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def listed(config_path: str | None, as_json: bool) -> None:
    """List the projects with their settings."""
    with bootstrap.working(config.load(config_path)) as deps:
        migrations.check(deps.database)
        found = service.listed(deps)
    if as_json:
        click.echo(jsontext.dumps([_shown(project) for project in found]).decode())
        return
    table = Table(Column("id", no_wrap=True), "name", "created", "unstored", "background retry")
    for project in found:
        table.add_row(*_shown(project).values())
    tables.show(table)


@projects.command(name="set")
@click.argument("name")
@click.option(
    "--unstored",
    type=click.Choice(get_args(Unstored)),
    help='Of requests with "store": false, keep everything for the audit, or discard all but figures.',
)
@click.option(
    "--background-retry",
    type=click.Choice(get_args(BackgroundRetry)),
    help="When a worker dies while an upstream answers a background request, ask the upstream again, and pay again.",
)
@click.pass_obj
def change(config_path: str | None, name: str, unstored: str | None, background_retry: str | None) -> None:
    """Set what the project NAME chooses; what is not given stays as it is."""
    given = {"unstored": unstored, "background_retry": background_retry}
    chosen: dict[str, Any] = {option: value for option, value in given.items() if value is not None}
    if not chosen:
        raise click.UsageError("Nothing to set. Give at least one option.")
    with bootstrap.working(config.load(config_path)) as deps:
        migrations.check(deps.database)
        with audit.calling(deps, recorded.call("projects.set", object_id=name)):
            service.change(deps, name, **chosen)
    said = (f"{option.replace('_', ' ')} is {value}" for option, value in chosen.items())
    click.echo(f"{name}: {', '.join(said)}.")


@projects.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def shred(config_path: str | None, name: str, yes: bool) -> None:
    """Make what was said in the project NAME unreadable for ever, by destroying its data keys.

    Figures, costs and the audit log stay. What was never encrypted is not touched.
    """
    if not yes:
        click.confirm(f"This destroys what was said in {name}, for ever. Go on?", abort=True)
    with bootstrap.working(config.load(config_path)) as deps:
        migrations.check(deps.database)
        with audit.calling(deps, recorded.call("projects.shred", object_id=name)):
            destroyed = storage_keys.shred(deps, name)
    click.echo(f"{name}: {destroyed} data keys were destroyed.")
    click.echo("Backups hold them still, wrapped: rotate the storage key and forget the old one.", err=True)


def _shown(project: Project) -> dict[str, str]:
    return {
        "id": project.id,
        "name": project.name,
        "created_at": project.created_at.isoformat(timespec="seconds"),
        "unstored": project.settings.unstored,
        "background_retry": project.settings.background_retry,
    }
