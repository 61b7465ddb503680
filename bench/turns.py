"""Single turns: requests per second, latencies, CPU and memory, streamed and not, by number of clients."""

import json
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

from bench import answers, client, processes
from bench.figures import cpu_now, median_of, mib, percentile
from bench.servers import House, Server
from bench.upstream import MODEL

CONCURRENCIES = (1, 16, 64)
MODES = ("json", "stream")

# A streamed answer is through before its row is written; the CPU of that belongs to the load before.
SETTLE_S = 0.1


@dataclass(frozen=True)
class Plan:
    """How much to send: requests a load, by mode and number of clients, and to warm up."""

    rounds: int
    requests: dict[tuple[str, int], int]
    warm_up: int


def plan(rounds: int | None, quick: bool) -> Plan:
    """Many short rounds rather than few long ones: neighbours alternate sooner. *quick*: a first look."""
    json_counts, stream_counts = ((40, 250, 200), (30, 150, 120)) if quick else ((200, 1000, 1000), (150, 600, 600))
    counts = {("json", number): count for number, count in zip(CONCURRENCIES, json_counts, strict=True)}
    counts |= {("stream", number): count for number, count in zip(CONCURRENCIES, stream_counts, strict=True)}
    return Plan(rounds or (2 if quick else 5), counts, 100 if quick else 300)


@dataclass(frozen=True)
class TurnFigures:
    """One server under one load. CPU is µs a request; ratios are to the relay in the same round."""

    server: str
    mode: str
    concurrency: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    first_byte_p50_ms: float
    cpu_us: float
    database_cpu_us: float
    upstream_cpu_us: float
    client_cpu_us: float
    pss_mib: float | None
    rss_mib: float
    requests_ratio: float | None = None
    cpu_ratio: float | None = None


def body(mode: str) -> bytes:
    """An ordinary question of some 200 characters."""
    fields = {"model": MODEL, "instructions": "Answer briefly.", "input": answers.words(200)}
    return json.dumps(fields | ({"stream": True} if mode == "stream" else {}), separators=(",", ":")).encode()


def mark(mode: str) -> bytes:
    """What a whole answer holds."""
    return b"event: response.completed" if mode == "stream" else b'"completed"'


def measure(house: House, plan: Plan, say: Callable[[str], None]) -> list[TurnFigures]:
    """Run every load on every server, round by round; medians over the rounds."""
    seen: dict[tuple[str, int, str], list[TurnFigures]] = defaultdict(list)
    for server in house.servers:
        say(f"turns: warm up {server.name}")
        for mode in MODES:
            client.run(server, body(mode), mark(mode), max(CONCURRENCIES), plan.warm_up)
    for number in range(plan.rounds):
        for (mode, concurrency), requests in plan.requests.items():
            loads = []
            for server in house.servers:
                loads.append(one(server, house.upstream_pid, mode, concurrency, requests))
                say(
                    f"turns: round {number + 1}/{plan.rounds}, {mode} {concurrency}, {server.name}: "
                    f"{loads[-1].requests_per_s:,.0f} requests/s, {loads[-1].cpu_us:,.0f} µs of CPU"
                )
            for figures in beside_relay(loads):
                seen[mode, concurrency, figures.server].append(figures)
    return [median_of(rounds) for rounds in seen.values()]


def beside_relay(loads: list[TurnFigures]) -> list[TurnFigures]:
    """Add the ratios. Neighbours in time share the machine's moods; their ratio is steadier than either."""
    bare = next((figures for figures in loads if figures.server == "relay"), None)
    if bare is None:
        return loads
    return [
        replace(
            figures,
            requests_ratio=figures.requests_per_s / bare.requests_per_s,
            cpu_ratio=figures.cpu_us / bare.cpu_us,
        )
        for figures in loads
    ]


def one(server: Server, upstream_pid: int, mode: str, concurrency: int, requests: int) -> TurnFigures:
    """One load on one server."""
    before = cpu_now(server, upstream_pid)
    load = client.run(server, body(mode), mark(mode), concurrency, requests)
    time.sleep(SETTLE_S)
    used = cpu_now(server, upstream_pid) - before
    held = processes.memory(server.pid)
    each_us = 1e6 / requests
    return TurnFigures(
        server=server.name,
        mode=mode,
        concurrency=concurrency,
        requests_per_s=requests / load.seconds,
        p50_ms=percentile(load.latencies_s, 0.5) * 1e3,
        p99_ms=percentile(load.latencies_s, 0.99) * 1e3,
        first_byte_p50_ms=percentile(load.first_bytes_s, 0.5) * 1e3,
        cpu_us=used.server * each_us,
        database_cpu_us=used.database * each_us,
        upstream_cpu_us=used.upstream * each_us,
        client_cpu_us=used.client * each_us,
        pss_mib=mib(held.pss),
        rss_mib=held.rss / 2**20,
    )
