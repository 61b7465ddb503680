"""The story of reply.py: a chat completion becomes a partial Responses object."""

import re

import pytest
from openai.types.responses import ResponseOutputItem
from pydantic import TypeAdapter

from convstore.errors import UpstreamGarbled, UpstreamRefused
from convstore.upstream.chat import response_of
from convstore.upstream.chat.names import Names, Tool

from .helpers import NAMES, completion

GENERATED = re.compile(r"call_[0-9a-f]{24}")
TOOLS = Names([Tool("apply_patch", is_custom=True), Tool("find", "docs"), Tool("patch", "docs", is_custom=True)])


def answer(finish="stop", **message):
    """A completion with this message, and with a second choice that must not show up."""
    first = {"index": 0, "message": {"role": "assistant", "content": None} | message, "finish_reason": finish}
    second = {"index": 1, "message": {"role": "assistant", "content": "noise"}, "finish_reason": "length"}
    return {"id": "chatcmpl-1", "object": "chat.completion", "model": "m", "choices": [first, second]}


def called(name="add", arguments="{}", call_id="call_a"):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


class TestResponseOfRecordings:
    @pytest.mark.parametrize("name", NAMES)
    def test_its_items_are_the_sdks_items(self, name):
        adapter = TypeAdapter(ResponseOutputItem)
        for item in response_of(completion(name))["output"]:
            parsed = adapter.validate_python(item)
            assert parsed.type == item["type"]
            assert parsed.id == item["id"]

    def test_openais_text(self):
        response = response_of(completion("openai_text"))
        assert response == {
            "model": "gpt-4o-2024-08-06",
            "status": "completed",
            "incomplete_details": None,
            "error": None,
            "output": [
                {
                    "id": "msg_0",
                    "type": "message",
                    "status": "completed",
                    "role": "assistant",
                    "content": [
                        {
                            "type": "output_text",
                            "annotations": [],
                            "logprobs": [],
                            "text": "Hello! How can I help?",
                        }
                    ],
                }
            ],
            "usage": completion("openai_text")["usage"],
            "service_tier": "default",
        }

    def test_deepseeks_thoughts_come_first_and_calls_last(self):
        response = response_of(completion("deepseek_thinking_call"))
        assert [item["id"] for item in response["output"]] == ["rs_0", "msg_1", "fc_2"]
        assert response["output"][0] == {
            "id": "rs_0",
            "type": "reasoning",
            "status": "completed",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "The user wants the weather in 杭州."}],
        }
        assert response["usage"]["prompt_cache_hit_tokens"] == 320

    def test_llamacpps_timings_stay_out(self):
        assert "timings" not in response_of(completion("llamacpp_call"))

    def test_vllms_missing_service_tier_stays_out(self):
        assert "service_tier" not in response_of(completion("vllm_reasoning_call"))

    def test_openais_citations_are_flattened(self):
        part = response_of(completion("openai_search"))["output"][0]["content"][0]
        assert part["annotations"] == [
            {
                "type": "url_citation",
                "url": "https://en.wikipedia.org/wiki/Oslo",
                "title": "Oslo",
                "start_index": 0,
                "end_index": 14,
            }
        ]

    def test_openais_logprobs_go_with_their_text(self):
        part = response_of(completion("openai_logprobs"))["output"][0]["content"][0]
        assert [token["token"] for token in part["logprobs"]] == ["Yes", "."]


