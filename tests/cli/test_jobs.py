"""`convstore jobs`: what operators see of everybody's work, and do about it."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result

from convstore import bootstrap
from convstore.cli import cli
from convstore.config import Settings
from convstore.errors import InvalidRequest
from convstore.services import jobs
from convstore.services.deps import Deps
from convstore.services.jobs import JobNotFound
from convstore.storage import everywhere, queue

Run = Callable[..., Result]


@pytest.fixture
def deps(database_url: str) -> Iterator[Deps]:
    with bootstrap.working(Settings(database_url=database_url)) as made:
        yield made


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """A command that works. It sets up the logs of its process, which is this one."""
    monkeypatch.setenv("CONVSTORE_DATABASE_URL", database_url)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["jobs", *arguments], catch_exceptions=False)

    yield invoke
    structlog.reset_defaults()


def put(deps: Deps, project: str, kind: str = "gardening", **arguments: Any) -> str:
    """A job of a project."""
    with deps.database.transaction() as connection:
        project_id = everywhere.project_id(connection, project, deps.clock())
    with deps.database.writing(project_id) as scope:
        return jobs.enqueue(deps, scope, kind, subject="conv_1", arguments=arguments)


class TestList:
    def test_the_newest_jobs_of_all_projects(self, deps: Deps, run: Run) -> None:
        made = [put(deps, project) for project in ("acme", "globex", "acme")]
        listed = json.loads(run("list", "--json").stdout)
        assert [(job["id"], job["project"]) for job in listed] == [
            (made[2], "acme"),
            (made[1], "globex"),
            (made[0], "acme"),
        ]
        assert [job["id"] for job in json.loads(run("list", "--json", "--limit", "1").stdout)] == made[2:]

    def test_or_those_that_are_asked_for(self, deps: Deps, run: Run) -> None:
        own, theirs, other = put(deps, "acme"), put(deps, "globex"), put(deps, "acme", "import")
        jobs.cancel(deps, jobs.find(deps, other)[1].project_id, other)

        def found(*options: str) -> list[str]:
            return [job["id"] for job in json.loads(run("list", "--json", *options).stdout)]

        assert found("--project", "globex") == [theirs]
        assert found("--kind", "import") == [other]
        assert found("--status", "queued", "--project", "acme") == [own]
        assert found("--project", "nobody") == []

    def test_as_a_table(self, deps: Deps, run: Run) -> None:
        own = put(deps, "acme [red]")
        shown = run("list").stdout
        assert own in shown
        assert "acme [red]" in shown
        assert "queued" in shown


class TestShow:
    def test_everything(self, deps: Deps, run: Run) -> None:
        own = put(deps, "acme", limit=3)
        job = json.loads(run("show", own, "--json").stdout)
        assert (job["id"], job["project"], job["arguments"], job["worker"]) == (own, "acme", {"limit": 3}, None)
        assert job["created_at"].endswith("+00:00")
        assert '{"limit":3}' in run("show", own).stdout

    def test_of_another_project_there_is_none(self, deps: Deps, run: Run) -> None:
        own = put(deps, "acme")
        put(deps, "globex")
        with pytest.raises(JobNotFound):
            run("show", own, "--project", "globex")
        with pytest.raises(JobNotFound):
            run("show", "job_1")


class TestCancel:
    def test_one_that_waits(self, deps: Deps, run: Run) -> None:
        own = put(deps, "acme")
        cancelled = run("cancel", own)
        assert cancelled.stdout == f"{own} is cancelled.\n"
        # This version does not know the kind, and says so where it does not disturb.
        assert "unknown kind" in cancelled.stderr
        assert jobs.find(deps, own)[1].status == "cancelled"

    def test_one_that_runs(self, deps: Deps, run: Run) -> None:
        own = put(deps, "acme")
        begin(deps)
        assert run("cancel", own, "--project", "acme").stdout == f"{own} is asked to stop.\n"
        assert json.loads(run("cancel", own, "--json").stdout)["cancel_requested_at"] is not None


class TestRetry:
    def test_one_that_failed(self, deps: Deps, run: Run) -> None:
        own = put(deps, "acme")
        jobs.finish(deps, begin(deps), "failed", {"code": "x", "message": "y"})
        assert run("retry", own).stdout == f"{own} is queued.\n"
        with pytest.raises(InvalidRequest, match="this one is queued"):
            run("retry", own)


def begin(deps: Deps) -> queue.Held:
    """The next job, begun by a process that is known."""
    from convstore.services import recovery

    recovery.enter(deps)
    held = queue.take(deps.database, deps.process, ("gardening",), deps.clock())
    assert held is not None
    return held
