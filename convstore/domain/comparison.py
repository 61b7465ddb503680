"""Two threads compared, turn by turn, from where they parted.

A turn is compared with the one it was asked again as, or branched off from, where that is on record; the turns between
such pairs with one another in order. What a turn asked and said, its settings, its model and its status make it the
same or another; what it took (tokens, time) is shown beside it. Source: docs/api.md, comparing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convstore.domain import content, figures, jsontext, pairing, values
from convstore.domain.exchange import Exchange
from convstore.domain.items import Item
from convstore.domain.pairing import ItemPair, Match
from convstore.domain.sequences import increasing
from convstore.domain.values import Changes, Value
from convstore.domain.words import Allowance


@dataclass(frozen=True, slots=True)
class Turn:
    """An exchange of a thread with its own items, each with the id that clients know it under."""

    exchange: Exchange
    input: Sequence[tuple[str, Item]] = ()
    output: Sequence[tuple[str, Item]] = ()

    def as_dict(self) -> dict[str, Any]:
        exchange = self.exchange
        return {
            "id": exchange.id,
            "status": exchange.status,
            "model": exchange.model or exchange.requested_model,
            "origin": exchange.origin,
            "origin_id": exchange.origin_id,
            "error": exchange.error,
            "created_at": int(exchange.created_at.timestamp()),
            **figures.of(exchange),
        }


@dataclass(frozen=True, slots=True)
class Side:
    """A thread: the exchange that it ends at, and its turns behind the ancestor, oldest first."""

    id: str
    conversation_id: str
    turns: Sequence[Turn] = ()


@dataclass(frozen=True, slots=True)
class TurnPair:
    """Two turns compared, or one alone.

    status: "same", "changed", "left" or "right". paired_by: "origin", "order", or None for one alone.
    """

    number: int
    status: str
    paired_by: str | None
    left: Turn | None
    right: Turn | None
    settings: Changes
    input: tuple[ItemPair, ...]
    output: tuple[ItemPair, ...]

    def as_dict(self) -> dict[str, Any]:
        delta = None
        if self.left and self.right:
            delta = figures.delta(figures.of(self.left.exchange), figures.of(self.right.exchange))
        return {
            "number": self.number,
            "status": self.status,
            "paired_by": self.paired_by,
            "left": self.left.as_dict() if self.left else None,
            "right": self.right.as_dict() if self.right else None,
            "delta": delta,
            "settings": self.settings.by_name(),
            "input": [each.as_dict() for each in self.input],
            "output": [each.as_dict() for each in self.output],
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both sides, the last exchange that they share (None: they share nothing), and their turns behind it."""

    left: Side
    right: Side
    ancestor: str | None
    turns: tuple[TurnPair, ...]

    @property
    def is_same(self) -> bool:
        """Whether nothing differs but what it took."""
        return all(pair.status == "same" for pair in self.turns)

    def totals(self) -> dict[str, figures.Figures]:
        """What each side took behind the ancestor, and right minus left."""
        left, right = (figures.total([turn.exchange for turn in side.turns]) for side in (self.left, self.right))
        return {"left": left, "right": right, "delta": figures.delta(left, right)}

    def as_dict(self) -> dict[str, Any]:
        """The comparison as JSON has it."""
        return {
            "object": "comparison",
            "left": {"id": self.left.id, "conversation_id": self.left.conversation_id},
            "right": {"id": self.right.id, "conversation_id": self.right.conversation_id},
            "ancestor": self.ancestor,
            "same": self.is_same,
            "totals": self.totals(),
            "turns": [pair.as_dict() for pair in self.turns],
        }


def compare(left: Side, right: Side, ancestor: str | None, allowance: Allowance | None = None) -> Comparison:
    """What differs between the turns of two sides. The allowance bounds the work and what is shown, for all of them."""
    allowance = allowance or Allowance()
    origins = _by_origin(left.turns, right.turns)
    matches = _by_order(origins, len(left.turns), len(right.turns))
    known: dict[bytes, dict[str, Value]] = {}  # many turns have the same settings: they are read once
    pairs: list[TurnPair] = []
    by_origin = {(id(left.turns[n]), id(right.turns[m])) for n, m in origins}
    for one, other in pairing.laid_out(left.turns, right.turns, matches):
        paired_by = None if one is None or other is None else "order"
        if (id(one), id(other)) in by_origin:
            paired_by = "origin"
        pairs.append(_pair(len(pairs) + 1, paired_by, one, other, known, allowance))
    return Comparison(left, right, ancestor, tuple(pairs))


def _by_origin(left: Sequence[Turn], right: Sequence[Turn]) -> list[Match]:
    """Turns of which one came from the other, or both from the same, as far as they come in one order on both sides."""
    if left and right and left[0].exchange.id > right[0].exchange.id:
        # Which of two that cross is kept does not depend on which side is called left.
        return [(n, m) for m, n in _by_origin(right, left)]
    places = {name: n for n, turn in reversed(list(enumerate(left))) for name in _names(turn)}
    found = []
    taken: set[int] = set()
    for m, turn in enumerate(right):
        n = next((places[name] for name in _names(turn) if name in places), None)
        if n is not None and n not in taken:
            taken.add(n)
            found.append((n, m))
    return increasing(sorted(found))


def _names(turn: Turn) -> tuple[str, ...]:
    """What the turn is, and what it came from."""
    exchange = turn.exchange
    return (exchange.id, exchange.origin_id) if exchange.origin_id else (exchange.id,)


def _by_order(matches: Sequence[Match], left: int, right: int) -> list[Match]:
    """The same matches, and between them the first with the first, the second with the second, …"""
    found: list[Match] = []
    n = m = 0
    for i, j in [*matches, (left, right)]:
        found += zip(range(n, i), range(m, j), strict=False)
        if i < left and j < right:
            found.append((i, j))
        n, m = i + 1, j + 1
    return found


def _pair(
    number: int,
    paired_by: str | None,
    left: Turn | None,
    right: Turn | None,
    known: dict[bytes, dict[str, Value]],
    allowance: Allowance,
) -> TurnPair:
    asked, said = (
        pairing.of_items(_contents(left, side), _contents(right, side), allowance) for side in ("input", "output")
    )
    settings = Changes()
    if left is not None and right is not None and left.exchange.settings != right.exchange.settings:
        settings = values.changes(_settings(left, known), _settings(right, known), allowance)
    status = "left" if right is None else "right"
    if left is not None and right is not None:
        same = not settings and _outcome(left) == _outcome(right)
        status = "same" if same and all(each.status == "same" for each in (*asked, *said)) else "changed"
    return TurnPair(number, status, paired_by, left, right, settings, asked, said)


def _contents(turn: Turn | None, side: str) -> list[content.Content]:
    given: Sequence[tuple[str, Item]] = getattr(turn, side) if turn else ()
    return [content.of(shown_id, item) for shown_id, item in given]


def _outcome(turn: Turn) -> tuple[Any, ...]:
    exchange = turn.exchange
    return exchange.status, exchange.model or exchange.requested_model, exchange.incomplete_reason, exchange.error


def _settings(turn: Turn, known: dict[bytes, dict[str, Value]]) -> Mapping[str, Value]:
    written = turn.exchange.settings
    if written not in known:
        members = jsontext.loads(written)
        known[written] = values.of({name: value for name, value in members.items() if value is not None})
    return known[written]
