"""Jobs as their project sees them. The other project's, and older tests', are the noise."""

import os
from typing import Any

import pytest

from convstore import ids
from convstore.domain.job import NewJob
from convstore.storage import direct, jobs, queue, statements
from convstore.storage.database import Database
from convstore.storage.queue import End
from tests.conftest import FixedClock
from tests.storage.keeper import Plans
from tests.storage.yard import Yard, crowd


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


class TestAdd:
    def test_it_is_there_as_it_was_given(self, acme: Yard, kind: str) -> None:
        job = acme.get(acme.put(kind, "resp_1", model="m", limits=[1, None], text="naïve \x00 \u2028"))
        assert (job.kind, job.subject, job.status, job.attempts) == (kind, "resp_1", "queued", 0)
        assert job.arguments == {"model": "m", "limits": [1, None], "text": "naïve \x00 \u2028"}
        assert (job.started_at, job.finished_at, job.error, job.worker) == (None, None, None, None)

    def test_it_goes_with_its_transaction(self, acme: Yard, kind: str) -> None:
        job = NewJob(ids.new(ids.JOB), kind, acme.clock())
        with pytest.raises(ZeroDivisionError), acme.database.writing(acme.project) as scope:
            jobs.add(scope, job)
            _ = 1 / 0
        with acme.database.reading(acme.project) as scope:
            assert jobs.get(scope, job.id) is None

    def test_it_can_be_one_write_of_a_batch(self, acme: Yard, kind: str) -> None:
        """With what it is about, in the one statement that PostgreSQL gets for a turn."""
        job = NewJob(ids.new(ids.JOB), kind, acme.clock(), "resp_1", {"a": 1})
        other = statements.Insert(
            jobs.tables.conversations,
            ("project_id", "id", "created_at"),
            [(ids.pack("proj", acme.project), ids.pack("conv", ids.new("conv")), 1)],
        )
        with direct.writing(acme.database) as cursor:
            assert statements.execute(cursor, [other, jobs.insertion(acme.project, job)])
        found = acme.get(job.id)
        assert (found.subject, found.arguments, found.created_at) == ("resp_1", {"a": 1}, job.created_at)
        assert acme.take(kind).id == job.id


class TestGet:
    def test_another_projects_is_not_found(self, acme: Yard, globex: Yard, kind: str) -> None:
        own = acme.put(kind)
        with globex.database.reading(globex.project) as scope:
            assert jobs.get(scope, own) is None
            assert jobs.get(scope, "job_nonsense") is None

    def test_the_unfinished_one_about_something_is(self, acme: Yard, globex: Yard, kind: str) -> None:
        globex.put(kind, "resp_1")
        acme.put(kind, "resp_2")
        for _ in range(2):
            acme.put(f"{kind}-x", "resp_1")
            held = acme.take(f"{kind}-x")
        with acme.database.reading(acme.project) as scope:
            found = jobs.unfinished(scope, "resp_1")
            assert found is not None
            assert (found.id, found.status) == (held.id, "running")
            assert jobs.unfinished(scope, "resp_3") is None
        acme.end(held)
        with acme.database.reading(acme.project) as scope:
            other = jobs.unfinished(scope, "resp_1")
            assert other is not None
            assert other.id < held.id


class TestListed:
    @pytest.fixture
    def made(self, acme: Yard, globex: Yard, kind: str) -> list[str]:
        found = []
        for _ in range(5):
            found.append(acme.put(kind))
            globex.put(kind)
        return found

    @pytest.mark.parametrize(
        ("asked", "numbers"),
        [
            ({"newest_first": True}, [4, 3, 2]),
            ({"newest_first": False}, [0, 1, 2]),
            ({"newest_first": True, "after": 3}, [2, 1, 0]),
            ({"newest_first": False, "after": 2}, [3, 4]),
            ({"newest_first": True, "before": 1}, [4, 3, 2]),
            ({"newest_first": True, "before": 0}, [3, 2, 1]),
            ({"newest_first": False, "before": 4}, [1, 2, 3]),
            ({"newest_first": False, "after": 0, "before": 4}, [1, 2, 3]),
            ({"newest_first": True, "after": 4, "before": 2}, [3]),
        ],
    )
    def test_pages(self, acme: Yard, made: list[str], asked: dict[str, Any], numbers: list[int]) -> None:
        given = {name: made[value] if name in ("after", "before") else value for name, value in asked.items()}
        with acme.database.reading(acme.project) as scope:
            assert [job.id for job in jobs.listed(scope, 3, **given)] == [made[number] for number in numbers]

    def test_of_a_status_and_of_a_kind(self, acme: Yard, globex: Yard, made: list[str], kind: str) -> None:
        other = acme.put("another")
        while (held := acme.take(kind)).project_id != acme.project:
            acme.end(held)
        acme.end(held, "failed")
        with acme.database.reading(acme.project) as scope:
            assert [job.id for job in jobs.listed(scope, 9, newest_first=True, kind="another")] == [other]
            assert [job.id for job in jobs.listed(scope, 9, newest_first=True, status="failed")] == [held.id]
            assert len(jobs.listed(scope, 9, newest_first=True, status="queued", kind=kind)) == 4


