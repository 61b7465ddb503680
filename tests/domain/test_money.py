"""Amounts: exact in two whole numbers, and back."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convstore.domain import money

AMOUNTS = st.decimals(min_value=0, max_value=money.LARGEST, places=12)


@given(st.lists(AMOUNTS, max_size=50))
def test_sums_of_both_parts_are_the_sum_of_the_whole(amounts: list[Decimal]) -> None:
    parts = [money.split(amount) for amount in amounts]
    assert money.joined(sum(one for one, _ in parts), sum(other for _, other in parts)) == sum(amounts, Decimal(0))


@given(AMOUNTS)
def test_both_parts_fit_64_bits_with_room_for_millions_of_rows(amount: Decimal) -> None:
    millionths, rest = money.split(amount)
    assert 0 <= millionths <= 10**18
    assert 0 <= rest < 10**6


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "0"), ("1E+2", "100"), ("1E-12", "0.000000000001"), ("2.500", "2.5"), ("10", "10"), ("0.10", "0.1")],
)
def test_amounts_are_written_in_figures(amount: str, text: str) -> None:
    assert money.plain(Decimal(amount)) == text


def test_what_is_smaller_than_twelve_places_is_rounded_to_the_even() -> None:
    assert money.rounded(Decimal("0.0000000000005")) == 0
    assert money.rounded(Decimal("0.0000000000015")) == Decimal("2E-12")
