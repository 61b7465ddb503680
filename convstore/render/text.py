"""A comparison as plain text, for terminals and files.

What was said stands behind a bar, so that it cannot be taken for a heading, and nothing in it acts on a terminal. In
what changed, `[-…-]` is only on the left and `{+…+}` only on the right, as git marks words.
"""

from collections.abc import Iterator, Sequence

from convstore.domain.comparison import Comparison, TurnPair
from convstore.domain.pairing import ItemPair
from convstore.domain.words import TextDifference
from convstore.render import wording
from convstore.render.characters import visible

_MARKS = {"equal": "{}", "delete": "[-{}-]", "insert": "{{+{}+}}"}


def comparison(compared: Comparison) -> str:
    """The whole comparison; its last line ends."""
    return "\n".join(_lines(compared)) + "\n"


def _lines(compared: Comparison) -> Iterator[str]:
    yield f"--- {compared.left.id} ({compared.left.conversation_id})"
    yield f"+++ {compared.right.id} ({compared.right.conversation_id})"
    yield f"    last common ancestor: {compared.ancestor or 'none'}"
    totals = compared.totals()
    yield ""
    yield f"    {'':24}{'left':>12}{'right':>12}{'':>12}"
    for label, left, right, delta in wording.figure_rows(totals["left"], totals["right"], totals["delta"]):
        yield f"    {label:24}{left:>12}{right:>12}{delta:>12}"
    if compared.is_same:
        yield ""
        yield "    No differences."
    for pair in compared.turns:
        yield ""
        yield from _turn(pair)


def _turn(pair: TurnPair) -> Iterator[str]:
    yield f"@@ turn {pair.number}: {wording.STATUSES[pair.status]} @@"
    if pair.left:
        yield f"- {wording.turn(pair.left)}"
    if pair.right:
        yield f"+ {wording.turn(pair.right)}"
    yield from _rows("  setting ", wording.rows(pair.settings))
    for side, items in (("input", pair.input), ("output", pair.output)):
        for each in items:
            yield f"  {side} {wording.item(each)}: {wording.STATUSES[each.status]}"
            yield from _rows("    argument ", wording.rows(each.arguments))
            yield from _rows("    ", wording.rows(each.members))
            yield from _text(each)


def _rows(head: str, rows: Sequence[wording.Row]) -> Iterator[str]:
    for name, left, right in rows:
        if left is not None:
            yield f"-{head[1:]}{name}: {left}"
        if right is not None:
            yield f"+{head[1:]}{name}: {right}"


def _text(pair: ItemPair) -> Iterator[str]:
    if pair.text is None:
        return
    if pair.text.granularity == "none":
        yield "    (too long to be compared here)"
        return
    mark = {"left": "-", "right": "+"}.get(pair.status, " ")
    for line in _marked(pair.text, alone=pair.status != "changed").split("\n"):
        yield f"{mark}   | {line}"


def _marked(text: TextDifference, *, alone: bool) -> str:
    """The words of both sides, marked; of an item that is alone its words as they are."""
    if alone:
        return visible("".join(each.text for each in text.segments))
    return "".join(_MARKS[each.op].format(visible(each.text)) for each in text.segments)
