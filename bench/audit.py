"""`python -m bench.audit`: what the audit log costs a turn, in this process, with it and without it in one run.

A turn in one piece goes through the application to an upstream on a socket that answers at once. Turns with the log and
without it alternate in small batches, so that both share the machine's moods; CPU is this process's, and on PostgreSQL
that of its server's processes besides.
"""

import argparse
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import process_time

from bench import databases, processes, servers
from convstore import bootstrap
from convstore.app import create_app
from convstore.config import Settings, UpstreamSettings
from convstore.services import keys
from convstore.services.deps import Deps
from convstore.storage import migrations
from convstore.telemetry import logs

BATCH = 50
KEY = "0123456789abcdef" * 2
BODY = b'{"model":"gpt-5.4","input":"What does it cost to remember who asked?"}'


def main() -> None:
    """Measure both engines and print medians."""
    on_each("bench.audit", "What the audit log costs a turn.", measure)


def on_each(name: str, what: str, measure: Callable[[str, databases.Database, int, int], None]) -> None:
    """Measure on each engine, as the command line says. measure: takes engine, database, upstream's port and rounds."""
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=what)
    parser.add_argument("--rounds", type=int, default=30, help="batches of each kind, default 30")
    parser.add_argument("--servers", default="sqlite,postgres")
    chosen = parser.parse_args()
    logs.configure("error", "json")
    for engine in chosen.servers.split(","):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)))
            folder.chmod(0o755)
            upstream = stack.enter_context(servers.upstream_running(folder, 1))
            database = stack.enter_context(servers.database_running(engine, folder))
            measure(engine, database, upstream.port, chosen.rounds)


def measure(engine: str, database: databases.Database, port: int, rounds: int) -> None:
    """One engine."""
    upstream = UpstreamSettings("local", f"http://127.0.0.1:{port}/v1", key="sk-bench")
    settings = Settings(database_url=database.url, upstreams=(upstream,), audit_key=KEY)
    deps = bootstrap.deps(settings)
    migrations.upgrade(deps.database)
    _, key = keys.create(deps, "bench")
    client = create_app(settings, deps).test_client()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def turn() -> str:
        answered = client.post("/v1/responses", data=BODY, headers=headers)
        assert answered.status_code == 200, answered.text
        return str((answered.json or {})["id"])

    def read() -> None:
        assert client.get(f"/v1/responses/{known}", headers=headers).status_code == 200

    known = turn()
    for what, act in (("turn", turn), ("read", read)):
        ratios, costs = [], []
        compared(deps, act, database.pid)
        for number in range(rounds):
            with_it, without = compared(deps, act, database.pid, first=number % 2 == 0)
            ratios.append(with_it / without)
            costs.append((with_it, without))
        bare = statistics.median(cost for _, cost in costs)
        whole = statistics.median(cost for cost, _ in costs)
        ratio = statistics.median(ratios)
        sys.stdout.write(f"{engine}: {what}: {bare:,.0f} µs without, {whole:,.0f} µs with, ratio {ratio:.3f}\n")
    deps.upstreams.close()
    deps.database.close()


def compared(deps: Deps, act: Callable[[], object], server: int | None, *, first: bool = True) -> tuple[float, float]:
    """µs of CPU of one, with the log and without it."""
    found = {}
    for recorded in (first, not first):
        with recording(deps, on=recorded):
            found[recorded] = spent(act, server)
    return found[True], found[False]


def spent(act: Callable[[], object], server: int | None) -> float:
    """µs of CPU of one, the mean of a batch."""
    before = process_time() + (processes.cpu_s(server) if server else 0)
    for _ in range(BATCH):
        act()
    return (process_time() + (processes.cpu_s(server) if server else 0) - before) / BATCH * 1e6


@contextmanager
def recording(deps: Deps, *, on: bool) -> Iterator[None]:
    """The service with its audit log, or as it would be without one."""
    if on:
        yield
        return
    from convstore.services import audit

    recorder, record = deps.database.recorder, audit.record
    deps.database.recorder = None
    audit.record = lambda *_: None
    try:
        yield
    finally:
        deps.database.recorder, audit.record = recorder, record


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
