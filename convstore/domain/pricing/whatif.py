"""The same usage at another price, for many answers together.

A cost is linear in what was counted as long as the rates are the same, so sums are priced, one for each size of
context from which other rates apply. An answer's own cost is rounded to twelve places line by line, a sum but once:
the difference is less than a millionth of a millionth for each line of each answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from convstore.domain import money
from convstore.domain.pricing.rule import UNITS, Rule
from convstore.domain.usage import Usage


@dataclass(frozen=True, slots=True)
class Pile:
    """What answers of one size took together. above: their inputs exceed this (0: any)."""

    exchanges: int
    usage: Usage
    calls: Mapping[str, int]
    above: int = 0


def priced(rule: Rule, pile: Pile) -> int | None:
    """What a pile costs by a rule, in millionths of a millionth; None where it has no price for what was counted."""
    rates, _ = rule.at(pile.above + 1)
    usage = pile.usage
    counted = {**pile.calls, "input": usage.input, "output": usage.output, "request": pile.exchanges}
    parts = (("cached_input", usage.cached, "input"), ("cache_write", usage.cache_write, "input"))
    for kind, tokens, whole in (*parts, ("reasoning", usage.reasoning, "output")):
        if kind in rule.rates:
            counted[kind] = tokens
            counted[whole] -= tokens
    if any(counted[kind] and kind not in rates for kind in ("input", "output")):
        return None
    amount = sum((counted.get(kind, 0) * rate / UNITS[kind] for kind, rate in rates.items()), Decimal(0))
    return money.whole(*money.split(money.rounded(amount)))


def sizes(rules: Sequence[Rule]) -> list[int]:
    """The sizes of context from which on any of these has other rates, in order."""
    return sorted({tier.above for rule in rules for tier in rule.long_context})