class TestResponseOf:
    @pytest.mark.parametrize("content", [None, ""])
    def test_no_text_makes_no_message(self, content):
        assert response_of(answer(content=content))["output"] == []

    def test_text_and_refusal_are_parts_of_one_message(self):
        (item,) = response_of(answer(content="Well,", refusal="no."))["output"]
        assert [part["type"] for part in item["content"]] == ["output_text", "refusal"]

    def test_no_usage_is_null(self):
        assert response_of(answer(content="Hi"))["usage"] is None

    def test_a_completion_is_left_as_it_was(self):
        whole = answer(content="Hi", tool_calls=[called()])
        before = repr(whole)
        response_of(whole)
        assert repr(whole) == before

    def test_no_arguments_are_an_empty_object(self):
        (item,) = response_of(answer("tool_calls", tool_calls=[called(arguments="")]))["output"]
        assert item["arguments"] == "{}"

    def test_missing_empty_and_repeated_call_ids_are_replaced(self):
        calls = [called(call_id=call_id) for call_id in (None, "", "call_a", "call_a")]
        ids = [item["call_id"] for item in response_of(answer("tool_calls", tool_calls=calls))["output"]]
        assert ids[2] == "call_a"
        assert all(GENERATED.fullmatch(call_id) for call_id in (ids[0], ids[1], ids[3]))
        assert len(set(ids)) == 4

    def test_calls_of_custom_tools_become_custom_calls(self):
        calls = [called("apply_patch", '{"input": "*** Begin"}', "call_p"), called()]
        response = response_of(answer("tool_calls", tool_calls=calls), names=TOOLS)
        assert response["output"][0] == {
            "id": "ctc_0",
            "type": "custom_tool_call",
            "status": "completed",
            "call_id": "call_p",
            "input": "*** Begin",
            "name": "apply_patch",
        }
        assert response["output"][1]["type"] == "function_call"

    def test_calls_of_a_namespaces_tools_name_it(self):
        calls = [called("docs__find", '{"q":"x"}', "call_f"), called("docs__patch", '{"input":"x"}', "call_p")]
        first, second = response_of(answer("tool_calls", tool_calls=calls), names=TOOLS)["output"]
        assert first == {
            "id": "fc_0",
            "type": "function_call",
            "status": "completed",
            "arguments": '{"q":"x"}',
            "call_id": "call_f",
            "name": "find",
            "namespace": "docs",
        }
        assert (second["type"], second["name"], second["namespace"]) == ("custom_tool_call", "patch", "docs")

    def test_calls_of_other_tools_name_none(self):
        calls = [called("docs__other", call_id="a"), called(call_id="b")]
        output = response_of(answer("tool_calls", tool_calls=calls), names=TOOLS)["output"]
        assert [item["name"] for item in output] == ["docs__other", "add"]
        assert not any("namespace" in item for item in output)

    @pytest.mark.parametrize(
        ("reason", "told"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
    )
    def test_a_cut_answer_is_incomplete_and_so_is_its_last_item(self, reason, told):
        response = response_of(answer(reason, reasoning="Hm", content="Hi"))
        assert response["status"] == "incomplete"
        assert response["incomplete_details"] == {"reason": told}
        assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]

    @pytest.mark.parametrize("reason", [None, "", "error", "abort", 5])
    def test_any_other_end_is_a_failure(self, reason):
        response = response_of(answer(reason, content="Hi"))
        assert response["status"] == "failed"
        assert response["error"]["code"] == "server_error"
        assert response["output"][0]["status"] == "incomplete"

    @pytest.mark.parametrize("reason", ["stop", "tool_calls", "function_call"])
    def test_a_good_end_is_completed(self, reason):
        assert response_of(answer(reason, content="Hi"))["status"] == "completed"


class TestResponseOfGarbled:
    @pytest.mark.parametrize(
        ("body", "missing"),
        [
            ([], "not a JSON object"),
            ({}, "no list of choices"),
            ({"choices": None}, "no list of choices"),
            ({"choices": {"0": {}}}, "no list of choices"),
            ({"choices": []}, "no first choice"),
            ({"choices": ["text"]}, "no first choice"),
            ({"choices": [{"text": "a completion of old"}]}, "without a message"),
            (answer(content=5), "'content'"),
            (answer(refusal=5), "'refusal'"),
            (answer(tool_calls={}) | {"choices": [{"message": {"tool_calls": "f"}}]}, "'tool_calls'"),
        ],
    )
    def test_it_says_what_is_missing(self, body, missing):
        with pytest.raises(UpstreamGarbled, match=missing):
            response_of(body)


class TestResponseOfErrors:
    def test_an_error_body_is_a_refusal_in_the_upstreams_words(self):
        error = {
            "message": "No such model.",
            "type": "invalid_request_error",
            "param": "model",
            "code": "gone",
        }
        with pytest.raises(UpstreamRefused) as refused:
            response_of({"error": error})
        assert refused.value.message == "No such model."
        assert refused.value.code == "gone"
        assert refused.value.param == "model"
        assert refused.value.error_type == "invalid_request_error"
        assert refused.value.passed_on

    @pytest.mark.parametrize(("code", "permanent"), [(400, True), (402, True), (429, False), (502, False)])
    def test_a_code_that_is_a_number_is_a_status(self, code, permanent):
        with pytest.raises(UpstreamRefused) as refused:
            response_of({"error": {"message": "Provider returned error", "code": code}})
        assert refused.value.status == code
        assert refused.value.permanent is permanent
        assert refused.value.code is None  # the number is told as the status; the error has no code of its own

    @pytest.mark.parametrize(
        "body",
        [{"error": "model not loaded"}, {"object": "error", "message": "model not loaded", "code": 404}],
    )
    def test_ollamas_and_vllms_errors_are_errors(self, body):
        with pytest.raises(UpstreamRefused, match="model not loaded"):
            response_of(body)

    def test_an_error_that_is_null_is_none(self):
        assert response_of(answer(content="Hi") | {"error": None})["status"] == "completed"
