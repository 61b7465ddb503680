"""The jobs' doors: what a project sees of its work, and what it can do about it."""

import pytest

from convstore.services import jobs
from convstore.storage import queue
from tests.api.conftest import Stage
from tests.api.test_auth import a_job
from tests.conftest import ENGINES, Client

pytestmark = pytest.mark.parametrize("stage", ENGINES, indirect=True)


def begun(stage: Stage, kind: str) -> queue.Held:
    """The next job of this kind, run by this process."""
    held = queue.take(stage.deps.database, stage.deps.process, (kind,), stage.deps.clock())
    assert held is not None
    return held


def ids_of(client: Client, query: str = "") -> list[str]:
    return [job["id"] for job in client.get(f"/v1/jobs{query}").json["data"]]


class TestGet:
    def test_a_job_as_it_stands(self, stage: Stage) -> None:
        own = a_job(stage.alice, "export", limit=3)
        answered = stage.alice.get(f"/v1/jobs/{own}")
        assert answered.status_code == 200
        job = answered.json
        assert abs(job.pop("created_at") - stage.deps.clock().timestamp()) < 60
        assert job == {
            "id": own,
            "object": "job",
            "kind": "export",
            "subject": "resp_1",
            "status": "queued",
            "progress": {"done": 0, "total": None, "note": None},
            "attempts": 0,
            "arguments": {"limit": 3},
            "error": None,
            "started_at": None,
            "finished_at": None,
            "cancel_requested_at": None,
        }

    def test_how_it_ended(self, stage: Stage) -> None:
        own = a_job(stage.alice, "failing")
        jobs.finish(stage.deps, begun(stage, "failing"), "failed", {"code": "x", "message": "y"})
        job = stage.bob.get(f"/v1/jobs/{own}").json
        assert (job["status"], job["error"], job["attempts"]) == ("failed", {"code": "x", "message": "y"}, 1)
        assert job["finished_at"] >= job["started_at"] >= job["created_at"]

    @pytest.mark.parametrize("job_id", ["job_0", "resp_" + "0" * 32, "job_" + "0" * 32, "%00"])
    def test_one_that_is_not_there(self, stage: Stage, job_id: str) -> None:
        answered = stage.alice.get(f"/v1/jobs/{job_id}")
        assert answered.status_code == 404
        assert set(answered.json["error"]) == {"message", "type", "param", "code"}
        assert answered.headers["x-should-retry"] == "false"


class TestList:
    def test_pages_are_those_of_the_other_lists(self, stage: Stage) -> None:
        made = [a_job(stage.alice, "paged") for _ in range(5)][::-1]
        a_job(stage.carol, "paged")
        page = stage.alice.get("/v1/jobs?kind=paged&limit=2").json
        assert page["object"] == "list"
        assert ([job["id"] for job in page["data"]], page["has_more"]) == (made[:2], True)
        assert (page["first_id"], page["last_id"]) == (made[0], made[1])
        assert ids_of(stage.alice, f"?kind=paged&limit=3&after={made[1]}") == made[2:]
        assert ids_of(stage.alice, "?kind=paged&order=asc") == made[::-1]
        assert ids_of(stage.alice, f"?kind=paged&limit=1&before={made[3]}") == [made[2]]
        assert stage.alice.get(f"/v1/jobs?kind=paged&after={made[3]}").json["has_more"] is False

    def test_an_empty_one(self, stage: Stage) -> None:
        page = stage.alice.get("/v1/jobs?kind=nothing").json
        assert page == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}

    def test_of_a_status(self, stage: Stage) -> None:
        own = a_job(stage.alice, "of a status")
        stage.alice.post(f"/v1/jobs/{own}/cancel")
        a_job(stage.alice, "of a status")
        assert ids_of(stage.alice, "?kind=of+a+status&status=cancelled") == [own]

    @pytest.mark.parametrize(
        ("query", "param"),
        [("limit=0", "limit"), ("limit=101", "limit"), ("order=up", "order"), ("status=done", "status"),
         ("after=job_1", "after"), ("before=job_1", "before"), (f"kind={'k' * 33}", "kind")],
    )  # fmt: skip
    def test_a_wrong_parameter_is_named(self, stage: Stage, query: str, param: str) -> None:
        answered = stage.alice.get(f"/v1/jobs?{query}")
        assert (answered.status_code, answered.json["error"]["param"]) == (400, param)

    def test_another_projects_job_is_no_place_to_go_on_from(self, stage: Stage) -> None:
        theirs = a_job(stage.carol)
        assert stage.alice.get(f"/v1/jobs?after={theirs}").status_code == 400


class TestCancel:
    def test_one_that_waits(self, stage: Stage) -> None:
        own = a_job(stage.alice)
        for _ in range(2):
            answered = stage.alice.post(f"/v1/jobs/{own}/cancel")
            assert (answered.status_code, answered.json["status"]) == (200, "cancelled")
            assert answered.json["finished_at"] is not None

    def test_one_that_runs(self, stage: Stage) -> None:
        own = a_job(stage.alice, "running")
        begun(stage, "running")
        answered = stage.alice.post(f"/v1/jobs/{own}/cancel")
        assert (answered.status_code, answered.json["status"]) == (200, "running")
        assert answered.json["cancel_requested_at"] is not None

    def test_one_that_has_ended(self, stage: Stage) -> None:
        own = a_job(stage.alice, "ended")
        jobs.finish(stage.deps, begun(stage, "ended"), "completed")
        answered = stage.alice.post(f"/v1/jobs/{own}/cancel")
        assert (answered.status_code, answered.json["error"]["code"]) == (400, "job_finished")


class TestRetry:
    def test_one_that_failed(self, stage: Stage) -> None:
        own = a_job(stage.alice, "retried")
        jobs.finish(stage.deps, begun(stage, "retried"), "failed", {"code": None, "message": "y"})
        answered = stage.alice.post(f"/v1/jobs/{own}/retry")
        assert (answered.status_code, answered.json["status"], answered.json["error"]) == (200, "queued", None)

    def test_one_that_did_not(self, stage: Stage) -> None:
        answered = stage.alice.post(f"/v1/jobs/{a_job(stage.alice)}/retry")
        assert answered.status_code == 400
        assert "this one is queued" in answered.json["error"]["message"]


class TestOperations:
    def test_readyz_tells_of_workers(self, stage: Stage) -> None:
        answered = stage.alice.get("/readyz")
        assert (answered.status_code, answered.json["status"], answered.json["workers"]) == (200, "ready", 0)
        assert "convstore worker" in answered.json["reason"]

    def test_metrics_tell_of_the_queue(self, stage: Stage) -> None:
        a_job(stage.alice, "measured")
        a_job(stage.carol, "measured")
        told = stage.alice.get("/metrics").text
        assert 'convstore_jobs_queued{kind="measured"} 2.0' in told
        assert "convstore_job_workers 0.0" in told
