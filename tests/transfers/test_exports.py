"""Exports over REST: at once for one conversation or thread, by a worker for many."""

import json
from typing import Any

import pytest

from convstore.archives import verifying
from convstore.domain.exporting import FORMATS
from convstore.domain.transfers import PART
from convstore.services import erasing, exports, jobs
from convstore.storage import files, queue
from tests.local_upstream import answer
from tests.transfers.stage import Store, run_jobs


def turn(store: Store, question: str, says: str, after: str | None = None, **members: Any) -> str:
    store.upstream.will(answer(says))
    return str(store.alice.ask(question, after=after, **members)["id"])


@pytest.fixture
def tree(here: Store) -> list[str]:
    """A root, what goes on from it, and a branch beside that; with noise around it."""
    for client in (here.alice, here.carol):
        client.ask("Noise, second turn", after=client.ask("Noise, first turn")["id"])
    root = turn(here, "Root question", "Root answer")
    return [
        root,
        turn(here, "Main question", "Main answer", root),
        turn(here, "Branch question", "Branch answer", root),
    ]


def lines(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in body.splitlines()]


def exchanges(body: bytes) -> list[str]:
    return [line["id"] for line in lines(body) if line["object"] == "exchange"]


def made(store: Store, **body: Any) -> dict[str, Any]:
    """An export that a worker has made."""
    asked = store.alice.post("/v1/exports", json=body)
    assert asked.status_code == 202, asked.text
    run_jobs(store, "export")
    return dict(store.alice.get(f"/v1/exports/{asked.json['id']}").json)


class TestOne:
    def test_a_conversation_is_its_whole_tree(self, here: Store, tree: list[str]) -> None:
        home = here.alice.get(f"/v1/responses/{tree[0]}/thread").json["data"][0]["conversation_id"]
        answered = here.alice.get(f"/v1/conversations/{home}/export")
        assert answered.status_code == 200
        assert answered.headers["Content-Type"] == "application/x-ndjson"
        assert answered.headers["Content-Disposition"] == f'attachment; filename="{home}.jsonl"'
        assert exchanges(answered.data) == [tree[0], *sorted(tree[1:])]
        assert lines(answered.data)[-1]["exchanges"] == 3

    def test_a_response_is_its_thread_or_its_tree(self, here: Store, tree: list[str]) -> None:
        thread = here.alice.get(f"/v1/responses/{tree[2]}/export")
        assert exchanges(thread.data) == [tree[0], tree[2]]
        whole = here.alice.get(f"/v1/responses/{tree[2]}/export?scope=tree")
        assert sorted(exchanges(whole.data)) == sorted(tree)

    def test_a_branch_may_be_named(self, here: Store, tree: list[str]) -> None:
        here.alice.post("/v1/branches", json={"name": "best", "tip": tree[2]})
        named = here.alice.get("/v1/responses/best/export")
        assert exchanges(named.data) == [tree[0], tree[2]]
        assert [line["name"] for line in lines(named.data) if line["object"] == "branch"] == ["best"]
        assert named.headers["Content-Disposition"] == 'attachment; filename="best.jsonl"'

    @pytest.mark.parametrize("kind", FORMATS)
    def test_every_format_says_what_was_said(self, here: Store, tree: list[str], kind: str) -> None:
        answered = here.alice.get(f"/v1/responses/{tree[0]}/export?scope=tree&format={kind}")
        assert answered.status_code == 200, answered.text
        assert answered.headers["Content-Type"] == FORMATS[kind].type
        if kind != "parquet":
            for said in ("Root question", "Root answer", "Main answer", "Branch answer"):
                assert said in answered.text
            assert "Noise" not in answered.text

    def test_one_of_another_project_is_not_there(self, here: Store, tree: list[str]) -> None:
        home = here.alice.get(f"/v1/responses/{tree[0]}/thread").json["data"][0]["conversation_id"]
        for path in (f"/v1/responses/{tree[0]}/export", f"/v1/conversations/{home}/export"):
            assert here.carol.get(path).status_code == 404
            assert here.alice.get(path).status_code == 200

    @pytest.mark.parametrize(
        ("query", "param"),
        [("format=docx", "format"), ("scope=all", "scope"), ("scope=response", "scope"), ("format=", "format")],
    )
    def test_what_is_wrong_is_named(self, here: Store, tree: list[str], query: str, param: str) -> None:
        answered = here.alice.get(f"/v1/responses/{tree[0]}/export?{query}")
        assert answered.status_code == 400
        assert answered.json["error"]["param"] == param

    def test_what_was_not_to_be_stored_stays_here(self, here: Store, tree: list[str]) -> None:
        here.alice.ask("Never to leave", after=tree[0], store=False)
        whole = here.alice.get(f"/v1/responses/{tree[0]}/export?scope=tree")
        assert b"Never to leave" not in whole.data
        assert sorted(exchanges(whole.data)) == sorted(tree)

    def test_it_is_on_record(self, here: Store, tree: list[str]) -> None:
        here.alice.get(f"/v1/responses/{tree[0]}/export")
        newest = here.alice.get("/v1/audit?action=exports.response&limit=1").json["data"][0]
        assert (newest["object_id"], newest["outcome"]) == (tree[0], "done")


