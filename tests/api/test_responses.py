"""`/v1/responses`, through the door."""

import pytest
from sqlalchemy import select

from convstore.services import projects
from convstore.services.deps import Deps
from convstore.storage import tables
from tests.conftest import Client
from tests.local_upstream import LocalUpstream, answer, function_call, message, response, whole

pytestmark = pytest.mark.usefixtures("noise")


class TestCreate:
    def test_an_answer_can_be_read_back_as_it_was_given(self, alice: Client) -> None:
        given = alice.ask("Hello?")
        assert alice.get(f"/v1/responses/{given['id']}").json == given

    def test_a_follow_up_is_shown_the_whole_thread(self, alice: Client, upstream: LocalUpstream) -> None:
        upstream.will(answer("One."), answer("Two."), answer("Three."))
        first = alice.ask("1?")
        second = alice.ask("2?", after=first["id"])
        alice.ask("3?", after=second["id"])
        shown = upstream.questions[-1].body
        assert shown["store"] is False
        assert "previous_response_id" not in shown
        texts = [item["content"][0]["text"] for item in shown["input"]]
        assert texts == ["1?", "One.", "2?", "Two.", "3?"]
        assert not any("id" in item for item in shown["input"])

    def test_a_second_child_does_not_see_the_first(self, alice: Client, upstream: LocalUpstream) -> None:
        root = alice.ask("root")
        first = alice.ask("first", after=root["id"])
        second = alice.ask("second", after=root["id"])
        third = alice.ask("below second", after=second["id"])
        alice.ask("end", after=third["id"])
        texts = [item["content"][0]["text"] for item in upstream.questions[-1].body["input"]]
        assert "first" not in texts
        assert texts[::2] == ["root", "second", "below second", "end"]
        assert first["previous_response_id"] == second["previous_response_id"] == root["id"]

    def test_usage_of_the_gateway_is_normalised(self, alice: Client, upstream: LocalUpstream) -> None:
        reported = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 5}}
        thin = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}
        upstream.will(whole(response(thin, usage=reported)))
        given = alice.ask()
        assert given["usage"]["input_tokens"] == 7
        assert given["usage"]["input_tokens_details"] == {"cached_tokens": 5, "cache_write_tokens": 0}
        assert given["output"][0]["content"][0]["annotations"] == []

    def test_an_unanswered_call_is_refused_before_the_upstream_is_asked(
        self, alice: Client, upstream: LocalUpstream
    ) -> None:
        upstream.will(answer(function_call("call_9")))
        first = alice.ask()
        asked = len(upstream.questions)
        refused = alice.create("go on", after=first["id"])
        assert refused.status_code == 400
        assert refused.json["error"]["message"] == "No tool output found for function call call_9."
        assert len(upstream.questions) == asked

    def test_a_stream_ends_with_what_is_stored(self, alice: Client) -> None:
        events = alice.stream("Hello?")
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert events[-1]["type"] == "response.completed"
        stored = alice.get(f"/v1/responses/{events[-1]['response']['id']}").json
        assert events[-1]["response"] == stored

    def test_another_project_finds_nothing(self, alice: Client, carol: Client) -> None:
        given = alice.ask()
        for answered in (
            carol.get(f"/v1/responses/{given['id']}"),
            carol.delete(f"/v1/responses/{given['id']}"),
            carol.get(f"/v1/responses/{given['id']}/input_items"),
            carol.post(f"/v1/responses/{given['id']}/cancel"),
        ):
            assert answered.status_code == 404
            assert answered.json["error"]["message"] == f"Response with id '{given['id']}' not found."
        assert carol.create(after=given["id"]).json["error"]["code"] == "previous_response_not_found"


class TestDiscard:
    def test_a_project_that_discards_answers_in_full_and_keeps_nothing(
        self, alice: Client, carol: Client, deps: Deps, upstream: LocalUpstream
    ) -> None:
        projects.change(deps, "acme", unstored="discard")
        upstream.will(*(answer("A zebra.") for _ in range(4)))
        key = {"Idempotency-Key": "key-1"}
        given = alice.ask("Which zebra?", store=False, headers=key)
        assert given["output"][0]["content"][0]["text"] == "A zebra."
        assert alice.stream("Which zebra?", store=False)[-1]["response"]["output"] != []
        assert alice.ask("Which zebra?", store=False, headers=key)["id"] != given["id"]
        path = f"/v1/responses/{given['id']}"
        for refused in (alice.get(path), alice.get(f"{path}/input_items"), alice.delete(path)):
            assert refused.status_code == 404
        assert alice.create(after=given["id"]).json["error"]["code"] == "previous_response_not_found"
        with deps.database.connection() as connection:
            found = connection.execute(select(tables.items.c.body)).scalars()
            assert not any(b"zebra" in (body or b"") for body in found)
        kept = carol.ask("Which zebra?", store=False, headers=key)
        assert carol.ask("Which zebra?", store=False, headers=key) == kept


class TestInputItems:
    def test_history_comes_first(self, alice: Client, upstream: LocalUpstream) -> None:
        upstream.will(answer(message("One.")))
        first = alice.ask("1?")
        second = alice.ask("2?", after=first["id"])
        listed = alice.get(f"/v1/responses/{second['id']}/input_items?order=asc").json
        assert [item["content"][0]["text"] for item in listed["data"]] == ["1?", "One.", "2?"]
        assert listed["data"][1]["id"] == first["output"][0]["id"]
        page = alice.get(f"/v1/responses/{second['id']}/input_items?limit=2").json
        assert [item["content"][0]["text"] for item in page["data"]] == ["2?", "One."]
        assert page["has_more"]
        rest = alice.get(f"/v1/responses/{second['id']}/input_items?limit=2&after={page['last_id']}").json
        assert [item["content"][0]["text"] for item in rest["data"]] == ["1?"]
        assert not rest["has_more"]
