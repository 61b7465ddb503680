"""Every parameter of the API: accepted, null or not, passed on, and echoed as the API echoes it."""

import json
from typing import Any

import pytest

from convstore.domain.response import DEFAULTS
from tests.api.conftest import Stage

SCHEMA = {"type": "object", "properties": {}}
TOOLS: dict[str, dict[str, Any]] = {
    "function": {"name": "add", "parameters": SCHEMA, "strict": None, "description": None, "async": True},
    "custom": {"name": "run", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
    "namespace": {"name": "n", "description": "d", "tools": [{"type": "function", "name": "a"}]},
    "tool_search": {"execution": "server"},
    "file_search": {"vector_store_ids": ["vs_1"]},
    "web_search": {"external_web_access": True},
    "web_search_2025_08_26": {"search_context_size": "low"},
    "web_search_preview": {},
    "mcp": {"server_label": "s", "server_url": "https://example.org", "require_approval": "never"},
    "code_interpreter": {"container": {"type": "auto"}},
    "image_generation": {"quality": "low"},
    "computer": {},
    "computer_use_preview": {"display_height": 1, "display_width": 1, "environment": "linux"},
    "local_shell": {},
    "shell": {},
    "apply_patch": {},
    "programmatic_tool_calling": {},
    "invented_tomorrow": {"anything": [1]},
}
CHOICES: list[Any] = [
    "none",
    "auto",
    "required",
    {"type": "function", "name": "add"},
    {"type": "custom", "name": "run"},
    {"type": "mcp", "server_label": "s", "name": "n"},
    {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "add"}]},
    {"type": "file_search"},
    {"type": "apply_patch"},
    {"type": "invented_tomorrow"},
]
FORMATS: list[dict[str, Any]] = [
    {"type": "text"},
    {"type": "json_object"},
    {"type": "json_schema", "name": "n", "schema": SCHEMA},
    {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True, "description": "d"},
]
INCLUDE = [
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
]
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

# Parameter → values that the API takes. What is echoed is the value itself unless ECHO says otherwise.
ACCEPTED: dict[str, list[Any]] = {
    "instructions": ["Be brief.", ""],
    "store": [True, False],
    "stream_options": [{}, {"include_obfuscation": False}],
    "background": [False],
    "include": [[], *([each] for each in INCLUDE), INCLUDE],
    "max_output_tokens": [16, 2**31],
    "max_tool_calls": [1, 100],
    "parallel_tool_calls": [True, False],
    "temperature": [0, 0.0, 1, 1.5, 2],
    "top_p": [0, 0.5, 1],
    "top_logprobs": [0, 20],
    "frequency_penalty": [-2, 0.5, 2],
    "presence_penalty": [-2, 0.5, 2],
    "text": [{}, {"verbosity": "low"}, *({"format": form} for form in FORMATS)],
    "tools": [[], *([{"type": kind, **members}] for kind, members in TOOLS.items())],
    "tool_choice": CHOICES,
    "reasoning": [
        {},
        *({"effort": effort} for effort in EFFORTS),
        *({"summary": word} for word in ("auto", "concise", "detailed")),
        {"generate_summary": "auto"},
        {"context": "all_turns", "mode": "pro"},
        {"effort": None, "summary": None},
    ],
    "metadata": [{}, {"a": "b"}, {"k" * 64: "v" * 512}, {str(n): "" for n in range(16)}],
    "truncation": ["auto", "disabled"],
    "service_tier": ["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"],
    "safety_identifier": ["", "s" * 128],
    "user": ["u", "u" * 255],
    "prompt_cache_key": ["k" * 64],
    "prompt_cache_retention": ["in_memory", "24h"],
    "prompt_cache_options": [{"mode": "explicit", "ttl": "30m"}],
    "prompt": [{"id": "pmpt_1", "variables": {"a": "b"}}],
    "context_management": [[{"type": "compaction", "compact_threshold": 1000}]],
    "moderation": [{"model": "m", "policy": {}}],
    "image": [{"context_compression": "auto"}],
    "access_programs": [{"cyber": "standard"}],
    "client_metadata": [{"a": "b"}],
    "background_options": [{"completion_window": "soonest"}],
}
NOT_ECHOED = {
    "include",
    "stream_options",
    "context_management",
    "client_metadata",
    "background_options",
    "background",
}
CASES = [(name, value) for name, values in ACCEPTED.items() for value in values]