class TestMany:
    def test_everything_of_a_project(self, here: Store, tree: list[str]) -> None:
        found = made(here)
        assert found["status"] == "completed"
        assert found["manifest"]["exchanges"] == 5
        body = here.alice.get(f"/v1/exports/{found['id']}/content")
        assert body.status_code == 200
        assert body.data == here.export()
        assert len(body.data) == found["bytes"] == int(body.headers["Content-Length"])

    def test_conversations_with_a_match_leave_whole(self, here: Store, tree: list[str]) -> None:
        found = made(here, filters={"q": "Branch question"})
        assert sorted(exchanges(content(here, found))) == sorted(tree)

    def test_threads_of_matches(self, here: Store, tree: list[str]) -> None:
        found = made(here, scope="thread", filters={"q": "Branch"})
        assert exchanges(content(here, found)) == [tree[0], tree[2]]

    def test_figures_of_matches_alone(self, here: Store, tree: list[str]) -> None:
        found = made(here, format="csv", filters={"q": "Branch"})
        assert (found["scope"], found["manifest"]["exchanges"]) == ("response", 1)
        rows = content(here, found).decode().splitlines()
        assert len(rows) == 2 and rows[1].startswith(tree[2])

    def test_filters_are_those_of_the_history(self, here: Store, tree: list[str]) -> None:
        own = turn(here, "Labelled", "Yes", metadata={"team": "red"}, user="zoe")
        for filters in ({"user": "zoe"}, {"metadata": {"team": "red"}}, {"since": 0, "user": "zoe", "min_depth": 0}):
            assert exchanges(content(here, made(here, filters=filters))) == [own]
        assert exchanges(content(here, made(here, filters={"user": "nobody"}))) == []

    def test_lines_to_train_on(self, here: Store, tree: list[str]) -> None:
        found = made(here, format="openai-chat", filters={"q": "Root"})
        said = [[each["content"] for each in line["messages"]] for line in lines(content(here, found))]
        assert said == [["Root question", "Root answer"]]
        whole = made(here, format="openai-chat", scope="tree", filters={"q": "Root"})
        both = [[each["content"] for each in line["messages"]] for line in lines(content(here, whole))]
        root = ["Root question", "Root answer"]
        assert sorted(both) == [[*root, "Branch question", "Branch answer"], [*root, "Main question", "Main answer"]]

    @pytest.mark.parametrize(
        ("body", "param"),
        [
            ({"format": "docx"}, "format"),
            ({"format": 5}, "format"),
            ({"scope": "response"}, "scope"),
            ({"format": "openai-chat", "scope": "response"}, "scope"),
            ({"filters": []}, "filters"),
            ({"filters": {"colour": "red"}}, "filters.colour"),
            ({"filters": {"limit": 5}}, "filters.limit"),
            ({"filters": {"user": {}}}, "filters.user"),
            ({"filters": {"min_cost": "much"}}, "min_cost"),
            ({"filters": {"since": "yesterday"}}, "since"),
            ({"filter": {}}, "filter"),
        ],
    )
    def test_what_is_wrong_is_named(self, here: Store, body: Any, param: str) -> None:
        answered = here.alice.post("/v1/exports", json=body)
        assert (answered.status_code, answered.json["error"]["param"]) == (400, param)

    def test_it_is_listed_and_deleted(self, here: Store, tree: list[str]) -> None:
        found = made(here)
        assert [each["id"] for each in here.alice.get("/v1/exports").json["data"]] == [found["id"]]
        for answered in (
            here.carol.get(f"/v1/exports/{found['id']}"),
            here.carol.get(f"/v1/exports/{found['id']}/content"),
            here.carol.delete(f"/v1/exports/{found['id']}"),
        ):
            assert answered.status_code == 404
        assert here.carol.get("/v1/exports").json["data"] == []
        assert here.alice.delete(f"/v1/exports/{found['id']}").json["deleted"] is True
        assert here.alice.get(f"/v1/exports/{found['id']}").status_code == 404
        assert parts(here, found["id"]) == 0

    def test_a_download_can_go_on(self, here: Store, tree: list[str]) -> None:
        turn(here, "Long " * PART, "Yes")
        found = made(here)
        path = f"/v1/exports/{found['id']}/content"
        whole = here.alice.get(path).data
        assert parts(here, found["id"]) == len(whole) // PART + 1 > 5
        for start, end in ((0, 10), (PART - 3, PART + 3), (3 * PART, None), (len(whole) - 1, None)):
            asked = f"bytes={start}-{'' if end is None else end - 1}"
            part = here.alice.get(path, headers={"Range": asked})
            assert part.status_code == 206
            assert part.data == whole[start:end]
            assert part.headers["Content-Range"] == f"bytes {start}-{start + len(part.data) - 1}/{len(whole)}"
        for wrong in (f"bytes={len(whole)}-", "bytes=5-2", "lines=1-2", "bytes=-5"):
            refused = here.alice.get(path, headers={"Range": wrong})
            assert (refused.status_code, refused.json["error"]["param"]) == (400, "Range")

    def test_it_expires_and_says_so(self, here: Store, tree: list[str]) -> None:
        found = made(here, filters={"user": "zoe"})
        exports.forget(here.deps, here.acme)
        assert here.alice.get(f"/v1/exports/{found['id']}").json["status"] == "completed"
        here.deps.clock.advance(days=1, seconds=1)  # type: ignore[attr-defined]
        assert exports.forget(here.deps, here.acme) == 1
        left = here.alice.get(f"/v1/exports/{found['id']}").json
        assert (left["status"], left["filters"]) == ("expired", None)
        gone = here.alice.get(f"/v1/exports/{found['id']}/content")
        assert (gone.status_code, gone.json["error"]["code"]) == (404, "export_has_no_file")
        assert parts(here, found["id"]) == 0

    def test_one_that_is_cancelled_leaves_no_file(self, here: Store, tree: list[str]) -> None:
        asked = here.alice.post("/v1/exports", json={}).json
        here.alice.post(f"/v1/jobs/{asked['job_id']}/cancel")
        assert here.alice.get(f"/v1/exports/{asked['id']}").json["status"] == "cancelled"
        here.alice.post(f"/v1/jobs/{asked['job_id']}/retry")
        run_jobs(here, "export")
        assert here.alice.get(f"/v1/exports/{asked['id']}").json["status"] == "completed"

    def test_one_whose_worker_died_is_made_by_another(self, here: Store, tree: list[str]) -> None:
        asked = here.alice.post("/v1/exports", json={}).json
        held = queue.take(here.deps.database, here.deps.process, ["export"], here.deps.clock())
        assert held is not None
        with here.deps.database.writing(here.acme) as scope:
            begun = exports.exports.begin(scope, asked["id"])
            assert begun is not None and exports.exports.write(scope, asked["id"], begun, 0, b"half of it")
        jobs.put_back(here.deps, held_job(here, asked["job_id"]))
        run_jobs(here, "export")
        assert here.alice.get(f"/v1/exports/{asked['id']}/content").data == here.export()


