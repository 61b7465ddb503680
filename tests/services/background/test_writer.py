"""The journal's writer: what must be on disk soon is, and the rest in company."""

import time
from typing import Any

import pytest

from convstore.domain.exchange import Background
from convstore.services import writer
from convstore.services.deps import Deps
from convstore.services.writer import Outgoing, Stop, Writer
from convstore.storage import background, journals
from convstore.storage.database import Database
from tests.conftest import FixedClock
from tests.local_upstream import wait_until
from tests.services.background.conftest import journal
from tests.storage.keeper import Keeper
from tests.storage.test_journals import OTHER, PROCESS, running


@pytest.fixture
def keeper(deps: Deps, clock: FixedClock) -> Keeper:
    return Keeper(deps.database, clock)


class Response:
    """A response that runs under a process, and what its worker is told."""

    def __init__(self, keeper: Keeper, *, quick: bool = True, process: bytes = PROCESS) -> None:
        self.told: list[Stop] = []
        self.id = running(keeper, process)
        self.out = Outgoing(keeper.project, self.id, process, 2, 2, self.told.append, quick=quick)

    def say(self, *words: str) -> None:
        for word in words:
            assert self.out.add(word.encode(), self.out.number + 1)


def words(database: Deps, response: Response) -> list[bytes]:
    return [part.events for part in journal(database, response.id)]


def numbers(deps: Deps, response: Response) -> list[tuple[int | None, int | None]]:
    return [(part.first, part.last) for part in journal(deps, response.id)]


class TestOutgoing:
    def out(self, *, quick: bool = True) -> Outgoing:
        return Outgoing("proj_" + "0" * 32, "resp_" + "0" * 32, PROCESS, 2, 2, lambda _: None, quick=quick)

    def test_nothing_to_write_is_never_due(self) -> None:
        assert self.out().due() is None

    def test_a_first_event_is_due_at_once(self) -> None:
        out = self.out()
        out.add(b"a", 3)
        part = out.offer(time.monotonic())
        assert part is not None
        assert (part.number, part.first, part.last, part.events) == (2, 3, 3, b"a")

    def test_a_mark_waits_a_little_for_it(self) -> None:
        out = self.out()
        out.begin()
        now = time.monotonic()
        assert out.offer(now - 0.001) is None
        out.add(b"a", 3)
        part = out.offer(now)
        assert part is not None
        assert (part.first, part.last) == (3, 3)

    def test_but_not_for_long(self) -> None:
        out = self.out()
        out.begin()
        part = out.offer(time.monotonic() + writer.MARK_S)
        assert part is not None
        assert (part.first, part.last, part.events) == (None, None, b"")
        out.taken(1e9)
        out.add(b"a", 3)
        assert out.due() == 0.0

    def test_the_next_ones_gather(self) -> None:
        out = self.out()
        now = time.monotonic()
        out.add(b"a", 3)
        out.offer(now)
        out.taken(now)
        out.add(b"b", 4)
        out.add(b"cd", 6)
        assert out.offer(now) is None
        part = out.offer(now + writer.STEADY_S)
        assert part is not None
        assert (part.number, part.first, part.last, part.events) == (3, 4, 6, b"bcd")

    def test_a_steady_flow_is_written_ever_more_seldom_until_it_pauses(self) -> None:
        out, now, waits = self.out(), 1e6, []
        for number in range(3, 12):
            out.add(b"x", number)
            due = out.due()
            assert due is not None
            waits.append(round(max(due, now) - now, 4))
            now = max(due, now)
            assert out.offer(now)
            out.taken(now)
        assert waits[0] == 0
        assert waits[1:] == sorted(waits[1:])
        assert (waits[1], waits[-1]) == (writer.QUICK_S, writer.STEADY_S)
        now += 10
        out.add(b"y", 12)
        assert out.offer(now)
        out.taken(now)
        out.add(b"z", 13)
        assert out.due() == pytest.approx(now + writer.QUICK_S)

    def test_one_that_is_only_polled_takes_its_time_but_less_than_a_quarter_of_a_second(self) -> None:
        out = self.out(quick=False)
        for number in (3, 4):
            out.add(b"x", number)
            out.offer(1e6 * number)
            out.taken(1e6 * number)
            out.add(b"y", number + 1)
            due = out.due()
            assert due is not None
            assert 0.1 < due - 1e6 * number < 0.21

    def test_what_may_have_been_taken_is_offered_again_as_it_was(self) -> None:
        out = self.out()
        out.add(b"a", 3)
        now = time.monotonic()
        first = out.offer(now)
        out.put_off(now)
        out.add(b"b", 4)
        assert out.offer(now) is None
        assert out.offer(now + writer.PAUSE_S) == first
        rest = out.close()
        assert [part.events for part in rest] == [b"a", b"b"]
        assert out.part == 4

    def test_a_closed_one_takes_nothing(self) -> None:
        out = self.out()
        out.close()
        assert not out.add(b"a", 3)
        assert out.due() is None
        assert out.close() == []


