"""The states of a background response: each step is taken once, by the one who may."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from convstore.domain.exchange import Background, Beginning, Ending, Exchange, Linked
from convstore.storage import background, direct, exchanges, journals, turns
from convstore.storage.database import Database
from convstore.storage.journals import Part
from convstore.storage.turns import ConversationTaken, IdempotencyKey, KeyTaken, LaneTaken
from tests.conftest import FixedClock
from tests.storage.keeper import Keeper, count, item
from tests.storage.test_journals import OTHER, PROCESS, part, written


@pytest.fixture
def beginning(acme: Keeper) -> Beginning:
    return acme.beginning("u", background=Background.STREAMED)


def queue(keeper: Keeper, beginning: Beginning, key: IdempotencyKey | None = None) -> Beginning:
    with keeper.database.writing(keeper.project) as scope:
        background.queue(keeper.database, scope, beginning, [part(beginning.id, 0, 0, 1)], key)
    return beginning


def take_up(keeper: Keeper, beginning: Beginning, process: bytes = PROCESS) -> bool:
    parts = [part(beginning.id, 1, 2)]
    attempts = [{"upstream": "local"}]
    return background.take_up(keeper.database, keeper.project, beginning.id, process, attempts, parts)


def end(keeper: Keeper, beginning: Beginning, process: bytes = PROCESS, *parts: Part, **members: Any) -> bool:
    given = {"status": "completed", "output": [item("m")], **members}
    ending = Ending(completed_at=keeper.clock(), **given)
    return background.end(keeper.database, keeper.project, beginning.place, ending, process, parts)


def withdraw(keeper: Keeper, beginning: Beginning) -> bool:
    ending = Ending("cancelled", keeper.clock(), last_event=2)
    parts = [part(beginning.id, 1, 2)]
    return background.withdraw(keeper.database, keeper.project, beginning.place, ending, parts)


def stored(keeper: Keeper, beginning: Beginning) -> Exchange:
    with keeper.database.reading(keeper.project) as scope:
        found = exchanges.get(scope, beginning.id)
    assert found is not None
    return found


def runs_under(database: Database, beginning: Beginning, process: bytes) -> bool:
    with direct.reading(database) as cursor:
        return beginning.id in journals.running(cursor, process, [beginning.id])


class TestQueue:
    def test_it_waits_and_is_nobodys(self, acme: Keeper, beginning: Beginning) -> None:
        queue(acme, beginning)
        row = stored(acme, beginning)
        assert (row.status, row.background, row.input_count) == ("queued", "streamed", 1)
        assert [word.item.body for word in acme.listed(beginning.id)] == [item("u").body]
        assert written(acme.database, beginning.id) == [part(beginning.id, 0, 0, 1)]
        assert not runs_under(acme.database, beginning, PROCESS)

    def test_with_whatever_else_the_caller_writes_or_not_at_all(self, acme: Keeper, beginning: Beginning) -> None:
        before = count(acme.database, "exchanges")
        with pytest.raises(ZeroDivisionError), acme.database.writing(acme.project) as scope:
            background.queue(acme.database, scope, beginning, [part(beginning.id, 0, 0, 1)])
            raise ZeroDivisionError
        assert count(acme.database, "exchanges") == before
        assert written(acme.database, beginning.id) == []

    def test_a_key_is_taken_once(self, acme: Keeper, beginning: Beginning) -> None:
        key = IdempotencyKey("k", b"\0" * 32)
        queue(acme, beginning, key)
        with pytest.raises(KeyTaken):
            queue(acme, acme.beginning("u", background=Background.PLAIN), key)

    def test_a_lane_is_taken_once(self, acme: Keeper) -> None:
        parent = acme.keep("u", "m")
        first, second = (acme.beginning("u", after=parent, background=Background.PLAIN) for _ in range(2))
        queue(acme, first)
        with pytest.raises(LaneTaken):
            queue(acme, second)
        queue(acme, replace(second, lane=second.id))

    def test_a_conversation_has_one_writer(self, acme: Keeper, beginning: Beginning) -> None:
        acme.keep("u", "m")  # the conversation's row
        root = queue(acme, replace(beginning, linked=None))
        conversation = {"linked": Linked.CONVERSATION, "conversation_id": root.conversation_id}
        first, second = (acme.beginning("u", background=Background.PLAIN, **conversation) for _ in range(2))
        queue(acme, first)
        with pytest.raises(ConversationTaken):
            queue(acme, second)
        assert withdraw(acme, first)
        queue(acme, second)

    def test_more_items_than_one_statement_takes(self, acme: Keeper) -> None:
        many = [item(str(number)) for number in range(3500)]
        beginning = queue(acme, acme.beginning(*many, background=Background.PLAIN))
        assert stored(acme, beginning).input_count == 3500
        assert len(acme.listed(beginning.id)) == 3500


class TestWithdraw:
    def test_one_that_waits_is_ended(self, acme: Keeper, beginning: Beginning) -> None:
        queue(acme, beginning)
        assert withdraw(acme, beginning)
        row = stored(acme, beginning)
        assert (row.status, row.last_event) == ("cancelled", 2)
        assert not take_up(acme, beginning)
        assert not runs_under(acme.database, beginning, PROCESS)

    def test_one_that_runs_is_left_alone(self, acme: Keeper, beginning: Beginning) -> None:
        queue(acme, beginning)
        assert take_up(acme, beginning)
        assert not withdraw(acme, beginning)
        assert stored(acme, beginning).status == "in_progress"
        assert runs_under(acme.database, beginning, PROCESS)
        assert end(acme, beginning)


class TestTakeUp:
    def test_it_is_in_progress_under_this_process(self, acme: Keeper, beginning: Beginning) -> None:
        queue(acme, beginning)
        assert take_up(acme, beginning)
        row = stored(acme, beginning)
        assert (row.status, row.attempts) == ("in_progress", [{"upstream": "local"}])
        assert runs_under(acme.database, beginning, PROCESS)
        assert [each.number for each in written(acme.database, beginning.id)] == [0, 1]

    def test_once(self, acme: Keeper, beginning: Beginning) -> None:
        queue(acme, beginning)
        assert [take_up(acme, beginning), take_up(acme, beginning, OTHER)] == [True, False]
        assert runs_under(acme.database, beginning, PROCESS)

    def test_once_whoever_comes_at_the_same_time(self, acme: Keeper, beginning: Beginning) -> None:
        queue(acme, beginning)
        done: list[bool] = []
        racers = [
            threading.Thread(target=lambda own=bytes([n]) * 16: done.append(take_up(acme, beginning, own)))  # type: ignore[misc]
            for n in range(6)
        ]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        assert sorted(done) == [False] * 5 + [True]
        assert len(written(acme.database, beginning.id)) == 2

    def test_not_another_projects(self, acme: Keeper, globex: Keeper, beginning: Beginning) -> None:
        queue(acme, beginning)
        assert not take_up(globex, beginning)
        assert background.take_over(globex.database, globex.project, beginning.id, PROCESS) is None


class TestTakeOver:
    def test_what_was_written_is_found(self, acme: Keeper, beginning: Beginning, clock: FixedClock) -> None:
        queue(acme, beginning)
        take_up(acme, beginning, OTHER)
        journals.append(acme.database, OTHER, [part(beginning.id, 2, 3, 5)])
        found = background.take_over(acme.database, acme.project, beginning.id, PROCESS)
        assert found is not None
        assert [each.number for each in found.parts] == [0, 1, 2]
        assert not found.is_cancelled

    def test_the_other_one_cannot_write_any_more(self, acme: Keeper, beginning: Beginning) -> None:
        """It was taken for dead, and is not."""
        queue(acme, beginning)
        take_up(acme, beginning, OTHER)
        background.take_over(acme.database, acme.project, beginning.id, PROCESS)
        assert journals.append(acme.database, OTHER, [part(beginning.id, 2, 3)]) == {}
        assert not end(acme, beginning, OTHER)
        assert not background.begin_anew(acme.database, acme.project, beginning.id, OTHER, (), seen=None)
        assert stored(acme, beginning).status == "in_progress"
        assert end(acme, beginning, PROCESS)

    def test_that_it_is_to_be_cancelled_is_not_forgotten(
        self, acme: Keeper, beginning: Beginning, clock: FixedClock
    ) -> None:
        queue(acme, beginning)
        take_up(acme, beginning, OTHER)
        with acme.database.writing(acme.project) as scope:
            background.request_cancel(scope, acme.database, beginning.id, clock())
        found = background.take_over(acme.database, acme.project, beginning.id, PROCESS)
        assert found is not None
        assert found.is_cancelled

    def test_one_that_has_ended_is_nobodys(self, acme: Keeper, beginning: Beginning) -> None:
        queue(acme, beginning)
        take_up(acme, beginning)
        end(acme, beginning)
        assert background.take_over(acme.database, acme.project, beginning.id, OTHER) is None


class TestBeginAnew:
    @pytest.mark.parametrize(("seen", "left"), [(2, [0, 1, 2, 3]), (None, [])])
    def test_what_is_forgotten(self, acme: Keeper, beginning: Beginning, seen: int | None, left: list[int]) -> None:
        queue(acme, beginning)
        take_up(acme, beginning)
        journals.append(acme.database, PROCESS, [part(beginning.id, 2), part(beginning.id, 3, 3)])
        tried = [{"upstream": "local", "error": "interrupted"}, {"upstream": "local"}]
        assert background.begin_anew(acme.database, acme.project, beginning.id, PROCESS, tried, seen=seen)
        assert [each.number for each in written(acme.database, beginning.id)] == left
        assert stored(acme, beginning).attempts == tried

    def test_the_number_of_a_part_that_followers_have_read_is_not_used_again(
        self, acme: Keeper, beginning: Beginning
    ) -> None:
        """That the upstream had begun was all it said."""
        queue(acme, beginning)
        take_up(acme, beginning)
        journals.append(acme.database, PROCESS, [part(beginning.id, 2)])
        for _ in range(2):
            found = background.take_over(acme.database, acme.project, beginning.id, PROCESS)
            assert found is not None
            assert max(each.number for each in found.parts) == 2
            assert background.begin_anew(
                acme.database, acme.project, beginning.id, PROCESS, [{"error": "interrupted"}], seen=2
            )
        with direct.reading(acme.database) as cursor:
            assert all(each.last is not None for each in journals.after(cursor, beginning.id, -1, 10))


class TestRequestCancel:
    def test_not_for_another_project(
        self, acme: Keeper, globex: Keeper, beginning: Beginning, clock: FixedClock
    ) -> None:
        queue(acme, beginning)
        take_up(acme, beginning)
        with globex.database.writing(globex.project) as scope:
            background.request_cancel(scope, globex.database, beginning.id, clock())
        with direct.reading(acme.database) as cursor:
            assert journals.running(cursor, PROCESS, [beginning.id]) == {beginning.id: False}


class TestEnd:
    def test_the_answer_and_the_last_events_come_together(self, acme: Keeper, beginning: Beginning) -> None:
        queue(acme, beginning)
        take_up(acme, beginning)
        last = replace(part(beginning.id, 3, 4), ended_at=acme.clock())
        assert end(acme, beginning, PROCESS, part(beginning.id, 2, 3), last, last_event=4)
        row = stored(acme, beginning)
        assert (row.status, row.last_event) == ("completed", 4)
        assert [each.body for each in acme.answer(beginning.id)] == [item("m").body]
        assert written(acme.database, beginning.id)[-1] == last
        assert not runs_under(acme.database, beginning, PROCESS)

    def test_without_events_the_journal_goes(self, acme: Keeper, beginning: Beginning) -> None:
        queue(acme, beginning)
        take_up(acme, beginning)
        assert end(acme, beginning)
        assert written(acme.database, beginning.id) == []

    def test_once(self, acme: Keeper, beginning: Beginning) -> None:
        queue(acme, beginning)
        take_up(acme, beginning)
        assert [end(acme, beginning), end(acme, beginning, status="failed")] == [True, False]
        assert stored(acme, beginning).status == "completed"

    def test_not_before_it_has_begun(self, acme: Keeper, beginning: Beginning) -> None:
        queue(acme, beginning)
        assert not end(acme, beginning)
        assert stored(acme, beginning).status == "queued"


class TestTheOthers:
    """Exchanges that are answered while their client waits."""

    def test_their_rows_are_as_they_were(self, acme: Keeper) -> None:
        place = acme.begun("u")
        with acme.database.reading(acme.project) as scope:
            row = exchanges.get(scope, place.id)
        assert row is not None
        assert (row.status, row.background, row.last_event) == ("in_progress", None, None)

    @pytest.mark.parametrize("step", [take_up, withdraw])
    def test_no_step_fits_them(self, acme: Keeper, step: Callable[[Keeper, Beginning], bool]) -> None:
        beginning = acme.beginning("u")
        turns.begin(acme.database, acme.project, beginning, PROCESS)
        assert not step(acme, beginning)
        assert acme.end(beginning.place, "m")
