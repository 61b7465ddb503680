"""The Response object: every field clients rely on, however little was asked and however thin the answer."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convstore.domain import response
from convstore.domain.response import DEFAULTS, OURS, Response
from convstore.domain.usage import Usage
from tests.domain.strategies import objects, quick, values

# docs/api.md, the Response object: what is on the wire of the API, whatever the request.
ALWAYS = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1755000000,
    "status": "completed",
    "completed_at": None,
    "background": False,
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "model": "gpt-5.4",
    "output": [],
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "prompt_cache_retention": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "user": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "top_p": 1.0,
    "top_logprobs": 0,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [],
    "truncation": "disabled",
    "usage": None,
}


def written(
    settings: Any = None, *, reply: Any = None, output: tuple[bytes, ...] = (), **members: Any
) -> dict[str, Any]:
    """The JSON of a response, read again. A member that stands twice is an error."""
    given = {"id": "resp_1", "created_at": 1755000000, "status": "completed", "model": "gpt-5.4", **members}
    body = Response(
        **given, settings=json.dumps(settings or {}).encode(), reply=json.dumps(reply or {}).encode()
    ).write(output)
    pairs: list[list[tuple[str, Any]]] = []
    read = json.loads(body, object_pairs_hook=lambda found: (pairs.append(found), dict(found))[1])
    top = [name for name, _ in pairs[-1]]
    assert len(top) == len(set(top)), f"twice: {[name for name in top if top.count(name) > 1]}"
    return dict(read)


class TestWrite:
    def test_nothing_is_ever_missing(self) -> None:
        assert written() == ALWAYS

    def test_a_conversation_is_named_only_when_there_was_one(self) -> None:
        assert written(conversation_id="conv_1")["conversation"] == {"id": "conv_1"}

    def test_a_completion_time_is_for_completed_responses(self) -> None:
        assert written(completed_at=5)["completed_at"] == 5
        for status in ("incomplete", "failed", "cancelled", "in_progress"):
            assert written(status=status, completed_at=5)["completed_at"] is None

    def test_what_the_exchange_knows(self) -> None:
        said = written(
            error={"code": "server_error", "message": "No."},
            incomplete_reason="max_output_tokens",
            previous_response_id="resp_0",
            store=False,
            metadata={"a": "b"},
            user="u",
            safety_identifier="s",
            prompt_cache_key="k",
            usage=Usage(1, 0, 0, 2, 0, 3),
        )
        assert said["error"] == {"code": "server_error", "message": "No."}
        assert said["incomplete_details"] == {"reason": "max_output_tokens"}
        assert said["previous_response_id"] == "resp_0"
        assert said["store"] is False
        assert said["metadata"] == {"a": "b"}
        assert [said[name] for name in ("user", "safety_identifier", "prompt_cache_key")] == ["u", "s", "k"]
        assert said["usage"]["input_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": 0}

    def test_items_are_written_as_the_bytes_they_are(self) -> None:
        body = Response("r", 1, "completed", "m", b"{}").write([b'{"x": 1.50}', b'{"y":"\\u00e9"}'])
        assert b'"output":[{"x": 1.50},{"y":"\\u00e9"}],' in body

    @given(st.sampled_from(sorted(ALWAYS)), values)
    @quick
    def test_a_member_of_the_request_that_is_not_of_the_api_says_nothing_of_the_answer(
        self, name: str, value: Any
    ) -> None:
        """Unknown members are passed on, so a client may send `status`: the answer is still ours."""
        if name not in DEFAULTS:
            assert written({name: value}) == ALWAYS

    @given(objects)
    @quick
    def test_no_settings_ever_break_it(self, unknown: dict[str, Any]) -> None:
        said = written({f"x_{name}": value for name, value in unknown.items()})
        assert {name: said[name] for name in ALWAYS} == ALWAYS


class TestEchoed:
    @pytest.mark.parametrize(
        ("name", "sent", "echoed"),
        [
            ("instructions", "Be brief.", "Be brief."),
            ("max_output_tokens", 100, 100),
            ("max_tool_calls", 3, 3),
            ("parallel_tool_calls", False, False),
            ("temperature", 0, 0),
            ("top_p", 0.5, 0.5),
            ("top_logprobs", 5, 5),
            ("frequency_penalty", 1, 1),
            ("presence_penalty", -1.5, -1.5),
            ("truncation", "auto", "auto"),
            ("prompt_cache_retention", "24h", "24h"),
            ("service_tier", "auto", "default"),
            ("service_tier", "flex", "flex"),
            ("tool_choice", "none", "none"),
            ("tool_choice", {"type": "function", "name": "add"}, {"type": "function", "name": "add"}),
            ("prompt", {"id": "pmpt_1"}, {"id": "pmpt_1"}),
            ("reasoning", {"effort": "high"}, {"effort": "high", "summary": None}),
            (
                "reasoning",
                {"summary": "auto", "context": "auto"},
                {"effort": None, "summary": "auto", "context": "auto"},
            ),
            ("text", {}, DEFAULTS["text"]),
            ("text", {"verbosity": "low"}, {"format": {"type": "text"}, "verbosity": "low"}),
            (
                "text",
                {"format": {"type": "json_object"}},
                {"format": {"type": "json_object"}, "verbosity": "medium"},
            ),
            ("text", {"format": None}, DEFAULTS["text"]),
            ("tools", [], []),
            ("tools", [{"type": "web_search"}], [{"type": "web_search"}]),
        ],
    )
    def test_a_parameter_comes_back_as_the_api_says_it(self, name: str, sent: Any, echoed: Any) -> None:
        assert written({name: sent}) == {**ALWAYS, name: echoed}

    def test_a_json_schema_comes_back_with_every_member(self) -> None:
        form = {"type": "json_schema", "name": "n", "schema": {"type": "object"}}
        assert written({"text": {"format": form}})["text"]["format"] == {
            **form,
            "description": None,
            "strict": False,
        }
        strict = {**form, "strict": True, "description": None}
        assert written({"text": {"format": strict}})["text"]["format"] == strict

    def test_a_function_comes_back_with_every_member(self) -> None:
        tool = {"type": "function", "name": "add"}
        filled = {**tool, "description": None, "parameters": None, "strict": True}
        assert written({"tools": [tool]})["tools"] == [filled]
        assert written({"tools": [{**tool, "strict": False}]})["tools"][0]["strict"] is False

    @pytest.mark.parametrize("name", ["input", "include", "stream", "stream_options", "context_management"])
    def test_some_are_never_echoed(self, name: str) -> None:
        assert written({name: "x"}) == ALWAYS

    def test_null_is_the_same_as_not_given(self) -> None:
        assert written(dict.fromkeys(DEFAULTS)) == ALWAYS


class TestAdditions:
    def test_effective_values_of_the_upstream_are_kept(self) -> None:
        said = response.additions({"top_p": 0.98, "temperature": 1.0, "service_tier": "priority"}, {})
        assert said == {"top_p": 0.98, "service_tier": "priority"}
        assert written(reply=said) == {**ALWAYS, **said}

    def test_members_nobody_here_knows_are_kept(self) -> None:
        said = {"billing": {"payer": "developer"}, "tool_usage": {"web_search": {"num_requests": 0}}}
        assert response.additions(said, {}) == said

    @pytest.mark.parametrize("name", sorted(OURS))
    def test_what_is_ours_to_say_is_not_the_upstreams(self, name: str) -> None:
        assert response.additions({name: "theirs"}, {}) == {}

    @pytest.mark.parametrize("name", sorted(set(DEFAULTS) - OURS))
    def test_null_says_nothing(self, name: str) -> None:
        """Thin upstreams send null for what they do not know; clients require a value."""
        assert response.additions({name: None}, {}) == {}

    @given(objects)
    @quick
    def test_no_envelope_ever_takes_a_field_away(self, envelope: dict[str, Any]) -> None:
        said = response.additions(envelope, {})
        assert set(written(reply=said)) >= set(ALWAYS)
        assert not OURS & set(said)
