"""Which item of one turn stands for which of the other, and what differs between them.

Items that say the same are anchors. Between them items of one type are paired in order, so that the pairs are the most
alike; a message pairs with a message of its role, a call rather with one of its name. Who finds no partner is alone.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

from convstore.domain import values, words
from convstore.domain.content import Content
from convstore.domain.sequences import Effort, equal_runs, is_behind
from convstore.domain.values import Changes
from convstore.domain.words import Allowance, TextDifference

# Every pair of a stretch is looked at where there are at most so many, the beginning of its texts only.
MOST_PAIRS = 2_500
TASTED = 4_000

Match = tuple[int, int]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ItemPair:
    """Two items that stand for each other, or one alone. status: "same", "changed", "left" or "right".

    text: None for items without text; arguments: None but for two calls whose arguments are objects and differ.
    """

    status: str
    left: Content | None
    right: Content | None
    text: TextDifference | None
    arguments: Changes | None
    members: Changes

    def as_dict(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "left": self.left.as_dict() if self.left else None,
            "right": self.right.as_dict() if self.right else None,
            "text": self.text.as_dict() if self.text else None,
            "arguments": self.arguments.as_dict() if self.arguments else None,
            "members": self.members.by_name(),
        }


def of_items(left: Sequence[Content], right: Sequence[Content], allowance: Allowance) -> tuple[ItemPair, ...]:
    """The items of both sides in order, each once."""
    return tuple(
        _pair(one, other, allowance) for one, other in laid_out(left, right, _matches(left, right, allowance.effort))
    )


def laid_out(left: Sequence[T], right: Sequence[T], matches: Sequence[Match]) -> Iterator[tuple[T | None, T | None]]:
    """Both in one list: the matches, and before each those alone, the left ones first."""
    for (n, m), (i, j) in pairwise([(-1, -1), *matches, (len(left), len(right))]):
        yield from ((one, None) for one in left[n + 1 : i])
        yield from ((None, other) for other in right[m + 1 : j])
        if i < len(left) and j < len(right):
            yield left[i], right[j]


def _pair(left: Content | None, right: Content | None, allowance: Allowance) -> ItemPair:
    texts = left.text if left else None, right.text if right else None
    text = words.difference(*texts, allowance) if any(each is not None for each in texts) else None
    if left is None or right is None:
        return ItemPair("left" if left else "right", left, right, text, None, Changes())
    if left.form == right.form:
        return ItemPair("same", left, right, text, None, Changes())
    arguments = None
    if left.arguments is not None and right.arguments is not None:
        arguments = values.changes(left.arguments, right.arguments, allowance)
    members = values.changes(left.members, right.members, allowance)
    return ItemPair("changed", left, right, text, arguments or None, members)


def _matches(left: Sequence[Content], right: Sequence[Content], effort: Effort) -> list[Match]:
    forms = [each.form for each in left], [each.form for each in right]
    if is_behind(*forms):
        # Whatever is a matter of taste is decided as it is with the sides swapped.
        return [(n, m) for m, n in _matches(right, left, effort)]
    return list(_with_between(forms, effort, lambda n, i, m, j: _alike(left[n:i], right[m:j], effort)))


def _with_between(
    keys: tuple[Sequence[Hashable], Sequence[Hashable]],
    effort: Effort,
    between: Callable[[int, int, int, int], Sequence[Match]],
) -> Iterator[Match]:
    """The places of equal keys, and what is matched between them."""
    edges = [(0, 0, 0, 0), *equal_runs(*keys, effort), (len(keys[0]), len(keys[0]), len(keys[1]), len(keys[1]))]
    for (_, n, _, m), (i, i_end, j, j_end) in pairwise(edges):
        yield from ((n + a, m + b) for a, b in between(n, i, m, j))
        yield from zip(range(i, i_end), range(j, j_end), strict=True)


def _alike(left: Sequence[Content], right: Sequence[Content], effort: Effort) -> list[Match]:
    """The matches in order that have the most in common."""
    if len(left) * len(right) > MOST_PAIRS or not effort.spend(20 * len(left) * len(right)):
        kinds = [each.kind for each in left], [each.kind for each in right]
        return list(_with_between(kinds, effort, lambda *_: ()))
    bags = [[_bag(each) for each in side] for side in (left, right)]
    best = [[0.0] * (len(right) + 1) for _ in range(len(left) + 1)]
    scores = [
        [_score(one, other, bags[0][n], bags[1][m]) for m, other in enumerate(right)] for n, one in enumerate(left)
    ]
    for n in reversed(range(len(left))):
        for m in reversed(range(len(right))):
            best[n][m] = max(best[n + 1][m], best[n][m + 1], best[n + 1][m + 1] + scores[n][m])
    found: list[Match] = []
    n = m = 0
    while n < len(left) and m < len(right):
        if scores[n][m] and best[n][m] == best[n + 1][m + 1] + scores[n][m]:
            found.append((n, m))
            n, m = n + 1, m + 1
        elif best[n][m] == best[n + 1][m]:
            n += 1
        else:
            m += 1
    return found


def _bag(content: Content) -> Counter[str]:
    return Counter(words.split((content.text or "")[:TASTED]))


def _score(left: Content, right: Content, left_bag: Counter[str], right_bag: Counter[str]) -> float:
    """0 for two that are no pair. A pair counts for more than how much it is alike, a name for more than a text."""
    if left.type != right.type or left.role != right.role:
        return 0.0
    return (3.0 if left.name == right.name else 1.0) + words.likeness(left_bag, right_bag)
