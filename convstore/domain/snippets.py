"""Where in a text what was searched for stands: a piece of it around the first place, and the places in that piece."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from convstore.domain.terms import DENSE, LONGEST, Query, normal

# Code points of a piece, and of an exchange so many pieces.
LENGTH = 160
MOST = 3
# Of what stands in front of the first place.
_BEFORE = 40
_LETTER = f"[^\\W_{DENSE}]"


@dataclass(frozen=True, slots=True)
class Snippet:
    """A piece of a text. highlights: (from, to) in code points of it. found: which parts of the query they are."""

    field: str
    item_id: str | None
    text: str
    highlights: Sequence[tuple[int, int]]
    found: frozenset[str]

    def as_dict(self) -> dict[str, Any]:
        """The API's form."""
        of = {"item_id": self.item_id} if self.item_id else {}
        return {"field": self.field, **of, "text": self.text, "highlights": [list(each) for each in self.highlights]}


def of(text: str, query: Query, field: str, item_id: str | None = None) -> Snippet | None:
    """The piece of a text in which most of the query stands; None when nothing of it does."""
    pattern = _pattern(query.parts)
    if pattern is None:
        return None
    compared, places = _compared(text)
    found = [
        (places[match.start()], places[match.end() - 1] + 1, match[0][:LONGEST]) for match in pattern.finditer(compared)
    ]
    if not found:
        return None
    start, end = _window(text, found)
    inside = [each for each in found if each[0] >= start and each[1] <= end]
    # What is highlighted twice, as the two halves of one character would be, is highlighted once.
    marks = tuple(dict.fromkeys((first - start, last - start) for first, last, _ in inside))
    return Snippet(field, item_id, _shown(text[start:end]), marks, frozenset(part for *_, part in found))


def best(found: Iterable[Snippet]) -> list[Snippet]:
    """Of the pieces of one exchange those that say most: each of the first has something that was not there before."""
    ranked = sorted(found, key=lambda each: -len(each.found))
    seen: set[str] = set()
    new: list[Snippet] = []
    old: list[Snippet] = []
    for each in ranked:
        (new if each.found - seen else old).append(each)
        seen |= each.found
    return (new + old)[:MOST]


def _window(text: str, found: Sequence[tuple[int, int, str]]) -> tuple[int, int]:
    """Where the piece begins that holds the most different parts; the first of several."""
    best, most = found[0], 0
    for number, (first, *_) in enumerate(found[:50]):
        parts = {part for _, last, part in found[number : number + 50] if last <= first + LENGTH - _BEFORE}
        if len(parts) > most:
            best, most = found[number], len(parts)
    start = max(0, best[0] - _BEFORE)
    # As much in front of it as there is room for, when the text is at its end.
    start = max(0, min(start, len(text) - LENGTH))
    return start, min(len(text), max(start + LENGTH, min(best[1], start + 2 * LENGTH)))


@lru_cache(maxsize=64)
def _pattern(parts: tuple[str, ...]) -> re.Pattern[str] | None:
    """Runs stand anywhere, words between what is no letter."""
    # The longer first: of two that begin alike it is the one that is found.
    wanted = sorted(parts, key=len, reverse=True)
    ways = [re.escape(part) if re.match(f"[{DENSE}]", part) else _whole(part) for part in wanted]
    return re.compile("|".join(ways)) if ways else None


def _whole(word: str) -> str:
    rest = f"(?:{_LETTER})*" if len(word) == LONGEST else ""
    return f"(?<!{_LETTER}){re.escape(word)}{rest}(?!{_LETTER})"


def _compared(text: str) -> tuple[str, Sequence[int]]:
    """The text in the form that is compared, and from which of its characters each of that comes."""
    if text.isascii():
        return text.lower(), range(len(text))
    compared = normal(text)
    if len(compared) == len(text) and unicodedata.is_normalized("NFKC", text):
        return compared, range(len(text))
    pieces = [normal(character) for character in text]
    return "".join(pieces), [at for at, piece in enumerate(pieces) for _ in piece]


def _shown(text: str) -> str:
    """The same length, without what breaks a line."""
    return "".join(character if character.isprintable() else " " for character in text)
