"""What turns took: tokens, time and money. What is not known is null, and counted, not taken for nothing."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from convstore.domain import costs, money
from convstore.domain.costs import Money
from convstore.domain.exchange import ADDED, Exchange

Figures = Mapping[str, Any]

_TOKENS = {
    "input_tokens": "input",
    "cached_tokens": "cached",
    "cache_write_tokens": "cache_write",
    "output_tokens": "output",
    "reasoning_tokens": "reasoning",
    "total_tokens": "total",
}
_TIMES = ("latency_ms", "first_event_ms")
_COSTS = ("cost", "currency", "cost_basis", "cost_reason", "costs", "not_billed", "unpriced")
_MS = timedelta(milliseconds=1)


def of(exchange: Exchange) -> Figures:
    """What one turn took: tokens, milliseconds to its end and to its first event, cost. None where it is not known."""
    usage = exchange.usage
    tokens = {name: getattr(usage, each) if usage else None for name, each in _TOKENS.items()}
    asked = exchange.origin != ADDED
    ends = exchange.completed_at if asked else None, exchange.first_event_at if asked else None
    times = [_elapsed_ms(exchange.created_at, end) for end in ends]
    return {**tokens, **dict(zip(_TIMES, times, strict=True)), **costs.of_one(exchange.cost)}


def total(exchanges: Sequence[Exchange]) -> Figures:
    """The sums of what is known; turns_without_usage counts the answers that are missing in them.

    Items that were added by hand are no turns here: nobody was asked.
    """
    asked = [each for each in exchanges if each.origin != ADDED]
    each_one = [of(exchange) for exchange in asked]
    sums = {name: _sum([figures[name] for figures in each_one]) for name in (*_TOKENS, *_TIMES)}
    unknown = sum(each.usage is None for each in asked)
    spent = Money()
    for exchange in asked:
        if exchange.cost is not None:
            spent.count_one(exchange.cost)
    return {"turns": len(asked), "turns_without_usage": unknown, **sums, **spent.as_dict()}


def delta(left: Figures, right: Figures) -> Figures:
    """Right minus left, figure by figure; None where either is not known. Of costs, currency by currency."""
    found: dict[str, Any] = {}
    for name, value in left.items():
        if name not in _COSTS:
            other = right[name]
            found[name] = other - value if isinstance(value, int) and isinstance(other, int) else None
    if "costs" in left:
        amounts = [{each["currency"]: Decimal(each["amount"]) for each in side["costs"]} for side in (left, right)]
        return {**found, "costs": [_change(code, *amounts) for code in sorted({*amounts[0], *amounts[1]})]}
    known = left["cost"] is not None and right["cost"] is not None and left["currency"] == right["currency"]
    cost = money.plain(Decimal(right["cost"]) - Decimal(left["cost"])) if known else None
    return {**found, "cost": cost, "currency": left["currency"] if known else None}


def _change(currency: str, left: Mapping[str, Decimal], right: Mapping[str, Decimal]) -> dict[str, str]:
    amount = right.get(currency, Decimal(0)) - left.get(currency, Decimal(0))
    return {"currency": currency, "amount": money.plain(amount)}


def _sum(values: Sequence[int | str | None]) -> int | None:
    known = [value for value in values if isinstance(value, int)]
    return sum(known) if known or not values else None


def _elapsed_ms(start: datetime, end: datetime | None) -> int | None:
    return None if end is None else round((end - start) / _MS)
