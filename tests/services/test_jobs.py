"""Jobs: asked for, cancelled, tried again, and taken over from the dead."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from convstore.domain.job import Job
from convstore.errors import InvalidRequest, StorageUnavailable
from convstore.services import jobs, recovery
from convstore.services.deps import Deps
from convstore.services.jobs import MOST_ATTEMPTS, JobNotFound, Wanted
from convstore.services.kind import Kind
from convstore.services.paging import Page
from convstore.storage import queue
from convstore.storage.queue import Held
from tests.conftest import FixedClock
from tests.services.conftest import Asker, asker
from tests.services.test_recovery import Worker as Process
from tests.services.test_recovery import dead_pid  # noqa: F401  # a fixture

KIND = "export"


class House:
    """A service that knows one kind of job, and what was settled."""

    def __init__(self, deps: Deps) -> None:
        self.settled: list[tuple[str, str]] = []
        self.breaks: Exception | None = None
        kind = Kind(lambda deps, job: None, settle=self._settle)
        self.deps = replace(deps, kinds={KIND: kind})

    def _settle(self, _deps: Deps, job: Job) -> None:
        self.settled.append((job.id, job.status))
        if self.breaks:
            raise self.breaks

    def put(self, who: Asker, kind: str = KIND, **arguments: Any) -> str:
        with self.deps.database.writing(who.principal.project_id) as scope:
            return jobs.enqueue(self.deps, scope, kind, subject="conv_1", arguments=arguments)

    def take(self, worker: bytes | None = None, kind: str = KIND) -> Held:
        """The next job, begun by this process or by another one."""
        held = queue.take(self.deps.database, worker or self.deps.process, (kind,), self.deps.clock())
        assert held is not None
        return held

    def get(self, who: Asker, job_id: str) -> Job:
        return jobs.get(self.deps, who.principal.project_id, job_id)


@pytest.fixture
def house(deps: Deps) -> Iterator[House]:
    made = House(deps)
    yield made
    # Other tests of this database are to find an empty queue.
    while (held := queue.take(deps.database, deps.process, (KIND,), deps.clock())) is not None:
        jobs.finish(made.deps, held, "completed")


class TestEnqueue:
    def test_it_is_queued_when_its_transaction_is_kept(self, house: House, acme: Asker) -> None:
        own = house.put(acme, limit=3)
        job = house.get(acme, own)
        assert (job.kind, job.subject, job.arguments, job.status) == (KIND, "conv_1", {"limit": 3}, "queued")

    def test_and_not_when_it_is_not(self, house: House, acme: Asker) -> None:
        with pytest.raises(ZeroDivisionError), house.deps.database.writing(acme.principal.project_id) as scope:
            own = jobs.enqueue(house.deps, scope, KIND)
            _ = 1 / 0
        with pytest.raises(JobNotFound):
            house.get(acme, own)


class TestGet:
    def test_another_projects_is_the_same_as_none(self, house: House, acme: Asker, globex: Asker) -> None:
        own = house.put(acme)
        with pytest.raises(JobNotFound) as theirs:
            house.get(globex, own)
        assert theirs.value.message == f"Job with id '{own}' not found."


class TestListed:
    def test_a_page_says_whether_there_are_more(self, house: House, acme: Asker, globex: Asker) -> None:
        made = [house.put(each) for each in (acme, globex, acme, acme)]
        own = [made[3], made[2], made[0]]
        listing = jobs.listed(house.deps, acme.principal.project_id, Page(limit=2), Wanted())
        assert ([job_id for job_id, _ in listing.items], listing.has_more) == (own[:2], True)
        rest = jobs.listed(house.deps, acme.principal.project_id, Page(limit=2, after=own[1]), Wanted())
        assert ([job_id for job_id, _ in rest.items], rest.has_more) == (own[2:], False)
        back = jobs.listed(house.deps, acme.principal.project_id, Page(limit=1, before=own[2]), Wanted())
        assert ([job_id for job_id, _ in back.items], back.has_more) == ([own[1]], True)
        assert json.loads(rest.items[0][1])["id"] == own[2]

    def test_a_cursor_of_another_project_is_none(self, house: House, acme: Asker, globex: Asker) -> None:
        for name in ("after", "before"):
            with pytest.raises(InvalidRequest) as refused:
                page = Page(**{name: house.put(globex)})  # type: ignore[arg-type]
                jobs.listed(house.deps, acme.principal.project_id, page, Wanted())
            assert refused.value.param == name


class TestCancel:
    def test_one_that_waits_has_stopped_and_is_settled(self, house: House, acme: Asker) -> None:
        own = house.put(acme)
        job = jobs.cancel(house.deps, acme.principal.project_id, own)
        assert (job.status, job.attempts, job.started_at) == ("cancelled", 0, None)
        assert job.finished_at is not None
        assert house.settled == [(own, "cancelled")]
        assert queue.take(house.deps.database, house.deps.process, (KIND,), house.deps.clock()) is None

    def test_a_second_time_is_no_error_and_nothing_new(self, house: House, acme: Asker) -> None:
        own = house.put(acme)
        first = jobs.cancel(house.deps, acme.principal.project_id, own)
        assert jobs.cancel(house.deps, acme.principal.project_id, own) == first
        assert len(house.settled) == 1

    def test_one_that_runs_is_asked(self, house: House, acme: Asker) -> None:
        own = house.put(acme)
        house.take()
        job = jobs.cancel(house.deps, acme.principal.project_id, own)
        assert (job.status, job.cancel_requested_at is not None, house.settled) == ("running", True, [])

    def test_one_that_was_asked_and_came_back_to_the_queue_too(self, house: House, acme: Asker) -> None:
        own = house.put(acme)
        held = house.take()
        jobs.cancel(house.deps, acme.principal.project_id, own)
        with house.deps.database.transaction() as connection:
            queue.give_back(connection, held, counts=False)
        assert jobs.cancel(house.deps, acme.principal.project_id, own).status == "cancelled"

    def test_one_that_ended_otherwise_cannot_be(self, house: House, acme: Asker) -> None:
        own = house.put(acme)
        jobs.finish(house.deps, house.take(), "completed")
        with pytest.raises(InvalidRequest, match="Cannot cancel a job that has completed"):
            jobs.cancel(house.deps, acme.principal.project_id, own)

    def test_another_projects_is_not_found_and_not_touched(self, house: House, acme: Asker, globex: Asker) -> None:
        own = house.put(acme)
        with pytest.raises(JobNotFound):
            jobs.cancel(house.deps, globex.principal.project_id, own)
        assert house.get(acme, own).status == "queued"

    def test_what_cannot_be_settled_is_cancelled_all_the_same(self, house: House, acme: Asker) -> None:
        own = house.put(acme)
        house.breaks = ValueError("a mistake of ours")
        assert jobs.cancel(house.deps, acme.principal.project_id, own).status == "cancelled"

    def test_one_whose_kind_is_not_known_here_can_be(self, house: House, acme: Asker) -> None:
        own = house.put(acme, kind="new in the next version")
        assert jobs.cancel(house.deps, acme.principal.project_id, own).status == "cancelled"

    def test_one_whose_canceller_died_is_cancelled_by_who_finds_it(
        self, house: House, acme: Asker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = house.put(acme)
        house.breaks = StorageUnavailable()
        stranger = replace(house.deps, process=os.urandom(16))
        with pytest.raises(StorageUnavailable):
            jobs.cancel(stranger, acme.principal.project_id, own)
        assert house.get(acme, own).status == "running"
        house.breaks = None
        recovery.sweep(house.deps)
        assert house.get(acme, own).status == "cancelled"


class TestRetry:
    def test_a_failed_one_is_queued_again(self, house: House, acme: Asker) -> None:
        own = house.put(acme)
        jobs.finish(house.deps, house.take(), "failed", {"code": "x", "message": "y"})
        assert house.settled == [(own, "failed")]
        job = jobs.retry(house.deps, acme.principal.project_id, own)
        assert (job.status, job.error, job.attempts, job.finished_at) == ("queued", None, 0, None)
        assert house.take().id == own

    def test_and_a_cancelled_one(self, house: House, acme: Asker) -> None:
        own = house.put(acme)
        jobs.cancel(house.deps, acme.principal.project_id, own)
        job = jobs.retry(house.deps, acme.principal.project_id, own)
        assert (job.status, job.cancel_requested_at) == ("queued", None)

    def test_others_are_not(self, house: House, acme: Asker, globex: Asker) -> None:
        own = house.put(acme)
        with pytest.raises(InvalidRequest, match="this one is queued"):
            jobs.retry(house.deps, acme.principal.project_id, own)
        with pytest.raises(JobNotFound):
            jobs.retry(house.deps, globex.principal.project_id, own)


class TestTakeOver:
    """By the sweep that also closes what dead processes were answering."""

    @pytest.fixture
    def dead(self, house: House, acme: Asker, dead_pid: int) -> bytes:  # noqa: F811
        """A worker that has died."""
        return Process(house.deps, acme, pid=dead_pid).id

    def test_what_a_dead_worker_had_begun_is_queued_again(self, house: House, acme: Asker, dead: bytes) -> None:
        own = house.put(acme)
        house.take(dead)
        recovery.sweep(house.deps)
        job = house.get(acme, own)
        assert (job.status, job.worker, job.attempts) == ("queued", None, 1)
        again = house.take()
        assert (again.id, again.attempts, again.runs) == (own, 2, 2)

    def test_two_sweeps_do_it_once(self, house: House, acme: Asker, dead: bytes) -> None:
        own = house.put(acme)
        held = house.take(dead)
        with house.deps.database.connection() as connection:
            (seen,) = queue.left_by(connection, [dead])
        recovery.sweep(house.deps)
        taken = house.take()
        # The other one saw it before, and comes late.
        jobs.put_back(house.deps, seen)
        assert (house.get(acme, own).worker, held.id) == (taken.worker, own)

    def test_the_living_keep_theirs(self, house: House, acme: Asker) -> None:
        own = house.put(acme)
        house.take(Process(house.deps, acme).id)
        recovery.sweep(house.deps)
        assert house.get(acme, own).status == "running"

    def test_silence_elsewhere_is_death(self, house: House, acme: Asker, clock: FixedClock) -> None:
        own = house.put(acme)
        house.take(Process(house.deps, acme, host="another machine", pid=1).id)
        clock.advance(seconds=59)
        recovery.sweep(house.deps)
        assert house.get(acme, own).status == "running"
        clock.advance(seconds=2)
        recovery.sweep(house.deps)
        assert house.get(acme, own).status == "queued"

    def test_one_that_was_asked_to_stop_is_cancelled(self, house: House, acme: Asker, dead: bytes) -> None:
        own = house.put(acme)
        house.take(dead)
        jobs.cancel(house.deps, acme.principal.project_id, own)
        recovery.sweep(house.deps)
        assert house.get(acme, own).status == "cancelled"
        assert house.settled == [(own, "cancelled")]

    def test_one_of_which_workers_die_is_not_tried_for_ever(
        self,
        house: House,
        acme: Asker,
        dead_pid: int,  # noqa: F811
    ) -> None:
        own = house.put(acme)
        for _ in range(MOST_ATTEMPTS):
            house.take(Process(house.deps, acme, pid=dead_pid).id)
            recovery.sweep(house.deps)
        job = house.get(acme, own)
        assert (job.status, job.error) == ("failed", jobs.WORKERS_DIED)
        assert house.settled == [(own, "failed")]

    def test_a_worker_that_is_no_longer_known_is_dead(self, house: House, acme: Asker) -> None:
        own = house.put(acme)
        lost = Process(house.deps, acme)
        house.take(lost.id)
        with house.deps.database.transaction() as connection:
            connection.exec_driver_sql("DELETE FROM processes")
        recovery.enter(house.deps)
        recovery.sweep(house.deps)
        assert house.get(acme, own).status == "queued"


class TestOperators:
    def test_they_see_all_projects_or_one(self, house: House, acme: Asker, globex: Asker) -> None:
        made = [house.put(each) for each in (acme, globex)]
        newest = jobs.newest(house.deps, 2, None, Wanted("queued", KIND))
        assert [(project, job.id) for project, job in newest] == [
            (globex.principal.project, made[1]),
            (acme.principal.project, made[0]),
        ]
        assert [job.id for _, job in jobs.newest(house.deps, 9, acme.principal.project, Wanted())] == made[:1]
        assert jobs.find(house.deps, made[1])[0] == globex.principal.project
        with pytest.raises(JobNotFound):
            jobs.find(house.deps, made[1], acme.principal.project)

    def test_they_see_how_much_there_is_to_do(self, house: House, acme: Asker, globex: Asker) -> None:
        first = house.get(acme, house.put(acme))
        house.put(globex)
        assert [(each.kind, each.queued, each.oldest_at) for each in jobs.depths(house.deps) if each.queued] == [
            (KIND, 2, first.created_at)
        ]
        assert asker(house.deps, "initech").statuses() == []
