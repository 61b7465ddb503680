"""The contract: everything the service sends is what OpenAI's own document describes.

`tests/contract/openai.py` says where the document had to be relaxed, and why.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from convstore.domain import sse
from tests.api.conftest import Stage
from tests.contract import openai
from tests.local_upstream import (
    USAGE,
    answer,
    function_call,
    message,
    reasoning,
    response,
    stream,
    stream_of,
    whole,
)

Item = dict[str, Any]


def refusal() -> Item:
    return {**message(""), "content": [{"type": "refusal", "refusal": "I cannot help with that."}]}


def cited() -> Item:
    item = message("See there.")
    note = {
        "type": "url_citation",
        "url": "https://example.org",
        "title": "There",
        "start_index": 0,
        "end_index": 3,
    }
    item["content"][0]["annotations"] = [note]
    return item


def raw_reasoning() -> Item:
    return {**reasoning(), "content": [{"type": "reasoning_text", "text": "Hm."}], "status": "completed"}


CUSTOM = {
    "id": "ctc_1",
    "type": "custom_tool_call",
    "call_id": "call_9",
    "name": "run",
    "input": "ls",
    "status": "completed",
}
SEARCH = {
    "id": "ws_1",
    "type": "web_search_call",
    "status": "completed",
    "action": {"type": "search", "query": "x", "queries": ["x"], "sources": []},
}
COMPACTION = {"id": "cmp_1", "type": "compaction", "encrypted_content": "gAAAA"}
MCP = {
    "id": "mcp_1",
    "type": "mcp_call",
    "server_label": "s",
    "name": "n",
    "arguments": "{}",
    "output": "x",
    "error": None,
}

OUTPUTS: dict[str, list[Item]] = {
    "nothing": [],
    "text": [message("Hi")],
    "empty text": [message("")],
    "two messages": [message("One", "msg_1"), message("Two", "msg_2")],
    "a citation": [cited()],
    "a refusal": [refusal()],
    "reasoning": [reasoning(), message("Hi")],
    "raw reasoning": [raw_reasoning(), message("Hi")],
    "reasoning without a summary": [{"id": "rs_1", "type": "reasoning", "summary": []}],
    "a call": [function_call()],
    "parallel calls": [reasoning(), function_call("call_1"), function_call("call_2")],
    "a custom call": [CUSTOM],
    "hosted tools": [SEARCH, MCP, message("Hi")],
    "a compaction": [COMPACTION, message("Hi")],
}
# The gateway of the first users: seven fields, parts of {type, text}, usage under other names.
THIN_ITEM = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}
THIN_USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "name": "add", "parameters": SCHEMA},
    {"type": "function", "name": "sub", "parameters": SCHEMA, "strict": False, "description": "x"},
    {"type": "custom", "name": "run", "description": "Runs."},
    {"type": "web_search"},
    {"type": "mcp", "server_label": "s", "server_url": "https://example.org", "headers": {"X-Key": "secret"}},
]
REQUESTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "structured output": {
        "text": {
            "format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True},
            "verbosity": "low",
        }
    },
    "json object": {"text": {"format": {"type": "json_object"}}},
    "tools": {
        "tools": TOOLS,
        "tool_choice": {"type": "function", "name": "add"},
        "parallel_tool_calls": False,
    },
    "reasoning": {
        "reasoning": {"effort": "high", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
    },
    "everything small": {
        "instructions": "Be brief.",
        "metadata": {"a": "b"},
        "temperature": 0,
        "top_p": 0.5,
        "top_logprobs": 3,
        "max_output_tokens": 100,
        "max_tool_calls": 2,
        "truncation": "auto",
        "service_tier": "auto",
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "store": True,
    },
    "unstored": {"store": False},
    "unknown members": {"client_metadata": {"a": "b"}, "id": "x", "status": "x", "output": "x", "usage": 5},
}


def check_stream(events: list[dict[str, Any]]) -> None:
    """Every event, and what clients rely on beyond the schemas."""
    for event in events:
        openai.check_event(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    terminal = {"response.completed", "response.incomplete", "response.failed", "error"}
    assert [kind for kind in kinds if kind in terminal] == kinds[-1:]
    assert len({event["response"]["id"] for event in events if "response" in event}) == 1


class TestBodies:
    @pytest.mark.parametrize("name", OUTPUTS)
    def test_an_answer_and_what_is_read_back(self, stage: Stage, name: str) -> None:
        stage.upstream.will(answer(*OUTPUTS[name]))
        given = stage.alice.ask()
        openai.check("Response", given)
        openai.check("Response", stage.alice.get(f"/v1/responses/{given['id']}").json)

    @pytest.mark.parametrize("name", REQUESTS)
    def test_every_request_is_echoed(self, stage: Stage, name: str) -> None:
        openai.check("Response", stage.alice.ask(**REQUESTS[name]))

    def test_an_incomplete_one(self, stage: Stage) -> None:
        cut = {**message("So f"), "status": "incomplete"}
        stage.upstream.will(answer(cut, status="incomplete", incomplete_details={"reason": "max_output_tokens"}))
        given = stage.alice.ask()
        openai.check("Response", given)
        assert (given["status"], given["completed_at"]) == ("incomplete", None)

    def test_a_failed_one(self, stage: Stage) -> None:
        failed = response(message("Hm"), status="failed", error={"code": "server_error", "message": "No."}, usage=None)
        stage.upstream.will(whole(failed))
        given = stage.alice.ask()
        openai.check("Response", given)
        assert given["error"] == {"code": "server_error", "message": "No."}

    @pytest.mark.parametrize(
        "thin",
        [
            {"usage": THIN_USAGE},
            {"usage": None},
            {"usage": {}},
            dict.fromkeys(
                ["parallel_tool_calls", "temperature", "reasoning", "text", "truncation", "tools", "metadata"]
            ),
        ],
    )
    def test_one_of_a_thin_upstream(self, stage: Stage, thin: dict[str, Any]) -> None:
        stage.upstream.will(whole(response(THIN_ITEM, **thin)))
        openai.check("Response", stage.alice.ask())

    def test_one_of_a_chatty_upstream(self, stage: Stage) -> None:
        said = {
            "billing": {"payer": "developer"},
            "top_p": 0.98,
            "service_tier": "priority",
            "moderation": None,
        }
        stage.upstream.will(whole(response(message("Hi"), **said)))
        given = stage.alice.ask()
        openai.check("Response", given)
        assert (given["top_p"], given["service_tier"], given["billing"]) == (
            0.98,
            "priority",
            {"payer": "developer"},
        )


class TestLists:
    @pytest.mark.parametrize(
        "items",
        [
            "Hello?",
            [{"role": "user", "content": "Hello?"}],
            [{"role": "developer", "content": [{"type": "input_text", "text": "x"}]}],
            [{"type": "message", "role": "user", "status": "completed", "content": "x", "id": "msg_mine"}],
            [
                {
                    "role": "user",
                    "content": [{"type": "input_image", "image_url": "https://x/y.png", "detail": "auto"}],
                }
            ],
            [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}],
            [{"role": "assistant", "content": "I said."}, {"role": "user", "content": "And?"}],
            [
                function_call(),
                {
                    "type": "function_call_output",
                    "call_id": "call_1",
                    "output": "7",
                    "id": "fc_2",
                    "status": "completed",
                },
            ],
            [reasoning(), message("Hi"), {"role": "user", "content": "x"}],
        ],
        ids=lambda items: (
            items if isinstance(items, str) else ",".join(str(item.get("type", item.get("role"))) for item in items)
        ),
    )
    def test_a_page_of_items(self, stage: Stage, items: Any) -> None:
        first = stage.alice.ask(items)
        second = stage.alice.ask("go on", after=first["id"])
        for path in (f"{first['id']}/input_items", f"{second['id']}/input_items?order=asc&limit=1"):
            openai.check("ResponseItemList", stage.alice.get(f"/v1/responses/{path}").json)

    def test_an_empty_page(self, stage: Stage) -> None:
        first = stage.alice.ask("Hello?")
        second = stage.alice.ask([], after=first["id"])
        listed = stage.alice.get(f"/v1/responses/{second['id']}/input_items?scope=own").json
        openai.check("ResponseItemList", listed)
        assert listed == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}

    def test_models(self, stage: Stage) -> None:
        listed = stage.alice.get("/v1/models").json
        openai.check("ListModelsResponse", listed)
        openai.check("Model", stage.alice.get(f"/v1/models/{listed['data'][0]['id']}").json)


class TestConversations:
    def test_one_itself(self, stage: Stage) -> None:
        made = stage.alice.post("/v1/conversations", json={"metadata": {"a": "b"}}).json
        openai.check("ConversationResource", made)
        path = f"/v1/conversations/{made['id']}"
        openai.check("ConversationResource", stage.alice.get(path).json)
        openai.check("ConversationResource", stage.alice.post(path, json={"metadata": None}).json)
        openai.check("ConversationItemList", stage.alice.get(f"{path}/items").json)
        openai.check("DeletedConversationResource", stage.alice.delete(path).json)

    @pytest.mark.parametrize(
        "item",
        [
            {"role": "user", "content": "Hello?"},
            {"role": "assistant", "content": "I said."},
            {"role": "developer", "content": [{"type": "input_text", "text": "x"}]},
            {"role": "user", "content": [{"type": "input_image", "image_url": "https://x/y.png", "detail": "auto"}]},
            {"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]},
            message("Hi", "msg_mine"),
            refusal(),
            function_call(),
            {"type": "function_call_output", "call_id": "call_1", "output": "7"},
            {"type": "custom_tool_call_output", "call_id": "call_1", "output": "7"},
            CUSTOM,
            SEARCH,
            COMPACTION,
            MCP,
            raw_reasoning(),
        ],
        ids=lambda item: str(item.get("type", item.get("role"))),
    )
    def test_items_added_by_hand(self, stage: Stage, item: Item) -> None:
        path = f"/v1/conversations/{stage.alice.post('/v1/conversations').json['id']}"
        added = stage.alice.post(f"{path}/items", json={"items": [item]}).json
        openai.check("ConversationItemList", added)
        openai.check("ConversationItemList", stage.alice.get(f"{path}/items").json)
        openai.check("ConversationItem", stage.alice.get(f"{path}/items/{added['first_id']}").json)
        openai.check("ConversationResource", stage.alice.delete(f"{path}/items/{added['first_id']}").json)

    @pytest.mark.parametrize("name", OUTPUTS)
    def test_items_of_an_answer(self, stage: Stage, name: str) -> None:
        own = stage.alice.post("/v1/conversations").json["id"]
        stage.upstream.will(answer(*OUTPUTS[name]))
        openai.check("Response", stage.alice.ask(conversation=own))
        openai.check("ConversationItemList", stage.alice.get(f"/v1/conversations/{own}/items").json)


class TestEvents:
    @pytest.mark.parametrize("name", OUTPUTS)
    def test_a_stream_and_its_replay(self, stage: Stage, name: str) -> None:
        stage.upstream.will(answer(*OUTPUTS[name]))
        events = stage.alice.stream()
        check_stream(events)
        replayed = stage.alice.get(f"/v1/responses/{events[-1]['response']['id']}?stream=true").data
        again = [json.loads(sse.data_of(block)) for block in sse.Splitter().feed(replayed)]
        check_stream(again)
        assert again[2:] == events[2:]

    @pytest.mark.parametrize("name", REQUESTS)
    def test_every_request_is_echoed(self, stage: Stage, name: str) -> None:
        check_stream(stage.alice.stream(**REQUESTS[name]))

    @pytest.mark.parametrize("name", OUTPUTS)
    def test_an_answer_that_was_not_streamed_to_us(self, stage: Stage, name: str) -> None:
        stage.upstream.will(whole(response(*OUTPUTS[name])))
        check_stream(stage.alice.stream())

    @pytest.mark.parametrize(
        "told",
        [
            lambda event: {k: v for k, v in event.items() if k != "sequence_number"},
            lambda event: dict(reversed(event.items())),
            lambda event: {k: v for k, v in event.items() if k != "item_id"},
        ],
        ids=["no numbers", "another order", "no item ids"],
    )
    def test_a_stream_of_a_thin_upstream(self, stage: Stage, told: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        blocks = stream_of(response(THIN_ITEM, usage=THIN_USAGE), deltas=2)
        events = [told(json.loads(sse.data_of(block.rstrip(b"\n")))) for block in blocks]
        stage.upstream.will(stream([sse.encode(event) for event in events]))
        check_stream(stage.alice.stream())

    def test_an_incomplete_and_a_failed_one(self, stage: Stage) -> None:
        cut = {**message("So f"), "status": "incomplete"}
        for status, extra in (
            ("incomplete", {"incomplete_details": {"reason": "content_filter"}}),
            ("failed", {"error": {"code": "server_error", "message": "No."}}),
        ):
            stage.upstream.will(stream(stream_of(response(cut, status=status, **extra))))
            events = stage.alice.stream()
            check_stream(events)
            assert events[-1]["type"] == f"response.{status}"

    @pytest.mark.parametrize("after", [3, 4, 5, 7])
    def test_one_that_breaks_off(self, stage: Stage, after: int) -> None:
        stage.upstream.will(stream(stream_of(response(message("Hello"))), cut_after=after))
        events = stage.alice.stream()
        check_stream(events)
        assert events[-1]["type"] == "error"
        stored = stage.alice.get(f"/v1/responses/{events[0]['response']['id']}")
        openai.check("Response", stored.json)
        assert stored.json["status"] == "incomplete"

    def test_a_replay_from_the_middle(self, stage: Stage) -> None:
        events = stage.alice.stream()
        own = events[0]["response"]["id"]
        for after in (1, 3, len(events) - 1, 10_000):
            replayed = stage.alice.get(f"/v1/responses/{own}?stream=true&starting_after={after}").data
            again = [json.loads(sse.data_of(block)) for block in sse.Splitter().feed(replayed)]
            assert again == events[after + 1 :]


class TestErrors:
    def test_the_envelope(self, stage: Stage) -> None:
        for answered in (
            stage.alice.create(after="resp_unknown"),
            stage.alice.get("/v1/responses/resp_unknown"),
            stage.alice.post("/v1/responses", data=b"{"),
            stage.alice.get("/v1/nowhere"),
            stage.alice.open("PUT", "/v1/responses"),
        ):
            openai.check("ErrorResponse", answered.json)


class TestUsage:
    @pytest.mark.parametrize("reported", [USAGE, THIN_USAGE, {"input_tokens": 1}])
    def test_it_is_complete(self, stage: Stage, reported: dict[str, Any]) -> None:
        stage.upstream.will(answer("Hi", usage=reported))
        openai.check("ResponseUsage", stage.alice.ask()["usage"])