def echo_of(name: str, value: Any) -> Any:
    """What the API says back."""
    if name == "reasoning":
        return {"effort": None, "summary": None, **value}
    if name == "text":
        form = value.get("format", {"type": "text"})
        if form["type"] == "json_schema":
            form = {"description": None, "strict": False, **form}
        return {"verbosity": "medium", **value, "format": form}
    if name == "tools":
        return [{"description": None, **tool} if tool["type"] == "function" else tool for tool in value]
    return "default" if (name, value) == ("service_tier", "auto") else value


class TestAccepted:
    def test_every_parameter_of_the_api_is_tried(self, stage: Stage) -> None:
        described = stage.alice.get("/openapi.json").json["components"]["schemas"]["CreateResponse"]["properties"]
        elsewhere = {"model", "input", "stream", "previous_response_id", "conversation"}
        assert set(described) - elsewhere == set(ACCEPTED)

    @pytest.mark.parametrize("name", ACCEPTED)
    def test_it_is_taken_passed_on_and_echoed(self, stage: Stage, name: str) -> None:
        for value in ACCEPTED[name]:
            given = stage.alice.ask(**{name: value})
            passed = stage.upstream.questions[-1].body
            if name == "store":
                assert passed["store"] is False  # ours to keep, not the provider's
            elif name not in ("background", "background_options"):
                assert passed[name] == value
            if name not in NOT_ECHOED:
                assert given[name] == echo_of(name, value)
            assert stage.alice.get(f"/v1/responses/{given['id']}").status_code == (
                404 if value is False and name == "store" else 200
            )

    @pytest.mark.parametrize("name", [*ACCEPTED, "stream", "previous_response_id", "conversation"])
    def test_null_is_taken_for_not_given(self, stage: Stage, name: str) -> None:
        given = stage.alice.ask(**{name: None})
        assert name not in stage.upstream.questions[-1].body or name == "store"
        if name in DEFAULTS:
            assert given[name] == DEFAULTS[name]

    def test_all_at_once(self, stage: Stage) -> None:
        members = {name: values[-1] for name, values in ACCEPTED.items() if name != "store"}
        given = stage.alice.ask(**members)
        for name in set(members) - NOT_ECHOED:
            assert given[name] == echo_of(name, members[name])
        events = stage.alice.stream(**members)
        for name in set(members) - NOT_ECHOED:
            assert events[0]["response"][name] == events[-1]["response"][name] == given[name]

    @pytest.mark.parametrize("name", sorted(NOT_ECHOED - {"background"}))
    def test_some_are_not_echoed(self, stage: Stage, name: str) -> None:
        assert name not in stage.alice.ask(**{name: ACCEPTED[name][-1]})

    def test_spelling_is_passed_on_to_the_letter(self, stage: Stage) -> None:
        body = '{"model":"gpt-5.4", "input":"x","temperature":1.50,"x":{ "b":1,"a":1E2 },"tools":[ ]}'
        assert stage.alice.post("/v1/responses", data=body).status_code == 200
        sent = stage.upstream.questions[-1].raw.decode()
        for kept in ('"temperature":1.50', '"x":{ "b":1,"a":1E2 }', '"tools":[ ]'):
            assert kept in sent


