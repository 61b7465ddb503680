"""Differences of two texts by words.

A word is what stands between spaces and punctuation; of scripts that write without spaces, each character. Spaces and
punctuation are compared too, so that the segments give back both texts to the letter.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from convstore.domain.sequences import Effort, equal_runs

# Beyond that lines are compared, and beyond as many lines nothing: nobody reads on, and clients wait.
MOST_WORDS = 20_000
MOST_LINES = 20_000
MOST_CHARACTERS = 2_000_000

# Han, kana and bopomofo.
_CJK = "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u31bf\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f"
_CJK += "\U00020000-\U0003ffff"
# Not the apostrophe and the underscore, which stand inside of words, nor the joiners of scripts and emoji.
_MARKS = r"!-&(-/:-@\[-\^`{-~\u00a1-\u00bf\u2010-\u2018\u201a-\u2027\u2030-\u205e\u3001-\u3004\u3008-\u3020\u3030"
_MARKS += r"\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
_WORD = re.compile(rf"\s+|[{_CJK}]|([{_MARKS}])\1*|[^\s{_CJK}{_MARKS}]+")


@dataclass(frozen=True, slots=True)
class Segment:
    """op: "equal", "delete" (only on the left) or "insert" (only on the right)."""

    op: str
    text: str

    def as_dict(self) -> dict[str, Any]:
        return {"op": self.op, "text": self.text}


@dataclass(frozen=True, slots=True)
class TextDifference:
    """granularity: "words", "lines", or "none" where the texts were too long: then there are no segments."""

    granularity: str
    segments: tuple[Segment, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {"granularity": self.granularity, "segments": [each.as_dict() for each in self.segments]}


@dataclass(slots=True)
class Allowance:
    """What a whole comparison may take: steps of thinking, characters of text, bytes of other values shown."""

    effort: Effort = field(default_factory=lambda: Effort(2_000_000))
    characters: int = 10_000_000
    value_bytes: int = 1_000_000


def difference(left: str | None, right: str | None, allowance: Allowance) -> TextDifference:
    """The segments of two texts, None where there is none on that side.

    Those that are equal or deleted make up the left one, those that are equal or inserted the right one.
    """
    size = len(left or "") + (len(right or "") if left != right else 0)
    if max(len(left or ""), len(right or "")) > MOST_CHARACTERS or size > allowance.characters:
        return TextDifference("none")
    allowance.characters -= size
    if left == right or left is None or right is None:
        op = "equal" if left == right else "insert" if left is None else "delete"
        text = left if left is not None else right
        return TextDifference("words", (Segment(op, text),) if text else ())
    words = split(left), split(right)
    if all(sum(not each.isspace() for each in side) <= MOST_WORDS for side in words):
        return TextDifference("words", _segments(*words, allowance.effort))
    lines = left.splitlines(keepends=True), right.splitlines(keepends=True)
    if all(len(side) <= MOST_LINES for side in lines):
        return TextDifference("lines", _segments(*lines, allowance.effort))
    return TextDifference("none")


def split(text: str) -> list[str]:
    """The words of a text, its spaces and its punctuation: joined they are the text."""
    return [found[0] for found in _WORD.finditer(text)]


def likeness(left: Counter[str], right: Counter[str]) -> float:
    """How much two bags of words have in common, from 0 to 1."""
    total = left.total() + right.total()
    return 2 * (left & right).total() / total if total else 1.0


def _segments(left: Sequence[str], right: Sequence[str], effort: Effort) -> tuple[Segment, ...]:
    runs = [(0, 0, 0, 0), *equal_runs(left, right, effort), (len(left), len(left), len(right), len(right))]
    # Each is what was deleted, what was inserted in its place, and what is equal behind it.
    pieces: list[list[str]] = []
    for (_, n, _, m), (n_next, n_end, m_next, _) in pairwise(runs):
        gone, came = "".join(left[n:n_next]), "".join(right[m:m_next])
        kept = "".join(left[n_next:n_end])
        if pieces and (gone or came) and any(pieces[-1][:2]) and pieces[-1][2].isspace():
            # Nobody wants to know that two other words have the same space between them.
            between = pieces[-1][2]
            pieces[-1] = [pieces[-1][0] + between + gone, pieces[-1][1] + between + came, kept]
        else:
            pieces.append([gone, came, kept])
    ops = ("delete", "insert", "equal")
    return tuple(Segment(op, text) for piece in pieces for op, text in zip(ops, piece, strict=True) if text)
