"""Errors on the wire: the API's statuses, codes, parameters and words, a row for each case of docs/api.md."""

import re
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import pytest
from werkzeug.test import TestResponse

from convstore import ids
from convstore.api import errors as doors
from convstore.domain.jsontext import DEEPEST
from convstore.errors import (
    ConvstoreError,
    IdempotencyInProgress,
    InvalidRequest,
    Misconfigured,
    StorageUnavailable,
    UpstreamError,
)
from convstore.services import relay, responses
from tests.api.conftest import MAX_BODY, Stage
from tests.local_upstream import answer, error, function_call, hang_up, whole

UNKNOWN = "resp_" + "0" * 32
MISSING = f"Response with id '{UNKNOWN}' not found."
CALL = {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "7"}

# Create requests: what is wrong with them, and how the API says it: status 400, code, param, message.
REFUSED: dict[str, tuple[dict[str, Any], str | None, str | None, str]] = {
    "no model": (
        {"model": None},
        "missing_required_parameter",
        "model",
        "Missing required parameter: 'model'.",
    ),
    "no input": (
        {"input": None},
        "missing_required_parameter",
        "input",
        "Missing required parameter: 'input'.",
    ),
    "empty input": (
        {"input": []},
        None,
        None,
        "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be provided.",
    ),
    "empty text": (
        {"input": ""},
        None,
        None,
        "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be provided.",
    ),
    "unknown parent": (
        {"previous_response_id": UNKNOWN},
        "previous_response_not_found",
        "previous_response_id",
        f"Previous response with id '{UNKNOWN}' not found.",
    ),
    "two sources": (
        {"previous_response_id": UNKNOWN, "conversation": "conv_1"},
        "mutually_exclusive_parameters",
        None,
        "Mutually exclusive parameters: ''. Ensure you are only providing one of: "
        "'previous_response_id' or 'conversation'.",
    ),
    "unknown model": (
        {"model": "claude-9"},
        "model_not_found",
        "model",
        "The requested model 'claude-9' does not exist.",
    ),
    "messages": (
        {"messages": []},
        "unsupported_parameter",
        "messages",
        "Unsupported parameter: 'messages'. In the Responses API, this parameter has moved to 'input'. "
        "Try again with the new parameter.",
    ),
    "wrong type": (
        {"temperature": "hot"},
        "invalid_type",
        "temperature",
        "Invalid type for 'temperature': expected a decimal, but got a string instead.",
    ),
    "wrong type of a boolean": (
        {"store": "yes"},
        "invalid_type",
        "store",
        "Invalid type for 'store': expected a boolean, but got a string instead.",
    ),
    "wrong type inside": (
        {"tools": [{"type": "function", "name": 7}]},
        "invalid_type",
        "tools[0].name",
        "Invalid type for 'tools[0].name': expected a string, but got an integer instead.",
    ),
    "bad word": (
        {"truncation": "bogus"},
        "invalid_value",
        "truncation",
        "Invalid value: 'bogus'. Supported values are: 'auto' and 'disabled'.",
    ),
    "bad word inside": (
        {"reasoning": {"summary": "long"}},
        "invalid_value",
        "reasoning.summary",
        "Invalid value: 'long'. Supported values are: 'auto', 'concise' and 'detailed'.",
    ),
    "bad include": (
        {"include": ["bogus"]},
        "invalid_value",
        "include[0]",
        "Invalid value: 'bogus'. Supported values are: 'file_search_call.results', "
        "'web_search_call.results', 'web_search_call.action.sources', 'message.input_image.image_url', "
        "'computer_call_output.output.image_url', 'code_interpreter_call.outputs', "
        "'reasoning.encrypted_content' and 'message.output_text.logprobs'.",
    ),
    "decimal above": (
        {"temperature": 2.5},
        "decimal_above_max_value",
        "temperature",
        "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 2.5 instead.",
    ),
    "decimal below": (
        {"top_p": -1},
        "decimal_below_min_value",
        "top_p",
        "Invalid 'top_p': decimal below minimum value. Expected a value >= 0, but got -1 instead.",
    ),
    "integer below": (
        {"max_output_tokens": 15},
        "integer_below_min_value",
        "max_output_tokens",
        "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 15 instead.",
    ),
    "integer above": (
        {"top_logprobs": 21},
        "integer_above_max_value",
        "top_logprobs",
        "Invalid 'top_logprobs': integer above maximum value. Expected a value <= 20, but got 21 instead.",
    ),
    "many metadata": (
        {"metadata": {str(number): "x" for number in range(17)}},
        "object_above_max_properties",
        "metadata",
        "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, "
        "but got an object with 17 properties instead.",
    ),
    "long metadata key": (
        {"metadata": {"k" * 65: "x"}},
        "property_name_above_max_length",
        "metadata",
        "Invalid property name in 'metadata': too long. Expected a property name with at most 64 characters, "
        "but got one with 65 instead.",
    ),
    "long metadata value": (
        {"metadata": {"k": "x" * 513}},
        "string_above_max_length",
        "metadata.k",
        "Invalid 'metadata.k': string too long. Expected a string with maximum length 512, "
        "but got a string with length 513 instead.",
    ),
    "unknown stream option": (
        {"stream_options": {"include_usage": True}},
        "unknown_parameter",
        "stream_options.include_usage",
        "Unknown parameter: 'stream_options.include_usage'.",
    ),
    "call without output": (
        {"input": [CALL]},
        None,
        "input",
        "No tool output found for function call call_1.",
    ),
    "output without call": (
        {"input": [OUTPUT]},
        None,
        "input",
        "No tool call found for function call output with call_id call_1.",
    ),
    "an item twice": (
        {"input": [{"id": "msg_1", "role": "user", "content": "x"}] * 2},
        None,
        "input",
        "Duplicate item found with id msg_1. Remove duplicate items from your input and try again.",
    ),
    "unknown part": (
        {"input": [{"role": "user", "content": [{"type": "video"}]}]},
        "invalid_value",
        "input[0].content[0].type",
        "Invalid value: 'video'. Supported values are: 'input_text', 'input_image', 'input_file', "
        "'input_audio', "
        "'output_text', 'refusal', 'text', 'summary_text', 'reasoning_text' and 'computer_screenshot'.",
    ),
    "background without a store": (
        {"background": True, "store": False},
        "invalid_value",
        "background",
        "Invalid value: 'background' can only be used when 'store' is true.",
    ),
    "background with a secret": (
        {"background": True, "tools": [{"type": "mcp", "server_label": "s", "authorization": "s3cret"}]},
        "unsupported_parameter",
        "tools[0].authorization",
        "Unsupported parameter: 'tools[0].authorization' cannot be used with 'background'. Secrets of MCP servers are "
        "not stored, and a background request is sent from what is stored of it.",
    ),
    "item type of ours": (
        {"input": [{"type": "convstore.removal", "call_id": "0.0"}]},
        "invalid_value",
        "input[0].type",
        "Invalid 'input[0].type': types that begin with 'convstore.' are taken.",
    ),
}


