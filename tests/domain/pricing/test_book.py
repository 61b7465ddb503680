"""The price book: which of its prices applies."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from convstore.domain.pricing.book import Book, Price

NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def price(name: str, **given: object) -> Price:
    usual = Price(name, None, None, "gpt*", None, "CNY", {"input": Decimal(1)}, NEW_YEAR, NEW_YEAR)
    return replace(usual, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (price("own", project_id="proj_1"), price("ours", upstream="gateway", model="gpt-5.4")),
        (price("here", upstream="gateway"), price("anywhere", model="gpt-5.4")),
        (price("exact", model="gpt-5.4"), price("pattern", model="gpt-5.*")),
        (price("longer", model="gpt-5*"), price("shorter")),
        (price("tier", service_tier="flex"), price("any tier")),
        (price("newer", effective_from=NEW_YEAR + DAY), price("older")),
    ],
)
def test_what_says_more_comes_first(better: Price, worse: Price) -> None:
    at = NEW_YEAR + 2 * DAY
    for prices in ((better, worse), (worse, better)):
        found = Book(prices).rule("gateway", ["gpt-5.4"], "flex", at)
        assert found is not None
        assert found.version == better.id


@pytest.mark.parametrize(
    "other",
    [
        price("p", upstream="elsewhere"),
        price("p", model="claude*"),
        price("p", service_tier="flex"),
        price("p", effective_from=NEW_YEAR + DAY),
        price("p", effective_to=NEW_YEAR + DAY / 2),
    ],
)
def test_what_is_for_another_does_not_apply(other: Price) -> None:
    assert Book([other]).rule("gateway", ["gpt-5.4"], None, NEW_YEAR + DAY / 2) is None


def test_a_price_begins_at_its_moment_and_ends_before_that_of_the_next() -> None:
    book = Book([price("old", effective_to=NEW_YEAR + DAY), price("new", effective_from=NEW_YEAR + DAY)])
    moments = (NEW_YEAR - DAY / 2, NEW_YEAR, NEW_YEAR + DAY - timedelta(microseconds=1), NEW_YEAR + DAY)
    found = [book.rule("gateway", ["gpt-5.4"], None, at) for at in moments]
    assert [each and each.version for each in found] == [None, "old", "old", "new"]


def test_the_name_that_is_known_best_comes_first() -> None:
    book = Book([price("asked", model="fast"), price("answered", model="gpt-5.4-mini")])
    found = book.rule("gateway", ["gpt-5.4-mini", "fast"], None, NEW_YEAR)
    assert found is not None
    assert found.version == "answered"


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ({}, {}, True),
        ({}, {"effective_from": NEW_YEAR + DAY}, True),
        ({"effective_to": NEW_YEAR + DAY}, {"effective_from": NEW_YEAR + DAY}, False),
        ({"effective_to": NEW_YEAR + 2 * DAY}, {"effective_from": NEW_YEAR + DAY}, True),
        ({}, {"model": "gpt-5*"}, False),
        ({}, {"upstream": "gateway"}, False),
        ({}, {"project_id": "proj_1"}, False),
        ({}, {"service_tier": "flex"}, False),
        ({}, {"price_set": "next year"}, False),
    ],
)
def test_two_for_the_same_at_one_moment_collide(one: dict, other: dict, together: bool) -> None:
    first, second = price("a", **one), price("b", **other)
    assert first.collides(second) == second.collides(first) == together
