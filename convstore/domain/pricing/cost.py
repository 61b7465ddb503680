"""The cost of one answer, line by line.

`input` of a usage includes what was read from the provider's cache and what was written to it, `output` includes
reasoning: each token stands in one line only. A line is what was counted, times a rate. An amount that is not known is
None, with the reason; it is never nought.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from convstore.domain import jsontext, money
from convstore.domain.items import Item
from convstore.domain.pricing.rule import UNITS, Rates, Rule
from convstore.domain.usage import Usage

# More tokens than that are no answer's, but a provider's mistake. Sums of millions of them fit 64 bits.
MOST_TOKENS = 2**40

# The output items that providers bill by the call, and what they call it in their prices.
_BILLED = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_execution",
}

Calls = Mapping[str, int]


class Basis(StrEnum):
    """What an amount rests on: the provider's own count, our estimate, that nothing was billed; or it is not known."""

    REPORTED = "reported"
    ESTIMATED = "estimated"
    NOT_BILLED = "not_billed"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why a cost is not known."""

    NO_PRICE = "no_price"
    INCONSISTENT_USAGE = "inconsistent_usage"
    INCREDIBLE_USAGE = "incredible_usage"
    BEFORE_PRICES = "before_prices"
    IMPORTED = "imported"


@dataclass(frozen=True, slots=True)
class Line:
    """So many of something, at a price for UNITS[kind] of them."""

    kind: str
    quantity: int
    price: Decimal

    @property
    def amount(self) -> Decimal:
        return money.rounded(self.quantity * self.price / UNITS[self.kind])


@dataclass(frozen=True, slots=True)
class Cost:
    """What an answer cost. amount and currency are None when the basis is UNKNOWN, currency where nothing was billed.

    source, version, model, service_tier, above: the price that was applied (rule.py).
    """

    basis: Basis
    amount: Decimal | None = None
    currency: str | None = None
    reason: Reason | None = None
    lines: tuple[Line, ...] = ()
    source: str | None = None
    version: str | None = None
    model: str | None = None
    service_tier: str | None = None
    above: int | None = None

    def as_json(self) -> dict[str, Any]:
        """In the words of the API: amounts and prices are decimal text."""
        price = {
            "source": self.source,
            "version": self.version,
            "model": self.model,
            "service_tier": self.service_tier,
            "long_context_above": self.above,
        }
        return {
            "amount": None if self.amount is None else money.plain(self.amount),
            "currency": self.currency,
            "basis": str(self.basis),
            "reason": str(self.reason) if self.reason else None,
            "lines": [_line(each) for each in self.lines],
            "price": price if self.source else None,
        }

    def pack(self) -> str:
        """The detail, as it is stored beside the amount."""
        detail = self.detail()
        return jsontext.dumps(detail).decode() if detail else ""

    def detail(self) -> dict[str, Any] | None:
        """The lines and where their prices come from; None where no price was applied."""
        members = {"lines": [[line.kind, line.quantity, money.plain(line.price)] for line in self.lines]}
        names = ("source", "version", "model", "service_tier", "above")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return {**given, **members} if given else None


NOT_BILLED = Cost(Basis.NOT_BILLED, Decimal(0))


def unknown(reason: Reason) -> Cost:
    """A cost that is not known."""
    return Cost(Basis.UNKNOWN, reason=reason)


def is_credible(usage: Usage) -> bool:
    """Whether so many tokens can be those of one answer."""
    counts = (usage.input, usage.output, usage.cached, usage.cache_write, usage.reasoning, usage.total)
    return max(counts) <= MOST_TOKENS


def of(usage: Usage, calls: Calls, rule: Rule, *, basis: Basis = Basis.REPORTED) -> Cost:
    """What these tokens and calls cost by a rule."""
    if not is_credible(usage):
        return unknown(Reason.INCREDIBLE_USAGE)
    counted = _counted(usage, calls, rule)
    if counted is None:
        return unknown(Reason.INCONSISTENT_USAGE)
    rates, above = rule.at(usage.input)
    if any(counted.get(kind) and kind not in rates for kind in ("input", "output")):
        return unknown(Reason.NO_PRICE)
    lines = tuple(Line(kind, counted[kind], rate) for kind, rate in rates.items() if counted.get(kind))
    amount = sum((line.amount for line in lines), Decimal(0))
    if amount > money.LARGEST:
        return unknown(Reason.INCREDIBLE_USAGE)
    return Cost(
        basis,
        amount,
        rule.currency,
        lines=lines,
        source=rule.source,
        version=rule.version,
        model=rule.model,
        service_tier=rule.service_tier,
        above=above,
    )


def unpack(stored: str, basis: str, reason: str | None, amount: Decimal | None, currency: str | None) -> Cost:
    """The cost of what is stored of it."""
    return of_detail(jsontext.loads(stored) if stored else None, basis, reason, amount, currency)


def of_detail(
    detail: Mapping[str, Any] | None, basis: str, reason: str | None, amount: Decimal | None, currency: str | None
) -> Cost:
    """The cost of a detail, and of what stands beside it."""
    given = dict(detail) if detail else {"lines": []}
    lines = tuple(Line(kind, quantity, Decimal(price)) for kind, quantity, price in given.pop("lines"))
    return Cost(Basis(basis), amount, currency, Reason(reason) if reason else None, lines, **given)


def calls_in(output: Sequence[Item]) -> dict[str, int]:
    """The calls in an answer's items that providers bill."""
    found: dict[str, int] = {}
    for item in output:
        kind = _BILLED.get(item.type)
        if kind is not None and _was_billed(item):
            found[kind] = found.get(kind, 0) + 1
    return found


def total(costs: Iterable[Cost]) -> dict[str, Decimal]:
    """The sums of the known amounts, by currency."""
    sums: dict[str, Decimal] = {}
    for cost in costs:
        if cost.amount is not None and cost.currency is not None:
            sums[cost.currency] = sums.get(cost.currency, Decimal(0)) + cost.amount
    return sums


def _counted(usage: Usage, calls: Calls, rule: Rule) -> dict[str, int] | None:
    """What falls under each rate; None when the parts are more than the whole."""
    rates: Rates = rule.rates
    counted = {**calls, "input": usage.input, "output": usage.output, "request": 1}
    parts = (("cached_input", usage.cached, "input"), ("cache_write", usage.cache_write, "input"))
    for kind, tokens, whole in (*parts, ("reasoning", usage.reasoning, "output")):
        if kind in rates:
            counted[kind] = tokens
            counted[whole] -= tokens
    too_many = usage.cached + usage.cache_write > usage.input or counted["output"] < 0
    return None if too_many else counted


def _was_billed(item: Item) -> bool:
    """Whether a call was one of those that cost something: a web search is, opening a page of it is not."""
    if item.type != "web_search_call":
        return True
    body = jsontext.loads(item.body)
    action = body.get("action")
    kind = action.get("type") if isinstance(action, Mapping) else None
    return body.get("status") != "failed" and kind in (None, "search")


def _line(line: Line) -> dict[str, Any]:
    return {
        "kind": line.kind,
        "quantity": line.quantity,
        "price": money.plain(line.price),
        "per": UNITS[line.kind],
        "amount": money.plain(line.amount),
    }
