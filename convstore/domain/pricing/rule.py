"""A price: what the tokens and the calls of one model cost at one provider, from one moment to another."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

# What is counted, and for how many of it a price is given. Tokens are priced by the million, calls by the thousand.
UNITS: Mapping[str, int] = {
    "input": 1_000_000,
    "cached_input": 1_000_000,
    "cache_write": 1_000_000,
    "output": 1_000_000,
    "reasoning": 1_000_000,
    "web_search": 1_000,
    "file_search": 1_000,
    "code_execution": 1_000,
    "request": 1_000,
}
TOKENS = ("input", "cached_input", "cache_write", "output", "reasoning")

Rates = Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class LongContext:
    """Other rates for requests with more than so many input tokens: for all of their tokens, as providers do it."""

    above: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class Rule:
    """The rates that a cost is reckoned by, and where they come from.

    rates: of one unit of UNITS each, in the currency; what has none is counted with what it is a part of (cached and
    written tokens with the input, reasoning with the output), or costs nothing (calls).
    source, version: "genai-prices" and its version, or "book" and the price's id. model: what it is the price of.
    """

    source: str
    version: str
    model: str
    currency: str
    rates: Rates
    service_tier: str | None = None
    long_context: tuple[LongContext, ...] = field(default=())

    def at(self, input_tokens: int) -> tuple[Rates, int | None]:
        """The rates for a request of this size, and the size from which they apply, if they are not the usual ones."""
        for each in reversed(self.long_context):
            if input_tokens > each.above:
                return {**self.rates, **each.rates}, each.above
        return self.rates, None