class TestErasing:
    def test_what_is_erased_is_in_no_file_any_more(self, here: Store, tree: list[str]) -> None:
        found = made(here, filters={"q": "Branch"})
        assert b"Branch answer" in content(here, found)
        erasing.erase(here.deps, here.acme, "erasure_x", [tree[2]])
        assert here.alice.get(f"/v1/exports/{found['id']}/content").status_code == 404
        left = here.alice.get(f"/v1/exports/{found['id']}").json
        assert (left["status"], left["filters"]) == ("expired", None)
        assert parts(here, found["id"]) == 0
        assert b"Branch answer" not in content(here, made(here))

    def test_that_of_another_project_stays(self, here: Store, tree: list[str]) -> None:
        asked = here.carol.post("/v1/exports", json={}).json
        run_jobs(here, "export")
        erasing.erase(here.deps, here.acme, "erasure_x", [tree[2]])
        assert here.carol.get(f"/v1/exports/{asked['id']}/content").status_code == 200

    def test_what_is_being_made_is_made_anew(
        self, here: Store, tree: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A worker that has read what is erased behind its back does not get it into the file."""
        real, times = exports.exports.write, []

        def write(*given: Any) -> bool:
            times.append(given)
            if len(times) == 1:
                # Another connection, while the part is on its way.
                scope = given[0]
                scope.connection.exec_driver_sql("UPDATE exports SET begun = begun + 1 WHERE status = 'in_progress'")
            return real(*given)

        monkeypatch.setattr(exports.exports, "write", write)
        found = made(here)
        assert found["status"] == "completed" and len(times) == 2
        assert content(here, found) == here.export()

    def test_an_erasure_that_never_ends_is_said(
        self, here: Store, tree: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(exports.exports, "write", lambda *_: False)
        asked = here.alice.post("/v1/exports", json={}).json
        run_jobs(here, "export")
        job = here.alice.get(f"/v1/jobs/{asked['job_id']}").json
        assert (job["status"], job["error"]["code"]) == ("failed", "interrupted_by_erasure")
        assert here.alice.get(f"/v1/exports/{asked['id']}").json["status"] == "failed"


class TestVerifying:
    def test_a_file_is_what_it_was_until_a_letter_of_it_changes(
        self, here: Store, tree: list[str], tmp_path: Any
    ) -> None:
        for kind in FORMATS:
            found = made(here, format=kind)
            body = bytearray(content(here, found))
            path = tmp_path / f"x.{FORMATS[kind].ending}"
            path.write_bytes(body)
            if not FORMATS[kind].manifest:
                path.with_name(path.name + verifying.BESIDE).write_text(json.dumps(found["manifest"]))
            assert verifying.verify(path).count == 0, kind
            at = body.index(b"Root") if kind != "parquet" else len(body) // 2
            body[at] ^= 1
            path.write_bytes(body)
            assert verifying.verify(path).count > 0, kind


def content(store: Store, found: dict[str, Any]) -> bytes:
    return store.alice.get(f"/v1/exports/{found['id']}/content").data


def parts(store: Store, export_id: str) -> int:
    with store.deps.database.reading(store.acme) as scope:
        return files.count(scope, export_id)


def held_job(store: Store, job_id: str) -> Any:
    return jobs.get(store.deps, store.acme, job_id)
