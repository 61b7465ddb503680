"""The official Python SDK against the running service: it must notice nothing."""

import asyncio
import base64
import http.client
import json
import socket
import threading
import uuid
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.responses import Response
from pydantic import BaseModel

from tests.acceptance.conftest import Stage, sdk
from tests.acceptance.service import Service
from tests.local_upstream import (
    LocalUpstream,
    answer,
    error,
    function_call,
    message,
    reasoning,
    response,
    stream,
    stream_of,
    wait_until,
    whole,
)

MODEL = "gpt-5.4"
ADD = {
    "type": "function",
    "name": "add",
    "description": "Adds.",
    "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]},
    "strict": False,
}
TEXT_EVENTS = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
]


class Person(BaseModel):
    name: str
    age: int


def ask(client: OpenAI, input: Any = "Hello?", **members: Any) -> Response:
    return client.responses.create(model=MODEL, input=input, **members)


def texts(shown: list[dict[str, Any]]) -> list[str]:
    """What stands in the messages that an upstream was shown."""
    return [part["text"] for item in shown if item.get("type", "message") == "message" for part in parts(item)]


def parts(item: dict[str, Any]) -> list[dict[str, Any]]:
    content = item["content"]
    return [{"text": content}] if isinstance(content, str) else content


def without_id(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name != "id"}


class TestCreate:
    def test_a_question_is_answered(self, client: OpenAI, provider: LocalUpstream) -> None:
        provider.will(answer("Four."))
        given = ask(client, "Two and two?", instructions="Be brief.", metadata={"turn": "1"}, temperature=0.5)
        assert given.output_text == "Four."
        assert given.id.startswith("resp_")
        assert given.id != "resp_upstream_1"
        assert given.status == "completed"
        assert given.model == "gpt-5.4-2026-03-05"
        assert given.instructions == "Be brief."
        assert given.metadata == {"turn": "1"}
        assert given.temperature == 0.5
        assert given.usage is not None
        assert (given.usage.input_tokens, given.usage.output_tokens, given.usage.total_tokens) == (13, 5, 18)
        assert given.usage.input_tokens_details.cached_tokens == 4
        assert given.usage.output_tokens_details.reasoning_tokens == 2

    def test_the_upstream_is_asked_once_and_told_what_was_asked(self, client: OpenAI, provider: LocalUpstream) -> None:
        ask(client, "Two and two?", instructions="Be brief.", max_output_tokens=64)
        [asked] = provider.questions
        assert asked.path == "/v1/responses"
        assert asked.body == {
            "model": MODEL,
            "instructions": "Be brief.",
            "max_output_tokens": 64,
            "store": False,
            "input": [
                {
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_text", "text": "Two and two?"}],
                }
            ],
        }

    def test_what_the_sdk_does_not_know_arrives_upstream(self, client: OpenAI, provider: LocalUpstream) -> None:
        ask(client, extra_body={"x_future": {"deep": [1, None, "é"]}, "top_k": 7})
        body = provider.questions[-1].body
        assert body["x_future"] == {"deep": [1, None, "é"]}
        assert body["top_k"] == 7

    def test_null_is_as_good_as_nothing(self, client: OpenAI, provider: LocalUpstream) -> None:
        given = ask(
            client,
            instructions=None,
            max_output_tokens=None,
            metadata=None,
            previous_response_id=None,
            reasoning=None,
            store=None,
            stream=None,
            temperature=None,
            top_p=None,
            truncation=None,
        )
        assert given.status == "completed"
        assert set(provider.questions[-1].body) == {"model", "store", "input"}
        assert client.responses.retrieve(given.id).id == given.id

    def test_images_and_files_arrive_as_they_were_sent(self, client: OpenAI, provider: LocalUpstream) -> None:
        # Bigger than what the store keeps beside the item, so it takes the way of shared payloads.
        picture = "data:image/png;base64," + base64.b64encode(bytes(range(256)) * 64).decode()
        pdf = "data:application/pdf;base64," + base64.b64encode(b"%PDF-1.7 small").decode()
        content = [
            {"type": "input_text", "text": "What is this?"},
            {"type": "input_image", "image_url": picture, "detail": "low"},
            {"type": "input_file", "filename": "a.pdf", "file_data": pdf},
        ]
        question = {"type": "message", "role": "user", "content": content}
        first = ask(client, [question])
        ask(client, "And now?", previous_response_id=first.id)
        assert [asked.body["input"][0] for asked in provider.questions] == [question, question]
        listed = client.responses.input_items.list(first.id).data[0]
        assert listed.model_dump(exclude_unset=True)["content"] == content

    def test_a_refusal_is_told(self, client: OpenAI, provider: LocalUpstream) -> None:
        refused = {**message(""), "content": [{"type": "refusal", "refusal": "I won't."}]}
        provider.will(answer(refused), answer(refused))
        given = ask(client)
        assert given.output[0].content[0].refusal == "I won't."
        with client.responses.stream(model=MODEL, input="Please?") as events:
            kinds = [event.type for event in events]
            assert events.get_final_response().output[0].content[0].refusal == "I won't."
        assert "response.refusal.delta" in kinds
        assert "response.refusal.done" in kinds

    def test_an_unfinished_answer_says_why(self, client: OpenAI, provider: LocalUpstream) -> None:
        cut = response(
            {**message("Once upon"), "status": "incomplete"},
            status="incomplete",
            incomplete_details={"reason": "max_output_tokens"},
        )
        provider.will(whole(cut))
        given = ask(client, max_output_tokens=16)
        assert given.status == "incomplete"
        assert given.incomplete_details is not None
        assert given.incomplete_details.reason == "max_output_tokens"
        assert given.output_text == "Once upon"

    def test_what_is_not_to_be_stored_is_answered_and_not_found_again(
        self, client: OpenAI, provider: LocalUpstream
    ) -> None:
        given = ask(client, store=False)
        assert given.output_text == "Answer 1."
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(given.id)
        with pytest.raises(openai.BadRequestError) as refused:
            ask(client, previous_response_id=given.id)
        assert refused.value.code == "previous_response_not_found"


