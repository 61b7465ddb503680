"""Imports: over REST by a worker, from files of every kind, and from files that mean harm."""

import gzip
import io
import json
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from convstore import ids
from convstore.domain.report import MOST
from convstore.services import imports, jobs
from convstore.storage import files, queue
from tests.local_upstream import answer, function_call
from tests.transfers.stage import Store, run_jobs

Lines = list[dict[str, Any]]


def turn(store: Store, question: str, says: str, after: str | None = None, **members: Any) -> str:
    store.upstream.will(answer(says))
    return str(store.alice.ask(question, after=after, **members)["id"])


@pytest.fixture
def chain(here: Store) -> list[str]:
    """Three turns behind one another, with noise around them."""
    for client in (here.alice, here.carol):
        client.ask("Noise, second turn", after=client.ask("Noise, first turn")["id"])
    made: list[str] = []
    for number in range(3):
        made.append(turn(here, f"Question {number}", f"Answer {number}", made[-1] if made else None, user="zoe"))
    return made


def exported(store: Store, own: str) -> bytes:
    return bytes(store.alice.get(f"/v1/responses/{own}/export?scope=tree").data)


def lines(body: bytes) -> Lines:
    return [json.loads(line) for line in body.splitlines()]


def written(found: Lines) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in found)


def sent(store: Store, body: bytes, client: Any = None, **query: str) -> dict[str, Any]:
    """An import that a worker has brought in."""
    client = client or store.alice
    asked = client.post("/v1/imports", data=body, query_string=query, content_type="application/octet-stream")
    assert asked.status_code == 202, asked.text
    run_jobs(store, "import")
    return dict(client.get(f"/v1/imports/{asked.json['id']}").json)


def error_of(store: Store, found: dict[str, Any]) -> dict[str, Any]:
    return dict(store.alice.get(f"/v1/jobs/{found['job_id']}").json["error"])


def count(store: Store, project: str) -> int:
    with store.deps.database.connection() as connection:
        own = ids.pack(ids.PROJECT, project)
        marks = "?" if store.deps.database.is_sqlite else "%s"
        found = connection.exec_driver_sql(f"SELECT count(*) FROM exchanges WHERE project_id = {marks}", (own,))
        return int(found.scalar_one())


