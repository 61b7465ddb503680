"""What exchanges took and cost together: one shape of figures, wherever costs are shown.

Amounts of different currencies are never added up. An exchange whose cost is not known adds to no amount: it is
counted, with the reason. Sums are whole numbers of millionths of a millionth, so that the parts of anything come to
exactly what it is a sum of.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from convstore.domain import money
from convstore.domain.pricing.cost import Basis, Cost

TOKENS = ("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", "total_tokens")


@dataclass(slots=True)
class Money:
    """Amounts by currency, and the part of each that was estimated; how many exchanges were not billed, or not priced.

    reasons: why costs are not known, and of how many exchanges.
    """

    amounts: dict[str, int] = field(default_factory=dict)
    estimated: dict[str, int] = field(default_factory=dict)
    not_billed: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def count(self, basis: str, reason: str | None, currency: str | None, amount: int, exchanges: int = 1) -> None:
        """Count exchanges in that came to this amount together."""
        if basis == Basis.UNKNOWN:
            self.reasons[reason or ""] = self.reasons.get(reason or "", 0) + exchanges
        elif basis == Basis.NOT_BILLED or not currency:
            self.not_billed += exchanges
        else:
            self.amounts[currency] = self.amounts.get(currency, 0) + amount
            if basis == Basis.ESTIMATED:
                self.estimated[currency] = self.estimated.get(currency, 0) + amount

    def count_one(self, cost: Cost) -> None:
        """Count one exchange in."""
        amount = money.whole(*money.split(cost.amount)) if cost.amount is not None else 0
        self.count(cost.basis, cost.reason, cost.currency, amount)

    def add(self, other: "Money", sign: int = 1) -> None:
        """Count the exchanges of another sum in; out again with a sign of -1."""
        for ours, theirs in (
            (self.amounts, other.amounts),
            (self.estimated, other.estimated),
            (self.reasons, other.reasons),
        ):
            for name, amount in theirs.items():
                ours[name] = ours.get(name, 0) + sign * amount
        self.not_billed += sign * other.not_billed

    def copy(self) -> "Money":
        return Money(dict(self.amounts), dict(self.estimated), self.not_billed, dict(self.reasons))

    def as_dict(self) -> dict[str, Any]:
        """The API's form."""
        reasons = {reason: number for reason, number in sorted(self.reasons.items()) if number}
        return {
            "costs": [
                {"currency": currency, "amount": plain(amount), "estimated": plain(self.estimated.get(currency, 0))}
                for currency, amount in sorted(self.amounts.items())
            ],
            "not_billed": self.not_billed,
            "unpriced": {"exchanges": sum(reasons.values()), "reasons": reasons},
        }


@dataclass(slots=True)
class Sums:
    """Exchanges that have ended, their tokens as far as they are known, and their money."""

    exchanges: int = 0
    tokens: list[int] = field(default_factory=lambda: [0] * len(TOKENS))
    money: Money = field(default_factory=Money)

    def count(self, row: "Line") -> None:
        """Count in what the store has added up."""
        basis, reason, currency, exchanges, *counts, millionths, rest = row
        self.exchanges += exchanges
        self.tokens = [one + int(other or 0) for one, other in zip(self.tokens, counts, strict=True)]
        self.money.count(basis, reason, currency, money.whole(millionths or 0, rest or 0), exchanges)

    def add(self, other: "Sums", sign: int = 1) -> None:
        """Count another sum in; out again with a sign of -1."""
        self.exchanges += sign * other.exchanges
        self.tokens = [one + sign * two for one, two in zip(self.tokens, other.tokens, strict=True)]
        self.money.add(other.money, sign)

    def as_dict(self) -> dict[str, Any]:
        """The API's form."""
        return {"exchanges": self.exchanges, **dict(zip(TOKENS, self.tokens, strict=True)), **self.money.as_dict()}


# What the store adds up: basis, reason, currency, exchanges, six counts of tokens, millionths, rest.
Line = Sequence[Any]


def total(rows: Iterable[Line]) -> Sums:
    """The sum of them all."""
    alike: dict[Any, list[Line]] = {}
    for row in rows:
        alike.setdefault((row[0], row[1], row[2]), []).append(row)
    found = Sums()
    for key, those in alike.items():
        # Column by column: there may be very many.
        found.count((*key, *(sum(filter(None, column)) for column in list(zip(*those, strict=True))[3:])))
    return found


def amounts(rows: Iterable[Line]) -> Mapping[str, int]:
    """The amounts of some lines by currency."""
    found: dict[str, int] = {}
    for row in rows:
        if row[2]:
            found[row[2]] = found.get(row[2], 0) + money.whole(row[10] or 0, row[11] or 0)
    return found


def of_one(cost: Cost | None) -> dict[str, str | None]:
    """What one exchange cost, as figures show it: all null while it has not ended, or where nobody was asked."""
    if cost is None:
        return dict.fromkeys(("cost", "currency", "cost_basis", "cost_reason"))
    return {
        "cost": None if cost.amount is None else money.plain(cost.amount),
        "currency": cost.currency,
        "cost_basis": str(cost.basis),
        "cost_reason": str(cost.reason) if cost.reason else None,
    }


def plain(amount: int) -> str:
    """An amount of sums as decimal text."""
    return money.plain(money.joined(0, amount))


def difference(left: Mapping[str, int], right: Mapping[str, int]) -> list[dict[str, str]]:
    """Right minus left, currency by currency."""
    return [
        {"currency": currency, "amount": plain(right.get(currency, 0) - left.get(currency, 0))}
        for currency in sorted({*left, *right})
    ]


@dataclass(frozen=True, slots=True)
class Only:
    """Which exchanges a report is about: of this time (until is not part of it), with these values.

    values: by dimension (storage/costs.py). metadata: members and what they have to be.
    """

    since: datetime | None = None
    until: datetime | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A report: grouped by these, about these exchanges, in this order, a page of it.

    by: dimensions of storage/costs.py, "branch", "day", "week", "month", "metadata.NAME". zone: whose days; None for
    the installation's. after: where the page before ended. limit: None for all. what_if: a model, price_set: a set of
    prices, for the same usage.
    """

    by: tuple[str, ...] = ()
    only: Only = field(default_factory=Only)
    zone: ZoneInfo | None = None
    by_group: bool = False
    limit: int | None = 100
    after: str | None = None
    what_if: str | None = None
    price_set: str | None = None