class TestParse:
    def test_an_answer_becomes_an_object(self, client: OpenAI, provider: LocalUpstream) -> None:
        provider.will(answer('{"name":"Ada","age":36}'))
        given = client.responses.parse(model=MODEL, input="Who?", text_format=Person)
        assert given.output_parsed == Person(name="Ada", age=36)
        wanted = provider.questions[-1].body["text"]["format"]
        assert wanted["type"] == "json_schema"
        assert wanted["name"] == "Person"
        assert wanted["strict"] is True
        assert set(wanted["schema"]["properties"]) == {"name", "age"}
        stored = client.responses.retrieve(given.id)
        assert stored.text is not None
        assert stored.text.format is not None
        assert stored.text.format.type == "json_schema"

    def test_a_streamed_answer_too(self, client: OpenAI, provider: LocalUpstream) -> None:
        provider.will(answer('{"name":"Ada","age":36}'))
        with client.responses.stream(model=MODEL, input="Who?", text_format=Person) as events:
            assert events.get_final_response().output_parsed == Person(name="Ada", age=36)


class TestStream:
    def test_the_events_come_in_order_and_numbered(self, client: OpenAI, provider: LocalUpstream) -> None:
        events = list(ask(client, stream=True))
        assert [event.type for event in events] == TEXT_EVENTS
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert {event.response.id for event in events if hasattr(event, "response")} == {events[0].response.id}
        assert events[0].response.status == "in_progress"
        assert events[0].response.usage is None
        assert provider.questions[-1].body["stream"] is True

    def test_the_last_event_is_what_is_stored(self, client: OpenAI, provider: LocalUpstream) -> None:
        *_, last = ask(client, stream=True)
        assert last.response == client.responses.retrieve(last.response.id)

    def test_each_piece_comes_when_it_is_said(self, client: OpenAI, provider: LocalUpstream) -> None:
        blocks = stream_of(response(message("One two three.")), deltas=7)
        gates = [threading.Event() for _ in blocks]
        provider.will(stream(blocks, gates=gates))
        heard = 0
        for gate in gates[:4]:
            gate.set()
        with client.responses.create(model=MODEL, input="Count.", stream=True) as events:
            for event in events:
                if event.type == "response.output_text.delta":
                    heard += 1
                # The provider says no more before this much has arrived here.
                if event.sequence_number >= 3 and event.sequence_number + 1 < len(gates):
                    gates[event.sequence_number + 1].set()
        assert heard == 7
        assert event.type == "response.completed"
        assert event.response.output_text == "One two three."

    def test_the_helper_builds_what_is_stored(self, client: OpenAI, provider: LocalUpstream) -> None:
        provider.will(stream(stream_of(response(message("One two three."), function_call()), deltas=4)))
        heard = ""
        with client.responses.stream(model=MODEL, input="Count.") as events:
            for event in events:
                if event.type == "response.output_text.delta":
                    heard += event.delta
            final = events.get_final_response()
        assert heard == "One two three."
        assert final.output_text == "One two three."
        stored = client.responses.retrieve(final.id)
        assert [item.id for item in final.output] == [item.id for item in stored.output]
        assert final.output[1].arguments == stored.output[1].arguments == '{"x":3}'
        assert final.usage == stored.usage

    def test_a_refused_question_is_an_error_and_no_stream(self, client: OpenAI, provider: LocalUpstream) -> None:
        with pytest.raises(openai.BadRequestError):
            ask(client, stream=True, previous_response_id="resp_unknown")
        provider.will(error(400, "Not like this.", param="input"))
        with pytest.raises(openai.BadRequestError, match="Not like this"):
            ask(client, stream=True)

    def test_an_answer_that_failed_half_way_says_so(self, client: OpenAI, provider: LocalUpstream) -> None:
        said = stream_of(response(message("Once upon a time")))[:-2]
        failure = response(status="failed", error={"code": "server_error", "message": "Out of breath."}, usage=None)
        provider.will(stream([*said, stream_of(failure)[-1]]))
        *_, last = ask(client, stream=True)
        assert last.type == "response.failed"
        assert last.response.error.message == "Out of breath."
        stored = client.responses.retrieve(last.response.id)
        assert stored.status == "failed"
        assert stored.output_text == "Once upon a time"

    def test_a_stream_that_breaks_off_is_kept_as_incomplete(self, client: OpenAI, provider: LocalUpstream) -> None:
        blocks = stream_of(response(message("Once upon a time")), deltas=4)
        provider.will(stream(blocks, cut_after=6))
        events = list(ask(client, stream=True))
        assert events[-1].type == "error"
        assert events[-1].code == "upstream_stream_cut"
        stored = client.responses.retrieve(events[0].response.id)
        assert stored.status == "incomplete"
        assert stored.output_text == "Once upo"

    def test_a_client_that_hangs_up_loses_nothing(self, client: OpenAI, provider: LocalUpstream) -> None:
        blocks = stream_of(response(message("Once upon a time")), deltas=4)
        gate = threading.Event()
        provider.will(stream(blocks, gates=[_open(), _open(), _open(), _open(), gate]))
        with ask(client, stream=True) as events:
            given = next(iter(events)).response
        gate.set()
        assert wait_until(lambda: client.responses.retrieve(given.id).status == "completed")
        assert client.responses.retrieve(given.id).output_text == "Once upon a time"


