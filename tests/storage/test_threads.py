"""Threads from a point on: where two of them part, and the exchanges behind it."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from convstore.storage import exchanges, threads
from tests.domain.strategies import quick
from tests.storage.keeper import SETTINGS, Keeper, Plans, counted, crowd, word_of

# The trees of one example are noise for the others.
_shared_stage = settings(quick, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])


def chain(keeper: Keeper, length: int, after: str | None = None, kept: bytes = SETTINGS) -> list[str]:
    found: list[str] = []
    for number in range(length):
        found.append(keeper.keep(f"u{number}", f"m{number}", after=found[-1] if found else after, settings=kept))
    return found


def ancestor(keeper: Keeper, left: str, right: str) -> tuple[str | None, int]:
    with keeper.database.reading(keeper.project) as scope:
        place = threads.parting(threads.lanes(scope, left), threads.lanes(scope, right))
        return (threads.at(scope, *place), place[1]) if place else (None, -1)


def behind(keeper: Keeper, tip: str, after: int) -> list[str]:
    with keeper.database.reading(keeper.project) as scope:
        return [each.id for each in threads.turns(scope, tip, after)]


class TestParting:
    def test_where_one_was_forked_off(self, acme: Keeper) -> None:
        trunk = chain(acme, 5)
        early, late = chain(acme, 2, trunk[1]), chain(acme, 3, trunk[3])
        assert ancestor(acme, trunk[-1], early[-1]) == (trunk[1], 1)
        assert ancestor(acme, early[-1], late[-1]) == (trunk[1], 1)
        assert ancestor(acme, late[-1], trunk[-1]) == (trunk[3], 3)

    def test_one_may_lie_on_the_others_thread(self, acme: Keeper) -> None:
        trunk = chain(acme, 3)
        fork = chain(acme, 2, trunk[1])
        assert ancestor(acme, trunk[0], fork[-1]) == (trunk[0], 0)
        assert ancestor(acme, fork[0], fork[-1]) == (fork[0], 2)
        assert ancestor(acme, fork[0], fork[0]) == (fork[0], 2)

    def test_other_trees_share_nothing(self, acme: Keeper, globex: Keeper) -> None:
        own, theirs = chain(acme, 2), chain(globex, 2)
        assert ancestor(acme, own[-1], chain(acme, 2)[-1]) == (None, -1)
        assert ancestor(acme, own[-1], theirs[-1]) == (None, -1)

    @_shared_stage
    @given(parents=st.lists(st.integers(0, 7), min_size=2, max_size=9))
    def test_in_any_tree_it_is_the_last_that_both_come_from(self, globex: Keeper, parents: list[int]) -> None:
        made = [globex.keep("u", "m")]
        came_from: list[int | None] = [None]
        for number in parents:
            parent = number % len(made)
            came_from.append(parent)
            made.append(globex.keep("u", "m", after=made[parent]))

        def path(number: int | None) -> list[int]:
            return [] if number is None else [*path(came_from[number]), number]

        for one in range(len(made)):
            for other in range(len(made)):
                shared = [each for each in path(one) if each in path(other)]
                found, depth = ancestor(globex, made[one], made[other])
                assert (found, depth) == (made[shared[-1]], len(shared) - 1)
                assert behind(globex, made[one], depth) == [made[each] for each in path(one)[depth + 1 :]]


class TestTurns:
    def test_they_are_as_if_read_one_by_one(self, acme: Keeper) -> None:
        trunk = chain(acme, 3, kept=b'{"model":"a"}')
        tip = chain(acme, 2, trunk[1], kept=b'{"model":"b"}')[-1]
        with acme.database.reading(acme.project) as scope:
            found = threads.turns(scope, tip, 0)
            for each in found:
                assert each == exchanges.get(scope, each.id)
        assert [(each.depth, each.settings) for each in found] == [
            (1, b'{"model":"a"}'),
            (2, b'{"model":"b"}'),
            (3, b'{"model":"b"}'),
        ]

    def test_hidden_ones_are_on_the_way_too(self, acme: Keeper) -> None:
        trunk = chain(acme, 3)
        with acme.database.writing(acme.project) as scope:
            assert exchanges.delete(scope, trunk[1], acme.clock())
        assert behind(acme, trunk[-1], 0) == trunk[1:]

    def test_another_project_sees_none(self, acme: Keeper, globex: Keeper) -> None:
        assert behind(globex, chain(acme, 2)[-1], -1) == []

    @pytest.mark.parametrize("length", [3, 60])
    def test_only_what_is_asked_for_is_read(self, acme: Keeper, length: int) -> None:
        trunk = chain(acme, length)
        tip = chain(acme, 2, trunk[-2])[-1]
        fetched: list[int] = []
        with acme.database.reading(acme.project) as scope:
            with counted() as statements:
                assert len(threads.turns(scope, tip, length - 2)) == 2
            items = exchanges.thread(scope, tip, first=length - 1)
            fetched.append(len(items))
        assert [word_of(each.item.body) for each in items] == ["u0", "m0", "u1", "m1"]
        assert (statements, fetched) == ([2], [4])

    def test_settings_are_read_once(self, acme: Keeper) -> None:
        tip = chain(acme, 9)[-1]
        rows: list[int] = []

        def count(connection: object, cursor: object, statement: str, *_: object) -> None:
            rows.append(statement.count("payloads"))

        event.listen(acme.database.engine, "after_cursor_execute", count)
        with acme.database.reading(acme.project) as scope:
            found = threads.turns(scope, tip, -1)
        event.remove(acme.database.engine, "after_cursor_execute", count)
        assert sum(bool(each) for each in rows) == 1
        assert len({id(each.settings) for each in found}) == 1

    def test_no_table_is_walked(self, acme: Keeper) -> None:
        trunk = chain(acme, 40)
        left, right = chain(acme, 2, trunk[20])[-1], trunk[-1]
        crowd(acme)
        with acme.database.reading(acme.project) as scope, Plans(acme.database) as plans:
            place = threads.parting(threads.lanes(scope, left), threads.lanes(scope, right))
            assert place is not None
            assert threads.at(scope, *place) == trunk[20]
            assert threads.turns(scope, left, place[1])
            assert exchanges.thread(scope, right, first=place[1] + 1)
        assert plans.walked() == []
