"""Sessions that send their whole history: what convstore makes of them, beside the same turns sent by name.

A chat program keeps the history itself and sends all of it with every turn, without `previous_response_id`. Sessions
of 200 such turns are grown on every server that has a database, and as many whose turns name their parent, in turn.
In windows that end at the turns of `DEPTHS`, three things are noted: the bytes the database grew by a turn, the CPU of
the server's processes a turn, and what of it is only receiving and reading the longer body.
"""

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass

from bench import wire
from bench.chains import Chain, new_item
from bench.figures import cpu_now
from bench.servers import House, Server

DEPTHS = (10, 100, 200)
WINDOW = 10
READ_TIMES = 200


@dataclass(frozen=True)
class HistoryFigures:
    """One server in one window: bytes and CPU µs a turn, whole or by name, and CPU µs to read the longer body."""

    server: str
    turn: int
    bytes_per_turn: float
    named_bytes_per_turn: float
    cpu_us: float
    named_cpu_us: float
    reading_us: float

    @property
    def cpu_ratio(self) -> float:
        """CPU of a turn without what reading the longer body takes, over that of a turn by name."""
        return (self.cpu_us - self.reading_us) / self.named_cpu_us


class Session(Chain):
    """A chat program's: the whole history each time, answers sent back as their text."""

    def request(self, item: bytes) -> bytes:
        """The next turn's whole request."""
        return wire.request(self.server, b'{"model":"chain","input":[%b]}' % b",".join([*self.history, item]))

    async def grow(self, item: bytes) -> None:
        """Take the next turn, and remember it."""
        answer = await self.ask(item, self.caller)
        said = json.loads(answer.body())["output"]
        texts = ["".join(part["text"] for part in one["content"]) for one in said if one["type"] == "message"]
        self.history += [item, *(json.dumps({"role": "assistant", "content": text}).encode() for text in texts)]
        self.latencies_ms.append(answer.seconds * 1e3)


def measure(house: House, quick: bool, say: Callable[[str], None]) -> list[HistoryFigures]:
    """All windows on every server that has a database."""
    found = []
    for server in house.servers:
        if server.database:
            found += asyncio.run(windows(server, house.upstream_pid, 10 if quick else 30))
            say(f"histories: {server.name}: " + ", ".join(f"{one.cpu_ratio:.2f} x by name" for one in found[-3:]))
    return found


async def windows(server: Server, upstream_pid: int, count: int) -> list[HistoryFigures]:
    """Grow *count* sessions and as many chains to the last depth, with a look at the meters on the way."""
    dice = random.Random(server.name)
    # A database in use has maps of its free space and inner pages; connections are made, statements known.
    await _grow([Session(server) for _ in range(count)], WINDOW, dice)
    await _grow([Chain(server) for _ in range(count)], WINDOW, dice)
    sessions: list[Chain] = [Session(server) for _ in range(count)]
    named = [Chain(server) for _ in range(count)]
    found = []
    turn = 0
    for depth in DEPTHS:
        await _grow(sessions, depth - WINDOW - turn, dice)
        await _grow(named, depth - WINDOW - turn, dice)
        bytes_, cpu_us = await _measured(server, upstream_pid, sessions, dice)
        named_bytes, named_cpu_us = await _measured(server, upstream_pid, named, dice)
        reading_us = await _reading_us(server, upstream_pid, sessions[0], new_item(dice))
        found.append(HistoryFigures(server.name, depth, bytes_, named_bytes, cpu_us, named_cpu_us, reading_us))
        turn = depth
    return found


async def _measured(server: Server, upstream_pid: int, chains: list[Chain], dice: random.Random) -> tuple[float, float]:
    """Bytes and CPU µs a turn over the next window."""
    assert server.database
    turns = WINDOW * len(chains)
    size, cpu = server.database.size_bytes(), cpu_now(server, upstream_pid)
    await _grow(chains, WINDOW, dice)
    used = cpu_now(server, upstream_pid) - cpu
    return (server.database.size_bytes() - size) / turns, used.server / turns * 1e6


async def _grow(chains: list[Chain], turns: int, dice: random.Random) -> None:
    for chain in chains:
        for _ in range(turns):
            await chain.grow(new_item(dice))
        chain.caller.close()


async def _reading_us(server: Server, upstream_pid: int, session: Chain, item: bytes) -> float:
    """CPU µs of the server's processes that receiving, parsing and checking the longer body takes, over a short one.

    Both are refused for a parent that nobody knows, which is found out after they were read.
    """
    long, short = ([*session.history, item], [item])
    return await _refused_us(server, upstream_pid, long) - await _refused_us(server, upstream_pid, short)


async def _refused_us(server: Server, upstream_pid: int, items: list[bytes]) -> float:
    body = b'{"model":"chain","previous_response_id":"resp_nobody","input":[%b]}' % b",".join(items)
    request, caller = wire.request(server, body), wire.Caller(server)
    before = cpu_now(server, upstream_pid)
    for _ in range(READ_TIMES):
        answer = await caller.ask(request)
        assert answer.status == 400, answer.raw[:300]
    used = cpu_now(server, upstream_pid) - before
    caller.close()
    return used.server / READ_TIMES * 1e6
