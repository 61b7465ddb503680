"""Whether this node should be sent requests, and whether anybody runs jobs.

Without a worker, requests are answered as ever: a node without one is ready. It is not when jobs have been waiting
for a minute and this process has seen no worker for a minute: then what clients hand in is not done by anybody.
"""

from dataclasses import dataclass
from datetime import timedelta

from convstore.errors import StorageUnavailable
from convstore.services import jobs, recovery
from convstore.services.deps import Deps
from convstore.storage import migrations
from convstore.telemetry import metrics

PATIENCE = timedelta(minutes=1)
_START_ONE = "Start one with: convstore worker"


@dataclass(frozen=True, slots=True)
class Readiness:
    """workers: how many run jobs, on all nodes. reason: what is wrong, even if requests can be answered."""

    is_ready: bool
    workers: int
    reason: str | None = None


def check(deps: Deps) -> Readiness:
    """Look at everything. Raises StorageUnavailable, SchemaOutdated."""
    migrations.check(deps.database)
    workers = recovery.workers(deps)
    if workers:
        deps.lookout.missing_since = None
        return Readiness(True, workers)
    now = deps.clock()
    deps.lookout.missing_since = deps.lookout.missing_since or now
    waiting = [each.oldest_at for each in jobs.depths(deps) if each.oldest_at is not None]
    if waiting and now - max(min(waiting), deps.lookout.missing_since) >= PATIENCE:
        return Readiness(False, 0, f"Jobs have been waiting since {min(waiting):%H:%M:%S} UTC. {_START_ONE}")
    return Readiness(True, 0, f"No worker is alive. {_START_ONE}")


def exposition(deps: Deps) -> bytes:
    """The figures of this node, and of the queue; without those when the database cannot be asked."""
    try:
        return metrics.exposition(_queues(deps), recovery.workers(deps))
    except StorageUnavailable:
        return metrics.exposition()


def _queues(deps: Deps) -> list[metrics.Jobs]:
    now = deps.clock()
    return [
        metrics.Jobs(
            each.kind,
            each.queued,
            each.running,
            each.failed,
            (now - each.oldest_at).total_seconds() if each.oldest_at else 0.0,
        )
        for each in jobs.depths(deps)
    ]
