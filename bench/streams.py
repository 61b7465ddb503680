"""500 slow streams at once: how long they take, how late their events come, and what holding them costs.

Each delta's text is the moment the upstream sent it, so lateness is the time from there to our client, on one
clock.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from bench import client, processes
from bench.answers import DELTAS, EVENTS
from bench.figures import cpu_now, median_of, mib, percentile
from bench.servers import House, Server
from bench.turns import SETTLE_S, mark
from bench.upstream import SLOW_S

STREAMS = 500
BODY = json.dumps({"model": "slow", "input": "Take your time.", "stream": True}, separators=(",", ":")).encode()


@dataclass(frozen=True)
class StreamFigures:
    """One server under all the streams. *missed* counts deltas whose time could not be read off the wire.

    CPU is µs an event, all events of all streams counted; memory was read halfway.
    """

    server: str
    total_s: float
    p50_s: float
    first_byte_p99_ms: float
    late_p50_ms: float
    late_p99_ms: float
    late_max_ms: float
    missed: int
    cpu_us: float
    database_cpu_us: float
    upstream_cpu_us: float
    client_cpu_us: float
    pss_mib: float | None
    rss_mib: float
    database_pss_mib: float | None


def measure(house: House, rounds: int, say: Callable[[str], None], streams: int = STREAMS) -> list[StreamFigures]:
    """Run all the streams through every server, round by round; medians over the rounds."""
    seen: dict[str, list[StreamFigures]] = defaultdict(list)
    for server in house.servers:
        client.run(server, BODY.replace(b"slow", b"warm"), mark("stream"), 16, 64)
    for number in range(rounds):
        for server in house.servers:
            figures = asyncio.run(one(server, house.upstream_pid, streams))
            seen[server.name].append(figures)
            say(
                f"streams: round {number + 1}/{rounds}, {server.name}: {figures.total_s:.2f} s, "
                f"{figures.late_p99_ms:.1f} ms late at p99"
            )
    return [median_of(figures) for figures in seen.values()]


async def one(server: Server, upstream_pid: int, streams: int) -> StreamFigures:
    """All the streams through one server."""
    before = cpu_now(server, upstream_pid)
    halfway = asyncio.create_task(memory_halfway(server))
    load = await client.load(server, BODY, mark("stream"), streams, streams, watch=True)
    held, held_by_database = await halfway
    await asyncio.sleep(SETTLE_S)
    used = cpu_now(server, upstream_pid) - before
    each_us = 1e6 / (streams * EVENTS)
    return StreamFigures(
        server=server.name,
        total_s=load.seconds,
        p50_s=percentile(load.latencies_s, 0.5),
        first_byte_p99_ms=percentile(load.first_bytes_s, 0.99) * 1e3,
        late_p50_ms=percentile(load.late_s, 0.5) * 1e3,
        late_p99_ms=percentile(load.late_s, 0.99) * 1e3,
        late_max_ms=max(load.late_s, default=0.0) * 1e3,
        missed=streams * DELTAS - len(load.late_s),
        cpu_us=used.server * each_us,
        database_cpu_us=used.database * each_us,
        upstream_cpu_us=used.upstream * each_us,
        client_cpu_us=used.client * each_us,
        pss_mib=mib(held.pss),
        rss_mib=held.rss / 2**20,
        database_pss_mib=mib(held_by_database.pss) if held_by_database else None,
    )


async def memory_halfway(server: Server) -> tuple[processes.Memory, processes.Memory | None]:
    """What the server and its database hold when the streams are half through; read beside the loop, not in
    it."""
    await asyncio.sleep(SLOW_S / 2)
    held = await asyncio.to_thread(processes.memory, server.pid)
    pid = server.database_pid
    return held, await asyncio.to_thread(processes.memory, pid) if pid else None
