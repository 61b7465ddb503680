"""A provider's bill beside our own figures: where they differ, and which exchanges may be why."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

from convstore.domain import money
from convstore.domain.billing import FIGURES, Bill, Place, Used, plus

# Ids that are told of one difference and cause; the others are counted.
SHOWN = 20


class Cause(StrEnum):
    """What may make our figures differ from the provider's."""

    MISSING_USAGE = "missing_usage"
    CUT_STREAM = "cut_stream"
    RETRIED = "retried"
    UNKNOWN_PRICE = "unknown_price"


@dataclass(frozen=True, slots=True)
class Doubtful:
    """An exchange of which the provider may think otherwise. model, requested_model: as in the ledger."""

    exchange_id: str
    day: date
    model: str | None
    requested_model: str
    cause: Cause


@dataclass(frozen=True, slots=True)
class Ours:
    """What we have of a day, a model and a currency; the amount in it None where there is none."""

    day: date
    model: str | None
    requested_model: str
    currency: str | None
    used: Used


@dataclass(slots=True)
class Difference:
    """One line: theirs and ours, None where only the other has it."""

    place: Place
    theirs: Used | None
    ours: Used | None
    causes: dict[Cause, list[str]] = field(default_factory=dict)
    counts: dict[Cause, int] = field(default_factory=dict)

    @property
    def delta(self) -> Used:
        """Theirs minus ours, of the figures that either has; what one has nothing of is nought."""
        theirs, ours = self.theirs or {}, self.ours or {}
        return {
            name: theirs.get(name, 0) - ours.get(name, Decimal(0)) for name in FIGURES if name in {**theirs, **ours}
        }

    def add(self, doubtful: Doubtful) -> None:
        """Count an exchange among what may explain it."""
        self.counts[doubtful.cause] = self.counts.get(doubtful.cause, 0) + 1
        shown = self.causes.setdefault(doubtful.cause, [])
        if len(shown) < SHOWN:
            shown.append(doubtful.exchange_id)

    def as_json(self) -> dict[str, Any]:
        """In the words of the API."""
        return {
            "day": self.place.day.isoformat(),
            "model": self.place.model,
            "currency": self.place.currency,
            "theirs": _figures(self.theirs),
            "ours": _figures(self.ours),
            "delta": _figures(self.delta),
            "explained_by": [
                {"cause": str(cause), "exchanges": self.counts[cause], "ids": shown}
                for cause, shown in sorted(self.causes.items())
            ],
        }


def compare(bill: Bill, ours: Iterable[Ours], doubtful: Iterable[Doubtful]) -> list[Difference]:
    """Every day and model that either has, in order; those that agree as well."""
    names = {place.model for place in bill.used}
    told = {name for used in bill.used.values() for name in used}
    currencies = sorted({place.currency for place in bill.used if place.currency})
    found = {place: Difference(place, used, None) for place, used in bill.used.items()}
    for each in ours:
        model = _called(each.model, each.requested_model, names)
        place = _place(each, model, currencies)
        there = found.setdefault(place, Difference(place, None, None))
        there.ours = plus(there.ours or {}, {name: each.used.get(name, Decimal(0)) for name in told})
    by_day: dict[tuple[date, str], list[Difference]] = {}
    for place, difference in found.items():
        # Where both agree, nothing needs explaining.
        if any(difference.delta.values()):
            by_day.setdefault((place.day, place.model), []).append(difference)
    for one in doubtful:
        for difference in by_day.get((one.day, _called(one.model, one.requested_model, names)), ()):
            difference.add(one)
    return [found[place] for place in sorted(found, key=lambda place: (place.day, place.model, place.currency or ""))]


def totals(differences: Sequence[Difference]) -> dict[str, Any]:
    """The sums of both sides and of their difference, by currency where there are amounts."""
    sums: dict[str | None, Difference] = {}
    for each in differences:
        there = sums.setdefault(each.place.currency, Difference(each.place, {}, {}))
        there.theirs = plus(there.theirs or {}, each.theirs or {})
        there.ours = plus(there.ours or {}, each.ours or {})
    return {
        "differences": sum(any(each.delta.values()) for each in differences),
        "by_currency": [
            {"currency": currency, **{name: each.as_json()[name] for name in ("theirs", "ours", "delta")}}
            for currency, each in sorted(sums.items(), key=lambda pair: pair[0] or "")
        ],
    }


def _called(model: str | None, requested: str, names: set[str]) -> str:
    """What the provider calls it: the name it answered under, if the bill has that, or else the one it was asked by."""
    for name in (model, requested):
        if name in names and name is not None:
            return name
    return model or requested


def _place(each: Ours, model: str, currencies: Sequence[str]) -> Place:
    """The line that it belongs to: that of its currency; where it has none, its tokens are in the first."""
    if not currencies:
        return Place(each.day, model, None)
    return Place(each.day, model, each.currency or currencies[0])


def _figures(used: Used | None) -> Mapping[str, Any] | None:
    if used is None:
        return None
    counts = {name: int(used[name]) if name in used else None for name in FIGURES[:-1]}
    return {**counts, "amount": money.plain(used["amount"]) if "amount" in used else None}