class TestInput:
    @pytest.mark.parametrize(
        "items",
        [
            [{"role": "user", "content": "x"}],
            [{"type": "message", "role": "system", "content": [{"type": "input_text", "text": "x"}]}],
            [{"role": "developer", "content": "x"}],
            [
                {"role": "assistant", "content": [{"type": "output_text", "text": "x"}]},
                {"role": "user", "content": "y"},
            ],
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_image", "image_url": "data:,"},
                        {"type": "input_file", "file_id": "f"},
                    ],
                }
            ],
            [
                {
                    "role": "user",
                    "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "mp3"}}],
                }
            ],
            [{"type": "reasoning", "id": "rs_1", "summary": [], "content": None, "encrypted_content": "g"}],
            [
                {"type": "function_call", "call_id": "c", "name": "n", "arguments": ""},
                {"type": "function_call_output", "call_id": "c", "output": []},
            ],
            [
                {"type": "custom_tool_call", "call_id": "c", "name": "n", "input": ""},
                {"type": "custom_tool_call_output", "call_id": "c", "output": "x"},
            ],
            [{"type": "invented_tomorrow", "anything": {"a": [1.50]}, "role": "r" * 300}],
            [
                {
                    "role": "user",
                    "content": "x",
                    "id": "msg_0190",
                    "internal_chat_message_metadata_passthrough": {"a": 1},
                }
            ],
            [
                {"type": "compaction", "id": "cmp_1", "encrypted_content": "g"},
                {"role": "user", "content": "x"},
            ],
            [{"type": "item_reference", "id": "REPLACED"}, {"role": "user", "content": "x"}],
        ],
        ids=lambda items: ",".join(str(item.get("type", item.get("role"))) for item in items),
    )
    def test_items_of_every_kind_are_taken_and_kept(self, stage: Stage, items: list[dict[str, Any]]) -> None:
        said = stage.alice.ask()["output"][0]
        sent = json.loads(json.dumps(items).replace("REPLACED", said["id"]))
        given = stage.alice.ask(sent)
        shown = stage.upstream.questions[-1].body["input"]
        real = [said if item.get("type") == "item_reference" else item for item in sent]
        assert shown == [{k: v for k, v in item.items() if k != "id"} for item in real]
        listed = stage.alice.get(f"/v1/responses/{given['id']}/input_items?order=asc").json["data"]
        assert len(listed) == len(sent)
        assert all(item["id"] for item in listed)
        for item, original in zip(listed, real, strict=True):
            assert original.get("id", item["id"]) == item["id"]

    def test_it_may_be_left_out_after_a_parent(self, stage: Stage) -> None:
        parent = stage.alice.ask()["id"]
        for body in ({}, {"input": []}, {"input": None}, {"input": ""}):
            answered = stage.alice.post(
                "/v1/responses", json={"model": "gpt-5.4", "previous_response_id": parent, **body}
            )
            assert answered.status_code == 200, answered.text
            assert len(stage.upstream.questions[-1].body["input"]) == 2

    def test_a_prompt_is_a_source_too(self, stage: Stage) -> None:
        answered = stage.alice.post("/v1/responses", json={"model": "gpt-5.4", "prompt": {"id": "pmpt_1"}})
        assert answered.status_code == 200


class TestUnknown:
    @pytest.mark.parametrize(
        "name", ["invented_tomorrow", "verbosity", "x-y.z", "ü", "", "id", "output", "usage", "object"]
    )
    def test_members_are_kept_and_passed_on(self, stage: Stage, name: str) -> None:
        value = {"a": [1, None, "é"]}
        plain = stage.alice.ask()
        given = stage.alice.ask(**{name: value})
        assert stage.upstream.questions[-1].body[name] == value
        assert set(given) >= set(plain)
        if name in plain:
            assert given[name] != value

    def test_query_parameters_are_ignored(self, stage: Stage) -> None:
        own = stage.alice.ask()["id"]
        for path in (f"/v1/responses/{own}", f"/v1/responses/{own}/input_items", "/v1/models"):
            assert stage.alice.get(f"{path}?beta=true&include[]=x&include=y&%00=%00").status_code == 200
        body = {"model": "gpt-5.4", "input": "x"}
        assert stage.alice.post("/v1/responses?beta=true", json=body).status_code == 200

    def test_headers_are_ignored(self, stage: Stage) -> None:
        headers = {
            "OpenAI-Beta": "responses_multi_agent=v1",
            "X-Stainless-Lang": "python",
            "Accept": "text/plain",
        }
        assert stage.alice.create(headers=headers).status_code == 200


class TestStrict:
    def test_known_members_pass(self, stage: Stage) -> None:
        strict = stage.client(strict_parameters=True)
        members = {name: values[-1] for name, values in ACCEPTED.items()}
        assert strict.create(**members).status_code == 200

    def test_unknown_ones_do_not(self, stage: Stage) -> None:
        strict = stage.client(strict_parameters=True)
        for name in ("invented_tomorrow", "ü", "", "output", "x{y}"):
            told = strict.create(**{name: 1}).json["error"]
            assert (told["code"], told["param"]) == ("unknown_parameter", name)
            assert told["message"].startswith(f"Unknown parameter: '{name}'.")


class TestMasked:
    def test_the_secrets_of_an_mcp_tool(self, stage: Stage) -> None:
        tool = {
            "type": "mcp",
            "server_label": "s",
            "authorization": "ya29-secret",
            "headers": {"X-Key": "ya29-secret"},
        }
        given = stage.alice.ask(tools=[tool])
        assert stage.upstream.questions[-1].body["tools"] == [tool]
        masked = {**tool, "authorization": "<redacted>", "headers": {"X-Key": "<redacted>"}}
        assert given["tools"] == [masked]
        own = given["id"]
        for text in (
            stage.alice.get(f"/v1/responses/{own}").text,
            stage.alice.get(f"/v1/responses/{own}?stream=true").text,
        ):
            assert "ya29-secret" not in text
        with stage.deps.database.connection() as connection:
            bodies = connection.exec_driver_sql("SELECT body FROM payloads").scalars().all()
        assert not any(b"ya29-secret" in bytes(body) for body in bodies)
