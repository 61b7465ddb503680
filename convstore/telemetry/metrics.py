"""Counters for /metrics, in the Prometheus text format, summed over the workers of a node.

`convstore serve` sets PROMETHEUS_MULTIPROC_DIR before any worker imports this module; without it (one process, a
test) the figures are this process's own.
"""

import os

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST

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
RECOVERED = Counter("convstore_recovered_total", "Exchanges of dead processes that were closed as incomplete.")


def exposition() -> bytes:
    """Everything, over all workers of this node."""
    registry = CollectorRegistry()
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
    return generate_latest()


def forget_process(pid: int) -> None:
    """A worker has ended: its gauges no longer count."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]