def _open() -> threading.Event:
    gate = threading.Event()
    gate.set()
    return gate


class TestRetrieve:
    def test_an_answer_can_be_read_back(self, client: OpenAI, provider: LocalUpstream) -> None:
        given = ask(client)
        assert client.responses.retrieve(given.id) == given

    def test_nobody_elses(self, client: OpenAI, carol: OpenAI, provider: LocalUpstream) -> None:
        given = ask(client)
        with pytest.raises(openai.NotFoundError) as not_found:
            carol.responses.retrieve(given.id)
        assert not_found.value.body["message"] == f"Response with id '{given.id}' not found."
        assert not_found.value.code is None

    def test_it_can_be_streamed_again(self, client: OpenAI, provider: LocalUpstream) -> None:
        *_, last = ask(client, stream=True)
        again = list(client.responses.retrieve(last.response.id, stream=True))
        assert [event.type for event in again] == TEXT_EVENTS
        assert again[-1] == last
        assert len(provider.questions) == 1

    def test_from_where_it_was_left(self, client: OpenAI, provider: LocalUpstream) -> None:
        given = ask(client)
        rest = list(client.responses.retrieve(given.id, stream=True, starting_after=5))
        assert [event.sequence_number for event in rest] == [6, 7, 8]
        assert rest[-1].response.output_text == given.output_text

    def test_the_helper_can_take_it_up(self, client: OpenAI, provider: LocalUpstream) -> None:
        given = ask(client)
        with client.responses.stream(response_id=given.id, starting_after=5) as events:
            assert [event.sequence_number for event in events] == [6, 7, 8]
        with client.responses.stream(response_id=given.id) as events:
            assert events.get_final_response().output_text == given.output_text