def checked(
    answered: TestResponse, status: int, code: str | None, param: str | None, message: str | None = None
) -> dict[str, Any]:
    """The error of an answer, in the one form that all errors have."""
    assert answered.status_code == status, answered.text
    assert answered.headers["content-type"] == "application/json"
    assert re.fullmatch(r"req_[0-9a-f]{32}", answered.headers["x-request-id"])
    assert list(answered.json) == ["error"]
    told = dict(answered.json["error"])
    assert set(told) == {"message", "type", "param", "code"}
    assert (told["code"], told["param"]) == (code, param)
    assert isinstance(told["message"], str) and told["message"]
    assert isinstance(told["type"], str)
    if message is not None:
        assert told["message"] == message
    return told


def final(answered: TestResponse) -> bool:
    """Whether the client is told that trying again cannot help."""
    return answered.headers.get("x-should-retry") == "false"


class TestCreate:
    @pytest.mark.parametrize("name", REFUSED)
    @pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
    def test_a_wrong_request_is_told_what_is_wrong(self, stage: Stage, name: str, streamed: bool) -> None:
        """Streamed or not: an error before the first event is plain JSON."""
        members, code, param, message = REFUSED[name]
        asked = len(stage.upstream.questions)
        body = {"model": "gpt-5.4", "input": "Hello?", "stream": streamed, **members}
        answered = stage.alice.post("/v1/responses", json=body)
        told = checked(answered, 400, code, param, message)
        assert told["type"] == "invalid_request_error"
        assert final(answered)
        assert len(stage.upstream.questions) == asked

    @pytest.mark.parametrize("body", [b"", b"{", b'{"model":"gpt-5.4","input":"x"', b"x", b"[]", b"null", b'"x"', b"5"])
    def test_what_is_no_json_object(self, stage: Stage, body: bytes) -> None:
        answered = stage.alice.post("/v1/responses", data=body)
        # The member is named when it is known where the text went wrong.
        told = checked(answered, 400, "invalid_json", "input" if b"input" in body else None)
        assert told["message"].startswith(
            "Invalid body: failed to parse JSON value. Please check the value to ensure it is valid JSON."
        )
        assert final(answered)

    @pytest.mark.parametrize(
        ("name", "hint"),
        [("sotre", " Did you mean 'store'?"), ("tool", " Did you mean 'tools'?"), ("bogus_member", "")],
    )
    def test_an_unknown_member_is_refused_where_that_is_wanted(self, stage: Stage, name: str, hint: str) -> None:
        answered = stage.client(strict_parameters=True).create(**{name: 1})
        checked(answered, 400, "unknown_parameter", name, f"Unknown parameter: '{name}'.{hint}")

    def test_what_is_wrong_first_is_told_first(self, stage: Stage) -> None:
        """JSON, then the model, then unknown members, then the schema, then the thread."""
        wrong: dict[str, Any] = {
            "previous_response_id": UNKNOWN,
            "temperature": 5,
            "messages": [],
            "model": None,
        }
        for name, param in (
            ("model", "model"),
            ("messages", "messages"),
            ("temperature", "temperature"),
            ("previous_response_id", "previous_response_id"),
        ):
            told = stage.alice.post("/v1/responses", json={"input": "x", **wrong}).json["error"]
            assert told["param"] == param
            wrong.pop(name)
            wrong.setdefault("model", "gpt-5.4")

    def test_an_unknown_item_is_not_found(self, stage: Stage) -> None:
        answered = stage.alice.create([{"type": "item_reference", "id": "rs_1"}])
        message = (
            "Item with id 'rs_1' not found. Items are not persisted when 'store' is set to false. "
            "Try again with 'store' set to true, or remove this item from your input."
        )
        checked(answered, 404, None, "input", message)

    def test_a_thread_that_is_too_long(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        (upstream,) = stage.deps.upstreams.upstreams
        monkeypatch.setattr(
            upstream, "settings", type(upstream.settings)(**{**vars(upstream.settings), "context_window": 50})
        )
        answered = stage.alice.create("alpha beta gamma " * 100)
        message = "Your input exceeds the context window of this model. Please adjust your input and try again."
        checked(answered, 400, "context_length_exceeded", "input", message)

    def test_an_open_call_in_the_thread(self, stage: Stage) -> None:
        stage.upstream.will(answer(function_call("call_7")))
        answered = stage.alice.create("go on", after=stage.alice.ask()["id"])
        checked(answered, 400, None, "input", "No tool output found for function call call_7.")

    def test_a_body_that_is_too_large(self, stage: Stage) -> None:
        answered = stage.alice.create("x" * MAX_BODY)
        checked(answered, 413, "request_too_large", None, "The request body is larger than this service accepts.")
        assert final(answered)

    def test_a_key_that_was_used_for_another_body(self, stage: Stage) -> None:
        headers = {"Idempotency-Key": ids.new(ids.REQUEST)}
        stage.alice.create("1?", headers=headers)
        answered = stage.alice.create("2?", headers=headers)
        checked(
            answered,
            409,
            "idempotency_key_reused",
            None,
            "This Idempotency-Key was used before with another request body. Use a new key for a new request.",
        )
        assert final(answered)

    @pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb"])
    def test_a_key_that_is_none(self, stage: Stage, key: str) -> None:
        answered = stage.alice.create(headers={"Idempotency-Key": key})
        checked(answered, 400, None, "Idempotency-Key")


class TestStored:
    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    def test_an_unknown_response(self, stage: Stage, method: str) -> None:
        checked(stage.alice.open(method, f"/v1/responses/{UNKNOWN}"), 404, None, None, MISSING)

    @pytest.mark.parametrize("path", ["input_items", "input_items?limit=5", "?stream=true"])
    def test_however_it_is_read(self, stage: Stage, path: str) -> None:
        address = f"/v1/responses/{UNKNOWN}{path}" if path.startswith("?") else f"/v1/responses/{UNKNOWN}/{path}"
        checked(stage.alice.get(address), 404, None, None, MISSING)

    def test_one_that_was_not_to_be_stored(self, stage: Stage) -> None:
        own = stage.alice.ask(store=False)["id"]
        for answered in (stage.alice.get(f"/v1/responses/{own}"), stage.alice.delete(f"/v1/responses/{own}")):
            checked(answered, 404, None, None, f"Response with id '{own}' not found.")
        checked(stage.alice.create(after=own), 400, "previous_response_not_found", "previous_response_id")

    def test_one_that_was_deleted(self, stage: Stage) -> None:
        own = stage.alice.ask()["id"]
        deleted = stage.alice.delete(f"/v1/responses/{own}")
        assert deleted.json == {"id": own, "object": "response", "deleted": True}
        for answered in (stage.alice.get(f"/v1/responses/{own}"), stage.alice.delete(f"/v1/responses/{own}")):
            checked(answered, 404, None, None, f"Response with id '{own}' not found.")

    def test_one_of_another_project_is_not_there(self, stage: Stage) -> None:
        own = stage.carol.ask()["id"]
        checked(stage.alice.get(f"/v1/responses/{own}"), 404, None, None, f"Response with id '{own}' not found.")

    def test_cancelling(self, stage: Stage) -> None:
        own = stage.alice.ask()["id"]
        answered = stage.alice.post(f"/v1/responses/{own}/cancel")
        checked(answered, 400, None, None, "Cannot cancel a synchronous response.")
        checked(stage.alice.post(f"/v1/responses/{UNKNOWN}/cancel"), 404, None, None, MISSING)

    @pytest.mark.parametrize(
        ("query", "code", "param", "message"),
        [
            (
                "limit=1000",
                "integer_above_max_value",
                "limit",
                "Invalid 'limit': integer above maximum value. Expected a value <= 100, but got 1000 instead.",
            ),
            (
                "limit=0",
                "integer_below_min_value",
                "limit",
                "Invalid 'limit': integer below minimum value. Expected a value >= 1, but got 0 instead.",
            ),
            (
                "limit=ten",
                "invalid_type",
                "limit",
                "Invalid type for 'limit': expected an integer, but got a string instead.",
            ),
            (
                "order=up",
                "invalid_value",
                "order",
                "Invalid value: 'up'. Supported values are: 'asc' and 'desc'.",
            ),
            ("after=msg_x", "invalid_value", "after", "Item with id 'msg_x' not found in this list."),
            ("before=msg_x", "invalid_value", "before", "Item with id 'msg_x' not found in this list."),
        ],
    )
    def test_a_wrong_page(self, stage: Stage, query: str, code: str, param: str, message: str) -> None:
        own = stage.alice.ask()["id"]
        checked(stage.alice.get(f"/v1/responses/{own}/input_items?{query}"), 400, code, param, message)

    @pytest.mark.parametrize("query", ["stream=maybe", "stream=true&starting_after=x", "stream=true&starting_after=-1"])
    def test_a_wrong_replay(self, stage: Stage, query: str) -> None:
        own = stage.alice.ask()["id"]
        told = stage.alice.get(f"/v1/responses/{own}?{query}")
        assert told.status_code == 400
        assert told.json["error"]["param"] in ("stream", "starting_after")


class TestKeys:
    def test_none(self, stage: Stage) -> None:
        answered = stage.alice.http.get("/v1/models")
        told = checked(answered, 401, None, None)
        assert told["message"].startswith("You didn't provide an API key. You need to provide your API key in an ")
        assert final(answered)

    @pytest.mark.parametrize("header", ["Bearer sk-wrong", "bearer sk-wrong", "Bearer  sk-wrong "])
    def test_a_wrong_one(self, stage: Stage, header: str) -> None:
        answered = stage.alice.http.get("/v1/models", headers={"Authorization": header})
        checked(answered, 401, "invalid_api_key", None, "Incorrect API key provided.")
        assert final(answered)

    @pytest.mark.parametrize("header", ["Basic dTpw", "Bearer", "Bearer ", "sk-wrong", ""])
    def test_something_else(self, stage: Stage, header: str) -> None:
        checked(stage.alice.http.get("/v1/models", headers={"Authorization": header}), 401, None, None)


class TestUrls:
    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT", "PATCH"])
    def test_an_unknown_one(self, stage: Stage, method: str) -> None:
        answered = stage.alice.open(method, "/v1/nowhere")
        checked(answered, 404, None, None, f"Invalid URL ({method} /v1/nowhere)")

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("PUT", "/v1/responses", {"GET", "POST"}),
            ("PATCH", f"/v1/responses/{UNKNOWN}", {"GET", "DELETE"}),
            ("POST", f"/v1/responses/{UNKNOWN}/input_items", {"GET"}),
            ("GET", f"/v1/responses/{UNKNOWN}/cancel", {"POST"}),
            ("DELETE", "/v1/models", {"GET"}),
            ("POST", "/v1/models/gpt-5.4", {"GET"}),
        ],
    )
    def test_a_wrong_method(self, stage: Stage, method: str, path: str, allowed: set[str]) -> None:
        answered = stage.alice.open(method, path)
        checked(answered, 405, "method_not_supported", None, f"Not allowed to {method} on {path}.")
        assert allowed <= set(answered.headers["Allow"].split(", "))

    def test_the_websocket_mode(self, stage: Stage) -> None:
        answered = stage.alice.get("/v1/responses", headers={"Upgrade": "websocket", "Connection": "Upgrade"})
        checked(answered, 426, None, None)
        checked(stage.alice.open("PUT", "/v1/responses"), 405, "method_not_supported", None)

    def test_an_unknown_model(self, stage: Stage) -> None:
        message = "The model 'gpt-9' does not exist or you do not have access to it."
        checked(stage.alice.get("/v1/models/gpt-9"), 404, "model_not_found", "model", message)


