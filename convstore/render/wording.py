"""What both forms of a comparison say in the same words."""

from convstore.domain import jsontext
from convstore.domain.comparison import Turn
from convstore.domain.content import Content
from convstore.domain.figures import Figures
from convstore.domain.pairing import ItemPair
from convstore.domain.values import Changes
from convstore.render.characters import on_a_line

FIGURES = {
    "turns": "turns",
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
    "total_tokens": "total tokens",
    "latency_ms": "time, ms",
    "first_event_ms": "to the first event, ms",
}
STATUSES = {"same": "same", "changed": "changed", "left": "only left", "right": "only right"}
# (what of, left, right): one of them None where there is none on that side.
Row = tuple[str, str | None, str | None]


def figure_rows(left: Figures, right: Figures, delta: Figures) -> list[tuple[str, str, str, str]]:
    """(name, left, right, right minus left) of the figures that both have."""
    return [
        (label, _number(left[name]), _number(right[name]), _signed(delta[name]))
        for name, label in FIGURES.items()
        if name in left
    ] + _cost_rows(left, right, delta)


def _cost_rows(left: Figures, right: Figures, delta: Figures) -> list[tuple[str, str, str, str]]:
    sides = [{each["currency"]: str(each["amount"]) for each in side["costs"]} for side in (left, right, delta)]
    return [
        (f"cost, {on_a_line(code)}", sides[0].get(code, "0"), sides[1].get(code, "0"), amount)
        for code, amount in sides[2].items()
    ]


def turn(one: Turn | None) -> str:
    """A turn in one line."""
    if one is None:
        return "–"
    exchange = one.exchange
    words = [exchange.id, exchange.model or exchange.requested_model, exchange.status]
    if exchange.error:
        words.append(str(exchange.error.get("code") or "error"))
    return on_a_line(" · ".join(words))


def item(pair: ItemPair) -> str:
    """What an item is: its type, role and name; both where they differ."""
    names = [_named(each) for each in (pair.left, pair.right) if each is not None]
    return on_a_line(" → ".join(dict.fromkeys(names)))


def rows(changes: Changes | None) -> list[Row]:
    """Members or arguments that differ, in the order of their names."""
    if changes is None:
        return []
    found: list[Row] = [
        (on_a_line(name), value(before), value(after)) for name, (before, after) in changes.changed.items()
    ]
    found += [(on_a_line(name), None, value(after)) for name, after in changes.added.items()]
    found += [(on_a_line(name), value(before), None) for name, before in changes.removed.items()]
    return sorted(found, key=lambda row: row[0])


def value(given: object) -> str:
    """A JSON value on a line."""
    return on_a_line(jsontext.dumps(given).decode())


def _named(content: Content) -> str:
    return " ".join(word for word in (content.type, content.role, content.name) if word)


def _number(given: int | str | None) -> str:
    return "?" if given is None else str(given)


def _signed(given: int | str | None) -> str:
    return f"{given:+d}" if isinstance(given, int) else "?"
