"""A job from the inside: steps that are done once, flags that are seen, and nothing written once it is another's."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import insert

from convstore import ids
from convstore.domain.job import Progress
from convstore.errors import StorageUnavailable
from convstore.services import running_job
from convstore.services.deps import Deps
from convstore.services.running_job import Cancelled, HandedBack, Lost, RunningJob
from convstore.storage import queue, tables
from convstore.storage.scope import Scope
from tests.conftest import FixedClock
from tests.services.conftest import Asker
from tests.storage.yard import Yard

KIND = "count"


@pytest.fixture
def yard(deps: Deps, clock: FixedClock) -> Yard:
    return Yard(deps.database, clock, "acme")


@pytest.fixture
def job(yard: Yard) -> Iterator[RunningJob]:
    """A job that has just been begun."""
    yard.put(KIND, "conv_1", size=3)
    yield RunningJob(yard.database, yard.take(KIND))


def resumed(yard: Yard, job: RunningJob) -> RunningJob:
    """The same job, begun again by another worker."""
    assert yard.give_back(job.held)
    return RunningJob(yard.database, yard.take(KIND, worker=yard.enter()))


class TestWhatItKnows:
    def test_what_it_is_about(self, yard: Yard, job: RunningJob) -> None:
        assert (job.kind, job.subject, job.arguments, job.project_id) == (KIND, "conv_1", {"size": 3}, yard.project)
        assert (job.attempts, job.is_resumed) == (1, False)

    def test_whether_it_was_begun_before(self, yard: Yard, job: RunningJob) -> None:
        again = resumed(yard, job)
        assert (again.id, again.attempts, again.is_resumed) == (job.id, 2, True)


class TestStep:
    def test_it_is_done_and_its_result_returned(self, yard: Yard, job: RunningJob) -> None:
        assert job.step("one", lambda: {"a": [1, None]}) == {"a": [1, None]}
        assert yard.steps(job.id) == {"one": {"a": [1, None]}}

    def test_it_is_not_done_again_in_the_same_run(self, job: RunningJob) -> None:
        assert [job.step("one", lambda number=number: number) for number in range(3)] == [0, 0, 0]

    def test_nor_in_another(self, yard: Yard, job: RunningJob) -> None:
        job.step("one", lambda: "first")
        again = resumed(yard, job)
        assert again.step("one", lambda: pytest.fail("again")) == "first"
        assert again.step("two", lambda: 2) == 2

    def test_one_that_failed_is_not_remembered(self, job: RunningJob) -> None:
        with pytest.raises(ZeroDivisionError):
            job.step("one", lambda: 1 / 0)
        assert job.step("one", lambda: 1.0) == 1.0

    def test_a_result_waits_for_the_database(
        self, yard: Yard, job: RunningJob, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The call is made: it must not be made again only because the note of it could not be written."""
        failures = [StorageUnavailable(), StorageUnavailable()]
        add = queue.add_step

        def failing(*given: object) -> None:
            if failures:
                raise failures.pop()
            add(*given)  # type: ignore[arg-type]

        monkeypatch.setattr(running_job, "AGAIN_S", 0.001)
        monkeypatch.setattr(queue, "add_step", failing)
        calls: list[int] = []
        assert job.step("one", lambda: calls.append(1)) is None
        assert (calls, yard.steps(job.id)) == ([1], {"one": None})

    def test_and_may_have_been_written_when_that_seemed_to_fail(
        self, yard: Yard, job: RunningJob, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The connection broke at the end of the transaction: after it."""
        held, breaks = job._held, [True]

        @contextmanager
        def breaking() -> Iterator[Scope]:
            with held() as scope:
                yield scope
            if breaks.pop():
                breaks.append(False)
                raise StorageUnavailable

        monkeypatch.setattr(running_job, "AGAIN_S", 0.001)
        monkeypatch.setattr(job, "_held", breaking)
        assert job.step("one", lambda: 1) == 1
        assert (yard.steps(job.id), breaks) == ({"one": 1}, [])


class TestStepInTransaction:
    def test_it_is_kept_with_the_note_of_it(self, yard: Yard, job: RunningJob) -> None:
        def add(scope: Scope) -> str:
            made = ids.new(ids.CONVERSATION)
            values = {"project_id": scope.project_id, "id": made, "created_at": yard.clock()}
            scope.connection.execute(insert(tables.conversations).values(**values))
            return made

        made = job.step_in_transaction("add", add)
        again = resumed(yard, job)
        assert again.step_in_transaction("add", lambda scope: pytest.fail("again")) == made

    def test_or_not_at_all(self, yard: Yard, job: RunningJob) -> None:
        def fail(scope: Scope) -> None:
            values = {"project_id": scope.project_id, "id": ids.new(ids.CONVERSATION), "created_at": yard.clock()}
            scope.connection.execute(insert(tables.conversations).values(**values))
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            job.step_in_transaction("add", fail)
        mark = "?" if yard.database.is_sqlite else "%s"
        with yard.database.connection() as connection:
            found = connection.exec_driver_sql(
                f"SELECT count(*) FROM conversations WHERE project_id = {mark}", (ids.pack(ids.PROJECT, yard.project),)
            )
            assert found.scalar_one() == 0
        assert yard.steps(job.id) == {}


class TestProgress:
    def test_it_is_written_down(self, yard: Yard, job: RunningJob) -> None:
        job.progress(1, 3, "one of three")
        assert yard.get(job.id).progress == Progress(1, 3, "one of three")

    def test_but_not_at_every_row(self, yard: Yard, job: RunningJob) -> None:
        for number in range(1, 1000):
            job.progress(number, 1000)
        assert yard.get(job.id).progress.done < 999
        assert job.unsaid == Progress(999, 1000)


class TestFlags:
    def test_at_first_there_is_no_reason_to_stop(self, job: RunningJob) -> None:
        assert not job.is_cancelled()
        assert not job.is_stopping()
        job.checkpoint()

    def test_cancelled(self, job: RunningJob) -> None:
        job.cancel()
        assert job.is_cancelled()
        with pytest.raises(Cancelled):
            job.checkpoint()

    def test_the_worker_is_told_to_stop(self, job: RunningJob) -> None:
        job.stop()
        assert (job.is_stopping(), job.is_cancelled()) == (True, False)
        with pytest.raises(HandedBack):
            job.checkpoint()

    def test_lost(self, job: RunningJob) -> None:
        job.lose()
        assert job.is_cancelled()
        with pytest.raises(Lost):
            job.checkpoint()

    def test_a_wait_ends_when_it_is_cancelled(self, job: RunningJob) -> None:
        waiting = threading.Thread(target=job.wait, args=(100.0,))
        waiting.start()
        job.cancel()
        waiting.join(10)
        assert not waiting.is_alive()


class TestAnothers:
    """What a worker writes that was taken for dead, and was not."""

    @pytest.fixture
    def zombie(self, yard: Yard, job: RunningJob) -> RunningJob:
        resumed(yard, job)
        return job

    def test_no_progress(self, yard: Yard, zombie: RunningJob) -> None:
        with pytest.raises(Lost):
            zombie.progress(99)
        assert yard.get(zombie.id).progress == Progress()
        assert zombie.is_lost

    def test_no_step(self, yard: Yard, zombie: RunningJob) -> None:
        with pytest.raises(Lost):
            zombie.step("one", lambda: 1)
        assert yard.steps(zombie.id) == {}

    def test_no_transaction(self, yard: Yard, zombie: RunningJob) -> None:
        with pytest.raises(Lost):
            zombie.step_in_transaction("one", lambda scope: pytest.fail("it is another's"))
        with pytest.raises(Lost):
            zombie.step("two", lambda: pytest.fail("known by now"))
        assert yard.steps(zombie.id) == {}


def test_the_noise_is_left_alone(yard: Yard, job: RunningJob, globex: Asker) -> None:
    """Another project's job of the same kind, and its steps."""
    other = Yard(yard.database, yard.clock, "globex")
    other.put(KIND)
    held = other.take(KIND)
    other.step(held, "one", "theirs")
    assert job.step("one", lambda: "ours") == "ours"
    yard.end(job.held)
    assert other.steps(held.id) == {"one": "theirs"}