class TestBringingIn:
    def test_it_is_here_as_it_was_there(self, here: Store, there: Store, chain: list[str]) -> None:
        body = exported(here, chain[0])
        found = sent(there, body)
        assert (found["status"], found["format"], found["problems"]) == ("completed", "convstore", [])
        assert found["counts"] == {"conversations": {"new": 1}, "exchanges": {"new": 3}, "items": {"new": 6}}
        assert exported(there, chain[0]) == body
        assert parts(there, found["id"]) == 0

    def test_it_is_continued_found_and_counted_at_once(self, here: Store, there: Store, chain: list[str]) -> None:
        sent(there, exported(here, chain[0]))
        assert there.alice.ask("On", after=chain[1])["previous_response_id"] == chain[1]
        found = there.alice.get("/v1/responses?q=Answer 1&user=zoe").json["data"]
        assert [each["id"] for each in found] == [chain[1]]
        assert there.alice.get(f"/v1/responses/{chain[2]}/thread").json["data"][0]["id"] == chain[0]
        assert there.alice.get("/v1/costs?group_by=user").status_code == 200

    def test_a_history_that_is_sent_whole_finds_it(self, here: Store, there: Store, chain: list[str]) -> None:
        sent(there, exported(here, chain[0]))
        said: list[dict[str, Any]] = []
        for number in range(2):
            said += [{"role": "user", "content": f"Question {number}"}]
            said += [{"role": "assistant", "content": f"Answer {number}"}]
        own = there.alice.ask([*said, {"role": "user", "content": "And?"}], user="zoe")["id"]
        assert there.alice.get(f"/v1/responses/{own}/thread").json["data"][0]["id"] == chain[0]

    def test_a_second_time_nothing_is_new(self, here: Store, there: Store, chain: list[str]) -> None:
        body = exported(here, chain[0])
        sent(there, body)
        again = sent(there, body)
        assert again["counts"] == {"conversations": {"known": 1}, "exchanges": {"known": 3}}
        assert exported(there, chain[0]) == body

    def test_what_is_new_since_is_added(self, here: Store, there: Store, chain: list[str]) -> None:
        sent(there, exported(here, chain[0]))
        own = turn(here, "Later", "Too", chain[1])
        found = sent(there, exported(here, chain[0]))
        assert found["counts"]["exchanges"] == {"known": 3, "new": 1}
        assert there.alice.get(f"/v1/responses/{own}").json["output"][0]["content"][0]["text"] == "Too"
        assert exported(there, chain[0]) == exported(here, chain[0])

    def test_a_dry_run_keeps_nothing(self, here: Store, there: Store, chain: list[str]) -> None:
        before = count(there, there.acme)
        found = sent(there, exported(here, chain[0]), dry_run="true")
        assert (found["dry_run"], found["counts"]["exchanges"]) == (True, {"new": 3})
        assert count(there, there.acme) == before
        assert there.alice.get(f"/v1/responses/{chain[0]}").status_code == 404

    def test_another_project_gets_a_copy_with_new_ids(self, here: Store, chain: list[str]) -> None:
        body = exported(here, chain[0])
        refused = sent(here, body, here.carol)
        assert {each["reason"] for each in refused["problems"]} == {"other_project"}
        assert [each["id"] for each in refused["problems"]] == chain
        found = sent(here, body, here.carol, ids="new")
        assert (found["problems"], found["counts"]["exchanges"]) == ([], {"new": 3})
        assert sent(here, body, here.carol, ids="new")["counts"]["exchanges"] == {"known": 3}
        listed = here.carol.get("/v1/responses?user=zoe").json["data"]
        assert len(listed) == 3 and not {each["id"] for each in listed} & set(chain)
        said = here.carol.get(f"/v1/responses/{listed[0]['id']}/thread?items=true").json["data"]
        assert [turn["output"][0]["content"][0]["text"] for turn in said] == ["Answer 0", "Answer 1", "Answer 2"]
        assert here.problems() == []

    def test_the_log_verifies_and_an_altered_import_is_found(self, here: Store, there: Store, chain: list[str]) -> None:
        sent(there, exported(here, chain[0]))
        assert there.problems() == []
        with there.deps.database.transaction() as connection:
            connection.exec_driver_sql(
                "UPDATE exchanges SET output_tokens = 7 WHERE imported_at IS NOT NULL AND depth = 1"
            )
        found = there.problems()
        assert [(each["kind"], each["object_id"]) for each in found] == [("content_altered", chain[1])]

    def test_one_that_was_slipped_in_by_hand_is_found(self, here: Store, there: Store, chain: list[str]) -> None:
        sent(there, exported(here, chain[0]))
        with there.deps.database.transaction() as connection:
            connection.exec_driver_sql(
                "DELETE FROM audit_log WHERE id ="
                " (SELECT id FROM exchanges WHERE imported_at IS NOT NULL AND depth = 2)"
            )
        assert {"unrecorded"} <= {each["kind"] for each in there.problems()}

    def test_exchanges_from_before_the_log_stay_from_before_it(
        self, here: Store, there: Store, chain: list[str]
    ) -> None:
        """An import that is older than the log does not make it reach back."""
        own = there.alice.ask("From before there was a log")["id"]
        with there.deps.database.transaction() as connection:
            connection.exec_driver_sql("DELETE FROM audit_log")
        there.deps.audit._logs.clear()
        there.alice.ask("From when there was")
        assert own not in {each["object_id"] for each in there.problems()}
        sent(there, exported(here, chain[0]))
        assert own not in {each["object_id"] for each in there.problems()}

    def test_what_was_erased_does_not_come_back(self, here: Store, chain: list[str]) -> None:
        from convstore.services import erasing

        body = exported(here, chain[0])
        erasing.erase(here.deps, here.acme, "erasure_x", [chain[1]])
        erasing.remove(here.deps, here.acme, "erasure_x", [chain[2]])
        found = sent(here, body)
        assert [(each["id"], each["reason"]) for each in found["problems"]] == [(chain[2], "erased")]
        assert "Answer 1" not in here.alice.get(f"/v1/responses/{chain[1]}").text
        assert here.alice.get(f"/v1/responses/{chain[2]}").status_code == 404
        assert here.problems() == []

    def test_what_is_erased_here_comes_to_others_erased(self, here: Store, there: Store, chain: list[str]) -> None:
        from convstore.services import erasing

        erasing.erase(here.deps, here.acme, "erasure_x", [chain[1]])
        body = exported(here, chain[0])
        assert b"Answer 1" not in body
        found = sent(there, body)
        assert found["problems"] == []
        assert there.alice.get(f"/v1/responses/{chain[1]}").json["erased"] is True
        assert there.problems() == []

    def test_it_is_not_swept_away_the_night_it_arrives(self, here: Store, there: Store, chain: list[str]) -> None:
        there.alice.post("/v1/retention/rules", json={"name": "short", "content_days": 30})
        old = exported(here, chain[0]).replace(b"2026-11-22T", b"2025-11-22T")
        body = written([line for line in lines(old) if line["object"] != "convstore.manifest"])
        body += exported(here, chain[0]).splitlines()[-1] + b"\n"
        for own in {each["id"] for each in lines(body) if each["object"] in ("exchange", "conversation")}:
            prefix, digits = own.split("_")
            body = body.replace(own.encode(), f"{prefix}_019600000000{digits[12:]}".encode())
        found = sent(there, body)
        assert found["counts"]["exchanges"] == {"new": 3}
        plan = there.alice.get("/v1/retention/plan").json
        assert plan["data"][0]["content"]["exchanges"] == 0
        there.deps.clock.advance(days=31)  # type: ignore[attr-defined]
        plan = there.alice.get("/v1/retention/plan").json
        assert plan["data"][0]["content"]["exchanges"] >= 3