class TestDelete:
    def test_a_deleted_answer_is_gone(self, client: OpenAI, provider: LocalUpstream) -> None:
        given = ask(client)
        client.responses.delete(given.id)
        for forgotten in (
            lambda: client.responses.retrieve(given.id),
            lambda: client.responses.delete(given.id),
            lambda: client.responses.input_items.list(given.id),
        ):
            with pytest.raises(openai.NotFoundError):
                forgotten()
        with pytest.raises(openai.BadRequestError) as refused:
            ask(client, previous_response_id=given.id)
        assert refused.value.code == "previous_response_not_found"
        assert refused.value.param == "previous_response_id"

    def test_what_continued_it_goes_on(self, client: OpenAI, provider: LocalUpstream) -> None:
        first = ask(client, "first")
        second = ask(client, "second", previous_response_id=first.id)
        client.responses.delete(first.id)
        ask(client, "third", previous_response_id=second.id)
        assert texts(provider.questions[-1].body["input"]) == [
            "first",
            "Answer 1.",
            "second",
            "Answer 2.",
            "third",
        ]

    def test_nobody_elses(self, client: OpenAI, carol: OpenAI, provider: LocalUpstream) -> None:
        given = ask(client)
        with pytest.raises(openai.NotFoundError):
            carol.responses.delete(given.id)
        assert client.responses.retrieve(given.id).id == given.id


class TestCancel:
    def test_a_finished_answer_cannot_be_cancelled(self, client: OpenAI, provider: LocalUpstream) -> None:
        given = ask(client)
        with pytest.raises(openai.BadRequestError, match="Cannot cancel a synchronous response"):
            client.responses.cancel(given.id)
        assert client.responses.retrieve(given.id).status == "completed"


class TestInputItems:
    def test_all_pages_are_read_by_themselves(self, client: OpenAI, provider: LocalUpstream) -> None:
        first = ask(client, "the root")
        own = [{"role": "user", "content": f"number {number}"} for number in range(23)]
        second = ask(client, own, previous_response_id=first.id)
        said = ["the root", "Answer 1.", *(f"number {number}" for number in range(23))]
        page = client.responses.input_items.list(second.id)
        assert len(page.data) == 20
        listed = list(page)
        assert [item.content[0].text for item in listed] == said[::-1]
        assert len({item.id for item in listed}) == 25
        oldest_first = client.responses.input_items.list(second.id, order="asc", limit=4)
        assert [item.content[0].text for item in oldest_first] == said
        after = client.responses.input_items.list(second.id, after=listed[2].id, limit=2)
        assert [item.id for item in after.data] == [item.id for item in listed[3:5]]

    def test_ids_stay_the_same(self, client: OpenAI, provider: LocalUpstream) -> None:
        own = [{"role": "user", "content": "x", "id": "msg_mine"}, {"role": "user", "content": "y"}]
        given = ask(client, own)
        once, again = ([item.id for item in client.responses.input_items.list(given.id)] for _ in range(2))
        assert once == again
        assert once[1] == "msg_mine"


class TestChain:
    def test_each_turn_is_shown_everything_before_it(self, client: OpenAI, provider: LocalUpstream) -> None:
        given = ask(client, "1?", instructions="Only now.")
        for number in (2, 3):
            given = ask(client, f"{number}?", previous_response_id=given.id)
            assert given.previous_response_id is not None
        shown = provider.questions[-1].body
        assert texts(shown["input"]) == ["1?", "Answer 1.", "2?", "Answer 2.", "3?"]
        assert "instructions" not in shown
        assert "previous_response_id" not in shown

    def test_two_children_of_one_parent_know_nothing_of_each_other(
        self, client: OpenAI, provider: LocalUpstream
    ) -> None:
        root = ask(client, "root")
        left = ask(client, "left", previous_response_id=root.id)
        right = ask(client, "right", previous_response_id=root.id)
        ask(client, "left again", previous_response_id=left.id)
        assert texts(provider.questions[-1].body["input"]) == [
            "root", "Answer 1.", "left", "Answer 2.", "left again"
        ]  # fmt: skip
        ask(client, "right again", previous_response_id=right.id)
        assert texts(provider.questions[-1].body["input"]) == [
            "root", "Answer 1.", "right", "Answer 3.", "right again"
        ]  # fmt: skip
        assert left.previous_response_id == right.previous_response_id == root.id

    def test_a_streamed_turn_is_continued_like_any_other(self, client: OpenAI, provider: LocalUpstream) -> None:
        *_, last = ask(client, "1?", stream=True)
        ask(client, "2?", previous_response_id=last.response.id)
        assert texts(provider.questions[-1].body["input"]) == ["1?", "Answer 1.", "2?"]

    def test_nobody_elses(self, client: OpenAI, carol: OpenAI, provider: LocalUpstream) -> None:
        given = ask(client)
        with pytest.raises(openai.BadRequestError) as refused:
            ask(carol, previous_response_id=given.id)
        assert refused.value.code == "previous_response_not_found"
        assert len(provider.questions) == 1


