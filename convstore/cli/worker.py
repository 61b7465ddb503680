"""`convstore worker`: a process that runs jobs. `convstore serve` starts one; more may run on any machine."""

import sys
from datetime import timedelta

import click

from convstore import bootstrap, config
from convstore.domain.pricing import library
from convstore.errors import ConvstoreError
from convstore.storage import migrations
from convstore.telemetry import logs


@click.command()
@click.option("--concurrency", type=click.IntRange(min=1), help="Jobs at a time (CONVSTORE_WORKER_CONCURRENCY).")
@click.option("--child-of", "parent", type=int, hidden=True, help="The process without which this one stops.")
@click.pass_obj
def worker(config_path: str | None, concurrency: int | None, parent: int | None) -> None:
    """Run jobs until told to stop: those that run then may end, for CONVSTORE_GRACEFUL_S, or go to another worker."""
    # Here, because the engine is nothing to the other commands and takes its time.
    from convstore.services.worker import Options, Worker

    settings = config.load(config_path)
    logs.configure(settings.log_level, settings.log_format)
    options = Options(
        threads=concurrency or settings.worker_concurrency,
        patience_s=settings.graceful_s,
        keep=timedelta(days=settings.jobs_kept_days) if settings.jobs_kept_days else None,
        parent=parent,
        sweep=timedelta(seconds=settings.retention_sweep_s) if settings.retention_sweep_s else None,
    )
    library.preload(upstream.url for upstream in settings.upstreams)
    try:
        with bootstrap.working(settings, role="worker") as deps:
            migrations.check(deps.database)
            Worker(deps, options).run()
    except ConvstoreError as error:
        if parent is None:
            raise
        # Beside the lines of the service, one like them.
        logs.get().error("job_worker_failed", reason=error.message)
        sys.exit(1)
