"""What other official clients put on the wire, byte by byte. Source: spec §9.

The clients themselves are not here; what they were seen to send is.
"""

import http.client
import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.acceptance.conftest import Stage
from tests.acceptance.service import Answer
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
    whole,
)

THREAD = "019a2f6e-3b0c-7c41-9d52-8a7f5c1e2b3d"
GATEWAY_USAGE = {
    "prompt_tokens": 120,
    "completion_tokens": 30,
    "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 100, "text_tokens": 120, "audio_tokens": 0, "image_tokens": 0},
    "completion_tokens_details": {"text_tokens": 20, "audio_tokens": 0, "reasoning_tokens": 10},
}


def types(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def assert_in_order(events: list[dict[str, Any]]) -> None:
    """The events are numbered from 0, begin as they must, and end once; items come one after another."""
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert types(events)[:2] == ["response.created", "response.in_progress"]
    assert types(events)[-1] in ("response.completed", "response.incomplete", "response.failed", "error")
    done: list[dict[str, Any]] = []
    open_item: dict[str, Any] | None = None
    for event in events[2:-1]:
        if event["type"] == "response.output_item.added":
            assert open_item is None
            assert event["output_index"] == len(done)
            open_item = event["item"]
            continue
        assert open_item is not None
        assert event["output_index"] == len(done)
        if event["type"] == "response.output_item.done":
            assert (event["item"]["id"], event["item"]["type"]) == (open_item["id"], open_item["type"])
            done.append(event["item"])
            open_item = None
        else:
            assert event["item_id"] == open_item["id"]
    assert open_item is None
    if events[-1]["type"] == "response.completed":
        assert events[-1]["response"]["output"] == done


class TestCodex:
    """Codex CLI 0.169: always streamed, never stored, the whole history every time."""

    HEADERS: Mapping[str, str] = {
        "Accept": "text/event-stream",
        "User-Agent": "codex_cli_rs/0.169.0 (Debian 12; x86_64) unknown",
        "originator": "codex_cli_rs",
        "version": "0.169.0",
        "session-id": THREAD,
        "thread-id": THREAD,
        "x-client-request-id": THREAD,
        "x-codex-window-id": f"{THREAD}:0",
        "x-codex-turn-metadata": '{"turn_id":"1"}',
        "x-codex-beta-features": "x",
    }
    SHELL: Mapping[str, Any] = {
        "type": "function",
        "name": "shell",
        "description": "Runs a command.",
        "strict": False,
        "parameters": {
            "type": "object",
            "properties": {"command": {"type": "array", "items": {"type": "string"}}},
        },
    }
    GRAMMAR: Mapping[str, Any] = {"type": "grammar", "syntax": "lark", "definition": 'start: "x"'}
    NAMESPACE: Mapping[str, Any] = {
        "type": "namespace",
        "name": "mcp",
        "description": "More.",
        "tools": [SHELL],
    }
    TOOLS = (
        SHELL,
        {"type": "custom", "name": "apply_patch", "description": "Patches.", "format": GRAMMAR},
        NAMESPACE,
        {"type": "web_search", "external_web_access": False},
    )
    QUESTION = (
        {
            "type": "message",
            "id": "msg_7c9e6679-7425-40de-944b-e07fc1f90ae7",
            "role": "developer",
            "content": [{"type": "input_text", "text": "You are Codex."}],
        },
        {
            "type": "message",
            "id": "msg_550e8400-e29b-41d4-a716-446655440000",
            "role": "user",
            "content": [{"type": "input_text", "text": "Fix it."}],
            "internal_chat_message_metadata_passthrough": {"k": "v"},
        },
    )

    def ask(self, stage: Stage, *items: Mapping[str, Any]) -> Answer:
        body = {
            "model": "gpt-5.4",
            "input": list(items),
            "tools": list(self.TOOLS),
            "tool_choice": "auto",
            "parallel_tool_calls": True,
            "reasoning": {"effort": "high", "summary": "auto"},
            "store": False,
            "stream": True,
            "include": ["reasoning.encrypted_content"],
            "service_tier": "priority",
            "prompt_cache_key": THREAD,
            "text": {"verbosity": "low"},
            "client_metadata": {"x-codex-installation-id": "0f8fad5b-d9cb-469f-a165-70867728950e"},
        }
        return stage.service.send("POST", "/v1/responses", body, key=stage.alice, headers=self.HEADERS)

    def test_a_turn_with_a_tool_call(self, stage: Stage, provider: LocalUpstream) -> None:
        provider.will(
            answer(reasoning("Hm.", "gAAAA-sealed"), message("On it."), function_call("call_1", "shell", "{}"))
        )
        answered = self.ask(stage, *self.QUESTION)
        assert answered.status == 200
        assert answered.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert_in_order(answered.events)
        # It builds its history from these.
        done = [event["item"] for event in answered.events if event["type"] == "response.output_item.done"]
        assert [item["type"] for item in done] == ["reasoning", "message", "function_call"]
        assert done[0]["encrypted_content"] == "gAAAA-sealed"
        final = answered.events[-1]
        assert final["type"] == "response.completed"
        assert final["response"]["id"].startswith("resp_")
        assert final["response"]["usage"]["input_tokens"] == 13
        assert final["response"]["prompt_cache_key"] == THREAD

    def test_everything_it_says_arrives_upstream(self, stage: Stage, provider: LocalUpstream) -> None:
        self.ask(stage, *self.QUESTION)
        asked = provider.questions[-1].body
        assert asked["tools"] == list(self.TOOLS)
        assert asked["client_metadata"] == {"x-codex-installation-id": "0f8fad5b-d9cb-469f-a165-70867728950e"}
        assert asked["include"] == ["reasoning.encrypted_content"]
        assert asked["prompt_cache_key"] == THREAD
        assert asked["service_tier"] == "priority"
        assert asked["text"] == {"verbosity": "low"}
        assert asked["input"][1]["internal_chat_message_metadata_passthrough"] == {"k": "v"}

    def test_the_next_turn_brings_the_whole_history(self, stage: Stage, provider: LocalUpstream) -> None:
        history = [
            {
                "type": "reasoning",
                "id": "rs_0a1b",
                "summary": [],
                "content": None,
                "encrypted_content": "gAAAA-sealed",
            },
            {
                "type": "message",
                "id": "msg_9b2c6c2e-5e1d-4f0a-8a57-3f3c0a6d1e11",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "On it."}],
            },
            {"type": "function_call", "id": "fc_1", "name": "shell", "arguments": "{}", "call_id": "call_1"},
            {
                "type": "function_call_output",
                "id": "fco_16fd2706-8baf-433b-82eb-8c7fada847da",
                "call_id": "call_1",
                "output": '{"output":"ok","metadata":{"exit_code":0}}',
            },
        ]
        provider.will(answer("Fixed."))
        answered = self.ask(stage, *self.QUESTION, *history)
        assert answered.status == 200, answered.raw
        assert_in_order(answered.events)
        shown = provider.questions[-1].body["input"]
        assert shown == [
            {name: value for name, value in item.items() if name != "id"} for item in (*self.QUESTION, *history)
        ]
        assert shown[2]["content"] is None

    def test_what_it_does_not_want_stored_cannot_be_read(self, stage: Stage, provider: LocalUpstream) -> None:
        given = self.ask(stage, *self.QUESTION).events[-1]["response"]
        assert given["store"] is False
        assert stage.service.send("GET", f"/v1/responses/{given['id']}", key=stage.alice).status == 404

    def test_the_gateways_thin_answers_suit_it(self, stage: Stage, provider: LocalUpstream) -> None:
        part = {"type": "output_text", "text": "Fixed."}
        thin = {"type": "message", "id": "m1", "status": "completed", "role": "assistant", "content": [part]}
        provider.will(
            stream(stream_of(response(thin, usage=GATEWAY_USAGE))), whole(response(thin, usage=GATEWAY_USAGE))
        )
        for answered in (self.ask(stage, *self.QUESTION), self.ask(stage, *self.QUESTION)):
            assert_in_order(answered.events)
            final = answered.events[-1]["response"]
            assert final["usage"] == {
                "input_tokens": 120,
                "input_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 0},
                "output_tokens": 30,
                "output_tokens_details": {"reasoning_tokens": 10},
                "total_tokens": 150,
            }
            assert final["output"][0]["content"][0]["annotations"] == []

    @pytest.mark.parametrize(
        ("status", "code"),
        [
            (400, "context_length_exceeded"),
            (429, "insufficient_quota"),
            (429, "usage_limit_reached"),
            (429, "rate_limit_exceeded"),
        ],
    )
    def test_the_codes_it_knows_reach_it(self, stage: Stage, provider: LocalUpstream, status: int, code: str) -> None:
        provider.will(error(status, "Please try again in 7s.", code=code))
        answered = self.ask(stage, *self.QUESTION)
        assert answered.status == status
        assert answered.json["error"]["code"] == code
        assert answered.json["error"]["message"] == "Please try again in 7s."

    def test_a_failure_in_the_stream_says_which(self, stage: Stage, provider: LocalUpstream) -> None:
        begun = stream_of(response(message("On")))[:4]
        failed = response(status="failed", error={"code": "context_length_exceeded", "message": "Too long."})
        ended = f"data: {json.dumps({'type': 'response.failed', 'response': failed})}\n\n"
        provider.will(stream([*begun, ended.encode()]))
        final = self.ask(stage, *self.QUESTION).events[-1]
        assert final["type"] == "response.failed"
        assert final["response"]["error"] == {"code": "context_length_exceeded", "message": "Too long."}

    def test_the_trailing_done_of_some_gateways_is_not_passed_on(self, stage: Stage, provider: LocalUpstream) -> None:
        provider.will(stream([b": keepalive\n\n", *stream_of(response(message("Hi."))), b"data: [DONE]\n\n"]))
        answered = self.ask(stage, *self.QUESTION)
        assert_in_order(answered.events)
        assert b"[DONE]" not in answered.raw


