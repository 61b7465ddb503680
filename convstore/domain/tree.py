"""A conversation's tree: its exchanges as nodes, with the figures of what hangs below each.

It is built from lanes, runs of exchanges each the first child of the one before (docs/decisions/0002-lanes.md), and
walked without recursion: a thread may be longer than a stack is deep. A conversation has several roots when its first
question was asked anew.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from convstore.domain.usage import Usage

Place = tuple[str, int]


class Leaf(NamedTuple):
    """What a tree needs of an exchange to count it: no texts."""

    id: str
    lane: str
    depth: int
    usage: Usage | None


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

    def add(self, other: "Figures") -> None:
        """Count another subtree in."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def count(self, usage: Usage | None) -> None:
        """Count one exchange in."""
        self.nodes += 1
        if usage is None:
            self.unknown += 1
            return
        self.input += usage.input
        self.cached += usage.cached
        self.output += usage.output
        self.reasoning += usage.reasoning
        self.total += usage.total

    def as_dict(self) -> dict[str, int | None]:
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
            "created_at": self.created_at.timestamp(),
            "first_event_ms": _ms(self.created_at, self.first_event_at),
            "latency_ms": _ms(self.created_at, self.completed_at),
            "stored": self.stored,
            "deleted": gone,
            "branches": list(branches),
        }


def _ms(start: datetime, end: datetime | None) -> float | None:
    return None if end is None else round((end - start).total_seconds() * 1000, 3)


@dataclass(slots=True)
class Tree:
    """The exchanges of a conversation, or those from one of them on. tops: where it begins, oldest first."""

    lanes: Mapping[str, Lane]
    members: Mapping[str, Sequence[Leaf]]
    tops: Sequence[Place]
    _hanging: dict[Place, list[str]] = field(init=False)
    _figures: dict[Place, Figures] = field(init=False)

    def __post_init__(self) -> None:
        self._hanging = hanging(self.lanes.values())
        self._figures = {}

    def walk(self, deepest: int | None = None) -> Iterator[Leaf]:
        """Every exchange behind its parent and before its parent's next child; to a depth, if one is given."""
        waiting = list(reversed(self.tops))
        while waiting:
            lane, depth = waiting.pop()
            leaf = self._leaf((lane, depth))
            if leaf is None or (deepest is not None and depth > deepest):
                continue
            yield leaf
            waiting += reversed(self._children(leaf))

    def figures(self, leaf: Leaf) -> Figures:
        """The subtree under an exchange."""
        if not self._figures:
            self._count()
        return self._figures[leaf.lane, leaf.depth]

    def total(self) -> Figures:
        """All of it."""
        summed = Figures()
        for lane, depth in self.tops:
            leaf = self._leaf((lane, depth))
            if leaf is not None:
                summed.add(self.figures(leaf))
        return summed

    def is_tip(self, leaf: Leaf) -> bool:
        """Whether nothing continues it: a first child goes on in its parent's lane."""
        place = (leaf.lane, leaf.depth)
        return self._leaf((leaf.lane, leaf.depth + 1)) is None and not self._hanging.get(place)

    def _children(self, leaf: Leaf) -> list[Place]:
        """Where its children stand, if it has any: the first goes on in its lane, the others open their own."""
        below = leaf.depth + 1
        return [(leaf.lane, below), *((each, below) for each in self._hanging.get((leaf.lane, leaf.depth), ()))]

    def _leaf(self, place: Place) -> Leaf | None:
        lane, depth = place
        members = self.members.get(lane)
        at = depth - members[0].depth if members else -1
        return members[at] if members and 0 <= at < len(members) else None

    def _count(self) -> None:
        # Behind its children every exchange's sum is known.
        for leaf in reversed(list(self.walk())):
            figures = Figures(tips=int(self.is_tip(leaf)))
            figures.count(leaf.usage)
            for place in self._children(leaf):
                if place in self._figures:
                    figures.add(self._figures[place])
            self._figures[leaf.lane, leaf.depth] = figures


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