class TestTools:
    def test_a_call_is_answered_with_its_output_alone(self, client: OpenAI, provider: LocalUpstream) -> None:
        provider.will(answer(function_call("call_a"), function_call("call_b", arguments='{"x":4}')), answer("Seven."))
        first = ask(client, "Add.", tools=[ADD], tool_choice="required", parallel_tool_calls=True)
        calls = [item for item in first.output if item.type == "function_call"]
        assert [call.call_id for call in calls] == ["call_a", "call_b"]
        # In whatever order they are done.
        outputs = [
            {"type": "function_call_output", "call_id": call.call_id, "output": json.dumps({"sum": 7})}
            for call in reversed(calls)
        ]
        second = ask(client, outputs, previous_response_id=first.id, tools=[ADD])
        assert second.output_text == "Seven."
        shown = provider.questions[-1].body
        assert [item["type"] for item in shown["input"]] == [
            "message", "function_call", "function_call", "function_call_output", "function_call_output"
        ]  # fmt: skip
        assert shown["input"][1] == without_id(function_call("call_a"))
        assert shown["input"][3:] == outputs
        assert shown["tools"] == [ADD]
        assert first.tools[0].name == "add"

    def test_a_call_without_its_output_is_refused_before_it_costs(
        self, client: OpenAI, provider: LocalUpstream
    ) -> None:
        provider.will(answer(function_call("call_a")))
        first = ask(client, "Add.", tools=[ADD])
        with pytest.raises(openai.BadRequestError, match="No tool output found for function call call_a"):
            ask(client, "Well?", previous_response_id=first.id)
        with pytest.raises(openai.BadRequestError, match="No tool call found"):
            ask(client, [{"type": "function_call_output", "call_id": "call_z", "output": "7"}])
        assert len(provider.questions) == 1

    def test_a_streamed_call_too(self, client: OpenAI, provider: LocalUpstream) -> None:
        provider.will(answer(function_call("call_a")))
        with client.responses.stream(model=MODEL, input="Add.", tools=[ADD]) as events:
            final = events.get_final_response()
        [call] = final.output
        output = {"type": "function_call_output", "call_id": call.call_id, "output": "7"}
        assert ask(client, [output], previous_response_id=final.id).output_text == "Answer 2."

    def test_a_custom_tool_takes_free_text(self, client: OpenAI, provider: LocalUpstream) -> None:
        call = {
            "id": "ctc_1",
            "type": "custom_tool_call",
            "call_id": "call_c",
            "name": "shell",
            "input": "ls\n-l",
        }
        provider.will(answer(call), answer("Two files."), answer(call))
        tool = {"type": "custom", "name": "shell", "format": {"type": "text"}}
        first = ask(client, "List.", tools=[tool])
        assert first.output[0].type == "custom_tool_call"
        assert first.output[0].input == "ls\n-l"
        output = {"type": "custom_tool_call_output", "call_id": "call_c", "output": "a b"}
        second = ask(client, [output], previous_response_id=first.id, tools=[tool])
        assert second.output_text == "Two files."
        assert provider.questions[-1].body["input"][1:] == [without_id(call), output]
        events = list(ask(client, "List.", tools=[tool], stream=True))
        assert "response.custom_tool_call_input.delta" in {event.type for event in events}


class TestReasoning:
    def test_sealed_reasoning_goes_back_to_who_sealed_it(self, client: OpenAI, provider: LocalUpstream) -> None:
        sealed = "gAAAA-+/=é\\u00e9" + "x" * 10_000
        provider.will(answer(reasoning("Hm.", sealed), function_call("call_a")))
        first = ask(
            client,
            "Think.",
            include=["reasoning.encrypted_content"],
            reasoning={"effort": "high"},
            tools=[ADD],
        )
        assert first.output[0].type == "reasoning"
        assert first.output[0].encrypted_content == sealed
        assert first.output[0].summary[0].text == "Hm."
        ask(
            client,
            [{"type": "function_call_output", "call_id": "call_a", "output": "7"}],
            previous_response_id=first.id,
        )
        shown = provider.questions[-1].body["input"]
        assert shown[1] == without_id(reasoning("Hm.", sealed))
        assert json.dumps(sealed).encode() in provider.questions[-1].raw
        assert provider.questions[0].body["include"] == ["reasoning.encrypted_content"]
        assert provider.questions[0].body["reasoning"] == {"effort": "high"}

    def test_a_client_may_carry_it_itself(self, client: OpenAI, provider: LocalUpstream) -> None:
        provider.will(answer(reasoning("Hm.", "gAAAA-sealed"), "Done."))
        first = ask(client, "Think.", store=False)
        history = [{"role": "user", "content": "Think."}, *(item.model_dump() for item in first.output)]
        ask(client, [*history, {"role": "user", "content": "More."}], store=False)
        [_, thought, said, _] = provider.questions[-1].body["input"]
        assert thought["encrypted_content"] == "gAAAA-sealed"
        assert thought["summary"] == [{"text": "Hm.", "type": "summary_text"}]
        assert said["content"][0]["text"] == "Done."

    def test_a_summary_is_streamed(self, client: OpenAI, provider: LocalUpstream) -> None:
        provider.will(answer(reasoning("Hm."), "Done."))
        kinds = [event.type for event in ask(client, stream=True)]
        assert "response.reasoning_summary_text.delta" in kinds
        assert kinds.index("response.reasoning_summary_text.done") < kinds.index("response.output_text.delta")