class TestOthersFiles:
    def test_a_zip_of_chatgpt(self, here: Store) -> None:
        node = {"id": "r", "message": None, "parent": None, "children": ["q"]}
        asked = {
            "author": {"role": "user"},
            "content": {"content_type": "text", "parts": ["你好吗"]},
            "create_time": 1.7e9,
        }
        said = {
            "author": {"role": "assistant"},
            "content": {"content_type": "text", "parts": ["很好"]},
            "recipient": "all",
            "metadata": {"model_slug": "gpt-4o"},
            "create_time": 1.7e9 + 5,
        }
        nodes = [
            node,
            {"id": "q", "message": {"id": "q", **asked}, "parent": "r", "children": ["a", "b"]},
            {"id": "a", "message": {"id": "a", **said}, "parent": "q", "children": []},
            {"id": "b", "message": {"id": "b", **said}, "parent": "q", "children": []},
        ]
        given = [
            {"conversation_id": "c1", "title": "问候", "create_time": 1.7e9, "mapping": {n["id"]: n for n in nodes}}
        ]
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("conversations.json", json.dumps(given))
            archive.writestr("dalle/picture.png", b"\x89PNG")
        found = sent(here, packed.getvalue())
        assert (found["format"], found["problems"]) == ("chatgpt", [])
        assert found["counts"]["exchanges"] == {"new": 2}
        listed = here.alice.get("/v1/responses?origin=import&q=很好").json["data"]
        assert [(each["model"], each["cost_reason"], each["created_at"]) for each in listed] == [
            ("gpt-4o", "imported", 1_700_000_000)
        ] * 2
        assert [each["title"] for each in here.alice.get("/v1/conversations").json["data"]] == ["问候"]
        went_on = here.alice.ask("继续", after=listed[0]["id"])
        shown = here.upstream.questions[-1].body["input"]
        assert [item["content"][0]["text"] for item in shown] == ["你好吗", "很好", "继续"]
        assert went_on["status"] == "completed"
        assert here.problems() == []

    def test_threads_of_chat_completions_with_tools(self, here: Store) -> None:
        call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"x":3}'}}
        thread = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "3?"},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "4"},
            {"role": "assistant", "content": "Four."},
        ]
        found = sent(here, written([{"messages": thread}]) + b"{broken\n" + written([{"messages": thread[:2]}]))
        assert found["format"] == "completions"
        assert [(each["place"], each["reason"]) for each in found["problems"]] == [("line 2", "not_json")]
        tip = here.alice.get("/v1/responses?q=Four").json["data"][0]["id"]
        assert here.alice.ask("And 5?", after=tip)["status"] == "completed"
        exported = here.alice.get(f"/v1/responses/{tip}/export?format=openai-chat")
        assert [each["role"] for each in json.loads(exported.data)["messages"]] == [each["role"] for each in thread]
        assert sent(here, exported.data)["counts"]["exchanges"] == {"known": 2}

    def test_what_is_called_by_a_model_is_paired(self, here: Store, there: Store) -> None:
        here.upstream.will(answer(function_call("call_9")))
        own = here.alice.ask("Add")["id"]
        sent(there, exported(here, own))
        refused = there.alice.create("On", after=own)
        assert refused.status_code == 400 and "call_9" in refused.text
        given = [{"type": "function_call_output", "call_id": "call_9", "output": "4"}]
        assert there.alice.create(given, after=own).status_code == 200