class TestUpstreams:
    """What the provider says about the client's request is passed on; what it says about us is not."""

    @pytest.mark.parametrize(
        ("said", "status", "kind", "code", "param", "message", "again"),
        [
            (
                error(
                    400,
                    "Unsupported parameter: 'temperature' is not supported with this model.",
                    param="temperature",
                ),
                400,
                "invalid_request_error",
                None,
                "temperature",
                "Unsupported parameter: 'temperature' is not supported with this model.",
                False,
            ),
            (
                error(429, "Slow down.", {"Retry-After": "7"}, code="rate_limit_exceeded", type="requests"),
                429,
                "requests",
                "rate_limit_exceeded",
                None,
                "Slow down.",
                True,
            ),
            (
                error(429, "No credit.", code="insufficient_quota", type="insufficient_quota"),
                429,
                "insufficient_quota",
                "insufficient_quota",
                None,
                "No credit.",
                False,
            ),
            (
                error(503, "Busy.", code="server_is_overloaded"),
                503,
                "service_unavailable_error",
                "server_is_overloaded",
                None,
                "Busy.",
                True,
            ),
            (error(500, "Oops."), 502, "server_error", "upstream_error", None, "Oops.", True),
            (
                error(400, "This model's maximum context length is 5 tokens."),
                400,
                "invalid_request_error",
                "context_length_exceeded",
                None,
                "This model's maximum context length is 5 tokens.",
                False,
            ),
            (whole(b"<html>", 400), 400, "invalid_request_error", None, None, None, False),
            (
                error(401, "Bad key sk-provider-secret-0123456789."),
                502,
                "server_error",
                "upstream_authentication_failed",
                None,
                None,
                False,
            ),
            (
                error(403, "Not you."),
                502,
                "server_error",
                "upstream_authentication_failed",
                None,
                None,
                False,
            ),
            (hang_up, 502, "server_error", "upstream_stream_cut", None, None, True),
            (whole(b"nonsense"), 502, "server_error", "upstream_invalid_answer", None, None, True),
        ],
    )
    @pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
    def test_an_error_of_the_provider(
        self,
        stage: Stage,
        said: Callable[..., None],
        status: int,
        kind: str,
        code: str | None,
        param: str | None,
        message: str | None,
        again: bool,
        streamed: bool,
    ) -> None:
        stage.upstream.will(said)
        answered = stage.alice.create(stream=streamed)
        told = checked(answered, status, code, param, message)
        assert told["type"] == kind
        assert final(answered) is not again
        assert "sk-provider-secret" not in answered.text

    def test_how_long_to_wait_is_passed_on(self, stage: Stage) -> None:
        stage.upstream.will(error(429, "Slow down.", {"Retry-After": "7"}), error(429, "x", {"retry-after-ms": "1500"}))
        assert stage.alice.create().headers["Retry-After"] == "7"
        assert stage.alice.create().headers["Retry-After"] == "2"