class TestModels:
    def test_all_upstreams_models_are_listed_once(self, client: OpenAI, provider: LocalUpstream) -> None:
        listed = [model.id for model in client.models.list()]
        assert listed == [
            "chat-1",
            "fast",
            "gpt-5.4",
            "gpt-5.4-mini",
            "org/chat-1",
            "org/model-1",
            "stateful-1",
        ]

    def test_one_can_be_looked_at(self, client: OpenAI, provider: LocalUpstream) -> None:
        assert client.models.retrieve("gpt-5.4").owned_by == "local"

    def test_a_name_may_have_a_slash(self, client: OpenAI, provider: LocalUpstream) -> None:
        assert client.models.retrieve("org/model-1").id == "org/model-1"

    def test_an_unknown_one_is_not_found(self, client: OpenAI, provider: LocalUpstream) -> None:
        with pytest.raises(openai.NotFoundError) as not_found:
            client.models.retrieve("gpt-0")
        assert not_found.value.code == "model_not_found"


class TestErrors:
    def test_a_bad_request_names_what_is_wrong(self, client: OpenAI, provider: LocalUpstream) -> None:
        with pytest.raises(openai.BadRequestError) as refused:
            ask(client, temperature=3)
        assert refused.value.param == "temperature"
        assert refused.value.code == "decimal_above_max_value"
        assert refused.value.type == "invalid_request_error"
        assert refused.value.request_id is not None
        assert refused.value.request_id.startswith("req_")
        assert provider.questions == []

    def test_a_wrong_key_and_a_missing_one_are_refused(self, service: Service, provider: LocalUpstream) -> None:
        with sdk(service, "sk-wrong") as stranger, pytest.raises(openai.AuthenticationError) as refused:
            ask(stranger)
        assert refused.value.code == "invalid_api_key"
        assert service.send("POST", "/v1/responses", {"model": MODEL, "input": "x"}).status == 401
        assert provider.questions == []

    def test_a_key_that_may_only_read_cannot_write(self, stage: Stage, client: OpenAI, provider: LocalUpstream) -> None:
        given = ask(client)
        with sdk(stage.service, stage.reader) as reader:
            assert reader.responses.retrieve(given.id).id == given.id
            for forbidden in (lambda: ask(reader), lambda: reader.responses.delete(given.id)):
                with pytest.raises(openai.PermissionDeniedError) as refused:
                    forbidden()
                assert refused.value.code == "insufficient_permissions"
        assert len(provider.questions) == 1

    def test_the_upstreams_rate_limit_is_passed_on(self, client: OpenAI, provider: LocalUpstream) -> None:
        provider.will(error(429, "Slow down.", {"Retry-After": "37"}, code="rate_limit_exceeded", type="requests"))
        with pytest.raises(openai.RateLimitError, match="Slow down") as limited:
            ask(client)
        assert limited.value.response.headers["retry-after"] == "37"
        assert "x-should-retry" not in limited.value.response.headers
        assert limited.value.code == "rate_limit_exceeded"
        assert limited.value.type == "requests"

    def test_the_upstreams_failure_is_a_server_error(self, client: OpenAI, provider: LocalUpstream) -> None:
        provider.will(error(500, "Boom."))
        with pytest.raises(openai.InternalServerError, match="Boom") as failed:
            ask(client)
        assert failed.value.status_code == 502
        assert failed.value.type == "server_error"

    def test_the_upstreams_refusal_of_our_key_is_not_the_clients(self, client: OpenAI, provider: LocalUpstream) -> None:
        provider.will(error(401, "Incorrect API key provided."))
        with pytest.raises(openai.InternalServerError) as failed:
            ask(client)
        assert failed.value.code == "upstream_authentication_failed"
        assert failed.value.response.headers["x-should-retry"] == "false"

    def test_an_unknown_url_and_a_wrong_method_say_so(self, client: OpenAI, stage: Stage) -> None:
        with pytest.raises(openai.NotFoundError, match="Invalid URL"):
            client.get("/nothing", cast_to=object)
        refused = stage.service.send("PUT", "/v1/responses", b"{}", key=stage.alice)
        assert refused.status == 405
        assert set(refused.json["error"]) == {"message", "type", "param", "code"}


