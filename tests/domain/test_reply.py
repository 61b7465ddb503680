"""A reply: what an upstream answered, however thin."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convstore.domain import reply
from convstore.domain.jsontext import NotJson
from tests.domain.strategies import objects, quick, responses, thorough, values

THIN = {
    "id": "resp_up",
    "object": "response",
    "created_at": 1755000000,
    "status": "completed",
    "model": "gpt-5.4-2026-03-05",
    "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}],
    "usage": {"prompt_tokens": 1},
}
ENVELOPES = st.dictionaries(
    st.sampled_from(["id", "status", "model", "error", "incomplete_details", "usage", "output", "x"]),
    values | st.sampled_from(["completed", "failed", "queued"]),
)


class TestOfText:
    def test_the_gateways_seven_fields_are_enough(self) -> None:
        said = reply.of_text(json.dumps(THIN))
        assert (said.status, said.upstream_id, said.model) == ("completed", "resp_up", "gpt-5.4-2026-03-05")
        assert said.usage == {"prompt_tokens": 1}
        assert (said.error, said.incomplete_reason) == (None, None)
        assert json.loads(said.output[0].body)["content"][0]["annotations"] == []

    @given(responses())
    @quick
    def test_items_are_kept_in_order_and_to_the_letter(self, response: dict[str, Any]) -> None:
        said = reply.of_text(json.dumps(response))
        assert [json.loads(item.body) for item in said.output] == [
            {name: value for name, value in item.items() if name != "id"} for item in response["output"]
        ]
        assert [item.item_id for item in said.output] == [item["id"] for item in response["output"]]
        assert "output" not in said.envelope

    def test_items_are_those_of_the_top(self) -> None:
        """A tool's schema may well have a property called output."""
        tool = {"type": "function", "name": "x", "parameters": {"properties": {"output": [1, 2]}}}
        said = reply.of_text(json.dumps({"tools": [tool], **THIN, "z": {"output": []}}))
        assert len(said.output) == 1

    def test_a_failure_needs_no_output(self) -> None:
        said = reply.of_text('{"status":"failed","error":{"code":"server_error","message":"No."}}')
        assert (said.status, said.output) == ("failed", ())
        assert said.error == {"code": "server_error", "message": "No."}

    @pytest.mark.parametrize(
        ("envelope", "status"),
        [
            ({}, "completed"),
            ({"status": "incomplete"}, "incomplete"),
            ({"status": "done"}, "completed"),
            ({"status": None}, "completed"),
            ({"status": ["completed"]}, "completed"),
            ({"status": {"a": 1}}, "completed"),
            ({"error": {"code": "x", "message": "y"}}, "failed"),
            ({"error": "No."}, "failed"),
            ({"error": None}, "completed"),
            ({"incomplete_details": {"reason": "max_output_tokens"}}, "incomplete"),
            ({"incomplete_details": None}, "completed"),
        ],
    )
    def test_a_status_is_found_where_there_is_none(self, envelope: dict[str, Any], status: str) -> None:
        assert reply.of_text(json.dumps({**envelope, "output": []})).status == status

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[]",
            "null",
            "{}",
            '{"x":1}',
            '{"output":[1]}',
            '{"output":["x"]}',
            '{"output":7}',
            '{"output":[NaN]}',
        ],
    )
    def test_what_is_no_response_is_refused(self, text: str) -> None:
        with pytest.raises(NotJson):
            reply.of_text(text)

    @given(ENVELOPES)
    @thorough
    def test_nothing_in_an_answer_breaks_it(self, envelope: dict[str, Any]) -> None:
        try:
            said = reply.of_text(json.dumps(envelope))
        except NotJson:
            return
        assert said.status in reply.STATUSES
        for word in (said.upstream_id, said.model, said.incomplete_reason):
            assert word is None or isinstance(word, str)
        assert said.error is None or isinstance(said.error, dict)


class TestOfObject:
    @given(responses())
    @quick
    def test_it_is_the_reply_of_its_text(self, response: dict[str, Any]) -> None:
        made, read = reply.of_object(response), reply.of_text(json.dumps(response))
        assert made.status == read.status
        assert made.envelope == read.envelope
        assert [json.loads(item.body) for item in made.output] == [json.loads(item.body) for item in read.output]

    @given(objects)
    @quick
    def test_an_envelope_alone_is_enough(self, envelope: dict[str, Any]) -> None:
        envelope.pop("output", None)
        assert reply.of_object(envelope).output == ()

    def test_an_error_may_be_a_mere_text(self) -> None:
        assert reply.of_object({"error": "No."}).error == {"code": "server_error", "message": "No."}
