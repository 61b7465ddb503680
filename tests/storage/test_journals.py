"""The journal of background responses: written by the process they run under, read by whoever follows them."""

import os
from datetime import timedelta

import pytest
from sqlalchemy import insert

from convstore import ids
from convstore.domain.exchange import Background
from convstore.storage import background, direct, journals, tables
from convstore.storage.database import Database
from convstore.storage.journals import Extent, Part
from tests.conftest import FixedClock
from tests.storage.keeper import Keeper, Plans

PROCESS = bytes(range(16))
OTHER = bytes(range(16, 32))


def part(exchange_id: str, number: int, first: int | None = None, last: int | None = None) -> Part:
    """A part whose events say which they are."""
    numbers = range(first, (last or first) + 1) if first is not None else ()
    events = b"".join(b"event %d\n\n" % each for each in numbers)
    return Part(exchange_id, number, first, numbers[-1] if numbers else None, events)


def running(keeper: Keeper, process: bytes = PROCESS) -> str:
    """A background response that runs under a process."""
    place = keeper.beginning("u", background=Background.STREAMED)
    with keeper.database.writing(keeper.project) as scope:
        background.queue(keeper.database, scope, place, ())
    assert background.take_up(keeper.database, keeper.project, place.id, process, (), ())
    return place.id


def written(database: Database, exchange_id: str, part: int = -1, limit: int = 1000) -> list[Part]:
    with direct.reading(database) as cursor:
        return journals.after(cursor, exchange_id, part, limit)


@pytest.fixture
def crowded(database: Database) -> None:
    """Enough rows of others for a planner to care."""
    clock = FixedClock()
    rows = [
        {"exchange_id": ids.new(ids.EXCHANGE), "part": 0, "events": b"{}", "first_number": 0, "last_number": 1}
        for _ in range(2000)
    ]
    ended = [{**row, "exchange_id": ids.new(ids.EXCHANGE), "ended_at": clock()} for row in rows[:500]]
    others = [
        {"exchange_id": row["exchange_id"], "project_id": ids.new(ids.PROJECT), "process_id": os.urandom(16)}
        for row in rows
    ]
    with database.transaction() as connection:
        connection.execute(insert(tables.journal), rows)
        connection.execute(insert(tables.journal), ended)
        connection.execute(insert(tables.running), others)
    with database.connection() as connection:
        connection.exec_driver_sql("ANALYZE")


class TestAppend:
    def test_what_was_written_is_read_back_in_order(self, acme: Keeper) -> None:
        own, other = running(acme), running(acme)
        parts = [part(own, 2, 3, 5), part(other, 2, 3), part(own, 3, 6), part(own, 5, 7, 9)]
        assert journals.append(acme.database, PROCESS, parts) == {own: False, other: False}
        assert written(acme.database, own) == [parts[0], parts[2], parts[3]]
        assert written(acme.database, other) == [parts[1]]

    def test_long_events_come_back_to_the_byte(self, acme: Keeper) -> None:
        own = running(acme)
        long = Part(own, 0, 3, 3, b"event: x\ndata: " + b"x" * 50_000 + b"\xff\n\n")
        journals.append(acme.database, PROCESS, [long])
        assert written(acme.database, own) == [long]

    def test_only_the_process_it_runs_under_writes(self, acme: Keeper) -> None:
        own, theirs = running(acme), running(acme, OTHER)
        told = journals.append(acme.database, PROCESS, [part(own, 0, 3), part(theirs, 0, 3)])
        assert told == {own: False}
        assert written(acme.database, theirs) == []

    def test_nor_once_it_has_ended(self, acme: Keeper) -> None:
        place = acme.begun("u")
        acme.end(place, "m")
        assert journals.append(acme.database, PROCESS, [part(place.id, 0, 3)]) == {}
        assert written(acme.database, place.id) == []

    def test_the_same_a_second_time_changes_nothing(self, acme: Keeper) -> None:
        own = running(acme)
        journals.append(acme.database, PROCESS, [part(own, 0, 3)])
        assert journals.append(acme.database, PROCESS, [part(own, 0, 3), part(own, 1, 4)]) == {own: False}
        assert written(acme.database, own) == [part(own, 0, 3), part(own, 1, 4)]

    def test_it_tells_that_one_is_to_be_cancelled(self, acme: Keeper, clock: FixedClock) -> None:
        own, other = running(acme), running(acme)
        with acme.database.writing(acme.project) as scope:
            background.request_cancel(scope, acme.database, own, clock())
        assert journals.append(acme.database, PROCESS, [part(own, 0, 3), part(other, 0, 3)]) == {
            own: True,
            other: False,
        }
        with direct.reading(acme.database) as cursor:
            assert journals.running(cursor, PROCESS, [own, other]) == {own: True, other: False}
            assert journals.running(cursor, OTHER, [own, other]) == {}

    def test_rows_are_found_by_an_index(self, acme: Keeper, crowded: None) -> None:
        own = running(acme)
        with Plans(acme.database) as plans:
            journals.append(acme.database, PROCESS, [part(own, 0, 3)])
        assert plans.walked("running", "journal") == []


