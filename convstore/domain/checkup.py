"""What can be wrong with a store, and what speaks for items being an exchange's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from convstore.domain import preview
from convstore.domain.fingerprints import Thread
from convstore.domain.items import Item

# Every kind of finding, in the order they are looked for.
KINDS = {
    "orphan": "continues an exchange that is not there",
    "cycle": "continues itself, over others",
    "depth": "is said to lie at another depth than it does",
    "lane": "is said to lie in another lane than it does",
    "conversation": "is said to belong to another conversation than it does",
    "conversation_row": "belongs to a conversation that is not on record",
    "stray_items": "items of no exchange",
    "gap": "lacks items between its others",
    "input_count": "has another number of input items than it says",
    "question": "lacks the first line of what was asked",
    "answer": "lacks the first line of what was answered",
    "payload": "refers to a body that is not there",
    "open_call": "called a tool, and was continued without the tool's output",
    "output_without_call": "holds a tool's output that nothing on its thread called for",
    "stuck": "waits for an answer that nobody is making",
    "running": "has ended, and is on record as running",
    "writer": "is held by an exchange that has ended",
    "branch": "points at an exchange that is not there",
    "branch_conversation": "says another conversation than its tip",
    "fingerprint": "stands for an exchange that is not there",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong. project: its name, None where nobody can tell.

    object_id: what it is about. mendable: whether that is safe to do without a person; mended: whether it was done.
    """

    kind: str
    project: str | None
    object_id: str
    sentence: str
    mendable: bool = False
    mended: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The finding as JSON shows it."""
        return {name: getattr(self, name) for name in self.__slots__}


class Kept(NamedTuple):
    """An item as it is stored, and on which side of its exchange."""

    position: int
    output: bool
    item: Item


class Signs(NamedTuple):
    """What an exchange says of its own items."""

    input_count: int
    question: str | None
    answer: str | None
    # Of the thread up to and with it; and of the one before it, where that is known.
    fingerprint: bytes | None
    before: Thread | None


def likeness(signs: Signs, items: Sequence[Kept]) -> tuple[bool, bool, bool]:
    """How well items fit an exchange: the greater, the better. Its fingerprint proves them, the rest only speaks."""
    inputs = [each.item for each in items if not each.output]
    outputs = [each.item for each in items if each.output]
    proven = bool(
        signs.fingerprint and signs.before and signs.before.after(inputs).after(outputs).pack() == signs.fingerprint
    )
    lines = _same(signs.question, preview.of_question(inputs)) and _same(signs.answer, preview.of_answer(outputs))
    return proven, signs.input_count == len(inputs), lines


def _same(known: str | None, found: str | None) -> bool:
    # Rows from before migration 0005 have no first lines: they say nothing.
    return known is None or known == found


def is_gapless(positions: Sequence[int]) -> bool:
    """Whether positions, in order, count from 0."""
    return list(positions) == list(range(len(positions)))


def counted(sides: Sequence[bool], input_count: int) -> int | None:
    """The number of inputs, when *input_count* is certainly not it and its items prove another.

    sides: of each item in order, whether it is output. Fewer inputs than said and nothing behind them may mean that
    items were lost: then the number is the last that is known of them.
    """
    inputs = sides.count(False)
    in_order = list(sides) == sorted(sides)
    if inputs == input_count or not in_order or (inputs < input_count and True not in sides):
        return None
    return inputs
