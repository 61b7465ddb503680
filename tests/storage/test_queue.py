"""The queue: a job is one worker's at a time, and only its worker writes about it."""

import os
import threading
from datetime import timedelta

import pytest

from convstore.domain.job import Progress
from convstore.storage import everywhere, jobs, queue
from convstore.storage.database import Database, Options
from convstore.storage.queue import Held
from tests.conftest import FixedClock
from tests.storage.yard import Yard


@pytest.fixture
def kind() -> str:
    """A kind of this test's own: no other test's jobs are in its way."""
    return f"kind-{os.urandom(4).hex()}"


@pytest.fixture
def acme(database: Database, clock: FixedClock) -> Yard:
    return Yard(database, clock, "acme")


@pytest.fixture
def globex(database: Database, clock: FixedClock) -> Yard:
    return Yard(database, clock, "globex")


class TestTake:
    def test_the_oldest_one_of_these_kinds(self, acme: Yard, globex: Yard, kind: str) -> None:
        first, second = globex.put(kind, "resp_1", a=1), acme.put(kind)
        acme.put(f"{kind}-not")
        held = acme.take("nothing", kind)
        assert (held.id, held.project_id, held.kind, held.subject) == (first, globex.project, kind, "resp_1")
        assert (held.arguments, held.attempts, held.worker, held.runs) == ({"a": 1}, 1, acme.worker, 1)
        assert acme.take(kind).id == second
        assert acme.look(kind) is None

    def test_it_says_so(self, acme: Yard, kind: str) -> None:
        own = acme.put(kind)
        acme.take(kind)
        job = acme.get(own)
        assert (job.status, job.attempts, job.worker) == ("running", 1, acme.worker)
        assert job.started_at is not None

    def test_many_at_once_take_each_once(self, acme: Yard, kind: str, database_url: str) -> None:
        wanted = {acme.put(kind) for _ in range(40)}
        taken: list[str] = []
        databases = [Database(Options(database_url)) for _ in range(4)]

        def work(database: Database) -> None:
            while (held := queue.take(database, acme.worker, (kind,), acme.clock())) is not None:
                taken.append(held.id)

        threads = [threading.Thread(target=work, args=(database,)) for database in databases]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        for database in databases:
            database.close()
        # PostgreSQL skips what somebody else is just taking: one may go home while there is still one left.
        while (held := acme.look(kind)) is not None:
            taken.append(held.id)
        assert len(taken) == len(set(taken)) == 40
        assert set(taken) == wanted

    def test_a_worker_that_others_take_for_dead_gets_nothing(self, acme: Yard, kind: str) -> None:
        own = acme.put(kind)
        assert acme.look(kind, worker=b"o" * 16) is None
        assert acme.get(own).status == "queued"


class TestHeld:
    """What is written about a job is written by its worker, in its run."""

    @pytest.fixture
    def lost(self, acme: Yard, kind: str) -> Held:
        """A job that was taken over by another one."""
        acme.put(kind)
        held = acme.take(kind)
        assert acme.give_back(held)
        again = acme.take(kind, worker=acme.enter())
        assert (again.id, again.attempts, again.runs) == (held.id, 2, 2)
        return held

    def test_nobody_else_notes_ends_or_gives_back(self, acme: Yard, lost: Held) -> None:
        with acme.database.transaction() as connection:
            assert not queue.is_held(connection, lost)
            assert not queue.note(connection, lost, Progress(1))
            assert not queue.give_back(connection, lost, counts=True)
        assert not acme.end(lost)
        job = acme.get(lost.id)
        assert (job.status, job.attempts, job.progress) == ("running", 2, Progress())
        assert job.worker != acme.worker

    @pytest.mark.parametrize("counts", [True, False])
    def test_nor_the_same_one_about_an_earlier_run(self, acme: Yard, kind: str, counts: bool) -> None:
        acme.put(kind)
        first = acme.take(kind)
        acme.give_back(first, counts=counts)
        second = acme.take(kind)
        assert not acme.end(first)
        assert acme.end(second)

    def test_a_hand_back_does_not_count(self, acme: Yard, kind: str) -> None:
        own = acme.put(kind)
        acme.give_back(acme.take(kind), counts=False)
        assert (acme.get(own).attempts, acme.get(own).worker) == (0, None)
        again = acme.take(kind)
        assert (again.attempts, again.runs) == (1, 2)

    def test_an_end_is_written_with_what_belongs_to_it(self, acme: Yard, kind: str) -> None:
        own = acme.put(kind)
        held = acme.take(kind)
        with acme.database.transaction() as connection:
            assert queue.note(connection, held, Progress(1, 3, "one"))
        acme.step(held, "one")
        assert acme.get(own).progress == Progress(1, 3, "one")
        assert acme.end(held, progress=Progress(3, 3))
        job = acme.get(own)
        assert (job.status, job.progress, job.worker) == ("completed", Progress(3, 3), acme.worker)
        assert acme.steps(own) == {}