class TestSending:
    def test_a_form_will_do(self, here: Store, there: Store, chain: list[str]) -> None:
        file = (io.BytesIO(exported(here, chain[0])), "all.jsonl")
        asked = there.alice.post("/v1/imports", data={"file": file}, content_type="multipart/form-data")
        assert asked.status_code == 202
        run_jobs(there, "import")
        assert there.alice.get(f"/v1/imports/{asked.json['id']}").json["counts"]["exchanges"] == {"new": 3}

    @pytest.mark.parametrize(
        ("query", "param"),
        [("format=docx", "format"), ("ids=mine", "ids"), ("dry_run=perhaps", "dry_run")],
    )
    def test_what_is_wrong_is_named(self, here: Store, query: str, param: str) -> None:
        answered = here.alice.post(f"/v1/imports?{query}", data=b"{}")
        assert (answered.status_code, answered.json["error"]["param"]) == (400, param)

    def test_nothing_is_no_file(self, here: Store) -> None:
        assert here.alice.post("/v1/imports", data=b"").status_code == 400
        form = here.alice.post("/v1/imports", data={"other": "x"}, content_type="multipart/form-data")
        assert (form.status_code, form.json["error"]["param"]) == (400, "file")
        packed = here.alice.post("/v1/imports", data=b"x", headers={"Content-Encoding": "gzip"})
        assert packed.status_code == 400
        assert here.alice.get("/v1/imports").json["data"] == []

    def test_more_than_may_be_is_refused_and_leaves_nothing(self, here: Store) -> None:
        object.__setattr__(here.deps, "max_import_bytes", 100)
        for given in (b"x" * 101, io.BytesIO(b"x" * 101)):
            assert here.alice.post("/v1/imports", data=given).status_code == 413
        assert here.alice.get("/v1/imports").json["data"] == []
        with here.deps.database.connection() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM file_parts").scalar_one() == 0

    def test_one_of_another_project_is_not_there(self, here: Store, chain: list[str]) -> None:
        found = sent(here, exported(here, chain[0]))
        assert here.carol.get(f"/v1/imports/{found['id']}").status_code == 404
        assert here.carol.get("/v1/imports").json["data"] == []

    def test_a_worker_that_dies_is_followed_by_one_that_goes_on(
        self, here: Store, there: Store, chain: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from convstore.services import importing

        monkeypatch.setattr(importing, "TOGETHER", 2)
        body = exported(here, chain[0])
        asked = there.alice.post("/v1/imports", data=body).json
        held = queue.take(there.deps.database, there.deps.process, ["import"], there.deps.clock())
        assert held is not None
        job = imports.RunningJob(there.deps.database, held)
        real, seen = importing._once, []

        def once(*given: Any) -> None:
            if len(seen) == 1:
                raise KeyboardInterrupt
            seen.append(given)
            real(*given)

        monkeypatch.setattr(importing, "_once", once)
        with pytest.raises(KeyboardInterrupt):
            imports.work(there.deps, job)
        monkeypatch.setattr(importing, "_once", real)
        half = there.alice.get(f"/v1/imports/{asked['id']}").json
        assert 0 < half["records"] < 4
        jobs.put_back(there.deps, jobs.get(there.deps, there.acme, asked["job_id"]))
        run_jobs(there, "import")
        found = there.alice.get(f"/v1/imports/{asked['id']}").json
        assert (found["status"], found["counts"]["exchanges"]) == ("completed", {"new": 3})
        assert exported(there, chain[0]) == body
        assert there.problems() == []

    def test_uploads_that_broke_off_are_forgotten(self, here: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        def killed(*_: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(imports.imports, "remove", killed)
            patch.setattr(imports, "_taken_in", killed)
            with pytest.raises(KeyboardInterrupt):
                here.alice.post("/v1/imports", data=b"x")
        (left,) = here.alice.get("/v1/imports").json["data"]
        assert left["status"] == "uploading"
        assert imports.forget(here.deps, here.acme) == 0
        here.deps.clock.advance(days=2)  # type: ignore[attr-defined]
        assert imports.forget(here.deps, here.acme) == 1
        assert here.alice.get("/v1/imports").json["data"] == []


class TestTogether:
    def test_two_who_bring_in_the_same_bring_it_in_once(
        self, here: Store, there: Store, chain: list[str], tmp_path: Path
    ) -> None:
        for number in range(30):
            turn(here, f"Beside {number}", "Yes", chain[number % 3])
        path = tmp_path / "in.jsonl"
        path.write_bytes(exported(here, chain[0]))
        with ThreadPoolExecutor(3) as pool:
            reports = [each.result() for each in [pool.submit(there.bring, path) for _ in range(3)]]
        assert [report.problems for report in reports] == [[], [], []]
        assert sum(report.counts["exchanges"].get("new", 0) for report in reports) == 33
        assert exported(there, chain[0]) == exported(here, chain[0])
        assert there.problems() == []

    def test_turns_go_on_meanwhile(self, here: Store, there: Store, chain: list[str], tmp_path: Path) -> None:
        """Each continues what has just come; both the next record and the turn want the same lane."""
        path = tmp_path / "in.jsonl"
        path.write_bytes(exported(here, chain[0]))
        there.bring(path)
        for number in range(20):
            turn(here, f"Later {number}", "Yes", chain[2])
        path.write_bytes(exported(here, chain[0]))
        with ThreadPoolExecutor(2) as pool:
            bringing = pool.submit(there.bring, path)
            made = [there.alice.ask("On", after=chain[2])["id"] for _ in range(10)]
            assert bringing.result().problems == []
        children = there.alice.get(f"/v1/responses/{chain[2]}/children?limit=100").json["data"]
        assert len(children) == 30 and set(made) <= {each["id"] for each in children}
        assert there.problems() == []

    def test_what_clashes_with_something_damaged_stops_nothing_else(
        self, here: Store, there: Store, chain: list[str]
    ) -> None:
        """A row that somebody left behind, where the first child of the root belongs."""
        own = turn(here, "Beside", "Yes", chain[0])
        lane = ids.pack(ids.EXCHANGE, chain[0])
        marks = "?, 1, 0, ?, 'message'" if there.deps.database.is_sqlite else "%s, 1, 0, %s, 'message'"
        with there.deps.database.transaction() as connection:
            statement = f"INSERT INTO items (lane, depth, position, output, type) VALUES ({marks})"
            connection.exec_driver_sql(statement, (lane, False))
        found = sent(there, exported(here, chain[0]))
        told = [(each["id"], each["reason"]) for each in found["problems"]]
        assert told == [(chain[1], "taken"), (own, "taken"), (chain[2], "parent_missing")]
        assert found["counts"]["exchanges"] == {"new": 1, "refused": 3}
        assert there.alice.get(f"/v1/responses/{chain[0]}").status_code == 200


class TestHarm:
    """Files that are broken, or mean it."""

    @pytest.fixture
    def given(self, here: Store, chain: list[str]) -> Lines:
        return lines(exported(here, chain[0]))

    def bring(self, store: Store, given: Lines, **query: str) -> list[tuple[str, str]]:
        found = sent(store, written(given), **query)
        assert found["status"] == "completed", error_of(store, found)
        assert store.problems() == []
        return [(each["place"], each["reason"]) for each in found["problems"] if each["reason"] != "altered"]

    def test_a_file_that_is_cut_off_is_not_brought_in(self, there: Store, given: Lines) -> None:
        body = written(given)
        before = count(there, there.acme)
        for end in (len(body) - 1 - len(json.dumps(given[-1])), len(body) // 2, 60):
            found = sent(there, body[:end])
            assert found["status"] == "failed"
            told = error_of(there, found)
            assert told["code"] == "invalid_file" and "cut off" in told["message"] and "line " in told["message"]
        packed = gzip.compress(body)
        found = sent(there, packed[: len(packed) // 2])
        assert error_of(there, found)["code"] == "invalid_file"
        assert count(there, there.acme) == before

    def test_one_that_failed_can_be_tried_again_and_is_forgotten(self, there: Store, given: Lines) -> None:
        found = sent(there, written(given)[:-9])
        there.alice.post(f"/v1/jobs/{found['job_id']}/retry")
        run_jobs(there, "import")
        assert there.alice.get(f"/v1/imports/{found['id']}").json["status"] == "failed"
        assert parts(there, found["id"]) == 1
        there.deps.clock.advance(days=2)  # type: ignore[attr-defined]
        imports.forget(there.deps, there.acme)
        assert parts(there, found["id"]) == 0

    def test_gzip_will_do(self, there: Store, given: Lines) -> None:
        found = sent(there, gzip.compress(written(given)))
        assert found["counts"]["exchanges"] == {"new": 3}

    def test_a_change_is_told_and_the_rest_comes_in(self, there: Store, given: Lines) -> None:
        given[2]["input"][0]["body"]["content"] = "Another question"
        found = sent(there, written(given))
        assert [(each["place"], each["reason"]) for each in found["problems"]] == [(f"line {len(given)}", "altered")]
        assert found["counts"]["exchanges"] == {"new": 3}

    def test_a_broken_record_and_what_hangs_below_it(self, there: Store, given: Lines, chain: list[str]) -> None:
        body = written(given[:3]) + b'{"object": "exchange", "id": \n' + written(given[4:])
        found = sent(there, body)
        told = [(each["place"], each["id"], each["reason"]) for each in found["problems"]]
        assert told == [
            ("line 4", None, "not_json"),
            ("line 5", chain[2], "parent_missing"),
            ("line 6", None, "altered"),
        ]
        assert there.alice.get(f"/v1/responses/{chain[0]}").status_code == 200
        assert there.problems() == []

    def test_an_id_twice(self, there: Store, given: Lines) -> None:
        assert self.bring(there, [*given[:3], given[2], *given[3:]]) == [("line 4", "duplicate")]

    def test_a_cycle(self, there: Store, given: Lines) -> None:
        given[2]["parent_id"] = given[4]["id"]
        assert {reason for _, reason in self.bring(there, given)} == {"parent_missing"}
        given[2]["parent_id"] = given[2]["id"]
        assert ("line 3", "cycle") in self.bring(there, given)

    def test_a_parent_in_another_conversation(self, here: Store, there: Store, given: Lines, chain: list[str]) -> None:
        other = ids.new(ids.CONVERSATION)
        given.insert(4, {**given[1], "id": other})
        given[5]["conversation_id"] = other
        assert ("line 6", "parent_elsewhere") in self.bring(there, given)

    def test_a_conversation_that_is_nowhere(self, there: Store, given: Lines) -> None:
        assert ("line 2", "conversation_missing") in self.bring(there, [given[0], *given[2:]])

    def test_an_id_of_another_project_below_ones_own(self, here: Store, there: Store, given: Lines) -> None:
        theirs = there.carol.ask("Carol's")["id"]
        assert self.bring(there, given) == []
        given[4] = {**given[4], "id": theirs}
        assert self.bring(there, given) == [("line 5", "other_project")]
        assert there.carol.get(f"/v1/responses/{theirs}").status_code == 200
        assert there.alice.get(f"/v1/responses/{theirs}").status_code == 404

    @pytest.mark.parametrize(
        ("member", "value"),
        [
            ("id", "resp_1"),
            ("id", None),
            ("created_at", "yesterday"),
            ("created_at", 5),
            ("status", "in_progress"),
            ("status", ["completed"]),
            ("origin", "nowhere"),
            ("settings", []),
            ("settings", {"text": 5}),
            ("settings", {"tools": [1]}),
            ("metadata", {"a": 1}),
            ("metadata", {"a": "\0"}),
            ("user", "\ud800"),
            ("user", "x" * 300),
            ("input", {}),
            ("input", [5]),
            ("input", [{"body": "text"}]),
            ("input", [{"id": "x"}]),
            ("input", [{"body": {"type": []}}]),
            ("input", [{"body": {"type": "message", "role": 5}}]),
            ("usage", {"input_tokens": -1}),
            ("usage", 7),
            ("ledger", {"cost": {"basis": "reported", "amount": "-1"}}),
            ("ledger", {"cost": {"basis": "guessed"}}),
            ("ledger", {"cost": {"basis": "unknown", "amount": "1", "currency": "USD"}}),
            ("ledger", {"cost": {"basis": "reported", "amount": "1", "detail": {"lines": 5}}}),
            ("ledger", {}),
            ("sent", {"count": "many"}),
            ("reply", {"id": "resp_x"}),
            ("error", "bad"),
            ("attempts", {}),
            ("last_event", 2**40),
            ("linked", "guessed"),
        ],
    )
    def test_a_member_that_is_not_what_it_should_be(
        self, there: Store, given: Lines, chain: list[str], member: str, value: Any
    ) -> None:
        given[2][member] = value
        found = sent(there, written(given))
        first = found["problems"][0]
        assert (first["place"], first["reason"]) == ("line 3", "invalid"), first
        assert member in first["message"]
        assert there.alice.get(f"/v1/responses/{chain[0]}").status_code == 404

    def test_what_cannot_be_understood_is_still_a_thread(self, there: Store, given: Lines, chain: list[str]) -> None:
        """Bodies of any shape come in; whatever is asked of them is answered, and never with a 500."""
        for at, body in enumerate(
            (
                {"type": "message", "role": "user", "content": 5},
                {"type": "weird", "x": [1]},
                {"role": "user", "content": {}},
            )
        ):
            given[2 + at]["input"] = [{"body": body}, {"body": {"type": "function_call_output", "output": {}}}]
        assert self.bring(there, given) == []
        for own in chain:
            for path in ("", "/thread?items=true", "/context", "/input_items", "/children", "/cost"):
                assert there.alice.get(f"/v1/responses/{own}{path}").status_code in (200, 409), path
            for kind in ("markdown", "csv", "openai-chat", "parquet", "jsonl"):
                assert there.alice.get(f"/v1/responses/{own}/export?format={kind}").status_code == 200, kind
            assert there.alice.create("On", after=own).status_code in (200, 400)
        assert there.alice.get("/v1/responses?q=weird&fields=input,output").status_code == 200

    def test_lines_of_another_kind(self, there: Store, given: Lines) -> None:
        more: list[Any] = [{"object": "person"}, [], 5, "text", {}, {"object": 5}]
        found = self.bring(there, [*given[:-1], *more, given[-1]])
        assert [place for place, _ in found] == [f"line {len(given) + at}" for at in range(6)]

    def test_a_newer_version_is_refused(self, there: Store, given: Lines) -> None:
        given[0]["version"] = 2
        assert error_of(there, sent(there, written(given)))["code"] == "unknown_version"

    def test_very_many_problems_are_counted(self, there: Store, given: Lines) -> None:
        body = written(given[:-1]) + b"{}\n" * (MOST + 5) + written(given[-1:])
        found = sent(there, body)
        assert (len(found["problems"]), found["problems_left_out"]) == (MOST, 6)
        assert found["counts"]["exchanges"] == {"new": 3}

    def test_something_else_altogether(self, there: Store) -> None:
        for body in (b"hello", b"\x89PNG\r\n", b"[1,2]", b"{", b"\xff\xfe{\0", b"PK\x03\x04", b"SQLite format 3\0"):
            found = sent(there, body)
            assert (found["status"], error_of(there, found)["code"]) == ("failed", "invalid_file"), body


def parts(store: Store, import_id: str) -> int:
    with store.deps.database.reading(store.acme) as scope:
        return files.count(scope, import_id)
