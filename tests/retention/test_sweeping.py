"""Sweeps that workers ask for, and carry out as jobs."""

from datetime import timedelta

import pytest

from convstore.services import jobs, sweeping
from convstore.services.deps import Deps
from convstore.services.jobs import Wanted
from convstore.services.kinds import KINDS
from convstore.services.paging import Page
from convstore.services.running_job import Cancelled, RunningJob
from convstore.services.worker import Options, Worker
from convstore.storage import queue
from tests.conftest import Client
from tests.retention.test_rules import made
from tests.retention.test_runs import ERASED, KEPT, later, said

HOUR = timedelta(hours=1)


def waiting(deps: Deps, project: str) -> int:
    return len(jobs.listed(deps, project, Page(limit=100), Wanted(status="queued", kind=sweeping.JOB)).items)


def taken(deps: Deps, project: str) -> RunningJob:
    """The sweep of a project, begun. Those of older tests' projects are put aside."""
    while True:
        held = queue.take(deps.database, deps.process, [sweeping.JOB], deps.clock())
        assert held is not None
        if held.project_id == project:
            return RunningJob(deps.database, held)
        jobs.finish(deps, held, "completed")


@pytest.fixture
def own(alice: Client) -> str:
    return str(alice.ask("mine")["id"])


class TestAsking:
    def test_an_hour_after_the_last_change_of_a_rule(self, deps: Deps, alice: Client, acme: str) -> None:
        rule = made(alice)["id"]
        later(deps, minutes=59)
        sweeping.ask(deps, HOUR)
        assert waiting(deps, acme) == 0
        alice.post(f"/v1/retention/rules/{rule}", json={"priority": 3})
        later(deps, minutes=59)
        sweeping.ask(deps, HOUR)
        assert waiting(deps, acme) == 0
        later(deps, minutes=2)
        assert sweeping.ask(deps, HOUR) >= 1
        assert waiting(deps, acme) == 1

    def test_once_whoever_asks_and_however_long_it_takes(self, deps: Deps, alice: Client, acme: str) -> None:
        made(alice)
        for _ in range(3):
            later(deps, hours=2)
            for _ in range(2):
                sweeping.ask(deps, HOUR)
        assert waiting(deps, acme) == 1
        job = taken(deps, acme)
        later(deps, hours=2)
        sweeping.ask(deps, HOUR)
        assert waiting(deps, acme) == 0
        jobs.finish(deps, job.held, "completed")
        later(deps, minutes=61)
        sweeping.ask(deps, HOUR)
        assert waiting(deps, acme) == 1

    def test_not_where_there_are_no_rules(self, deps: Deps, alice: Client, acme: str) -> None:
        alice.delete(f"/v1/retention/rules/{made(alice)['id']}")
        later(deps, hours=2)
        sweeping.ask(deps, HOUR)
        assert waiting(deps, acme) == 0


class TestWork:
    def test_the_job_carries_out_the_rules(
        self, deps: Deps, alice: Client, carol: Client, acme: str, own: str, noise: list[str]
    ) -> None:
        made(alice, content_days=0)
        later(deps, hours=2)
        sweeping.ask(deps, HOUR)
        job = taken(deps, acme)
        KINDS[sweeping.JOB].run(deps, job)
        assert said(alice, own) == ERASED
        assert said(carol, noise[2]) == KEPT
        (entry,) = alice.get("/v1/audit?action=retention.run").json["data"]
        assert (entry["actor"], entry["object_id"]) == ("service", job.id)

    def test_it_stops_when_it_is_told_to(self, deps: Deps, alice: Client, acme: str, own: str) -> None:
        made(alice, content_days=0)
        later(deps, hours=2)
        sweeping.ask(deps, HOUR)
        job = taken(deps, acme)
        job.cancel()
        with pytest.raises(Cancelled):
            KINDS[sweeping.JOB].run(deps, job)

    def test_a_worker_asks_for_it(self, deps: Deps, alice: Client, acme: str) -> None:
        made(alice)
        later(deps, hours=2)
        for sweep, asked in ((None, 0), (HOUR, 1)):
            worker = Worker(deps, Options(sweep=sweep))
            worker._asked_at = float("-inf")
            worker._watch_once()
            assert waiting(deps, acme) == asked
