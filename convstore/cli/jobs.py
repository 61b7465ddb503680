"""`convstore jobs`: work that outlives its request, of all projects."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import click
from rich.table import Column, Table

from convstore import bootstrap, config
from convstore.cli import recorded, tables
from convstore.domain import jsontext
from convstore.domain.job import STATUSES, Job
from convstore.services import audit
from convstore.services import jobs as service
from convstore.services.deps import Deps
from convstore.services.jobs import Wanted
from convstore.storage import migrations
from convstore.telemetry import logs


@click.group()
def jobs() -> None:
    """List, show, cancel and retry jobs."""
    # What a kind has to say when one of its jobs is cancelled goes to standard error: standard output may be JSON.
    logs.configure("warning", "console")


_of_project = click.option("--project", help="Only this project's.")
_as_json = click.option("--json", "as_json", is_flag=True, help="As JSON.")


@jobs.command(name="list")
@_of_project
@click.option("--status", type=click.Choice(STATUSES), help="Only those of this status.")
@click.option("--kind", help="Only those of this kind.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many at most.")
@_as_json
@click.pass_obj
def listed(
    config_path: str | None, project: str | None, status: str | None, kind: str | None, limit: int, as_json: bool
) -> None:
    """List the newest jobs, newest first."""
    with bootstrap.working(config.load(config_path)) as deps:
        migrations.check(deps.database)
        found = service.newest(deps, limit, project, Wanted(status, kind))
    if as_json:
        _print([_shown(name, job) for name, job in found])
        return
    table = Table(
        Column("id", no_wrap=True), "project", "kind", "subject", "status", "progress", "begun", "created", "ended"
    )
    for name, job in found:
        table.add_row(
            job.id,
            name,
            job.kind,
            job.subject or "-",
            job.status,
            _progress(job),
            str(job.attempts),
            _time(job.created_at),
            _time(job.finished_at) or "-",
        )
    tables.show(table)


@jobs.command()
@click.argument("job_id")
@_of_project
@_as_json
@click.pass_obj
def show(config_path: str | None, job_id: str, project: str | None, as_json: bool) -> None:
    """Show everything about the job with this id."""
    with bootstrap.working(config.load(config_path)) as deps:
        shown = _shown(*_found(deps, job_id, project))
    if as_json:
        _print(shown)
        return
    table = Table(Column("what", no_wrap=True), "it is", show_header=False)
    for name, value in shown.items():
        table.add_row(
            name, "-" if value is None else value if isinstance(value, str) else jsontext.dumps(value).decode()
        )
    tables.show(table)


@jobs.command()
@click.argument("job_id")
@_of_project
@_as_json
@click.pass_obj
def cancel(config_path: str | None, job_id: str, project: str | None, as_json: bool) -> None:
    """Ask the job with this id to stop. One that runs stops within a second or two."""
    name, job = _done(service.cancel, config_path, job_id, project)
    if as_json:
        _print(_shown(name, job))
    else:
        click.echo(f"{job_id} is {'cancelled' if job.status == 'cancelled' else 'asked to stop'}.")


@jobs.command()
@click.argument("job_id")
@_of_project
@_as_json
@click.pass_obj
def retry(config_path: str | None, job_id: str, project: str | None, as_json: bool) -> None:
    """Put the job with this id, which failed or was cancelled, back in the queue."""
    name, job = _done(service.retry, config_path, job_id, project)
    if as_json:
        _print(_shown(name, job))
    else:
        click.echo(f"{job_id} is queued.")


def _done(
    act: Callable[[Deps, str, str], Job], config_path: str | None, job_id: str, project: str | None
) -> tuple[str, Job]:
    """A job as it stands when this has been done to it, and the name of its project."""
    with bootstrap.working(config.load(config_path)) as deps:
        name, job = _found(deps, job_id, project)
        with audit.calling(deps, recorded.call(f"jobs.{act.__name__}", job.project_id, job_id)):
            return name, act(deps, job.project_id, job_id)


def _found(deps: Deps, job_id: str, project: str | None) -> tuple[str, Job]:
    migrations.check(deps.database)
    return service.find(deps, job_id, project)


def _print(value: Any) -> None:
    click.echo(jsontext.dumps(value).decode())


def _shown(project: str, job: Job) -> dict[str, Any]:
    """What the API shows, with what only operators see; times as people read them."""
    times = ("created_at", "started_at", "finished_at", "cancel_requested_at")
    return {
        **job.as_dict(),
        **{name: _time(getattr(job, name)) for name in times},
        "project": project,
        "worker": job.worker.hex() if job.worker else None,
    }


def _progress(job: Job) -> str:
    said = job.progress
    figures = f"{said.done}/{said.total}" if said.total is not None else str(said.done) if said.done else ""
    return " ".join(part for part in (figures, said.note) if part) or "-"


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None
