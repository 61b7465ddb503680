"""What two sequences have in common, in order, at a cost that is known beforehand.

difflib's matcher takes cubic time on texts that repeat themselves (tables, JSON, lists), and a comparison is made while
a client waits. Here elements that stand once on either side are anchors; between them a shortest edit is looked for,
with an effort that is limited for the whole comparison. Where it runs out, the result is coarser, never wrong.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

# A stretch without anchors and with more edits than that is taken as replaced: the search keeps this squared in memory.
MOST_EDITS = 500

# (left from, left to, right from, right to), half open: equal runs; what lies between them was replaced.
Run = tuple[int, int, int, int]


@dataclass(slots=True)
class Effort:
    """How many steps may still be taken. A million are about a second."""

    steps: int

    def spend(self, steps: int) -> bool:
        """Whether there was enough left."""
        self.steps -= steps
        return self.steps >= 0


def equal_runs(left: Sequence[Hashable], right: Sequence[Hashable], effort: Effort) -> list[Run]:
    """The runs that both sequences have, in order, none touching the next on both sides.

    Swapping the sequences swaps the runs. Anchors cost a step for each element of a stretch, edits one each.
    """
    if is_behind(left, right):
        return [(r, s, n, m) for n, m, r, s in equal_runs(right, left, effort)]
    places = sorted(_places(left, right, effort))
    runs: list[Run] = []
    for n, m, length in places:
        if runs and runs[-1][1] == n and runs[-1][3] == m:
            runs[-1] = (runs[-1][0], n + length, runs[-1][2], m + length)
        else:
            runs.append((n, n + length, m, m + length))
    return runs


def is_behind(left: Sequence[Hashable], right: Sequence[Hashable]) -> bool:
    """An order of the two that does not depend on which is called left."""
    if len(left) != len(right):
        return len(left) > len(right)
    return next((str(a) > str(b) for a, b in zip(left, right, strict=True) if a != b), False)


def _places(left: Sequence[Hashable], right: Sequence[Hashable], effort: Effort) -> Iterator[tuple[int, int, int]]:
    """(place on the left, on the right, length), in no order."""
    # A list instead of calls: anchors may lie in one another a thousand deep.
    waiting = [(0, len(left), 0, len(right))]
    while waiting:
        n, n_end, m, m_end = waiting.pop()
        start = _shared(left, right, range(n, n_end), range(m, m_end))
        if start:
            yield n, m, start
            n, m = n + start, m + start
        end = _shared(left, right, range(n_end - 1, n - 1, -1), range(m_end - 1, m - 1, -1))
        if end:
            n_end, m_end = n_end - end, m_end - end
            yield n_end, m_end, end
        if n == n_end or m == m_end or not effort.spend(n_end - n + m_end - m):
            continue
        anchors = _anchors(left[n:n_end], right[m:m_end])
        if anchors:
            for i, j in anchors:
                yield n + i, m + j, 1
            edges = [(-1, -1), *anchors, (n_end - n, m_end - m)]
            for (i, j), (k, q) in pairwise(edges):
                waiting.append((n + i + 1, n + k, m + j + 1, m + q))
        else:
            for i, j in _edited(left[n:n_end], right[m:m_end], effort):
                yield n + i, m + j, 1


def _shared(left: Sequence[Hashable], right: Sequence[Hashable], on_left: range, on_right: range) -> int:
    length = 0
    for n, m in zip(on_left, on_right, strict=False):
        if left[n] != right[m]:
            break
        length += 1
    return length


def _anchors(left: Sequence[Hashable], right: Sequence[Hashable]) -> list[tuple[int, int]]:
    """The longest chain of elements that stand once on either side, in the order of both."""
    once = {each for each, count in Counter(left).items() if count == 1}
    once &= {each for each, count in Counter(right).items() if count == 1}
    if not once:
        return []
    where = {each: m for m, each in enumerate(right) if each in once}
    return increasing([(n, where[each]) for n, each in enumerate(left) if each in once])


def increasing(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Of pairs in the order of their first number, the most whose second numbers rise too."""
    ends: list[int] = []  # the smallest last number of a chain of each length
    at: list[int] = []  # whose it is
    before: list[int] = []
    for number, (_, second) in enumerate(pairs):
        length = bisect_left(ends, second)
        before.append(at[length - 1] if length else -1)
        ends[length : length + 1] = [second]
        at[length : length + 1] = [number]
    chain: list[tuple[int, int]] = []
    number = at[-1] if at else -1
    while number >= 0:
        chain.append(pairs[number])
        number = before[number]
    return chain[::-1]


def _edited(left: Sequence[Hashable], right: Sequence[Hashable], effort: Effort) -> list[tuple[int, int]]:
    """Equal places by Myers' greedy search for the shortest edit; none when it would take too long.

    Source: E. W. Myers, An O(ND) Difference Algorithm and Its Variations, 1986.
    """
    furthest = {1: 0}  # diagonal → how far left has been read on it
    rounds: list[dict[int, int]] = []
    for edits in range(min(len(left) + len(right), MOST_EDITS) + 1):
        rounds.append(dict(furthest))
        steps = 0
        for diagonal in range(-edits, edits + 1, 2):
            n = _entered(furthest, diagonal, edits)
            start = n
            while n < len(left) and n - diagonal < len(right) and left[n] == right[n - diagonal]:
                n += 1
            furthest[diagonal] = n
            steps += n - start + 1
            if n >= len(left) and n - diagonal >= len(right):
                return _walked_back(rounds, len(left), len(right))
        if not effort.spend(steps):
            break
    return []


def _entered(furthest: dict[int, int], diagonal: int, edits: int) -> int:
    """Where a diagonal is entered: by an insertion from above, or by a deletion from the left."""
    down = diagonal == -edits or (diagonal != edits and furthest[diagonal - 1] < furthest[diagonal + 1])
    return furthest[diagonal + 1] if down else furthest[diagonal - 1] + 1


def _walked_back(rounds: Sequence[dict[int, int]], n: int, m: int) -> list[tuple[int, int]]:
    found = []
    for edits in range(len(rounds) - 1, -1, -1):
        furthest, diagonal = rounds[edits], n - m
        entered = _entered(furthest, diagonal, edits)
        while n > entered and m > entered - diagonal:
            n, m = n - 1, m - 1
            found.append((n, m))
        if edits:
            insertion = entered == furthest.get(diagonal + 1) and (
                diagonal == -edits or (diagonal != edits and furthest[diagonal - 1] < furthest[diagonal + 1])
            )
            n, m = (entered, entered - diagonal - 1) if insertion else (entered - 1, entered - diagonal)
    return found[::-1]
