"""Recovery: what dead processes left is closed with what had arrived, and the living are left alone."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from convstore import ids
from convstore.domain import items, sse
from convstore.domain.items import Item
from convstore.errors import StorageUnavailable
from convstore.services import recovery, responses
from convstore.services.deps import Deps
from convstore.storage import everywhere
from convstore.storage.everywhere import Process
from tests.conftest import ENGINES, FixedClock
from tests.databases import migrated
from tests.local_upstream import message, response, stream_of, wait_until
from tests.services.conftest import Asker, asker
from tests.storage.keeper import Keeper


@pytest.fixture(params=ENGINES)
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database for each test: a sweep goes over everything in it."""
    with migrated(request, tmp_path_factory) as url:
        yield url


@pytest.fixture(scope="module")
def dead_pid() -> int:
    """The id of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(60)
    return ended.pid


class Worker:
    """A process of the service that had begun something."""

    def __init__(self, deps: Deps, acme: Asker, *, host: str | None = None, pid: int | None = None) -> None:
        self.id = os.urandom(16)
        self.deps = deps
        self.keeper = Keeper(deps.database, deps.clock)  # type: ignore[arg-type]
        self.keeper.project = acme.principal.project_id
        now = deps.clock()
        with deps.database.transaction() as connection:
            process = Process(self.id, host or recovery._machine(), pid or os.getpid(), now, now)
            everywhere.enter(connection, process)

    def begins(self, *inputs: str | Item, after: str | None = None) -> str:
        """An exchange that is in progress under this process."""
        place = self.keeper.begun(*(inputs or ("u",)), after=after)
        self._owns(place.id)
        return place.id

    def _owns(self, exchange_id: str) -> None:
        mark = "?" if self.deps.database.is_sqlite else "%s"
        query = f"UPDATE running SET process_id = {mark} WHERE exchange_id = {mark}"
        with self.deps.database.transaction() as connection:
            connection.exec_driver_sql(query, (self.id, ids.pack(ids.EXCHANGE, exchange_id)))

    def saved(self, exchange_id: str, *parts: bytes) -> None:
        """What the journal has of its stream."""
        rows = [(exchange_id, number, part) for number, part in enumerate(parts)]
        with self.deps.database.transaction() as connection:
            everywhere.write_journal(connection, rows)


def status(acme: Asker, response_id: str) -> str:
    return acme.stored(response_id).status


def known(deps: Deps) -> set[bytes]:
    with deps.database.connection() as connection:
        return {each.id for each in everywhere.processes(connection)}


class TestSweep:
    def test_what_a_dead_process_had_begun_is_incomplete(self, deps: Deps, acme: Asker, dead_pid: int) -> None:
        dead = Worker(deps, acme, pid=dead_pid)
        left = dead.begins("Hello?")
        assert recovery.sweep(deps) == 1
        row = acme.stored(left)
        assert row.status == "incomplete"
        assert row.error == {
            "code": "server_error",
            "message": "The service stopped while the answer was arriving.",
        }
        assert row.completed_at is not None
        assert dead.id not in known(deps)
        assert recovery.sweep(deps) == 0

    def test_a_dead_process_may_not_have_been_collected(self, deps: Deps, acme: Asker) -> None:
        """An orphan's new parent may take its time, and some never look."""
        with subprocess.Popen([sys.executable, "-c", ""]) as ended:
            os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
            left = Worker(deps, acme, pid=ended.pid).begins("1?")
            assert recovery.sweep(deps) == 1
        assert acme.stored(left).status == "incomplete"

    def test_with_what_had_arrived(self, deps: Deps, acme: Asker, dead_pid: int) -> None:
        dead = Worker(deps, acme, pid=dead_pid)
        left = dead.begins("Hello?")
        blocks = stream_of(response(message("Hello there")), deltas=11)[2:]
        dead.saved(left, blocks[0], b"".join(blocks[1:4]), b"".join(blocks[4:7]))
        recovery.sweep(deps)
        given = json.loads(responses.get(deps, acme.principal, left))
        (item,) = given["output"]
        assert (item["status"], item["content"][0]["text"]) == ("incomplete", "Hello")
        assert given["status"] == "incomplete"
        with deps.database.connection() as connection:
            assert everywhere.journal(connection, left) == []

    @pytest.mark.parametrize(
        "broken",
        [
            b"data: {\n\n",
            b"\xff\n\n",
            b'data: {"type":"response.output_text.delta","delta":"x"}\n\n',
            sse.encode({"type": "response.output_text.delta", "delta": "x"})[:40],
        ],
    )
    def test_a_broken_journal_is_no_reason_to_leave_it_open(
        self, deps: Deps, acme: Asker, dead_pid: int, broken: bytes
    ) -> None:
        """The one thing that must work after a crash."""
        dead = Worker(deps, acme, pid=dead_pid)
        left, other = dead.begins(), dead.begins()
        dead.saved(left, b"".join(stream_of(response(message("Hello")))[2:5]), broken)
        assert recovery.sweep(deps) == 2
        assert (status(acme, left), status(acme, other)) == ("incomplete", "incomplete")

    def test_the_thread_goes_on_from_there(self, deps: Deps, acme: Asker, dead_pid: int) -> None:
        first = acme.ask("1?")
        left = Worker(deps, acme, pid=dead_pid).begins("2?", after=first["id"])
        recovery.sweep(deps)
        assert acme.ask("3?", after=left)["previous_response_id"] == left

    def test_so_does_one_that_is_sent_whole(self, deps: Deps, acme: Asker, dead_pid: int) -> None:
        first = acme.ask("1?")
        dead = Worker(deps, acme, pid=dead_pid)
        asked = items.of_object({"role": "user", "content": "2?"})
        left = dead.begins(asked, after=first["id"])
        dead.saved(left, b"".join(stream_of(response(message("Half")))[2:5]))
        recovery.sweep(deps)
        given = json.loads(responses.get(deps, acme.principal, left))
        history = [{"role": "user", "content": "1?"}, *first["output"], {"role": "user", "content": "2?"}]
        went_on = acme.ask([*history, *given["output"], {"role": "user", "content": "3?"}])
        assert acme.stored(went_on["id"]).parent_id == left

    def test_the_living_are_left_alone(self, deps: Deps, acme: Asker) -> None:
        alive = Worker(deps, acme)
        running = alive.begins()
        elsewhere = Worker(deps, acme, host="another machine", pid=1)
        theirs = elsewhere.begins()
        assert recovery.sweep(deps) == 0
        assert (status(acme, running), status(acme, theirs)) == ("in_progress", "in_progress")
        assert {alive.id, elsewhere.id, deps.process} <= known(deps)

    def test_another_machine_is_dead_when_it_has_been_silent(self, deps: Deps, acme: Asker, clock: FixedClock) -> None:
        silent, beating = (Worker(deps, acme, host="another machine", pid=1) for _ in range(2))
        left, running = silent.begins(), beating.begins()
        clock.advance(seconds=59)
        assert recovery.sweep(deps) == 0
        with deps.database.transaction() as connection:
            everywhere.beat(connection, beating.id, clock())
        clock.advance(seconds=2)
        assert recovery.sweep(deps) == 1
        assert (status(acme, left), status(acme, running)) == ("incomplete", "in_progress")

    def test_one_does_not_take_itself_for_dead(self, deps: Deps, acme: Asker, clock: FixedClock) -> None:
        clock.advance(hours=1)
        recovery.sweep(deps)
        assert deps.process in known(deps)

    def test_work_without_an_owner_is_closed(self, deps: Deps, acme: Asker) -> None:
        lost = Worker(deps, acme)
        left = lost.begins()
        with deps.database.transaction() as connection:
            connection.exec_driver_sql("DELETE FROM processes")
        recovery.enter(deps)
        assert recovery.sweep(deps) == 1
        assert status(acme, left) == "incomplete"

    def test_more_than_one_goes_at_a_time_but_not_all(
        self, deps: Deps, acme: Asker, dead_pid: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recovery, "BATCH", 2)
        dead = Worker(deps, acme, pid=dead_pid)
        left = [dead.begins() for _ in range(5)]
        assert recovery.sweep(deps) == 5
        assert {status(acme, each) for each in left} == {"incomplete"}

    def test_a_record_of_work_that_is_not_there_is_no_treadmill(
        self, deps: Deps, acme: Asker, dead_pid: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recovery, "BATCH", 2)
        dead = Worker(deps, acme, pid=dead_pid)
        for _ in range(3):
            dead.begins()
        with deps.database.transaction() as connection:
            connection.exec_driver_sql("DELETE FROM exchanges")
        assert recovery.sweep(deps) == 0

    def test_two_sweeps_close_it_once(self, deps: Deps, acme: Asker, dead_pid: int) -> None:
        dead = Worker(deps, acme, pid=dead_pid)
        left = dead.begins()
        other = replace(deps, process=recovery.new_process())
        assert recovery.sweep(deps) + recovery.sweep(other) == 1
        assert status(acme, left) == "incomplete"

    def test_an_answer_that_came_in_time_is_not_touched(self, deps: Deps, acme: Asker, dead_pid: int) -> None:
        done = acme.ask("Hello?")
        Worker(deps, acme, pid=dead_pid).begins()
        recovery.sweep(deps)
        assert json.loads(responses.get(deps, acme.principal, done["id"])) == done