class TestRetries:
    @pytest.fixture
    def stubborn(self, client: OpenAI) -> OpenAI:
        """The SDK as it is out of the box: it tries again twice."""
        return client.with_options(max_retries=2)

    def test_the_service_tries_again_itself(self, client: OpenAI, provider: LocalUpstream) -> None:
        provider.will(error(503, "Busy."), answer("Here."))
        assert ask(client).output_text == "Here."
        assert [asked.raw for asked in provider.questions] == [provider.questions[0].raw] * 2

    def test_then_the_sdk_does(self, stubborn: OpenAI, provider: LocalUpstream) -> None:
        provider.will(error(503, "Busy."), error(503, "Busy."), answer("Here."))
        assert ask(stubborn).output_text == "Here."
        assert len(provider.questions) == 3

    def test_it_waits_as_long_as_the_upstream_says(self, stubborn: OpenAI, provider: LocalUpstream) -> None:
        # Without the header the service would not have tried again: it cannot know how urgent it is.
        provider.will(error(429, "Slow down.", {"Retry-After-Ms": "100"}), answer("Here."))
        assert ask(stubborn).output_text == "Here."
        assert len(provider.questions) == 2

    @pytest.mark.parametrize("status", [400, 401, 402, 404, 422])
    def test_what_cannot_help_is_not_tried_again(self, stubborn: OpenAI, provider: LocalUpstream, status: int) -> None:
        provider.will(error(status, "No."))
        with pytest.raises(openai.APIStatusError) as failed:
            ask(stubborn)
        assert failed.value.response.headers["x-should-retry"] == "false"
        assert len(provider.questions) == 1

    def test_a_lost_answer_is_not_asked_for_twice_by_us(self, client: OpenAI, provider: LocalUpstream) -> None:
        provider.will(lambda exchange: exchange.cut())
        with pytest.raises(openai.InternalServerError):
            ask(client)
        assert len(provider.questions) == 1


class TestAsync:
    @staticmethod
    def sdk(stage: Stage) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=stage.service.base_url, api_key=stage.alice, max_retries=0)

    def test_streams_and_questions_run_side_by_side(self, stage: Stage, provider: LocalUpstream) -> None:
        async def one(client: AsyncOpenAI, number: int) -> tuple[str, list[str]]:
            events = await client.responses.create(model=MODEL, input=f"number {number}", stream=True)
            kinds = []
            async for event in events:
                kinds.append(event.type)
            return (await client.responses.retrieve(event.response.id)).output_text, kinds

        async def all_of_them() -> list[tuple[str, list[str]]]:
            async with self.sdk(stage) as client:
                return await asyncio.gather(*(one(client, number) for number in range(8)))

        answers = asyncio.run(all_of_them())
        assert len({text for text, _ in answers}) == 8
        assert all(kinds == TEXT_EVENTS for _, kinds in answers)

    def test_the_helper(self, stage: Stage, provider: LocalUpstream) -> None:
        async def final() -> Response:
            async with (
                self.sdk(stage) as client,
                client.responses.stream(model=MODEL, input="Hello?") as events,
            ):
                return await events.get_final_response()

        assert asyncio.run(final()).output_text == "Answer 1."


class TestHeaders:
    def test_every_answer_has_its_request_id(self, client: OpenAI, provider: LocalUpstream) -> None:
        raw = client.responses.with_raw_response.create(model=MODEL, input="Hello?")
        given = raw.parse()
        assert raw.headers["x-request-id"].startswith("req_")
        assert given._request_id == raw.headers["x-request-id"]
        assert raw.headers["content-type"] == "application/json"
        assert int(raw.headers["openai-processing-ms"]) >= 0
        again = client.responses.with_raw_response.retrieve(given.id)
        assert again.headers["x-request-id"] != raw.headers["x-request-id"]

    def test_a_stream_is_not_held_up_on_its_way(self, client: OpenAI, provider: LocalUpstream) -> None:
        with client.responses.with_streaming_response.create(model=MODEL, input="Hello?", stream=True) as raw:
            assert raw.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert raw.headers["cache-control"] == "no-cache"
            assert raw.headers["x-accel-buffering"] == "no"
            assert raw.headers["x-request-id"].startswith("req_")
            lines = list(raw.iter_lines())
        assert lines[0] == "event: response.created"
        assert not any("[DONE]" in line for line in lines)


