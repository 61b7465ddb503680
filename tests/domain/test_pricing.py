"""What an answer costs by the price library's data, beside the providers' published prices."""

from decimal import Decimal

import pytest

from convstore.domain import pricing
from convstore.domain.pricing import Priced
from convstore.domain.usage import Usage

OPENAI = "https://api.openai.com/v1"


@pytest.mark.parametrize(
    ("model", "usage", "expected"),
    [
        # 2.50 USD for a million input tokens, 1.25 cached, 10.00 output (platform.openai.com/docs/pricing).
        ("gpt-4o", Usage(1_000_000, 0, 0, 0, 0, 1_000_000), "2.5"),
        ("gpt-4o", Usage(1_000_000, 1_000_000, 0, 0, 0, 1_000_000), "1.25"),
        ("gpt-4o", Usage(1_000_000, 400_000, 0, 100_000, 0, 1_100_000), "3.0"),
        # Reasoning is part of the output, and not paid for twice.
        ("gpt-4o", Usage(0, 0, 0, 1_000_000, 900_000, 1_000_000), "10"),
        ("gpt-4o", Usage(0, 0, 0, 0, 0, 0), "0"),
    ],
)
def test_cached_input_has_its_own_price(model: str, usage: Usage, expected: str) -> None:
    assert pricing.cost(Priced(model, OPENAI), usage) == Decimal(expected)


@pytest.mark.parametrize(
    "unknown", [Priced("gpt-4o", "http://gateway.internal/v1"), Priced("nobodys-model", OPENAI), Priced("", "")]
)
def test_an_unknown_price_is_unknown(unknown: Priced) -> None:
    assert pricing.cost(unknown, Usage(10, 0, 0, 10, 0, 20)) is None
