"""Counters for /metrics, in the Prometheus text format, summed over the workers of a node.

`convstore serve` sets PROMETHEUS_MULTIPROC_DIR before any worker imports this module; without it (one process, a
test) the figures are this process's own.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
    values,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST

if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
    # The library asks for the process id at every step of every counter. Workers import this after they are forked.
    _pid = os.getpid()
    values.ValueClass = values.MultiProcessValue(process_identifier=lambda: _pid)  # type: ignore[no-untyped-call]

REQUESTS = Counter("convstore_requests_total", "HTTP requests answered.", ["route", "status"])
SQL_STATEMENTS = Counter("convstore_sql_statements_total", "SQL statements executed.")
EXCHANGES = Counter("convstore_exchanges_total", "Exchanges finished.", ["upstream", "status"])
UPSTREAM_CALLS = Counter("convstore_upstream_calls_total", "Attempts to call an upstream.", ["upstream", "outcome"])
UPSTREAM_SECONDS = Histogram(
    "convstore_upstream_seconds",
    "From the request to the last byte of an upstream's answer.",
    ["upstream"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600),
)
TOKENS = Counter("convstore_tokens_total", "Tokens reported by upstreams.", ["upstream", "kind"])
STREAMS = Gauge("convstore_streams", "Streams running now.", multiprocess_mode="livesum")
JOBS = Counter("convstore_jobs_total", "Jobs ended by the processes of this node.", ["kind", "status"])
FOLLOWERS = Gauge("convstore_followers", "Clients that follow background responses now.", multiprocess_mode="livesum")
RECOVERED = Counter("convstore_recovered_total", "Exchanges of dead processes that were closed as incomplete.")

BUDGET_EXCEEDED = Counter("convstore_budget_exceeded_total", "Calls beyond a budget: refused, or told of.", ["kind"])


@lru_cache(maxsize=4096)  # finding a labelled counter costs more than counting
def exchanges(upstream: str, status: str) -> Counter:
    """The counter of exchanges that ended like this."""
    return EXCHANGES.labels(upstream, status)


@lru_cache(maxsize=4096)
def tokens(upstream: str, kind: str) -> Counter:
    """The counter of an upstream's input or output tokens."""
    return TOKENS.labels(upstream, kind)


@lru_cache(maxsize=4096)
def upstream_calls(upstream: str, outcome: str) -> Counter:
    """The counter of attempts that came out like this."""
    return UPSTREAM_CALLS.labels(upstream, outcome)


@lru_cache(maxsize=4096)
def upstream_seconds(upstream: str) -> Histogram:
    """The durations of an upstream's answers."""
    return UPSTREAM_SECONDS.labels(upstream)


def budget_exceeded(kind: str) -> Counter:
    """The counter of calls beyond hard or soft budgets."""
    return BUDGET_EXCEEDED.labels(kind)


@lru_cache(maxsize=4096)
def requests(route: str, status: int) -> Counter:
    """The counter of requests to a route that were answered with this status."""
    return REQUESTS.labels(route, str(status))


@lru_cache(maxsize=4096)
def jobs(kind: str, status: str) -> Counter:
    """The counter of jobs of a kind that ended like this."""
    return JOBS.labels(kind, status)


@dataclass(frozen=True, slots=True)
class Jobs:
    """The queue of one kind of job, over all nodes. oldest_s: how long its first job has been waiting."""

    kind: str
    queued: int
    running: int
    failed: int
    oldest_s: float


def exposition(jobs: Sequence[Jobs] = (), workers: int | None = None) -> bytes:
    """Everything over all workers of this node; and of jobs and those who run them, over all nodes, what is given."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry = REGISTRY
    shared = CollectorRegistry()
    shared.register(_Shared(jobs, workers))
    return generate_latest(registry) + generate_latest(shared)


class _Shared(Collector):
    """What is read from the database when it is asked for: gauges that are the same wherever they are asked for."""

    def __init__(self, jobs: Sequence[Jobs], workers: int | None) -> None:
        self._jobs = jobs
        self._workers = workers

    def collect(self) -> Iterator[Metric]:
        for name, text in (
            ("queued", "Jobs that wait for a worker."),
            ("running", "Jobs that are being run."),
            ("failed", "Failed jobs that have neither been tried again nor forgotten."),
            ("oldest_s", "Age of the job that has been waiting longest."),
        ):
            shown = "oldest_seconds" if name == "oldest_s" else name
            gauge = GaugeMetricFamily(f"convstore_jobs_{shown}", text, labels=["kind"])
            for each in self._jobs:
                gauge.add_metric([each.kind], getattr(each, name))
            yield gauge
        if self._workers is not None:
            yield GaugeMetricFamily("convstore_job_workers", "Workers that are alive.", self._workers)
