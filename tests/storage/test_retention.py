"""What retention reads: how it is found on each engine, and in how many statements. What it does is tests/retention."""

from datetime import UTC, datetime, timedelta

import pytest

from convstore import ids
from convstore.domain.hold import Hold, Wanted
from convstore.storage import holds, retention
from convstore.storage.database import Database
from tests.storage.keeper import Keeper, Plans, counted, crowd

LATER = datetime.now(UTC) + timedelta(days=1)


def made(keeper: Keeper, **wanted: str | dict[str, str]) -> Hold:
    hold = Hold(ids.new(ids.HOLD), Wanted("Case", **wanted), keeper.clock())  # type: ignore[arg-type]
    with keeper.database.writing(keeper.project) as scope:
        holds.add(scope, hold)
    return hold


@pytest.fixture
def chain(acme: Keeper) -> list[str]:
    found = [acme.keep("u0", "m0", user="zoe")]
    for number in range(1, 4):
        found.append(acme.keep(f"u{number}", f"m{number}", after=found[-1]))
    return found


class TestCandidates:
    def test_the_newest_come_first_and_page_by_page(self, acme: Keeper, chain: list[str]) -> None:
        with acme.database.reading(acme.project) as scope:
            first = retention.candidates(scope, 3, content=LATER, figures=None)
            assert [each.id for each in first] == chain[:0:-1]
            rest = retention.candidates(scope, 3, content=LATER, figures=None, after=first[-1].id)
            assert [each.id for each in rest] == chain[:1]

    def test_what_came_later_is_none(self, acme: Keeper, chain: list[str]) -> None:
        before = datetime.now(UTC) - timedelta(minutes=10)
        with acme.database.reading(acme.project) as scope:
            assert retention.candidates(scope, 3, content=before, figures=before) == []
            assert retention.candidates(scope, 3, content=None, figures=None) == []
            assert retention.candidates(scope, 3, content=datetime(1900, 1, 1, tzinfo=UTC), figures=None) == []

    def test_with_content_or_without(self, acme: Keeper, chain: list[str]) -> None:
        with acme.database.reading(acme.project) as scope:
            assert retention.candidates(scope, 9, content=None, figures=LATER) == []


class TestHowRowsAreFound:
    @pytest.fixture(autouse=True)
    def crowded(self, acme: Keeper, chain: list[str]) -> None:
        crowd(acme)

    def test_a_page_in_three_statements_by_indexes(self, acme: Keeper) -> None:
        before = {"content": LATER, "figures": LATER - timedelta(days=9)}
        with acme.database.reading(acme.project) as scope, counted() as statements:
            with Plans(acme.database) as page:
                found = retention.candidates(scope, 50, **before)
            homes = sorted({each.conversation_id for each in found})
            with Plans(acme.database) as rest:
                trees = retention.conversations(scope, homes, metadata=True)
                retention.sizes(scope, [each.id for each in found])
        assert statements == [3]
        assert (len(found), len(homes)) == (50, len(trees))
        assert page.walked() == rest.walked() == page.sorted() == []

    def test_holds_in_six_by_indexes(self, acme: Keeper, chain: list[str]) -> None:
        for wanted in ({"user": "zoe"}, {"metadata": {"a": "1"}}, {"response_id": chain[0]}):
            made(acme, **wanted)  # type: ignore[arg-type]
        with acme.database.reading(acme.project) as scope:
            some = [each.id for each in retention.candidates(scope, 20, content=LATER, figures=None)]
        with acme.database.writing(acme.project) as scope, Plans(acme.database) as plans, counted() as statements:
            assert holds.held(scope, [*some, *chain]) == set(chain)
        # The lock and the holds; of the exchanges, of what holds name, of people, and of labels of conversations.
        assert statements == [6]
        # Holds are few: all of a project's are read.
        assert [step for step in plans.walked() if " holds " not in step] == []

    def test_without_one_it_takes_two(self, acme: Keeper, chain: list[str]) -> None:
        with acme.database.writing(acme.project) as scope, counted() as statements:
            assert holds.held(scope, chain) == set()
        assert statements == [2]


def test_an_exchange_is_as_old_as_it_says_but_not_older_than_its_arrival(database: Database) -> None:
    keeper = Keeper(database)
    moments = [datetime(2020, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)]
    old, young = (keeper.keep("u", "m", created_at=moment) for moment in moments)
    with database.reading(keeper.project) as scope:
        homes = sorted({each.conversation_id for each in retention.candidates(scope, 9, content=LATER, figures=None)})
        trees = retention.conversations(scope, homes, metadata=False)
    at = {member.id: member.at for tree in trees.values() for member in tree}
    assert abs(at[old] - datetime.now(UTC)) < timedelta(hours=1)
    assert at[young] == moments[1]
