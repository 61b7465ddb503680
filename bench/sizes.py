"""Bytes the database grows by for each turn of a chain, while the chains are short.

One turn is smaller than a page, so many chains are grown and the growth is shared out. The deep end, where
growing many chains would take too long, is measured by `chains` on the way.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from bench.chains import DEPTHS, SIZED_TURNS, Chain, ChainFigures, new_item
from bench.servers import House, Server

# Empty tables have no free-space map and few index pages; a database in use has. These turns are not counted.
SETTLED_CHAINS, SETTLED_TURNS = 10, 20


@dataclass(frozen=True)
class SizeFigures:
    """Bytes a turn in one window of turns, and what the turn's new items (input and output) are as JSON."""

    server: str
    first_turn: int
    last_turn: int
    turns: int
    bytes_per_turn: float
    item_bytes: float

    @property
    def bound_bytes(self) -> float:
        """What a turn may take."""
        return 1.3 * self.item_bytes + 600


def measure(house: House, quick: bool, say: Callable[[str], None]) -> list[SizeFigures]:
    """The windows of turns 1–10 and 90–100, on every server that has a database."""
    many, few = (20, 8) if quick else (60, 20)
    figures = []
    for server in house.servers:
        if server.database:
            figures += asyncio.run(windows(server, many, few))
            say(
                f"sizes: {server.name}: " + ", ".join(f"{one.bytes_per_turn:,.0f} bytes a turn" for one in figures[-2:])
            )
    return figures


async def windows(server: Server, many: int, few: int) -> list[SizeFigures]:
    """Grow *many* chains to turn 10, then *few* of them to turn 100."""
    dice = random.Random(server.name)
    await grow([Chain(server) for _ in range(SETTLED_CHAINS)], SETTLED_TURNS, dice)
    chains = [Chain(server) for _ in range(many)]
    early = await window(chains, 1, 10, dice)
    await grow(chains[:few], 79, dice)
    return [early, await window(chains[:few], 90, 100, dice)]


async def window(chains: list[Chain], first: int, last: int, dice: random.Random) -> SizeFigures:
    """Measure while *chains* take the turns *first* to *last*."""
    server = chains[0].server
    assert server.database
    turns = (last - first + 1) * len(chains)
    size, items = server.database.size_bytes(), sum(chain.item_bytes for chain in chains)
    await grow(chains, last - first + 1, dice)
    grown = server.database.size_bytes() - size
    items = sum(chain.item_bytes for chain in chains) - items
    return SizeFigures(server.name, first, last, turns, grown / turns, items / turns)


async def grow(chains: list[Chain], turns: int, dice: random.Random) -> None:
    """Let every chain take *turns* turns, one chain after another.

    Many clients at once would leave half-filled pages behind, and hide what a turn takes.
    """
    for chain in chains:
        for _ in range(turns):
            await chain.grow(new_item(dice))
        chain.caller.close()


def with_deep_end(figures: list[SizeFigures], chains: list[ChainFigures]) -> list[SizeFigures]:
    """Add the window that `chains` measured on its way down."""
    deep = {one.server: one.deep_bytes for one in chains}
    last = DEPTHS[-1]
    added = list(figures)
    for one in figures:
        grown = deep.get(one.server)
        if one.first_turn == 1 and grown is not None:
            added.append(SizeFigures(one.server, last - SIZED_TURNS + 1, last, SIZED_TURNS, grown, one.item_bytes))
    return sorted(added, key=lambda one: (one.server, one.first_turn))
