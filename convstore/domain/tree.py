"""A conversation's tree: its exchanges as nodes, with the figures of what hangs below each.

It is built from lanes, runs of exchanges each the first child of the one before (docs/decisions/0002-lanes.md), and
walked without recursion: a thread may be longer than a stack is deep. A conversation has several roots when its first
question was asked anew.

Of a lane only its length and its sums need to be known. Its exchanges one by one are needed where they are shown, so
that a page of a big tree costs little more than the page.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

from convstore.domain import costs
from convstore.domain.costs import Money
from convstore.domain.pricing.cost import Cost
from convstore.domain.usage import Usage
from convstore.errors import ThreadDamaged

Place = tuple[str, int]


class Leaf(NamedTuple):
    """What a tree needs of an exchange to count it: no texts."""

    id: str
    lane: str
    depth: int
    usage: Usage | None
    # None while it has not ended.
    cost: Cost | None = None


class Run(NamedTuple):
    """What is in a tree of a lane: so many exchanges from this depth on, and their own sums."""

    depth: int
    sums: "Figures"


class Lane(NamedTuple):
    """A run of exchanges, named after the one that opens it, and the place of that one's parent; None for a root."""

    id: str
    depth: int
    parent: Place | None


@dataclass(slots=True)
class Figures:
    """A subtree in numbers, its top included. unknown: exchanges whose upstream reported no usage."""

    nodes: int = 0
    tips: int = 0
    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0
    total: int = 0
    unknown: int = 0
    money: Money = field(default_factory=Money)

    def add(self, other: "Figures") -> None:
        """Count another subtree in."""
        self.nodes += other.nodes
        self.tips += other.tips
        self.input += other.input
        self.cached += other.cached
        self.output += other.output
        self.reasoning += other.reasoning
        self.total += other.total
        self.unknown += other.unknown
        self.money.add(other.money)

    def copy(self) -> "Figures":
        return replace(self, money=self.money.copy())

    def count(self, usage: Usage | None, cost: Cost | None = None) -> None:
        """Count one exchange in."""
        self.nodes += 1
        if cost is not None:
            self.money.count_one(cost)
        if usage is None:
            self.unknown += 1
            return
        self.input += usage.input
        self.cached += usage.cached
        self.output += usage.output
        self.reasoning += usage.reasoning
        self.total += usage.total

    def as_dict(self) -> dict[str, Any]:
        """The API's form."""
        return {
            "nodes": self.nodes,
            "tips": self.tips,
            "input_tokens": self.input,
            "cached_tokens": self.cached,
            "output_tokens": self.output,
            "reasoning_tokens": self.reasoning,
            "total_tokens": self.total,
            "without_usage": self.unknown,
            **self.money.as_dict(),
        }


@dataclass(frozen=True, slots=True)
class Node:
    """One exchange as a tree shows it."""

    id: str
    conversation_id: str
    parent_id: str | None
    depth: int
    status: str
    origin: str
    origin_id: str | None
    linked: str | None
    stored: bool
    requested_model: str
    model: str | None
    upstream: str | None
    question: str | None
    answer: str | None
    incomplete_reason: str | None
    error_code: str | None
    usage: Usage | None
    created_at: datetime
    first_event_at: datetime | None
    completed_at: datetime | None
    deleted_at: datetime | None
    erased_at: datetime | None
    # Without its lines; None while it has not ended.
    cost: Cost | None = None

    def as_dict(self, branches: Sequence[str] = ()) -> dict[str, Any]:
        """The API's form. Of a deleted exchange nothing is shown that anybody said."""
        gone = self.deleted_at is not None
        return {
            "id": self.id,
            "object": "exchange",
            "conversation_id": self.conversation_id,
            "parent_id": self.parent_id,
            "depth": self.depth,
            "status": self.status,
            "origin": self.origin,
            "origin_id": self.origin_id,
            "linked": self.linked or ("previous_response_id" if self.parent_id else None),
            "model": self.model or self.requested_model or None,
            "requested_model": self.requested_model or None,
            "upstream": self.upstream,
            "question": None if gone else self.question,
            "answer": None if gone else self.answer,
            "incomplete_reason": self.incomplete_reason,
            "error": self.error_code,
            "usage": self.usage.as_api() if self.usage else None,
            **costs.of_one(self.cost),
            "created_at": self.created_at.timestamp(),
            "first_event_ms": _ms(self.created_at, self.first_event_at),
            "latency_ms": _ms(self.created_at, self.completed_at),
            "stored": self.stored,
            "deleted": gone,
            "erased": self.erased_at is not None,
            "branches": list(branches),
        }