class TestRequestCancel:
    def test_one_that_waits_is_the_callers_to_end(self, acme: Yard, kind: str) -> None:
        own = acme.put(kind)
        with acme.database.writing(acme.project) as scope:
            asked = jobs.request_cancel(scope, own, b"p" * 16, acme.clock())
        assert asked is not None
        assert (asked[0].status, asked[0].worker, asked[1]) == ("running", b"p" * 16, True)
        assert acme.look(kind) is None

    def test_one_that_runs_is_asked_once(self, acme: Yard, kind: str) -> None:
        own = acme.put(kind)
        acme.take(kind)
        with acme.database.writing(acme.project) as scope:
            first = jobs.request_cancel(scope, own, b"p" * 16, acme.clock())
            second = jobs.request_cancel(scope, own, b"p" * 16, acme.clock())
        assert first is not None and second is not None
        assert (first[0].worker, first[1], second[1]) == (acme.worker, False, False)
        assert first[0].cancel_requested_at == second[0].cancel_requested_at is not None

    def test_one_that_ended_or_is_anothers_is_not(self, acme: Yard, globex: Yard, kind: str) -> None:
        own = acme.put(kind)
        acme.end(acme.take(kind))
        theirs = globex.put(kind)
        with acme.database.writing(acme.project) as scope:
            assert jobs.request_cancel(scope, own, acme.worker, acme.clock()) is None
            assert jobs.request_cancel(scope, theirs, acme.worker, acme.clock()) is None
        assert globex.get(theirs).status == "queued"


class TestRequeue:
    def test_a_failed_one_is_as_new_but_for_what_it_remembers(self, acme: Yard, kind: str) -> None:
        own = acme.put(kind)
        held = acme.take(kind)
        acme.step(held, "one", [1])
        acme.end(held, "failed", error={"code": "x", "message": "y"})
        assert acme.get(own).error == {"code": "x", "message": "y"}
        with acme.database.writing(acme.project) as scope:
            job = jobs.requeue(scope, own)
        assert job is not None
        assert (job.status, job.attempts, job.error, job.finished_at, job.worker) == ("queued", 0, None, None, None)
        again = acme.take(kind)
        assert (again.id, again.attempts, again.runs) == (own, 1, 2)
        assert acme.steps(own) == {"one": [1]}

    @pytest.mark.parametrize("status", ["queued", "running", "completed"])
    def test_others_are_not(self, acme: Yard, kind: str, status: str) -> None:
        own = acme.put(kind)
        if status != "queued":
            held = acme.take(kind)
            if status == "completed":
                acme.end(held)
        with acme.database.writing(acme.project) as scope:
            assert jobs.requeue(scope, own) is None
        assert acme.get(own).status == status


class TestPlans:
    def test_nothing_is_read_from_end_to_end(self, acme: Yard, globex: Yard, kind: str) -> None:
        """With a history of jobs, most of them done, of many projects."""
        crowd(acme, globex)
        own = acme.put(kind, "resp_1")
        acme.put(kind, "resp_1")
        with Plans(acme.database) as plans:
            with acme.database.reading(acme.project) as scope:
                jobs.get(scope, own)
                jobs.unfinished(scope, "resp_1")
            held = acme.take(kind)
            with acme.database.transaction() as connection:
                queue.left_by(connection, [acme.worker])
                queue.is_held(connection, held)
                queue.end(connection, held, End("completed", acme.clock()))
                queue.depths(connection)
        # Counting goes over all that are queued, running or failed, and nothing else.
        small = ("ix_jobs_queued", "ix_jobs_running", "ix_jobs_failed")
        assert [
            step for step in plans.walked("jobs") if not step.startswith("SCAN jobs") or not step.endswith(small)
        ] == []
