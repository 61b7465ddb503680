"""Prices of public providers: by URL, model, tier and moment."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from convstore.domain.pricing import library

OPENAI = "https://api.openai.com/v1"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("url", "model"),
    [
        ("http://gateway.internal/v1", "gpt-5.4"),
        (OPENAI, "nobodys-model"),
        (OPENAI, ""),
        ("", ""),
        ("http://127.0.0.1:8000/v1", "gpt-5.4"),
        ("http://[::1]:8000", "gpt-5.4"),
        ("http://localhost/api.openai.com", "gpt-5.4"),
    ],
)
def test_an_unknown_price_is_unknown(url: str, model: str) -> None:
    assert library.rule(url, model, None, NOON) is None


def test_a_dated_name_is_the_models() -> None:
    dated = library.rule(OPENAI, "gpt-5.4-2026-03-05", None, NOON)
    assert dated is not None
    assert (dated.model, dated.source, dated.currency) == ("openai/gpt-5.4", "genai-prices", "USD")
    assert dated.rates["cached_input"] == Decimal("0.25")


def test_a_service_tier_has_its_own_rates_from_the_day_they_are_known_for() -> None:
    flex = library.rule(OPENAI, "gpt-5.4", "flex", NOON)
    earlier = library.rule(OPENAI, "gpt-5.4", "flex", datetime(2026, 10, 1, tzinfo=UTC))
    assert flex is not None
    assert earlier is not None
    assert (flex.service_tier, flex.rates["input"], flex.long_context[0].rates["input"]) == ("flex", 1.25, 2.5)
    assert (earlier.service_tier, earlier.rates["input"]) == (None, 2.5)


def test_some_prices_depend_on_the_hour() -> None:
    at = [library.rule("https://api.deepseek.com", "deepseek-v4-pro", None, NOON.replace(hour=hour)) for hour in (2, 5)]
    assert [each and each.rates["input"] for each in at] == [Decimal("1.32"), Decimal("0.66")]
