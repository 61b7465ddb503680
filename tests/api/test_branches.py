"""Branching through the door: the same question with edits, and names for what came of it."""

import threading
from typing import Any

import pytest
from werkzeug.test import TestResponse

from convstore.services import jobs, replaying
from convstore.services.kinds import KINDS
from convstore.services.running_job import Cancelled, RunningJob
from convstore.storage import queue
from tests.api.conftest import Stage
from tests.api.test_trees import UNKNOWN, got, home, refused, tree
from tests.conftest import ENGINES, Client
from tests.local_upstream import answer, blocks_of, function_call, message

pytestmark = pytest.mark.parametrize("stage", ENGINES, indirect=True)


def work(stage: Stage, most: int = 100) -> list[str]:
    """Do what is queued, as a worker does; how each job ended."""
    ended: list[str] = []
    for _ in range(most):
        held = queue.take(stage.deps.database, stage.deps.process, list(KINDS), stage.deps.clock())
        if held is None:
            break
        job = RunningJob(stage.deps.database, held)
        try:
            KINDS[held.kind].run(stage.deps, job)
            status = "completed"
        except Cancelled:
            status = "cancelled"
        jobs.finish(stage.deps, held, status, progress=job.unsaid)
        ended.append(status)
    return ended


def branched(client: Client, of: str, status: int = 200, **edits: Any) -> TestResponse:
    answered = client.post(f"/v1/responses/{of}/branch", json=edits)
    assert answered.status_code == status, answered.text
    return answered


def asked_last(stage: Stage) -> dict[str, Any]:
    return dict(stage.upstream.questions[-1].body)


def words(body: dict[str, Any]) -> list[str]:
    """What the model was shown, in words."""
    found = []
    for item in body["input"]:
        content = item.get("content")
        found.append(content if isinstance(content, str) else content[0]["text"] if content else item["type"])
    return found


@pytest.fixture
def chain(stage: Stage) -> list[str]:
    """Three turns, one behind the other."""
    made: list[str] = []
    for number in range(3):
        stage.upstream.will(answer(message(f"A{number}")))
        asked = stage.alice.ask(
            f"Q{number}", after=made[-1] if made else None, instructions="Be brief.", temperature=0.5
        )
        made.append(asked["id"])
    return made