def unbroken(nodes: Sequence[Node], tip_id: str, first: int, last: int) -> Sequence[Node]:
    """The same exchanges, when they are the whole thread to *tip_id* between two depths. Raises ThreadDamaged."""
    is_whole = [node.depth for node in nodes] == list(range(first, last + 1))
    if not is_whole or (first == 0 and nodes[0].parent_id is not None):
        raise ThreadDamaged(tip_id)
    return nodes


def _ms(start: datetime, end: datetime | None) -> float | None:
    return None if end is None else round((end - start).total_seconds() * 1000, 3)


@dataclass(slots=True)
class Tree:
    """The exchanges of a conversation, or those from one of them on.

    runs: what is in it of each lane. tops: where it begins, oldest first.
    """

    lanes: Mapping[str, Lane]
    runs: Mapping[str, Run]
    tops: Sequence[Place]
    _hanging: dict[Place, list[str]] = field(init=False)
    _sums: dict[str, Figures] = field(init=False)

    def __post_init__(self) -> None:
        self._hanging = hanging(self.lanes.values())
        self._sums = self._count()

    def walk(self, deepest: int | None = None) -> Iterator[Place]:
        """Where every exchange stands, behind its parent and before its parent's next child; to a depth, if given."""
        waiting = list(reversed(self.tops))
        while waiting:
            place = waiting.pop()
            if self._is_there(place) and (deepest is None or place[1] <= deepest):
                yield place
                waiting += [(lane, place[1] + 1) for lane in reversed(self._hanging.get(place, ()))]
                # The first child goes on in its parent's lane: it comes before those that opened their own.
                waiting.append((place[0], place[1] + 1))

    def is_tip(self, place: Place) -> bool:
        """Whether nothing continues the exchange there."""
        return not self._is_there((place[0], place[1] + 1)) and not self._hanging.get(place)

    def figures(self, leaves: Sequence[Leaf]) -> dict[Place, Figures]:
        """The subtree under each exchange of a lane, given all that are in the tree, in order."""
        found: dict[Place, Figures] = {}
        sums = Figures()
        for leaf in reversed(leaves):
            place = leaf.lane, leaf.depth
            if not self._is_there(place):
                continue  # it was stored meanwhile
            sums.count(leaf.usage, leaf.cost)
            sums.tips += self.is_tip(place)
            for lane in self._hanging.get(place, ()):
                sums.add(self._sums[lane])
            found[place] = sums.copy()
        return found

    def total(self) -> Figures:
        """All of it."""
        summed = Figures()
        for lane, _ in self.tops:
            if lane in self._sums:
                summed.add(self._sums[lane])
        return summed

    def _is_there(self, place: Place) -> bool:
        run = self.runs.get(place[0])
        return run is not None and 0 <= place[1] - run.depth < run.sums.nodes

    def _count(self) -> dict[str, Figures]:
        """The sums of each lane with all that hangs from it."""
        found = {lane: run.sums.copy() for lane, run in self.runs.items()}
        for lane, run in self.runs.items():
            found[lane].tips += self.is_tip((lane, run.depth + run.sums.nodes - 1))
        # A lane begins deeper than the one it hangs from: from the deepest on, what hangs is known.
        for lane in sorted(self.runs, key=lambda each: self.runs[each].depth, reverse=True):
            above = self.lanes[lane].parent if lane in self.lanes else None
            if above is not None and self._is_there(above):
                found[above[0]].add(found[lane])
        return found


def hanging(lanes: Iterable[Lane]) -> dict[Place, list[str]]:
    """The lanes that fork off at each place, in the order of their ids: of their age."""
    found: dict[Place, list[str]] = {}
    for lane in sorted(lanes, key=lambda each: each.id):
        if lane.parent is not None:
            found.setdefault(lane.parent, []).append(lane.id)
    return found


def below(lanes: Mapping[str, Lane], top: Place) -> dict[str, int]:
    """The lanes of the subtree under a place, each with the depth from which on it is in it."""
    of_lane: dict[str, list[Lane]] = {}
    for lane in lanes.values():
        if lane.parent is not None:
            of_lane.setdefault(lane.parent[0], []).append(lane)
    found = {top[0]: top[1]}
    waiting = [top[0]]
    while waiting:
        parent = waiting.pop()
        for lane in of_lane.get(parent, ()):
            if lane.parent is not None and lane.parent[1] >= found[parent] and lane.id not in found:
                found[lane.id] = lane.depth
                waiting.append(lane.id)
    return found