class TestEveryError:
    """Whatever is raised anywhere, the client gets the four keys."""

    @contextmanager
    def raising(self, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> Any:
        def fail(*_: Any, **__: Any) -> None:
            raise error

        with monkeypatch.context() as patched:
            patched.setattr(responses, "get", fail)
            patched.setattr(relay, "create", fail)
            yield

    @pytest.mark.parametrize(
        ("raised", "status", "again"),
        [
            (StorageUnavailable(), 503, True),
            (IdempotencyInProgress(), 409, True),
            (Misconfigured("x"), 500, True),
            (ConvstoreError(), 500, True),
            (UpstreamError(), 502, True),
            (UpstreamError(permanent=True), 502, False),
            (InvalidRequest("x", param="y", code="z"), 400, False),
        ],
    )
    def test_one_of_ours(
        self, stage: Stage, raised: ConvstoreError, status: int, again: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with self.raising(raised, monkeypatch):
            answered = stage.alice.get(f"/v1/responses/{UNKNOWN}")
        checked(answered, status, raised.code, raised.param, raised.message)
        assert final(answered) is not again

    @pytest.mark.parametrize("raised", [ValueError("secret body"), KeyError("x"), RecursionError(), AssertionError()])
    def test_one_that_nobody_expected(self, stage: Stage, raised: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
        with self.raising(raised, monkeypatch):
            answered = stage.alice.get(f"/v1/responses/{UNKNOWN}")
        told = checked(answered, 500, "server_error", None)
        assert told["message"] == "The server had an error while processing your request. Sorry about that!"
        assert told["type"] == "server_error"
        assert not final(answered)

    def test_every_class_has_a_place(self) -> None:
        def below(cls: type[ConvstoreError]) -> list[type[ConvstoreError]]:
            return [cls, *(each for sub in cls.__subclasses__() for each in below(sub))]

        for cls in below(ConvstoreError):
            assert any(issubclass(cls, known) for known, *_ in doors._STATUSES)


class TestDepth:
    @pytest.mark.parametrize("depth", [DEEPEST, DEEPEST + 1, 960, 975, 990, 100_000])
    def test_no_depth_is_an_error_of_ours(self, stage: Stage, depth: int) -> None:
        """Let in or refused, but never let in and stumbled over."""
        nested = "[" * depth + "]" * depth
        for body in (
            f'{{"model":"gpt-5.4","input":"x","deep":{nested}}}',
            f'{{"model":"gpt-5.4","input":[{{"role":"user","content":"x","deep":{nested}}}]}}',
            f'{{"model":"gpt-5.4","input":"x","tools":[{{"type":"function","name":"a","parameters":{{"x":{nested}}}}}]}}',
        ):
            for path in ("/v1/responses", "/v1/responses/input_tokens"):
                answered = stage.alice.post(path, data=body)
                assert answered.status_code in (200, 400, 413), answered.text
                if path == "/v1/responses" and answered.status_code == 200:
                    own = answered.json["id"]
                    for address in (own, f"{own}?stream=true", f"{own}/input_items"):
                        assert stage.alice.get(f"/v1/responses/{address}").status_code == 200