class TestLeave:
    def test_a_process_that_has_ended_its_work_is_forgotten(self, deps: Deps, acme: Asker) -> None:
        acme.ask()
        recovery.leave(deps)
        assert deps.process not in known(deps)

    def test_one_that_has_not_is_remembered(self, deps: Deps, acme: Asker) -> None:
        worker = Worker(deps, acme)
        worker.begins()
        recovery.leave(replace(deps, process=worker.id))
        assert worker.id in known(deps)


class TestLateAnswers:
    """Answers that could not be written when they came."""

    def test_they_are_written_when_they_can(self, deps: Deps) -> None:
        written: list[int] = []
        deps.late.waiting.extend(lambda n=n: written.append(n) for n in range(3))  # type: ignore[misc]
        recovery.leave(deps)
        assert written == [0, 1, 2]
        assert deps.late.waiting == []

    def test_and_wait_in_their_order_while_they_cannot(self, deps: Deps) -> None:
        written: list[int] = []
        busy: list[Any] = [True]

        def write(number: int) -> None:
            if number == 1 and busy:
                raise StorageUnavailable
            written.append(number)

        deps.late.waiting.extend(lambda n=n: write(n) for n in range(3))  # type: ignore[misc]
        recovery.leave(deps)
        assert (written, len(deps.late.waiting)) == ([0], 2)
        busy.clear()
        recovery.leave(deps)
        assert (written, deps.late.waiting) == ([0, 1, 2], [])