class TestAgentsSdk:
    """Agents SDK for Python 0.24: new items and previous_response_id, or a session's whole history."""

    HEADERS: Mapping[str, str] = {
        "Accept": "application/json",
        "User-Agent": "Agents/Python 0.24.0",
        "X-Stainless-Lang": "python",
        "X-Stainless-Async": "async:asyncio",
        "X-Stainless-Retry-Count": "0",
    }

    def ask(self, stage: Stage, items: list[dict[str, Any]], **members: Any) -> Answer:
        body = {
            "model": "gpt-5.4",
            "input": items,
            "include": [],
            "instructions": "You are helpful.",
            "tools": [],
            "reasoning": {"effort": None, "summary": None},
            "text": {"verbosity": None},
            "parallel_tool_calls": None,
            "stream": False,
            **members,
        }
        return stage.service.send("POST", "/v1/responses?beta=true", body, key=stage.alice, headers=self.HEADERS)

    def test_a_run(self, stage: Stage, provider: LocalUpstream) -> None:
        provider.will(answer(function_call("call_1", "weather")), answer("Sunny."))
        first = self.ask(stage, [{"role": "user", "content": "Weather?"}])
        assert first.status == 200, first.raw
        call = first.json["output"][0]
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
        second = self.ask(stage, [output], previous_response_id=first.json["id"])
        assert second.json["output"][0]["content"][0]["text"] == "Sunny."
        assert second.json["usage"]["input_tokens"] == 13
        assert [item.get("type", "message") for item in provider.questions[-1].body["input"]] == [
            "message", "function_call", "function_call_output"
        ]  # fmt: skip

    def test_a_sessions_items_come_back_as_input(self, stage: Stage, provider: LocalUpstream) -> None:
        first = self.ask(stage, [{"role": "user", "content": "Hi."}]).json
        listed = stage.service.send(
            "GET",
            f"/v1/responses/{first['id']}/input_items?order=asc&include[]=reasoning.encrypted_content",
            key=stage.alice,
        ).json
        # Whole, with the ids, statuses, annotations and logprobs they were listed with.
        history = [*listed["data"], *first["output"], {"role": "user", "content": "And?"}]
        answered = self.ask(stage, history, store=True)
        assert answered.status == 200, answered.raw
        said = [item["content"] for item in provider.questions[-1].body["input"]]
        assert said[1][0]["text"] == "Answer 1."
        assert said[2] == "And?"

    def test_a_streamed_run(self, stage: Stage, provider: LocalUpstream) -> None:
        answered = self.ask(stage, [{"role": "user", "content": "Hi."}], stream=True)
        assert_in_order(answered.events)