class TestAfter:
    def test_what_is_behind_a_part_so_many_at_a_time(self, acme: Keeper) -> None:
        own = running(acme)
        parts = [part(own, number, 3 + number) for number in range(5)]
        journals.append(acme.database, PROCESS, parts)
        assert written(acme.database, own, 1) == parts[2:]
        assert written(acme.database, own, -1, 2) == parts[:2]
        assert written(acme.database, own, 4) == []

    def test_an_id_of_another_kind_has_none(self, acme: Keeper) -> None:
        assert written(acme.database, "resp_x") == []

    def test_it_is_found_by_an_index(self, acme: Keeper, crowded: None) -> None:
        own = running(acme)
        with Plans(acme.database) as plans:
            written(acme.database, own)
            with direct.reading(acme.database) as cursor:
                journals.extent(cursor, own)
                journals.part_before(cursor, own, 7)
        assert plans.walked("running", "journal", "exchanges") == []


class TestNews:
    def test_of_several_each_ones_own(self, acme: Keeper) -> None:
        one, two, silent = running(acme), running(acme), running(acme)
        journals.append(acme.database, PROCESS, [part(one, 0, 3), part(two, 0, 3), part(one, 1, 4), part(two, 1, 4)])
        with direct.reading(acme.database) as cursor:
            found = journals.news(cursor, [(one, -1), (silent, -1), (two, 0)])
        assert [each for each in found if each.exchange_id == one] == [part(one, 0, 3), part(one, 1, 4)]
        assert [each for each in found if each.exchange_id == two] == [part(two, 1, 4)]
        assert len(found) == 3

    def test_of_more_than_one_statement_takes(self, acme: Keeper) -> None:
        own = running(acme)
        journals.append(acme.database, PROCESS, [part(own, 0, 3)])
        others = [(ids.new(ids.EXCHANGE), -1) for _ in range(2 * journals.MOST)]
        with direct.reading(acme.database) as cursor:
            assert journals.news(cursor, [*others, (own, -1)]) == [part(own, 0, 3)]
            assert journals.running(cursor, PROCESS, [*(each for each, _ in others), own]) == {own: False}

    def test_they_are_found_by_an_index(self, acme: Keeper, crowded: None) -> None:
        with Plans(acme.database) as plans, direct.reading(acme.database) as cursor:
            journals.news(cursor, [(ids.new(ids.EXCHANGE), -1) for _ in range(3)])
        assert plans.walked("running", "journal", "exchanges") == []


class TestExtent:
    def test_the_last_events_number_and_part(self, acme: Keeper) -> None:
        own = running(acme)
        with direct.reading(acme.database) as cursor:
            assert journals.extent(cursor, own) is None
        journals.append(acme.database, PROCESS, [part(own, 0, 0, 1), part(own, 1, 2, 7), part(own, 2)])
        with direct.reading(acme.database) as cursor:
            assert journals.extent(cursor, own) == Extent(1, 7, False)

    def test_a_mark_alone_is_no_event(self, acme: Keeper) -> None:
        own = running(acme)
        journals.append(acme.database, PROCESS, [part(own, 0)])
        with direct.reading(acme.database) as cursor:
            assert journals.extent(cursor, own) is None

    @pytest.mark.parametrize(
        ("number", "behind"), [(-1, -1), (0, -1), (1, 0), (2, 0), (6, 0), (7, 1), (8, 3), (100, 3)]
    )
    def test_where_the_next_event_is(self, acme: Keeper, number: int, behind: int) -> None:
        own = running(acme)
        journals.append(acme.database, PROCESS, [part(own, 0, 0, 1), part(own, 1, 2, 7), part(own, 2), part(own, 3, 8)])
        with direct.reading(acme.database) as cursor:
            assert journals.part_before(cursor, own, number) == behind


class TestDrop:
    @pytest.fixture(autouse=True)
    def nothing_old(self, database: Database, clock: FixedClock) -> None:
        while journals.drop(database, clock() + timedelta(days=1), 1000):
            pass

    def test_only_what_ended_before(self, acme: Keeper, clock: FixedClock) -> None:
        old, young, unended = running(acme), running(acme), running(acme)
        early, late = clock(), clock() + timedelta(hours=1)
        for own, ended_at in ((old, early), (young, late), (unended, None)):
            with acme.database.transaction() as connection:
                for number, each in ((0, None), (1, ended_at)):
                    row = {"exchange_id": own, "part": number, "events": b"", "ended_at": each}
                    connection.execute(insert(tables.journal).values(**row))
        assert journals.drop(acme.database, late, 1000) == 1
        assert [len(written(acme.database, own)) for own in (old, young, unended)] == [0, 2, 2]
        assert journals.drop(acme.database, late, 1000) == 0

    def test_so_many_at_a_time(self, acme: Keeper, clock: FixedClock) -> None:
        for number in range(3):
            part = {"exchange_id": running(acme), "part": number, "events": b"", "ended_at": clock()}
            with acme.database.transaction() as connection:
                connection.execute(insert(tables.journal).values(**part))
        later = clock() + timedelta(seconds=1)
        assert [journals.drop(acme.database, later, 2) for _ in range(3)] == [2, 1, 0]

    def test_they_are_found_by_an_index(self, acme: Keeper, crowded: None, clock: FixedClock) -> None:
        with Plans(acme.database) as plans:
            journals.drop(acme.database, clock() - timedelta(days=1), 100)
        assert plans.walked("running", "journal", "exchanges") == []
