"""A worker's own books: what it holds, what it lets go of, and what it finds astray. Its processes are tests/jobs."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest

from convstore.errors import StorageUnavailable
from convstore.services import jobs, worker
from convstore.services.deps import Deps
from convstore.services.kind import Kind
from convstore.services.running_job import RunningJob
from convstore.services.worker import Options, Worker
from convstore.storage import queue
from tests.conftest import FixedClock
from tests.storage.yard import Yard


class Crew:
    """A worker whose threads are not started: the tests do what they would."""

    def __init__(self, deps: Deps, yard: Yard) -> None:
        self.yard = yard
        self.fails: list[Exception] = []
        kinds = {"one": Kind(self._run), "few": Kind(self._run, most=1)}
        self.deps = replace(deps, kinds=kinds, process=yard.worker)
        self.worker = Worker(self.deps, Options(threads=2, keep=timedelta(days=1)))
        self.ran: list[RunningJob] = []

    def _run(self, _deps: Deps, job: RunningJob) -> None:
        self.ran.append(job)
        if self.fails:
            raise self.fails.pop(0)

    def take(self) -> RunningJob:
        found = self.worker._look()
        assert found is not None
        return found


@pytest.fixture
def crew(deps: Deps, clock: FixedClock) -> Crew:
    made = Crew(deps, Yard(deps.database, clock, "acme"))
    # Older tests' jobs.
    while (found := made.worker._look()) is not None:
        made.worker._work(found)
    made.ran.clear()
    return made


class TestWork:
    def test_a_job_from_the_queue_to_its_end(self, crew: Crew) -> None:
        own = crew.yard.put("one")
        crew.worker._work(crew.take())
        assert crew.yard.get(own).status == "completed"
        assert (len(crew.ran), crew.worker._all()) == (1, [])

    def test_a_kind_has_its_limit(self, crew: Crew) -> None:
        for _ in range(2):
            crew.yard.put("few")
        first = crew.take()
        assert crew.worker._look() is None
        crew.worker._work(first)
        assert crew.take().id != first.id

    def test_the_database_being_away_is_not_its_fault(self, crew: Crew) -> None:
        own = crew.yard.put("one")
        crew.fails = [StorageUnavailable() for _ in range(jobs.MOST_ATTEMPTS)]
        for number in range(1, jobs.MOST_ATTEMPTS):
            crew.worker._work(crew.take())
            assert (crew.yard.get(own).status, crew.yard.get(own).attempts) == ("queued", number)
        crew.worker._work(crew.take())
        job = crew.yard.get(own)
        assert job.status == "failed"
        assert job.error is not None
        assert job.error["code"] == "storage_unavailable"

    def test_what_ends_an_interpreter_ends_a_job(self, crew: Crew) -> None:
        own = crew.yard.put("one")
        crew.fails = [SystemExit(3)]  # type: ignore[list-item]
        crew.worker._work(crew.take())
        assert crew.yard.get(own).status == "failed"

    def test_an_end_waits_for_the_database(self, crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
        own = crew.yard.put("one")
        end, failures = queue.end, [StorageUnavailable(), StorageUnavailable()]

        def failing(*given: object) -> bool:
            if failures:
                raise failures.pop()
            return end(*given)  # type: ignore[arg-type]

        monkeypatch.setattr(queue, "end", failing)
        monkeypatch.setattr(worker, "AGAIN_S", 0.001)
        crew.worker._work(crew.take())
        assert (crew.yard.get(own).status, len(crew.ran)) == ("completed", 1)


class TestLookAfter:
    def test_a_request_to_stop_is_passed_on(self, crew: Crew) -> None:
        own = crew.yard.put("one")
        crew.yard.put("one")
        job, other = crew.take(), crew.take()
        jobs.cancel(crew.deps, crew.yard.project, own)
        crew.worker._look_after()
        assert (job.is_cancelled(), other.is_cancelled()) == (True, False)

    def test_what_was_taken_over_is_let_go(self, crew: Crew) -> None:
        crew.yard.put("one")
        job = crew.take()
        crew.yard.give_back(job.held)
        crew.yard.take("one", worker=crew.yard.enter())
        crew.worker._look_after()
        assert job.is_lost

    def test_what_came_back_to_it_is_another_run(self, crew: Crew) -> None:
        own = crew.yard.put("one")
        first = crew.take()
        assert crew.worker._hand_back(first) == "handed back"
        second = crew.take()
        assert (first.id, second.id) == (own, own)
        crew.worker._look_after()
        assert (first.is_lost, second.is_lost) == (True, False)
        # The thread of the first one comes to its end, and leaves the other one alone.
        crew.worker._work(first)
        assert crew.worker._all() == [second]
        assert crew.yard.get(own).status == "running"

    def test_what_it_was_given_without_knowing_goes_back(self, crew: Crew) -> None:
        """The connection broke when the job was taken: on one side it was."""
        own = crew.yard.put("one")
        crew.yard.take("one")
        crew.worker._look_after()
        job = crew.yard.get(own)
        assert (job.status, job.attempts) == ("queued", 1)
        known = crew.take()
        crew.worker._look_after()
        assert (known.is_lost, crew.yard.get(own).status) == (False, "running")

    def test_cut_off_for_long_it_lets_go_of_everything(self, crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
        """Others will take it for dead: what it goes on doing would be done twice."""
        crew.yard.put("one")
        job = crew.take()

        def away() -> None:
            raise StorageUnavailable

        monkeypatch.setattr(crew.worker, "_look_after", away)
        crew.worker._watch_once()
        assert not job.is_lost
        monkeypatch.setattr(crew.worker, "_seen_at", time.monotonic() - worker.CUT_OFF_S - 1)
        crew.worker._watch_once()
        assert job.is_lost


class TestTidy:
    def test_what_ended_long_ago_is_forgotten(self, crew: Crew, clock: FixedClock) -> None:
        old = crew.yard.put("one")
        crew.worker._work(crew.take())
        clock.advance(days=2)
        recent = crew.yard.put("one")
        crew.worker._work(crew.take())
        crew.worker._tidy()
        with crew.deps.database.connection() as connection:
            assert queue.find(connection, old) is None
            assert queue.find(connection, recent) is not None