class TestJavaScriptSdk:
    """The SDK for JavaScript 7.57: no content type where there is no body, `{}` where there might be one."""

    HEADERS: Mapping[str, str] = {
        "Accept": "application/json",
        "User-Agent": "OpenAI/JS 7.57.0",
        "X-Stainless-Lang": "js",
        "X-Stainless-Timeout": "600",
        "X-Stainless-Retry-Count": "0",
        "Accept-Encoding": "gzip, deflate",
        "Accept-Language": "*",
        "sec-fetch-mode": "cors",
    }

    def send(self, stage: Stage, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        return stage.service.send(method, path, body, key=stage.alice, headers={**self.HEADERS, **headers})

    def given(self, stage: Stage) -> str:
        answered = self.send(stage, "POST", "/v1/responses", {"model": "gpt-5.4", "input": "Hi."})
        assert answered.status == 200, answered.raw
        return str(answered.json["id"])

    def test_a_question(self, stage: Stage, provider: LocalUpstream) -> None:
        response_id = self.given(stage)
        assert self.send(stage, "GET", f"/v1/responses/{response_id}").json["id"] == response_id

    def test_the_streaming_helper(self, stage: Stage, provider: LocalUpstream) -> None:
        provider.will(answer(reasoning(), "Hi.", function_call()))
        body = {"model": "gpt-5.4", "input": "Hi.", "stream": True}
        answered = self.send(stage, "POST", "/v1/responses", body, **{"X-Stainless-Helper-Method": "stream"})
        assert_in_order(answered.events)

    def test_delete_without_a_content_type(self, stage: Stage, provider: LocalUpstream) -> None:
        response_id = self.given(stage)
        deleted = self.send(stage, "DELETE", f"/v1/responses/{response_id}", Accept="*/*")
        assert (deleted.status, deleted.json) == (
            200,
            {"id": response_id, "object": "response", "deleted": True},
        )
        assert self.send(stage, "GET", f"/v1/responses/{response_id}").status == 404

    def test_cancel_with_an_empty_body(self, stage: Stage, provider: LocalUpstream) -> None:
        response_id = self.given(stage)
        refused = self.send(stage, "POST", f"/v1/responses/{response_id}/cancel", **{"Content-Length": "0"})
        assert refused.status == 400
        assert refused.json["error"]["message"] == "Cannot cancel a synchronous response."
        unknown = self.send(stage, "POST", "/v1/responses/resp_0/cancel", **{"Content-Length": "0"})
        assert unknown.status == 404

    def test_an_empty_object_lacks_a_model(self, stage: Stage, provider: LocalUpstream) -> None:
        refused = self.send(stage, "POST", "/v1/responses", {})
        assert refused.status == 400
        assert refused.json["error"] == {
            "message": "Missing required parameter: 'model'.",
            "type": "invalid_request_error",
            "param": "model",
            "code": "missing_required_parameter",
        }

    def test_counting_nothing(self, stage: Stage, provider: LocalUpstream) -> None:
        counted = self.send(stage, "POST", "/v1/responses/input_tokens", {})
        assert counted.status == 200, counted.raw
        assert counted.json["object"] == "response.input_tokens"

    def test_array_parameters_in_brackets(self, stage: Stage, provider: LocalUpstream) -> None:
        response_id = self.given(stage)
        query = "include[]=reasoning.encrypted_content&include[]=message.output_text.logprobs"
        assert self.send(stage, "GET", f"/v1/responses/{response_id}?{query}").status == 200
        assert self.send(stage, "GET", f"/v1/responses/{response_id}/input_items?{query}").status == 200

    def test_a_connection_is_kept_for_the_next_request(self, stage: Stage, provider: LocalUpstream) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", stage.service.port, timeout=30)
        headers = {"Authorization": f"Bearer {stage.alice}", "Content-Type": "application/json"}
        used = set()
        for streamed in (True, False, True):
            body = json.dumps({"model": "gpt-5.4", "input": "Hi.", "stream": streamed})
            connection.request("POST", "/v1/responses", body, headers)
            answered = connection.getresponse()
            used.add(connection.sock)
            assert answered.status == 200
            assert b"Answer" in answered.read()
        connection.close()
        assert None not in used
        assert len(used) == 1


class TestAnyClient:
    @pytest.mark.parametrize("chunked", [False, True])
    def test_a_body_comes_with_its_length_or_in_chunks(
        self, stage: Stage, provider: LocalUpstream, chunked: bool
    ) -> None:
        body = {"model": "gpt-5.4", "input": "Hi."}
        answered = stage.service.send("POST", "/v1/responses", body, key=stage.alice, chunked=chunked)
        assert answered.status == 200
        assert provider.questions[-1].body["input"][0]["content"][0]["text"] == "Hi."

    @pytest.mark.parametrize("chunked", [False, True])
    def test_one_that_is_too_large_is_refused_as_that(
        self, stage: Stage, provider: LocalUpstream, chunked: bool
    ) -> None:
        body = {"model": "gpt-5.4", "input": "x" * 1_000_000}
        refused = stage.service.send("POST", "/v1/responses", body, key=stage.alice, chunked=chunked)
        assert (refused.status, refused.json["error"]["code"]) == (413, "request_too_large")
        assert provider.questions == []


class TestPythonSdk:
    """What the Python SDK sends where it has nothing to send: a content type without a body."""

    def test_delete_and_cancel_with_a_content_type_and_no_body(self, stage: Stage, provider: LocalUpstream) -> None:
        given = stage.service.send("POST", "/v1/responses", {"model": "gpt-5.4", "input": "Hi."}, key=stage.alice).json
        headers = {"Content-Type": "application/json", "Accept": "*/*"}
        path = f"/v1/responses/{given['id']}"
        cancelled = stage.service.send("POST", f"{path}/cancel", key=stage.alice, headers=headers)
        assert cancelled.status == 400
        assert cancelled.json["error"]["message"] == "Cannot cancel a synchronous response."
        assert stage.service.send("DELETE", path, key=stage.alice, headers=headers).status == 200
