"""Long chains: what a turn costs at turn 10, 100 and 1,000.

All servers grow their chain in step, turn by turn, each over one kept connection, as an SDK would. A stateful
server is sent `previous_response_id` and the new item; the others are sent the whole history again, which is
what convstore saves its clients, so "over direct" compares equal work upstream. At each depth three things
are noted: the latency of the `WINDOW` turns that led there; the latency of siblings (children of one parent,
each over a new connection, so any worker may have to answer); and the SQL statements a turn took, from the
server's own metrics.
"""

import asyncio
import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from bench import answers, client, wire
from bench.figures import cpu_now, median_of, percentile
from bench.servers import House, Server

DEPTHS = (10, 100, 1000)
WINDOW = 15
SIBLINGS = 15
COUNTED = 10  # turns, with a look at the metrics after each
TURN_WITHIN_S = 60.0  # a server that hangs must not hang the benchmark
SIZED_TURNS = 100  # the deep window in which the database's growth is measured
STATEMENTS = re.compile(rb"^convstore_sql_statements_total(?:\{[^}]*\})? ([0-9.eE+]+)", re.MULTILINE)


@dataclass(frozen=True)
class DepthFigures:
    """One server at one depth. *statements* is None where nobody counts them."""

    server: str
    depth: int
    turn_p50_ms: float
    sibling_p50_ms: float
    sibling_p99_ms: float
    statements: float | None


@dataclass(frozen=True)
class ChainFigures:
    """One server over a whole chain: CPU µs a turn, and bytes the database grew by a turn at the deep end."""

    server: str
    turns: int
    cpu_us: float
    database_cpu_us: float
    deep_bytes: float | None


def new_item(dice: random.Random) -> bytes:
    """A user message of 1 KB."""
    part = {"type": "input_text", "text": answers.words(1000, dice)}
    return answers.dump({"type": "message", "role": "user", "content": [part]})


@dataclass
class Chain:
    """One chain on one server, and all that its client has to remember."""

    server: Server
    caller: wire.Caller = field(init=False)
    parent: bytes = b"null"
    history: list[bytes] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    item_bytes: int = 0
    asked: int = 0

    def __post_init__(self) -> None:
        self.caller = wire.Caller(self.server)

    def request(self, item: bytes) -> bytes:
        """The next turn's whole request."""
        if self.server.is_stateful:
            body = b'{"model":"chain","previous_response_id":%b,"input":[%b]}' % (self.parent, item)
        else:
            body = b'{"model":"chain","input":[%b]}' % b",".join([*self.history, item])
        return wire.request(self.server, body)

    async def ask(self, item: bytes, caller: wire.Caller) -> wire.Answer:
        """Say *item* after what was said so far. Raises LoadFailed."""
        async with asyncio.timeout(TURN_WITHIN_S):
            answer = await caller.ask(self.request(item))
        self.asked += 1
        if not answer.says(b'"completed"'):
            raise client.LoadFailed(f"{self.server.name}: turn {len(self.latencies_ms) + 1}: {answer.raw[:600]!r}")
        return answer

    async def grow(self, item: bytes) -> None:
        """Take the next turn."""
        answer = await self.ask(item, self.caller)
        said = json.loads(answer.body())
        output = [answers.dump(one) for one in said["output"]]
        self.parent = answers.dump(said["id"])
        if not self.server.is_stateful:
            self.history += [item, *output]
        self.latencies_ms.append(answer.seconds * 1e3)
        self.item_bytes += len(item) + sum(map(len, output))

    async def siblings(self, item: bytes) -> list[float]:
        """Latencies in ms of several next turns, none of which the chain goes on from."""
        took = []
        for _ in range(SIBLINGS):
            caller = wire.Caller(self.server)
            took.append((await self.ask(item, caller)).seconds * 1e3)
            caller.close()
        return took

    async def statements(self, item: bytes) -> float | None:
        """SQL statements a next turn takes, the median of several: a key is looked up now and then between them.

        The one connection keeps us with the worker that counts them.
        """
        counts = [await self.counter()]
        for _ in range(COUNTED):
            await self.ask(item, self.caller)
            counts.append(await self.counter())
        known = [count for count in counts if count is not None]
        if len(known) < len(counts):
            return None
        return percentile([after - before for before, after in pairwise(known)], 0.5)

    async def counter(self) -> float | None:
        """The server's own count of SQL statements, if it has one."""
        if not self.server.is_stateful:
            return None
        answer = await self.caller.ask(wire.request(self.server, None, "/metrics"))
        samples = STATEMENTS.findall(answer.body()) if answer.status == 200 else []
        return sum(map(float, samples)) if samples else None


async def look(chain: Chain, item: bytes) -> DepthFigures:
    """What a turn costs after the turns taken so far."""
    siblings = await chain.siblings(item)
    return DepthFigures(
        server=chain.server.name,
        depth=len(chain.latencies_ms),
        turn_p50_ms=percentile(chain.latencies_ms[-WINDOW:], 0.5),
        sibling_p50_ms=percentile(siblings, 0.5),
        sibling_p99_ms=percentile(siblings, 0.99),
        statements=await chain.statements(item),
    )


async def grow_all(
    house: House, seed: int, say: Callable[[str], None]
) -> tuple[list[DepthFigures], list[ChainFigures]]:
    """Grow one chain on every server, in step, to the last depth."""
    dice = random.Random(seed)
    chains = [Chain(server) for server in house.servers]
    before = [cpu_now(server, house.upstream_pid) for server in house.servers]
    sizes: dict[str, list[int]] = {server.name: [] for server in house.servers}
    at_depths: list[DepthFigures] = []
    last = DEPTHS[-1]
    for turn in range(1, last + 1):
        item = new_item(dice)
        for chain in chains:
            await chain.grow(item)
        if turn in (last - SIZED_TURNS, last):
            for server in house.servers:
                if server.database:
                    sizes[server.name].append(server.database.size_bytes())
        if turn == last:
            after = [cpu_now(server, house.upstream_pid) for server in house.servers]
            asked = [chain.asked for chain in chains]
        if turn in DEPTHS:
            at_depths += [await look(chain, item) for chain in chains]
            say(f"chains: turn {turn:,}: " + told(at_depths[-len(chains) :]))
    for chain in chains:
        chain.caller.close()
    used = [now - then for now, then in zip(after, before, strict=True)]
    wholes = [
        ChainFigures(
            server=server.name,
            turns=last,
            cpu_us=cpu.server / turns * 1e6,
            database_cpu_us=cpu.database / turns * 1e6,
            deep_bytes=(sizes[server.name][1] - sizes[server.name][0]) / SIZED_TURNS if server.database else None,
        )
        for server, cpu, turns in zip(house.servers, used, asked, strict=True)
    ]
    return at_depths, wholes


def told(figures: list[DepthFigures]) -> str:
    """One line of progress."""
    return ", ".join(f"{one.server} {one.turn_p50_ms:.1f} ms" for one in figures)


def measure(house: House, rounds: int, say: Callable[[str], None]) -> tuple[list[DepthFigures], list[ChainFigures]]:
    """Grow *rounds* chains on every server; medians over them."""
    grown = [asyncio.run(grow_all(house, seed, say)) for seed in range(rounds)]
    depths = [median_of(rows) for rows in zip(*(at_depths for at_depths, _ in grown), strict=True)]
    wholes = [median_of(rows) for rows in zip(*(whole for _, whole in grown), strict=True)]
    return depths, wholes