class TestBeat:
    def test_one_that_was_taken_for_dead_enters_again(
        self, deps: Deps, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recovery, "BEAT_S", 0.01)
        with deps.database.transaction() as connection:
            everywhere.leave(connection, deps.process)
        stop = recovery.start_beating(deps)
        try:
            assert wait_until(lambda: deps.process in known(deps))
        finally:
            stop()

    def test_a_beat_in_progress_does_not_enter_one_that_leaves(
        self, deps: Deps, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        beginning, going_on = threading.Event(), threading.Event()

        beating: list[threading.Thread] = []

        def beat(*_: object) -> bool:
            beating.append(threading.current_thread())
            beginning.set()
            return not going_on.wait(5)

        monkeypatch.setattr(everywhere, "beat", beat)
        stop = recovery.start_beating(deps, 0.01)
        assert beginning.wait(5)
        # It finds no entry, and is on its way to writing one.
        threading.Timer(0.1, going_on.set).start()
        stop()
        recovery.leave(deps)
        beating[0].join(5)
        assert deps.process not in known(deps)


class TestNobody:
    def test_another_project_is_swept_as_well(self, deps: Deps, acme: Asker, globex: Asker, dead_pid: int) -> None:
        mine, theirs = Worker(deps, acme, pid=dead_pid), Worker(deps, globex, pid=dead_pid)
        left = [mine.begins(), theirs.begins()]
        assert recovery.sweep(deps) == 2
        assert [status(acme, left[0]), status(globex, left[1])] == ["incomplete", "incomplete"]
        assert asker(deps, "acme").statuses() == []
