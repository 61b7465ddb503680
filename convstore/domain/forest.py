"""Where exchanges lie, worked out from who continues whom.

`parent_id` alone defines the trees; lane, depth and conversation are derived from it (docs/decisions/0002-lanes.md).
Among the children of one exchange the first continues its lane, every other opens a lane of its own. Who is first is
the caller's to say, by the order that the exchanges are given in: it is settled when they are stored, and two that
were stored at the same moment may be either.
"""

from collections.abc import Iterable
from typing import NamedTuple


class Node(NamedTuple):
    """An exchange and the one that it continues; None for a root."""

    id: str
    parent_id: str | None


class Spot(NamedTuple):
    """Where an exchange lies: its lane, how far it is from its root, and which root that is."""

    lane: str
    depth: int
    root: str


def spots(nodes: Iterable[Node]) -> dict[str, Spot]:
    """Where each exchange lies, by its id; those that reach no root are left out. Of siblings, the first goes on."""
    children: dict[str | None, list[str]] = {}
    for node in nodes:
        children.setdefault(node.parent_id, []).append(node.id)
    found: dict[str, Spot] = {}
    waiting = [(root, Spot(root, 0, root)) for root in children.get(None, ())]
    # A list of what is to be done, not recursion: threads are longer than Python's stack.
    while waiting:
        own, spot = waiting.pop()
        found[own] = spot
        for number, child in enumerate(children.get(own, ())):
            waiting.append((child, Spot(child if number else spot.lane, spot.depth + 1, spot.root)))
    return found


def cycle(parents: dict[str, str | None], start: str) -> list[str] | None:
    """The exchanges that continue each other in a ring on the way up from *start*; None when there is an end."""
    seen: dict[str, int] = {}
    at: str | None = start
    while at is not None and at in parents:
        if at in seen:
            return list(seen)[seen[at] :]
        seen[at] = len(seen)
        at = parents[at]
    return None
