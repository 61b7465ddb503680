"""The price book: prices that somebody named, for gateways and contracts of their own.

A price holds for a model (or all that match a pattern with *), at one upstream or at any, from a moment on until
another. A project's own prices come before the installation's; among those of either, the one that says more of what
it is for comes first. Those of a named set apply to nothing: reports ask what they would make.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from convstore.domain.pricing.rule import LongContext, Rates, Rule

SOURCE = "book"


@dataclass(frozen=True, slots=True)
class Price:
    """A price in the book. project_id: None for every project. upstream, service_tier: None for any.

    rates, long_context, currency: as in a Rule. price_set: the set of a what-if; None: it is in force.
    """

    id: str
    project_id: str | None
    upstream: str | None
    model: str
    service_tier: str | None
    currency: str
    rates: Rates
    effective_from: datetime
    created_at: datetime
    effective_to: datetime | None = None
    long_context: tuple[LongContext, ...] = ()
    price_set: str | None = None

    @property
    def rule(self) -> Rule:
        """What costs are reckoned by."""
        return Rule(SOURCE, self.id, self.model, self.currency, self.rates, self.service_tier, self.long_context)

    def is_of(self, upstream: str, model: str, service_tier: str | None, at: datetime) -> bool:
        """Whether it applies to an answer."""
        return (
            self.upstream in (None, upstream)
            and self.service_tier in (None, service_tier)
            and self.effective_from <= at
            and (self.effective_to is None or at < self.effective_to)
            and fnmatchcase(model, self.model)
        )

    def collides(self, other: "Price") -> bool:
        """Whether both are for the same, at some moment."""
        same = ("project_id", "upstream", "model", "service_tier", "price_set")
        return (
            all(getattr(self, name) == getattr(other, name) for name in same)
            and (other.effective_to is None or self.effective_from < other.effective_to)
            and (self.effective_to is None or other.effective_from < self.effective_to)
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """A price that somebody wants to name. effective_from: None for now. replace: end the one that it overlaps."""

    model: str
    currency: str
    rates: Rates
    long_context: tuple[LongContext, ...] = ()
    upstream: str | None = None
    service_tier: str | None = None
    price_set: str | None = None
    effective_from: datetime | None = None
    effective_to: datetime | None = None
    replace: bool = False


@dataclass(frozen=True, slots=True)
class Sought:
    """Of what the price is sought. upstream: None for the one that serves the model; at: None for now."""

    model: str
    upstream: str | None = None
    service_tier: str | None = None
    at: datetime | None = None


class Book:
    """The prices that apply in one project, of one set."""

    def __init__(self, prices: Iterable[Price]) -> None:
        self.prices: Sequence[Price] = sorted(prices, key=_precedence, reverse=True)

    def rule(self, upstream: str, models: Sequence[str], service_tier: str | None, at: datetime) -> Rule | None:
        """The price of an answer. models: the names of its model: as it was asked for, and as it said itself."""
        for price in self.prices:
            if any(price.is_of(upstream, model, service_tier, at) for model in models):
                return price.rule
        return None


def _precedence(price: Price) -> tuple[bool, bool, bool, int, bool, datetime, str]:
    return (
        price.project_id is not None,
        price.upstream is not None,
        "*" not in price.model,
        len(price.model),
        price.service_tier is not None,
        price.effective_from,
        price.id,
    )