class TestEdits:
    def test_the_question_is_asked_again_behind_the_same_parent(self, stage: Stage, chain: list[str]) -> None:
        stage.upstream.will(answer(message("Other")))
        made = branched(stage.alice, chain[1], input="Q1 again").json
        assert made["previous_response_id"] == chain[0]
        assert words(asked_last(stage)) == ["Q0", "A0", "Q1 again"]
        assert (asked_last(stage)["instructions"], asked_last(stage)["temperature"]) == ("Be brief.", 0.5)
        node = got(stage.alice, f"/v1/responses/{made['id']}/thread?items=false")["data"][-1]
        assert (node["origin"], node["origin_id"], node["depth"]) == ("branch", chain[1], 1)
        siblings = got(stage.alice, f"/v1/responses/{chain[0]}/children")["data"]
        assert [each["id"] for each in siblings] == [chain[1], made["id"]]

    def test_nothing_changed_is_another_try(self, stage: Stage, chain: list[str]) -> None:
        branched(stage.alice, chain[2])
        assert words(asked_last(stage)) == ["Q0", "A0", "Q1", "A1", "Q2"]

    def test_anything_can_be_replaced_or_left_out(self, stage: Stage, chain: list[str]) -> None:
        tools = [{"type": "function", "name": "look", "parameters": {}}]
        branched(stage.alice, chain[1], model="gpt-5.4", instructions=None, temperature=1, tools=tools, top_p=0.1)
        asked = asked_last(stage)
        assert asked["model"] == "gpt-5.4"
        assert "instructions" not in asked
        assert (asked["temperature"], asked["top_p"], asked["tools"][0]["name"]) == (1, 0.1, "look")

    def test_another_root_is_of_the_same_conversation(self, stage: Stage, chain: list[str]) -> None:
        made = branched(stage.alice, chain[0], input="Q0, better").json
        assert made["previous_response_id"] is None
        assert words(asked_last(stage)) == ["Q0, better"]
        where = home(stage.alice, chain[0])
        assert home(stage.alice, made["id"]) == where
        assert [node["depth"] for node in tree(stage.alice, where)["data"]] == [0, 1, 2, 0]
        on = stage.alice.ask("And on", after=made["id"])["id"]
        assert [node["id"] for node in tree(stage.alice, where, f"root={made['id']}")["data"]] == [made["id"], on]

    def test_it_streams_if_asked(self, stage: Stage, chain: list[str]) -> None:
        answered = branched(stage.alice, chain[1], stream=True)
        events = list(blocks_of(answered.data))
        assert events[-1]["type"] == "response.completed"
        assert events[-1]["response"]["previous_response_id"] == chain[0]

    def test_a_deleted_parent_is_continued_all_the_same(self, stage: Stage, chain: list[str]) -> None:
        stage.alice.delete(f"/v1/responses/{chain[0]}")
        branched(stage.alice, chain[1], input="Q1 again")
        assert words(asked_last(stage)) == ["Q0", "A0", "Q1 again"]

    def test_at_the_same_time_each_becomes_a_child(self, stage: Stage, chain: list[str]) -> None:
        threads = [threading.Thread(target=branched, args=(stage.alice, chain[1])) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert len(got(stage.alice, f"/v1/responses/{chain[0]}/children")["data"]) == 9

    def test_unknown_foreign_and_deleted_ones_are_not_found(self, stage: Stage, chain: list[str]) -> None:
        before = len(stage.upstream.questions)
        refused(stage.alice.post(f"/v1/responses/{UNKNOWN}/branch", json={}), 404)
        refused(stage.carol.post(f"/v1/responses/{chain[1]}/branch", json={}), 404)
        stage.alice.delete(f"/v1/responses/{chain[2]}")
        refused(stage.alice.post(f"/v1/responses/{chain[2]}/branch", json={}), 404)
        assert len(stage.upstream.questions) == before

    @pytest.mark.parametrize(
        ("edits", "param"),
        [
            ({"previous_response_id": UNKNOWN}, "previous_response_id"),
            ({"conversation": "conv_1"}, "conversation"),
            ({"temperature": 9}, "temperature"),
            ({"carry": "all"}, "carry"),
            ({"name": "a/b"}, "name"),
            ({"name": UNKNOWN}, "name"),
            ({"model": None}, "model"),
            ({"model": "claude"}, "model"),
            ({"background": True, "store": False}, "background"),
        ],
    )
    def test_nonsense_is_named_and_nothing_is_written(
        self, stage: Stage, chain: list[str], edits: dict[str, Any], param: str
    ) -> None:
        answered = stage.alice.post(f"/v1/responses/{chain[1]}/branch", json=edits)
        assert answered.status_code in (400, 404)
        assert answered.json["error"]["param"] == param
        assert len(got(stage.alice, f"/v1/responses/{chain[0]}/children")["data"]) == 1

    def test_secrets_that_are_not_stored_are_asked_for(self, stage: Stage) -> None:
        tool = {"type": "mcp", "server_label": "files", "server_url": "https://a.example", "authorization": "s3cret"}
        asked = stage.alice.ask("With a tool", tools=[tool])["id"]
        refused(stage.alice.post(f"/v1/responses/{asked}/branch", json={}), 400, "tools")
        branched(stage.alice, asked, tools=[tool])
        assert asked_last(stage)["tools"][0]["authorization"] == "s3cret"


class TestCarry:
    def test_the_later_questions_are_asked_behind_the_new_answer(self, stage: Stage, chain: list[str]) -> None:
        stage.upstream.will(answer(message("B0")), answer(message("B1")), answer(message("B2")))
        answered = branched(stage.alice, chain[0], input="R0", carry="inputs", instructions="Be long.", name="better")
        replay = answered.headers["x-convstore-replay"]
        assert got(stage.alice, f"/v1/replays/{replay}")["status"] == "queued"
        assert work(stage) == ["completed"]
        assert words(asked_last(stage)) == ["R0", "B0", "Q1", "B1", "Q2"]
        assert asked_last(stage)["instructions"] == "Be long."
        done = got(stage.alice, f"/v1/replays/{replay}")
        assert (done["status"], done["runs"][0]["done"], done["runs"][0]["total"]) == ("completed", 2, 2)
        tip = done["runs"][0]["tip"]
        thread = got(stage.alice, f"/v1/responses/{tip}/thread?items=false")["data"]
        assert [node["origin"] for node in thread] == ["branch", "replay", "replay"]
        assert [node["origin_id"] for node in thread] == chain
        # The name has moved along.
        assert got(stage.alice, "/v1/branches/better")["tip"] == tip
        assert got(stage.alice, "/v1/responses/better/thread?items=false")["data"][-1]["branches"] == ["better"]

    def test_as_far_as_is_wanted(self, stage: Stage, chain: list[str]) -> None:
        answered = branched(stage.alice, chain[0], carry="inputs", until=chain[1])
        work(stage)
        replay = got(stage.alice, f"/v1/replays/{answered.headers['x-convstore-replay']}")
        assert [turn["source_id"] for turn in replay["runs"][0]["turns"]] == [chain[1]]

    def test_behind_the_last_one_there_is_nothing_to_carry(self, stage: Stage, chain: list[str]) -> None:
        assert "x-convstore-replay" not in branched(stage.alice, chain[2], carry="inputs").headers
        assert work(stage) == []

    def test_what_is_beside_the_thread_is_refused(self, stage: Stage, chain: list[str]) -> None:
        other = stage.alice.ask("Elsewhere")["id"]
        answered = stage.alice.post(f"/v1/responses/{chain[0]}/branch", json={"carry": "inputs", "until": other})
        refused(answered, 400)

    def test_a_deleted_question_is_not_asked_again(self, stage: Stage, chain: list[str]) -> None:
        stage.alice.delete(f"/v1/responses/{chain[2]}")
        answered = stage.alice.post(f"/v1/responses/{chain[0]}/branch", json={"carry": "inputs"})
        refused(answered, 400)
        assert answered.json["error"]["code"] == "response_deleted"
        branched(stage.alice, chain[0], carry="inputs", until=chain[1])
        assert work(stage) == ["completed"]

    def test_an_edited_answer_that_fails_carries_nothing(self, stage: Stage, chain: list[str]) -> None:
        broken = {"code": "server_error", "message": "Something burst."}
        stage.upstream.will(answer(message("Half"), status="incomplete", error=broken))
        answered = branched(stage.alice, chain[0], carry="inputs")
        work(stage)
        run = got(stage.alice, f"/v1/replays/{answered.headers['x-convstore-replay']}")["runs"][0]
        assert (run["status"], run["turns"]) == ("stopped", [])
        assert "Something burst." in run["reason"]

    def test_one_that_its_model_left_incomplete_is_gone_on_from(self, stage: Stage, chain: list[str]) -> None:
        cut = {"reason": "max_output_tokens"}
        stage.upstream.will(*[answer(message("Cut"), status="incomplete", incomplete_details=cut) for _ in chain])
        answered = branched(stage.alice, chain[0], carry="inputs")
        work(stage)
        run = got(stage.alice, f"/v1/replays/{answered.headers['x-convstore-replay']}")["runs"][0]
        assert (run["status"], run["done"]) == ("completed", 2)


class TestNames:
    def test_made_moved_renamed_and_forgotten(self, stage: Stage, chain: list[str]) -> None:
        made = stage.alice.post("/v1/branches", json={"name": "main", "tip": chain[1]}).json
        assert (made["name"], made["tip"], made["conversation_id"]) == ("main", chain[1], home(stage.alice, chain[0]))
        moved = stage.alice.post("/v1/branches/main", json={"tip": chain[2], "expected": chain[1]}).json
        assert moved["tip"] == chain[2]
        assert moved["moved_at"] >= moved["created_at"]
        assert stage.alice.post("/v1/branches/main", json={"name": "trunk"}).json["tip"] == chain[2]
        refused(stage.alice.get("/v1/branches/main"), 404)
        assert stage.alice.delete("/v1/branches/trunk").json == {"name": "trunk", "object": "branch", "deleted": True}
        refused(stage.alice.delete("/v1/branches/trunk"), 404)
        assert stage.alice.get(f"/v1/responses/{chain[2]}").status_code == 200

    def test_a_name_stands_for_its_exchange(self, stage: Stage, chain: list[str]) -> None:
        stage.alice.post("/v1/branches", json={"name": "here", "tip": chain[2]})
        assert got(stage.alice, "/v1/responses/here/thread")["data"][-1]["id"] == chain[2]
        assert got(stage.alice, "/v1/responses/here/context")["response_id"] == chain[2]
        assert branched(stage.alice, "here").json["previous_response_id"] == chain[1]
        also = stage.alice.post("/v1/branches", json={"name": "also", "tip": "here"}).json
        assert also["tip"] == chain[2]
        for name in ("here", "also"):
            stage.alice.delete(f"/v1/branches/{name}")

    def test_who_is_late_moves_nothing(self, stage: Stage, chain: list[str]) -> None:
        stage.alice.post("/v1/branches", json={"name": "cas", "tip": chain[0]})
        late = stage.alice.post("/v1/branches/cas", json={"tip": chain[2], "expected": chain[1]})
        refused(late, 409, "expected")
        assert chain[0] in late.json["error"]["message"]
        assert got(stage.alice, "/v1/branches/cas")["tip"] == chain[0]

    def test_a_name_is_taken_once_and_the_loser_asks_nobody(self, stage: Stage, chain: list[str]) -> None:
        stage.alice.post("/v1/branches", json={"name": "taken", "tip": chain[0]})
        before = len(stage.upstream.questions)
        refused(stage.alice.post("/v1/branches", json={"name": "taken", "tip": chain[1]}), 409, "name")
        refused(stage.alice.post(f"/v1/responses/{chain[1]}/branch", json={"name": "taken"}), 409, "name")
        assert len(stage.upstream.questions) == before
        assert len(got(stage.alice, f"/v1/responses/{chain[0]}/children")["data"]) == 1
        # Another project's names are its own.
        theirs = stage.carol.ask("Mine")["id"]
        assert stage.carol.post("/v1/branches", json={"name": "taken", "tip": theirs}).status_code == 200

    def test_listed_by_name(self, stage: Stage, chain: list[str]) -> None:
        for name in ("l-2", "l-1", "l-3"):
            stage.alice.post("/v1/branches", json={"name": name, "tip": chain[0]})
        where = home(stage.alice, chain[0])
        first = got(stage.alice, f"/v1/branches?conversation={where}&limit=2")
        assert ([each["name"] for each in first["data"]], first["has_more"]) == (["l-1", "l-2"], True)
        rest = got(stage.alice, f"/v1/branches?conversation={where}&limit=2&after=l-2")
        assert [each["name"] for each in rest["data"]] == ["l-3"]

    @pytest.mark.parametrize(
        ("given", "param"),
        [
            ({"name": "x"}, "tip"),
            ({"tip": "x"}, "name"),
            ({"name": "x", "tip": UNKNOWN}, "tip"),
            ({"name": "x", "tip": "no-such-name"}, "tip"),
            ({"name": "../x", "tip": UNKNOWN}, "name"),
            ({"name": 7, "tip": UNKNOWN}, "name"),
        ],
    )
    def test_nonsense_is_named(self, stage: Stage, given: dict[str, Any], param: str) -> None:
        refused(stage.alice.post("/v1/branches", json=given), 400, param)

    def test_it_points_into_its_own_conversation(self, stage: Stage, chain: list[str]) -> None:
        stage.alice.post("/v1/branches", json={"name": "stays", "tip": chain[0]})
        other = stage.alice.ask("Elsewhere")["id"]
        refused(stage.alice.post("/v1/branches/stays", json={"tip": other}), 400, "tip")


class TestReplays:
    def test_a_thread_on_two_models_side_by_side(self, stage: Stage, chain: list[str]) -> None:
        asked = {"models": ["gpt-5.4", "gpt-5.4-nano"], "overrides": {"temperature": 0}}
        made = stage.alice.post(f"/v1/responses/{chain[2]}/replay", json=asked).json
        assert (made["object"], made["status"], len(made["runs"])) == ("replay", "queued", 2)
        assert work(stage) == ["completed", "completed"]
        done = got(stage.alice, f"/v1/replays/{made['id']}")
        assert (done["status"], done["calls"]) == ("completed", 6)
        for run, model in zip(done["runs"], asked["models"], strict=True):
            assert (run["model"], run["done"], run["total"]) == (model, 3, 3)
            assert [turn["source_id"] for turn in run["turns"]] == chain
            assert run["comparison"] == f"/v1/diff?left={chain[2]}&right={run['tip']}"
            thread = got(stage.alice, f"/v1/responses/{run['tip']}/thread?items=false")["data"]
            assert [node["question"] for node in thread] == ["Q0", "Q1", "Q2"]
            assert {node["requested_model"] for node in thread} == {model}
        assert asked_last(stage)["temperature"] == 0
        # Beside what was there.
        where = home(stage.alice, chain[0])
        assert tree(stage.alice, where)["total"]["nodes"] == 9

    def test_only_the_last_turn(self, stage: Stage, chain: list[str]) -> None:
        made = stage.alice.post(f"/v1/responses/{chain[2]}/replay", json={"mode": "last"}).json
        work(stage)
        (turn,) = got(stage.alice, f"/v1/replays/{made['id']}")["runs"][0]["turns"]
        assert words(asked_last(stage)) == ["Q0", "A0", "Q1", "A1", "Q2"]
        assert got(stage.alice, f"/v1/responses/{turn['response_id']}")["previous_response_id"] == chain[1]

    def test_what_was_added_by_hand_is_not_counted_among_the_turns(self, stage: Stage) -> None:
        conversation = stage.alice.post("/v1/conversations", json={}).json["id"]
        stage.alice.ask("Q0", conversation=conversation)
        added = {"items": [{"role": "user", "content": "By the way"}]}
        assert stage.alice.post(f"/v1/conversations/{conversation}/items", json=added).status_code == 200
        last = stage.alice.ask("Q1", conversation=conversation)["id"]
        made = stage.alice.post(f"/v1/responses/{last}/replay", json={}).json
        work(stage)
        (run,) = got(stage.alice, f"/v1/replays/{made['id']}")["runs"]
        assert (run["status"], run["done"], run["total"]) == ("completed", 2, 2)
        assert words(asked_last(stage))[-2:] == ["By the way", "Q1"]

    def test_from_one_turn_to_another(self, stage: Stage, chain: list[str]) -> None:
        asked = {"from": chain[1], "until": chain[1]}
        made = stage.alice.post(f"/v1/responses/{chain[2]}/replay", json=asked).json
        work(stage)
        turns = got(stage.alice, f"/v1/replays/{made['id']}")["runs"][0]["turns"]
        assert [turn["source_id"] for turn in turns] == [chain[1]]

    def test_a_dry_run_says_what_it_would_take_and_does_nothing(self, stage: Stage, chain: list[str]) -> None:
        before = len(stage.upstream.questions)
        asked = {"models": ["gpt-5.4", "gpt-5.4-mini"], "dry_run": True}
        plan = stage.alice.post(f"/v1/responses/{chain[2]}/replay", json=asked).json
        assert (plan["object"], plan["calls"]) == ("replay.plan", 6)
        assert [turn["id"] for turn in plan["turns"]] == chain
        usage = got(stage.alice, f"/v1/responses/{chain[0]}")["usage"]
        assert plan["runs"][0]["estimated_input_tokens"] == 3 * usage["input_tokens"]
        assert plan["runs"][0]["unpriced_turns"] == 3
        assert work(stage) == []
        assert len(stage.upstream.questions) == before

    def test_no_more_calls_than_may_be(self, stage: Stage, chain: list[str]) -> None:
        asked = {"models": ["gpt-5.4", "gpt-5.4-mini"], "max_calls": 4}
        made = stage.alice.post(f"/v1/responses/{chain[2]}/replay", json=asked).json
        work(stage)
        done = got(stage.alice, f"/v1/replays/{made['id']}")
        assert (done["status"], done["calls"]) == ("stopped", 4)
        assert [run["done"] for run in done["runs"]] == [3, 1]
        assert done["runs"][1]["stopped_at"] == 1

    def test_no_more_money_than_may_be(self, stage: Stage, chain: list[str]) -> None:
        refused = stage.alice.post(f"/v1/responses/{chain[2]}/replay", json={"max_cost": 0.025})
        assert (refused.status_code, refused.json["error"]["code"]) == (400, "unknown_price")
        price = {"model": "gpt-5.4*", "currency": "CNY", "output": 2000, "input": 0}
        (priced,) = stage.alice.post("/v1/prices", json=price).json["data"]
        planned = stage.alice.post(f"/v1/responses/{chain[2]}/replay", json={"dry_run": True}).json
        assert (planned["runs"][0]["estimated_cost"], planned["runs"][0]["currency"]) == ("0.03", "CNY")
        made = stage.alice.post(f"/v1/responses/{chain[2]}/replay", json={"max_cost": 0.025}).json
        work(stage)
        done = got(stage.alice, f"/v1/replays/{made['id']}")
        assert (done["status"], done["calls"], done["max_cost"]) == ("stopped", 2, "0.025")
        run = done["runs"][0]
        assert (run["cost"], run["currency"], run["stopped_at"]) == ("0.02", "CNY", 2)
        assert "0.025 CNY" in run["reason"]
        assert stage.alice.delete(f"/v1/prices/{priced['id']}").status_code == 200

    def test_recorded_outputs_are_used_for_the_same_calls(self, stage: Stage) -> None:
        ask = stage.alice.ask
        stage.upstream.will(answer(function_call("call_1", arguments='{"a": 1, "b": 2}')), answer(message("Three")))
        first = ask("Add")["id"]
        last = ask([{"type": "function_call_output", "call_id": "call_1", "output": "3"}], after=first)["id"]
        path = f"/v1/responses/{last}/replay"

        def run(*answers: Any, **members: Any) -> dict[str, Any]:
            stage.upstream.will(*answers)
            made = stage.alice.post(path, json=members).json
            work(stage)
            return dict(got(stage.alice, f"/v1/replays/{made['id']}")["runs"][0])

        same = run(answer(function_call("call_9", arguments='{"b":2,"a":1}')), answer(message("3")))
        assert (same["status"], same["done"]) == ("completed", 2)
        assert asked_last(stage)["input"][-1] == {"type": "function_call_output", "call_id": "call_9", "output": "3"}
        other = run(answer(function_call("call_9", arguments='{"a": 1, "b": 3}')))
        assert (other["status"], other["stopped_at"], other["done"]) == ("stopped", 1, 1)
        assert "recorded arguments" in other["reason"]
        none = run(answer(message("I know it: 3")))
        assert (none["status"], none["stopped_at"]) == ("stopped", 1)
        never = run(answer(function_call("call_9", arguments='{"a": 1, "b": 2}')), tool_outputs="stop")
        assert (never["status"], never["stopped_at"]) == ("stopped", 1)

    def test_cancelled_before_it_began(self, stage: Stage, chain: list[str]) -> None:
        made = stage.alice.post(f"/v1/responses/{chain[2]}/replay", json={}).json
        assert stage.alice.post(f"/v1/replays/{made['id']}/cancel").json["status"] == "cancelled"
        assert work(stage) == []
        assert stage.alice.post(f"/v1/replays/{made['id']}/cancel").json["status"] == "cancelled"

    def test_tried_again_it_goes_on(self, stage: Stage, chain: list[str]) -> None:
        made = stage.alice.post(f"/v1/responses/{chain[2]}/replay", json={}).json
        stage.alice.post(f"/v1/replays/{made['id']}/cancel")
        stage.alice.post(f"/v1/jobs/{made['runs'][0]['job_id']}/retry")
        assert work(stage) == ["completed"]
        assert got(stage.alice, f"/v1/replays/{made['id']}")["status"] == "completed"

    def test_cancelled_between_two_turns_its_partial_results_stay(
        self, stage: Stage, chain: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = stage.alice.post(f"/v1/responses/{chain[2]}/replay", json={}).json
        ran = replaying.background.run

        def once(*args: Any, **kwargs: Any) -> None:
            ran(*args, **kwargs)
            stage.alice.post(f"/v1/replays/{made['id']}/cancel")

        monkeypatch.setattr(replaying.background, "run", once)
        assert work(stage) == ["cancelled"]
        done = got(stage.alice, f"/v1/replays/{made['id']}")
        assert (done["status"], done["runs"][0]["done"]) == ("cancelled", 1)

    def test_a_worker_that_takes_over_asks_no_finished_turn_again(
        self, stage: Stage, chain: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = stage.alice.post(f"/v1/responses/{chain[2]}/replay", json={}).json
        held = queue.take(stage.deps.database, stage.deps.process, ["replay"], stage.deps.clock())
        assert held is not None
        ran, runs = replaying.background.run, []

        def dies(*args: Any, **kwargs: Any) -> None:
            runs.append(args)
            if len(runs) == 2:
                raise KeyboardInterrupt
            ran(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(replaying.background, "run", dies)
            with pytest.raises(KeyboardInterrupt):
                replaying.work(stage.deps, RunningJob(stage.deps.database, held))
        with stage.deps.database.transaction() as connection:
            assert queue.give_back(connection, held, counts=True)
        before = len(stage.upstream.questions)
        assert work(stage) == ["completed"]
        assert len(stage.upstream.questions) == before + 2
        done = got(stage.alice, f"/v1/replays/{made['id']}")
        assert (done["status"], done["runs"][0]["done"], done["calls"]) == ("completed", 3, 3)

    def test_listed_newest_first(self, stage: Stage, chain: list[str]) -> None:
        made = [stage.alice.post(f"/v1/responses/{each}/replay", json={}).json["id"] for each in chain]
        found = got(stage.alice, "/v1/replays?limit=2")
        assert ([each["id"] for each in found["data"]], found["has_more"]) == ([made[2], made[1]], True)
        assert got(stage.alice, f"/v1/replays?limit=1&after={made[1]}")["data"][0]["id"] == made[0]
        for each in made:
            stage.alice.post(f"/v1/replays/{each}/cancel")

    def test_of_another_project_nothing_is_seen(self, stage: Stage, chain: list[str]) -> None:
        made = stage.alice.post(f"/v1/responses/{chain[2]}/replay", json={}).json["id"]
        refused(stage.carol.post(f"/v1/responses/{chain[2]}/replay", json={}), 404)
        refused(stage.carol.get(f"/v1/replays/{made}"), 404)
        refused(stage.carol.post(f"/v1/replays/{made}/cancel"), 404)
        assert made not in stage.carol.get("/v1/replays").text
        stage.alice.post(f"/v1/replays/{made}/cancel")

    def test_a_deleted_turn_is_not_asked_again(self, stage: Stage, chain: list[str]) -> None:
        stage.alice.delete(f"/v1/responses/{chain[1]}")
        refused(stage.alice.post(f"/v1/responses/{chain[2]}/replay", json={}), 400)
        refused(stage.alice.post(f"/v1/responses/{chain[1]}/replay", json={}), 404)

    @pytest.mark.parametrize(
        ("given", "param"),
        [
            ({"models": "gpt-5.4"}, "models"),
            ({"models": [7]}, "models[0]"),
            ({"models": ["claude"]}, "model"),
            ({"mode": "all"}, "mode"),
            ({"tool_outputs": "guess"}, "tool_outputs"),
            ({"max_calls": 0}, "max_calls"),
            ({"max_cost": -1}, "max_cost"),
            ({"max_cost": 1}, "max_cost"),
            ({"from": UNKNOWN}, "from"),
            ({"until": "no-such-branch"}, "until"),
            ({"overrides": {"temperature": 9}}, "temperature"),
            ({"overrides": {"input": "x"}}, "input"),
            ({"overrides": []}, "overrides"),
        ],
    )
    def test_nonsense_is_named(self, stage: Stage, chain: list[str], given: dict[str, Any], param: str) -> None:
        answered = stage.alice.post(f"/v1/responses/{chain[2]}/replay", json=given)
        assert answered.status_code in (400, 404), answered.text
        assert answered.json["error"]["param"] == param
        assert work(stage) == []