class TestLeft:
    def test_it_is_what_a_worker_had_begun(self, acme: Yard, globex: Yard, kind: str) -> None:
        for each in (acme, globex):
            each.put(kind)
        held = {acme.take(kind).id for _ in range(2)}
        done = acme.put(kind)
        acme.end(acme.take(kind))
        acme.put(kind)
        with acme.database.connection() as connection:
            assert {job.id for job in queue.left_by(connection, [acme.worker])} == held
            assert queue.left_by(connection, [globex.worker]) == []
        assert done not in held

    def test_a_worker_that_is_not_known_is_found(self, acme: Yard, kind: str) -> None:
        acme.put(kind)
        acme.take(kind)
        with acme.database.connection() as connection:
            assert acme.worker not in queue.ownerless(connection)
        with acme.database.transaction() as connection:
            # While it has something to do its entry stays.
            everywhere.leave(connection, acme.worker)
            assert acme.worker in {process.id for process in everywhere.processes(connection)}
            connection.exec_driver_sql("DELETE FROM processes")
            assert acme.worker in queue.ownerless(connection)


class TestDepths:
    def test_they_are_over_all_projects_by_kind(self, acme: Yard, globex: Yard, kind: str) -> None:
        globex.put(kind)
        acme.take(kind)
        oldest = acme.get(acme.put(kind)).created_at
        globex.put(kind)
        acme.put(f"{kind}x")
        acme.end(acme.take(f"{kind}x"), "failed")
        with acme.database.connection() as connection:
            found = {depth.kind: depth for depth in queue.depths(connection)}
        assert (found[kind].queued, found[kind].running, found[kind].failed) == (2, 1, 0)
        assert found[kind].oldest_at == oldest
        other = found[f"{kind}x"]
        assert (other.queued, other.running, other.failed, other.oldest_at) == (0, 0, 1, None)


class TestFind:
    def test_whoevers_it_is(self, acme: Yard, globex: Yard, kind: str) -> None:
        own = globex.put(kind)
        with acme.database.connection() as connection:
            found = queue.find(connection, own)
            assert found is not None
            assert (found[0], found[1].id) == (globex.name, own)
            assert queue.find(connection, own, acme.name) is None

    def test_the_newest_first(self, acme: Yard, globex: Yard, kind: str) -> None:
        made = [each.put(kind) for each in (acme, globex, acme)]
        with acme.database.connection() as connection:
            found = queue.newest(connection, 2, kind=kind)
            assert [job.id for _, job in found] == made[:0:-1]
            assert [job.id for _, job in queue.newest(connection, 9, globex.name, "queued", kind)] == [made[1]]


class TestForget:
    def test_what_ended_long_ago(self, acme: Yard, kind: str, clock: FixedClock) -> None:
        old, running, failed = (acme.put(kind) for _ in range(3))
        for status in ("completed", "running", "failed"):
            held = acme.take(kind)
            acme.step(held, "one", 1)
            if status != "running":
                acme.end(held, status)
        clock.advance(days=1)
        recent = acme.put(kind)
        acme.end(acme.take(kind))
        with acme.database.transaction() as connection:
            assert queue.forget(connection, clock() - timedelta(hours=1), 100) >= 2
        assert (acme.steps(failed), acme.steps(running)) == ({}, {"one": 1})
        with acme.database.reading(acme.project) as scope:
            assert {job.id for job in jobs.listed(scope, 9, newest_first=True)} == {running, recent}
        assert old not in (running, recent)