class TestIdempotency:
    @pytest.fixture
    def headers(self) -> dict[str, str]:
        return {"Idempotency-Key": f"key-{uuid.uuid4()}"}

    def test_the_same_question_is_asked_once(
        self, client: OpenAI, provider: LocalUpstream, headers: dict[str, str]
    ) -> None:
        given, again = (ask(client, extra_headers=headers) for _ in range(2))
        assert again == given
        assert len(provider.questions) == 1

    def test_at_the_same_time_too(self, client: OpenAI, provider: LocalUpstream, headers: dict[str, str]) -> None:
        gate = threading.Event()
        provider.will(stream(stream_of(response(message("Once."))), gates=[gate]))
        answers: list[Response] = []
        asking = [threading.Thread(target=lambda: answers.append(ask(client, extra_headers=headers))) for _ in range(3)]
        for each in asking:
            each.start()
        wait_until(lambda: provider.questions)
        gate.set()
        for each in asking:
            each.join(30)
        assert len({given.id for given in answers}) == 1
        assert [given.output_text for given in answers] == ["Once."] * 3
        assert len(provider.questions) == 1

    def test_a_stream_is_streamed_again(self, client: OpenAI, provider: LocalUpstream, headers: dict[str, str]) -> None:
        once, again = (list(ask(client, stream=True, extra_headers=headers)) for _ in range(2))
        assert again[-1] == once[-1]
        assert len(provider.questions) == 1

    def test_another_question_under_the_same_key_is_a_conflict(
        self, client: OpenAI, provider: LocalUpstream, headers: dict[str, str]
    ) -> None:
        ask(client, "one", extra_headers=headers)
        with pytest.raises(openai.ConflictError) as conflict:
            ask(client.with_options(max_retries=2), "two", extra_headers=headers)
        assert conflict.value.code == "idempotency_key_reused"
        assert conflict.value.response.headers["x-should-retry"] == "false"
        assert len(provider.questions) == 1

    def test_another_projects_key_is_another_key(
        self, client: OpenAI, carol: OpenAI, provider: LocalUpstream, headers: dict[str, str]
    ) -> None:
        assert ask(client, "one", extra_headers=headers).id != ask(carol, "two", extra_headers=headers).id

    def test_a_question_that_failed_may_be_asked_again(
        self, client: OpenAI, provider: LocalUpstream, headers: dict[str, str]
    ) -> None:
        provider.will(error(500, "Boom."), answer("Here."))
        with pytest.raises(openai.InternalServerError):
            ask(client, extra_headers=headers)
        assert ask(client, extra_headers=headers).output_text == "Here."


class TestCount:
    def test_the_upstream_counts_what_it_would_be_shown(self, client: OpenAI, provider: LocalUpstream) -> None:
        first = ask(client, "first")
        provider.will(whole({"object": "response.input_tokens", "input_tokens": 42}))
        counted = client.responses.input_tokens.count(
            model=MODEL, input="second", previous_response_id=first.id, instructions="Be brief."
        )
        assert counted.input_tokens == 42
        assert counted.object == "response.input_tokens"
        asked = provider.questions[-1]
        assert asked.path == "/v1/responses/input_tokens"
        assert texts(asked.body["input"]) == ["first", "Answer 1.", "second"]
        assert asked.body["instructions"] == "Be brief."

    def test_where_it_cannot_we_do(self, client: OpenAI, provider: LocalUpstream) -> None:
        provider.will(error(404, "Invalid URL"), error(404, "Invalid URL"))
        counts = [
            client.responses.input_tokens.with_raw_response.count(model=MODEL, input="word " * length)
            for length in (10, 1000)
        ]
        assert all(raw.headers["x-convstore-estimated"] == "true" for raw in counts)
        few, many = (raw.parse().input_tokens for raw in counts)
        assert 10 <= few < 100
        assert 1000 <= many < 2000


class TestWebSocket:
    def test_the_upgrade_is_refused_so_that_clients_stream(self, stage: Stage) -> None:
        head = (
            "GET /v1/responses HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{stage.service.port}\r\n"
            "Connection: Upgrade\r\n"
            "Upgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "OpenAI-Beta: responses_websockets=2026-02-06\r\n"
            f"Authorization: Bearer {stage.alice}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", stage.service.port), timeout=30) as connection:
            connection.sendall(head.encode())
            answered = http.client.HTTPResponse(connection)
            answered.begin()
            assert answered.status == 426
            assert json.loads(answered.read())["error"]["message"].startswith("WebSocket mode is not available")

    def test_plainly_asked_the_url_lists_responses(self, stage: Stage) -> None:
        assert stage.service.send("GET", "/v1/responses", key=stage.alice).status == 200
