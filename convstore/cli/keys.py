"""`convstore keys`: the API keys of projects."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table

from convstore import bootstrap, config
from convstore.cli import recorded, tables
from convstore.domain import jsontext
from convstore.services import audit, storage_keys
from convstore.services import keys as service
from convstore.services.principal import Right
from convstore.services.storage_keys import Tell
from convstore.storage import migrations
from convstore.storage.everywhere import Key
from convstore.telemetry import logs

# As texts: of an enum click would take the names, READ and WRITE.
SCOPES = [str(right) for right in Right]


@click.group()
def keys() -> None:
    """Create, list and revoke API keys; rotate the storage key."""


@keys.command()
@click.option("--project", required=True, help="The project the key opens; made if it does not exist.")
@click.option("--name", default="", help="What the key is for.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="Repeatable; all unless given.")
@click.option("--expires-days", type=click.IntRange(min=1), help="After how many days the key stops working.")
@click.pass_obj
def create(config_path: str | None, project: str, name: str, scopes: tuple[str, ...], expires_days: int | None) -> None:
    """Make a key and print it, alone and this once, on standard output."""
    expires_at = datetime.now(UTC) + timedelta(days=expires_days) if expires_days else None
    with bootstrap.working(config.load(config_path)) as deps:
        migrations.check(deps.database)
        with audit.calling(deps, recorded.call("keys.create")):
            key, text = service.create(
                deps, project, name=name, scopes=tuple(map(Right, scopes)) or tuple(Right), expires_at=expires_at
            )
    click.echo(f"{key.id} of project {project}. The key is shown only now:", err=True)
    click.echo(text)


@keys.command(name="list")
@click.option("--project", help="Only this project's.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def listed(config_path: str | None, project: str | None, as_json: bool) -> None:
    """List the keys, never their text."""
    with bootstrap.working(config.load(config_path)) as deps:
        migrations.check(deps.database)
        with audit.calling(deps, recorded.call("keys.list", object_id=project)):
            found = service.listed(deps, project)
    if as_json:
        click.echo(jsontext.dumps([_shown(key) for key in found]).decode())
        return
    # Ids are for copying: a narrow terminal folds the other columns first.
    table = Table(Column("id", no_wrap=True), "project", "name", "key", "scopes", "created", "last used", "state")
    for key in found:
        row = _shown(key)
        table.add_row(*(str(row[column] or "-") for column in row))
    tables.show(table)


@keys.command()
@click.argument("key_id")
@click.pass_obj
def revoke(config_path: str | None, key_id: str) -> None:
    """End the life of the key with this id."""
    with bootstrap.working(config.load(config_path)) as deps:
        migrations.check(deps.database)
        with audit.calling(deps, recorded.call("keys.revoke", object_id=key_id)):
            service.revoke(deps, key_id)
    click.echo(f"{key_id} is revoked.")


@keys.command(name="rotate-storage")
@click.option("--bodies", is_flag=True, help="Encrypt everything anew, with new data keys; what is plain, too.")
@click.pass_obj
def rotate_storage(config_path: str | None, bodies: bool) -> None:
    """Put the present CONVSTORE_STORAGE_KEY in the place of older ones, while the service runs or not.

    Afterwards CONVSTORE_STORAGE_KEYS_OLD can be emptied. With --bodies it may be interrupted, and is begun again.
    """
    logs.configure("warning", "console")
    with bootstrap.working(config.load(config_path)) as deps:
        migrations.check(deps.database)
        with audit.calling(deps, recorded.call("keys.rotate_storage")):
            wrapped = storage_keys.rewrap(deps)
            if bodies:
                with _counting() as tell:
                    done = storage_keys.reseal(deps, tell)
    click.echo(f"{wrapped} data keys were wrapped anew.")
    if bodies:
        click.echo(f"{done.sealed} values were encrypted, {done.destroyed} old data keys destroyed.")
        if done.unreadable:
            click.echo(f"{done.unreadable} values cannot be opened; the old keys of their projects stay.", err=True)
            sys.exit(1)


@contextmanager
def _counting() -> Iterator[Tell]:
    """What is being encrypted, on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    with Progress("[progress.description]{task.description}", console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda project, done: bar.update(task, description=f"{project}: {done} values encrypted")


def _shown(key: Key) -> dict[str, str | None]:
    return {
        "id": key.id,
        "project": key.project,
        "name": key.name,
        "key": f"{key.prefix}…",
        "scopes": " ".join(key.scopes),
        "created_at": _time(key.created_at),
        "last_used_at": _time(key.last_used_at),
        "state": _state(key),
    }


def _state(key: Key) -> str:
    if key.revoked_at:
        return f"revoked {_time(key.revoked_at)}"
    if key.expires_at and key.expires_at <= datetime.now(UTC):
        return f"expired {_time(key.expires_at)}"
    return f"until {_time(key.expires_at)}" if key.expires_at else "active"


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None