class TestWriter:
    def test_events_are_on_disk_before_long(self, deps: Deps, keeper: Keeper) -> None:
        made, response = Writer(deps.database), Response(keeper)
        made.open(response.out)
        response.say("a")
        made.news(response.out)
        assert words(deps, response) == [b"a"]  # by whoever brought it
        response.say("b", "c")
        made.news(response.out)
        wait_until(lambda: words(deps, response) == [b"a", b"bc"], 2)  # by the thread
        assert numbers(deps, response) == [(3, 3), (4, 5)]
        assert made.close(response.out) == []

    def test_several_go_together(self, deps: Deps, keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
        made, crowd = Writer(deps.database), [Response(keeper) for _ in range(5)]
        calls: list[int] = []
        real = journals.append

        def counted(database: Database, process: bytes, parts: Any) -> Any:
            calls.append(len(parts))
            return real(database, process, parts)

        monkeypatch.setattr(journals, "append", counted)
        for each in crowd:
            each.say("a")
            made.open(each.out)
        made.news(crowd[0].out)
        wait_until(lambda: all(words(deps, each) for each in crowd), 2)
        assert sum(calls) == 5
        assert len(calls) <= 2
        for each in crowd:
            made.close(each.out)

    def test_what_is_left_at_the_end_is_given_back(self, deps: Deps, keeper: Keeper) -> None:
        made, response = Writer(deps.database), Response(keeper, quick=False)
        made.open(response.out)
        response.say("a")
        made.news(response.out)
        response.say("b")
        made.news(response.out)
        (rest,) = made.close(response.out)
        assert (rest.number, rest.first, rest.events) == (3, 4, b"b")

    def test_a_wish_to_cancel_is_heard_in_silence(self, deps: Deps, keeper: Keeper, clock: FixedClock) -> None:
        made, response, other = Writer(deps.database), Response(keeper), Response(keeper)
        for each in (response, other):
            made.open(each.out)
        with deps.database.writing(keeper.project) as scope:
            background.request_cancel(scope, deps.database, response.id, clock())
        wait_until(lambda: response.told, 1)
        assert set(response.told) == {Stop.CANCELLED}
        assert other.told == []
        for each in (response, other):
            made.close(each.out)

    def test_and_with_the_next_event(
        self, deps: Deps, keeper: Keeper, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made, response = Writer(deps.database), Response(keeper)
        made.open(response.out)
        made._looked = time.monotonic() + 60
        with deps.database.writing(keeper.project) as scope:
            background.request_cancel(scope, deps.database, response.id, clock())
        response.say("a")
        made.news(response.out)
        assert response.told == [Stop.CANCELLED]
        made.close(response.out)

    def test_one_that_runs_elsewhere_is_lost(self, deps: Deps, keeper: Keeper) -> None:
        made, response = Writer(deps.database), Response(keeper)
        made.open(response.out)
        background.take_over(deps.database, keeper.project, response.id, OTHER)
        response.say("a")
        made.news(response.out)
        assert Stop.LOST in response.told
        assert words(deps, response) == []
        made.close(response.out)

    def test_processes_are_told_apart(self, deps: Deps, keeper: Keeper) -> None:
        made = Writer(deps.database)
        crowd = [Response(keeper, process=process) for process in (PROCESS, OTHER)]
        for each in crowd:
            made.open(each.out)
            each.say("a")
        made.news(crowd[0].out)
        wait_until(lambda: all(words(deps, each) for each in crowd), 2)
        assert [each.told for each in crowd] == [[], []]
        for each in crowd:
            made.close(each.out)

    def test_its_thread_ends_with_the_last_of_them(self, deps: Deps, keeper: Keeper) -> None:
        made, response = Writer(deps.database), Response(keeper)
        made.open(response.out)
        made.close(response.out)
        wait_until(lambda: not made._running, 2)
        made.open(response.out)
        assert made._running
        made.close(response.out)

    def test_whatever_goes_wrong_it_goes_on(self, deps: Deps, keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
        made, response = Writer(deps.database), Response(keeper)
        left = [2]
        real = journals.append

        def broken(*args: Any) -> Any:
            if left[0] > 0:
                left[0] -= 1
                raise ZeroDivisionError
            return real(*args)

        monkeypatch.setattr(journals, "append", broken)
        made.open(response.out)
        response.say("a")
        with pytest.raises(ZeroDivisionError):
            made.news(response.out)
        wait_until(lambda: words(deps, response) == [b"a"], 2)
        made.close(response.out)


def test_the_kind_that_is_followed_is_the_streamed_one() -> None:
    assert [str(each) for each in Background] == ["plain", "streamed"]
