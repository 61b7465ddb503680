"""Bad input: whatever a client sends, it is told what is wrong, and the service stands."""

import gzip
import json
import string
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from convstore.domain.jsontext import DEEPEST
from tests.api.conftest import MAX_BODY, Stage
from tests.api.test_parameters import ACCEPTED
from tests.conftest import ENGINES
from tests.domain.strategies import values
from tests.local_upstream import message

both_engines = pytest.mark.parametrize("stage", ENGINES, indirect=True)
# The stage is one for all examples: a service that one example broke would fail the next.
fuzz = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

KINDS: dict[str, Any] = {
    "a boolean": True,
    "an integer": 7,
    "a decimal": 1.5,
    "a string": "x",
    "an array": [1],
    "an object": {"a": 1},
}
# Parameter → what it may be; everything else is refused by name.
MAY_BE: dict[str, tuple[str, ...]] = {
    "model": ("a string",),
    "input": ("a string",),
    "instructions": ("a string", "an array"),
    "previous_response_id": ("a string",),
    "store": ("a boolean",),
    "stream": ("a boolean",),
    "stream_options": ("an object",),
    "background": ("a boolean",),
    "include": (),
    "max_output_tokens": (),
    "max_tool_calls": ("an integer",),
    "parallel_tool_calls": ("a boolean",),
    "temperature": ("a decimal",),
    "top_p": (),
    "top_logprobs": ("an integer",),
    "frequency_penalty": ("a decimal",),
    "presence_penalty": ("a decimal",),
    "text": ("an object",),
    "tools": (),
    "tool_choice": (),
    "reasoning": ("an object",),
    "metadata": (),
    "truncation": (),
    "service_tier": ("a string",),
    "safety_identifier": ("a string",),
    "user": ("a string",),
    "prompt_cache_key": ("a string",),
    "prompt_cache_retention": (),
    "prompt_cache_options": ("an object",),
    "prompt": ("an object",),
    "context_management": (),
    "moderation": ("an object",),
    "image": ("an object",),
    "access_programs": ("an object",),
    "client_metadata": ("an object",),
    "background_options": ("an object",),
    "conversation": ("a string",),
}


def posted(stage: Stage, body: bytes | str, **headers: str) -> TestResponse:
    return stage.alice.post("/v1/responses", data=body, headers=headers)


def told(answered: TestResponse, status: int = 400) -> dict[str, Any]:
    """The error of an answer that is the client's fault."""
    assert answered.status_code == status, answered.text[:500]
    error = answered.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return dict(error)


def alive(stage: Stage) -> None:
    """The next request is answered as if nothing had been."""
    assert stage.alice.ask("Still there?")["status"] == "completed"


class TestWrongTypes:
    def test_every_parameter_is_tried(self) -> None:
        assert set(MAY_BE) == {*ACCEPTED, "model", "input", "stream", "previous_response_id", "conversation"}

    @pytest.mark.parametrize("name", MAY_BE)
    def test_each_is_refused_by_name(self, stage: Stage, name: str) -> None:
        asked = len(stage.upstream.questions)
        for kind, value in KINDS.items():
            if kind in MAY_BE[name] or (kind == "an integer" and "a decimal" in MAY_BE[name]):
                continue
            answered = stage.alice.post("/v1/responses", json={"model": "gpt-5.4", "input": "x", name: value})
            error = told(answered)
            assert error["type"] == "invalid_request_error", (name, kind)
            assert (error["param"] or "").split(".")[0].split("[")[0] == name, (name, kind, error)
        assert len(stage.upstream.questions) == asked

    @pytest.mark.parametrize(
        ("items", "param"),
        [
            ([5], "input[0]"),
            ([None], "input[0]"),
            (["x"], "input[0]"),
            ([{}], "input[0].type"),
            ([{"type": 5}], "input[0].type"),
            ([{"type": "message"}], "input[0].role"),
            ([{"role": "user"}], "input[0].content"),
            ([{"role": "king", "content": "x"}], "input[0].role"),
            ([{"role": 5, "content": "x"}], "input[0].role"),
            ([{"role": "user", "content": 5}], "input[0].content"),
            ([{"role": "user", "content": None}], "input[0].content"),
            ([{"role": "user", "content": [5]}], "input[0].content[0]"),
            ([{"role": "user", "content": [{}]}], "input[0].content[0].type"),
            ([{"role": "user", "content": [{"type": "input_text"}]}], "input[0].content[0].text"),
            ([{"role": "user", "content": [{"type": "input_text", "text": 5}]}], "input[0].content[0].text"),
            ([{"role": "user", "content": [{"type": "input_image"}]}], "input[0].content[0].image_url"),
            (
                [{"role": "user", "content": [{"type": "input_file", "file_id": 5}]}],
                "input[0].content[0].file_id",
            ),
            ([{"role": "user", "content": "x"}, {"type": "function_call"}], "input[1].call_id"),
            ([{"type": "function_call", "call_id": "c"}], "input[0].name"),
            ([{"type": "function_call", "call_id": "c", "name": "n", "arguments": {}}], "input[0].arguments"),
            ([{"type": "function_call_output", "call_id": "c"}], "input[0].output"),
            ([{"type": "custom_tool_call", "call_id": "c", "name": "n"}], "input[0].input"),
            ([{"type": "reasoning", "summary": "x"}], "input[0].summary"),
            ([{"type": "item_reference"}], "input[0].id"),
            ([{"role": "user", "content": "x", "id": 5}], "input[0].id"),
            ([{"role": "user", "content": "x", "id": ""}], "input[0].id"),
            ([{"role": "user", "content": "x", "id": "i" * 256}], "input[0].id"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_an_item_is_refused_by_place(self, stage: Stage, items: list[Any], param: str) -> None:
        assert told(stage.alice.create(items))["param"] == param

    @pytest.mark.parametrize(
        ("members", "param"),
        [
            ({"tools": [5]}, "tools[0]"),
            ({"tools": [None]}, "tools[0]"),
            ({"tools": [{}]}, "tools[0].type"),
            ({"tools": [{"type": "function"}]}, "tools[0].name"),
            ({"tools": [{"type": "function", "name": "a b"}]}, "tools[0].name"),
            ({"tools": [{"type": "function", "name": "a", "parameters": []}]}, "tools[0].parameters"),
            ({"tools": [{"type": "x"}, {"type": "mcp"}]}, "tools[1].server_label"),
            ({"tool_choice": {}}, "tool_choice.type"),
            ({"text": {"format": {}}}, "text.format.type"),
            ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
            ({"text": {"format": {"type": "json_schema", "name": "a b"}}}, "text.format.name"),
            ({"text": {"verbosity": 5}}, "text.verbosity"),
            ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
            ({"metadata": {"a": 5}}, "metadata.a"),
            ({"metadata": {"a": None}}, "metadata.a"),
            ({"metadata": {"{0}": 5}}, "metadata.{0}"),
            ({"metadata": {"_schema": 5}}, "metadata._schema"),
            ({"include": [None]}, "include[0]"),
            ({"context_management": [5]}, "context_management[0]"),
            ({"user": "u" * 256}, "user"),
            ({"model": "m" * 256}, "model"),
            ({"model": ""}, "model"),
            ({"previous_response_id": "r" * 256}, "previous_response_id"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_a_member_is_refused_by_path(self, stage: Stage, members: dict[str, Any], param: str) -> None:
        assert told(stage.alice.create(**members))["param"] == param

    @pytest.mark.parametrize(
        ("name", "wrong"),
        [
            ("temperature", [-0.1, 2.1, 10**400, -(10**400), 1e300]),
            ("top_p", [-1, 1.0001]),
            ("presence_penalty", [-2.1, 3]),
            ("frequency_penalty", [-2.1, 3]),
            ("max_output_tokens", [15, 0, -1, 2**53 + 1, 10**4000]),
            ("max_tool_calls", [0, -1, 2**70]),
            ("top_logprobs", [-1, 21]),
        ],
    )
    def test_a_number_is_refused_by_range(self, stage: Stage, name: str, wrong: list[float]) -> None:
        for value in wrong:
            error = told(stage.alice.create(**{name: value}))
            assert error["param"] == name
            assert error["code"].endswith(("_above_max_value", "_below_min_value"))
            assert len(error["message"]) < 300

    @pytest.mark.parametrize("word", ["{", "}", "{0}", "{param}", "%s", "'", "x" * 5000, "\u2028", "a\nb"])
    def test_a_word_is_repeated_as_it_was_but_not_without_end(self, stage: Stage, word: str) -> None:
        error = told(stage.alice.create(truncation=word))
        assert f"'{word[:100]}'" in error["message"]
        assert len(error["message"]) < 300


@both_engines
class TestBytes:
    """What no database takes is refused; everything else comes back to the letter."""

    @pytest.mark.parametrize(
        "escape",
        ["\\u0000", "\\ud800", "\\udc00", "\\ud800x", "\\udfff\\ud800"],
        ids=["nul", "high", "low", "pair", "swapped"],
    )
    def test_nul_and_half_pairs_are_refused_wherever_they_stand(self, stage: Stage, escape: str) -> None:
        asked = len(stage.upstream.questions)
        for name, body in {
            "input": f'"input":"a{escape}"',
            "metadata": f'"input":"x","metadata":{{"a":"{escape}"}}',
            "tools": f'"input":"x","tools":[{{"type":"x","y":{{"{escape}":1}}}}]',
            "user": f'"input":"x","user":"{escape}"',
            "unknown": f'"input":"x","unknown":["{escape}"]',
            "previous_response_id": f'"input":"x","previous_response_id":"{escape}"',
        }.items():
            error = told(posted(stage, f'{{"model":"gpt-5.4",{body}}}'))
            assert (error["code"], error["param"]) == ("invalid_value", name)
        error = told(posted(stage, f'{{"model":"gpt-5.4","input":"x","a{escape}":1}}'))
        assert error["code"] == "invalid_value"
        assert error["param"].isascii()
        assert len(stage.upstream.questions) == asked

    @pytest.mark.parametrize(
        "raw", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xed\xb0\x80", b"\xf5\x80\x80\x80", b"\xc0\x80"]
    )
    def test_what_is_no_utf8_is_refused(self, stage: Stage, raw: bytes) -> None:
        assert told(posted(stage, b'{"model":"gpt-5.4","input":"' + raw + b'"}'))["code"] == "invalid_json"

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig", "latin-1"])
    def test_nor_is_another_encoding_taken(self, stage: Stage, encoding: str) -> None:
        text = '{"model":"gpt-5.4","input":"é"}'
        assert told(posted(stage, text.encode(encoding)))["code"] == "invalid_json"

    @pytest.mark.parametrize("raw", ["\0", "\x01", "\n", "\t", "\x1f"])
    def test_a_control_character_must_be_escaped(self, stage: Stage, raw: str) -> None:
        assert told(posted(stage, f'{{"model":"gpt-5.4","input":"{raw}"}}'))["code"] == "invalid_json"

    @pytest.mark.parametrize(
        "text",
        [
            "😀",
            "\u2028\u2029\u0085",
            "\ufeff",
            "\ufffe\uffff",
            "\x7f",
            '\\"/',
            "א\u202eב",
            "e\u0301" * 50,
            "\u0001",
        ],
        ids=lambda text: ascii(text)[:20],
    )
    def test_every_other_character_comes_back(self, stage: Stage, text: str) -> None:
        stage.upstream.will(
            lambda exchange: exchange.whole(
                200, json.dumps({"status": "completed", "output": [message(text)]}).encode()
            )
        )
        given = stage.alice.ask(text, metadata={text[:60]: text}, instructions=text, user=text)
        own = stage.alice.get(f"/v1/responses/{given['id']}").json
        assert own == given
        assert (own["instructions"], own["metadata"], own["user"]) == (text, {text[:60]: text}, text)
        assert own["output"][0]["content"][0]["text"] == text
        listed = stage.alice.get(f"/v1/responses/{given['id']}/input_items").json
        assert listed["data"][0]["content"][0]["text"] == text

    @pytest.mark.parametrize("identifier", ['a"b', "a\\b", "a\nb", "ü", "😀" * 60, "i" * 255, "../x", "%00", "'; --"])
    def test_an_items_id_may_be_anything(self, stage: Stage, identifier: str) -> None:
        item = {"id": identifier, "type": "message", "role": "user", "status": "completed", "content": []}
        given = stage.alice.ask([item, {**item, "id": f"{identifier}2"[-255:]}])
        listed = stage.alice.get(f"/v1/responses/{given['id']}/input_items?order=asc").json
        assert listed["data"][0] == item
        assert listed["first_id"] == identifier
        query = {"order": "asc", "limit": "1", "after": identifier}
        page = stage.alice.get(f"/v1/responses/{given['id']}/input_items", query_string=query)
        assert [each["id"] for each in page.json["data"]] == [f"{identifier}2"[-255:]]

    @pytest.mark.parametrize(
        "item",
        [
            {"type": "odd", "role": "r" * 300},
            {"type": "t" * 300},
            {"type": "function_call", "call_id": "c" * 255, "name": "n" * 5000, "arguments": "x"},
            {"type": "odd", "call_id": 5, "name": [], "role": {}},
            {"type": "odd", "id": "x", "name": "", "role": None},
        ],
        ids=["role", "type", "name", "types", "empty"],
    )
    def test_members_of_any_length_fit(self, stage: Stage, item: dict[str, Any]) -> None:
        items = [item]
        if item["type"] == "function_call":
            items.append({"type": "function_call_output", "call_id": item["call_id"], "output": "x"})
        given = stage.alice.ask(items)
        assert stage.upstream.questions[-1].body["input"][0] == {k: v for k, v in item.items() if k != "id"}
        assert stage.alice.get(f"/v1/responses/{given['id']}/input_items").status_code == 200


class TestNumbers:
    @pytest.mark.parametrize(
        "number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9" * 5000, "-" + "9" * 5000]
    )
    def test_what_is_no_number_of_json_is_refused(self, stage: Stage, number: str) -> None:
        for name in ("temperature", "unknown", "max_output_tokens"):
            error = told(posted(stage, f'{{"model":"gpt-5.4","input":"x","{name}":{number}}}'))
            assert (error["code"], error["param"]) == ("invalid_json", name)
            assert len(error["message"]) < 400

    def test_a_big_integer_passes_as_it_is(self, stage: Stage) -> None:
        big = 10**300 + 1
        posted(stage, f'{{"model":"gpt-5.4","input":[{{"type":"odd","n":{big}}}],"unknown":{big}}}')
        sent = stage.upstream.questions[-1].body
        assert sent["unknown"] == sent["input"][0]["n"] == big


class TestSizes:
    def test_a_body_over_the_limit(self, stage: Stage) -> None:
        asked = len(stage.upstream.questions)
        for body in (b"x" * (MAX_BODY + 1), b'{"model":"gpt-5.4","input":"' + b"x" * MAX_BODY + b'"}'):
            assert told(posted(stage, body), 413)["code"] == "request_too_large"
        assert len(stage.upstream.questions) == asked
        alive(stage)

    def test_eight_megabytes_where_there_is_no_limit(self, stage: Stage) -> None:
        wide = stage.client(max_body_bytes=0)
        text = "0123456789abcdef" * (8 * 1024 * 1024 // 16)
        answered = wide.post("/v1/responses", data=b'{"model":"gpt-5.4","input":"' + text.encode() + b'"}')
        # Millions of tokens fit no model's window: it is read, understood, and refused.
        assert told(answered)["code"] == "context_length_exceeded"

    def test_fifty_megabytes_where_there_is_one(self, stage: Stage) -> None:
        usual = stage.client(max_body_bytes=32 * 1024 * 1024)
        body = b'{"model":"gpt-5.4","input":"' + b"x" * (50 * 1024 * 1024) + b'"}'
        assert told(usual.post("/v1/responses", data=body), 413)["code"] == "request_too_large"
        alive(stage)

    @pytest.mark.parametrize("depth", [DEEPEST + 1, 2000, 90_000])
    def test_nesting_without_end(self, stage: Stage, depth: int) -> None:
        for opening, inner, closing in (("[", "", "]"), ('{"a":', "1", "}")):
            for place in ('"unknown":{}', '"input":[{{"type":"odd","x":{}}}]', '"tools":[{}]', '"input":{}'):
                nested = opening * depth + inner + closing * depth
                body = '{"model":"gpt-5.4",' + place.replace("{}", "\0").format().replace("\0", nested) + "}"
                answered = posted(stage, body)
                if len(body) > MAX_BODY:
                    told(answered, 413)
                else:
                    assert told(answered)["code"] in ("invalid_json", "invalid_type")
        alive(stage)

    def test_metadata_without_end(self, stage: Stage) -> None:
        for metadata in (
            {str(number): "x" for number in range(5000)},
            {"k" * 50_000: "x"},
            {"k": "x" * 50_000},
        ):
            error = told(stage.alice.create(metadata=metadata))
            assert error["param"].startswith("metadata")
            assert len(error["message"]) < 300

    def test_a_thousand_items_are_none_too_many(self, stage: Stage) -> None:
        given = stage.alice.ask([{"role": "user", "content": str(number)} for number in range(1000)])
        page = stage.alice.get(f"/v1/responses/{given['id']}/input_items?limit=100&order=asc").json
        assert [item["content"][0]["text"] for item in page["data"]] == [str(number) for number in range(100)]
        assert page["has_more"]


class TestBodies:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b" ",
            b"\n",
            b"\0",
            b"{}x",
            b"{}{}",
            b"{'a':1}",
            b"//x\n{}",
            b"{}",
            b"[]",
            b"1",
            b"\xef\xbb\xbf{}",
        ],
    )
    def test_what_is_no_request(self, stage: Stage, body: bytes) -> None:
        assert told(posted(stage, body))["code"] in ("invalid_json", "missing_required_parameter")

    def test_a_form(self, stage: Stage) -> None:
        answered = stage.alice.post("/v1/responses", data={"model": "gpt-5.4", "input": "x"})
        assert told(answered)["code"] == "invalid_json"
        answered = stage.alice.post("/v1/responses", data={"file": (__file__, "x")}, content_type="multipart/form-data")
        assert told(answered)["code"] == "invalid_json"

    @pytest.mark.parametrize(
        "kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "\u00e9/x"]
    )
    def test_json_under_another_name_is_json(self, stage: Stage, kind: str) -> None:
        body = b'{"model":"gpt-5.4","input":"x"}'
        assert stage.alice.post("/v1/responses", data=body, headers={"Content-Type": kind}).status_code == 200

    @pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "x"])
    def test_a_compressed_body_is_refused(self, stage: Stage, encoding: str) -> None:
        body = gzip.compress(b'{"model":"gpt-5.4","input":"x"}')
        error = told(posted(stage, body, **{"Content-Encoding": encoding}))
        assert "Content-Encoding" in error["message"]

    @pytest.mark.parametrize("length", ["-1", "x", "99999999999999999999"])
    def test_a_wrong_length_is_no_error_of_ours(self, stage: Stage, length: str) -> None:
        assert posted(stage, b"{}", **{"Content-Length": length}).status_code < 500

    def test_a_body_where_none_belongs(self, stage: Stage) -> None:
        own = stage.alice.ask()["id"]
        headers = {"Content-Type": "application/json"}
        for answered in (
            stage.alice.get(f"/v1/responses/{own}", data=b"{", headers=headers),
            stage.alice.delete(f"/v1/responses/{own}", data=b"\xff", headers=headers),
        ):
            assert answered.status_code == 200

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[]", b'{"model":5}', b'{"tools":5}', b'{"input":5}', b'{"input":"\\u0000"}']
    )
    def test_the_same_holds_for_counting(self, stage: Stage, body: bytes) -> None:
        told(stage.alice.post("/v1/responses/input_tokens", data=body))


@both_engines
class TestAddresses:
    @pytest.mark.parametrize(
        "identifier",
        [
            "x",
            "resp_",
            "resp_" + "0" * 31,
            "resp_" + "0" * 33,
            "resp_" + "A" * 32,
            "RESP_" + "0" * 32,
            "resp_" + "٣" * 32,
            "conv_" + "0" * 32,
            "%00",
            "resp_%00",
            "resp_" + "0" * 31 + "%00",
            "resp_" + "0" * 32 + "%0A",
            "%2F",
            "a%2Fb",
            "..%2F..%2Fetc%2Fpasswd",
            "%2e%2e",
            "%ff%fe",
            "%ed%a0%80",
            "%25",
            "%",
            "%zz",
            "'%20OR%201=1--",
            "%22",
            "%5c",
            "*",
            "null",
            "input_tokens",
            "x" * 5000,
            "%E2%80%A8",
            "😀",
            "{}",
            "{response_id}",
        ],
        ids=lambda text: ascii(text)[:24],
    )
    def test_a_strange_id_is_not_found(self, stage: Stage, identifier: str) -> None:
        for method, tail in (
            ("GET", ""),
            ("GET", "?stream=true"),
            ("DELETE", ""),
            ("POST", "/cancel"),
            ("GET", "/input_items"),
        ):
            answered = stage.alice.open(method, f"/v1/responses/{identifier}{tail}")
            assert answered.status_code in (404, 405), (method, tail, answered.text[:300])
            assert set(answered.json["error"]) == {"message", "type", "param", "code"}
        assert stage.alice.get(f"/v1/models/{identifier}").status_code == 404
        answered = stage.alice.create(after=identifier[:255])
        assert told(answered)["code"] == "previous_response_not_found"

    @pytest.mark.parametrize(
        "path",
        [
            "/v1/responses/",
            "/v1/responses//",
            "/v1//responses",
            "//v1/responses",
            "/v1/responses/x/y",
            "/v1/responses/%00/input_items",
            "/v1/./responses",
            "/v1/../v1/responses/x",
            "/V1/responses",
            "/v1/responses;x=y",
            "/v1/responses%00",
            "/%ff",
            "/",
            "/v1",
            "/v1/models/",
            "/docs/../openapi.json",
            "/docs/%2e%2e/%2e%2e/etc/passwd",
            "/v1/" + "x" * 10_000,
        ],
        ids=lambda path: path[:30],
    )
    def test_a_strange_path_is_no_error_of_ours(self, stage: Stage, path: str) -> None:
        for method in ("GET", "POST", "DELETE", "HEAD", "OPTIONS", "TRACE", "PUT", "X"):
            assert stage.alice.open(method, path).status_code < 500, method

    @pytest.mark.parametrize(
        "query",
        [
            "after=%00",
            "after=%ff",
            "after=" + "x" * 5000,
            "before=%2F",
            "after=",
            "limit=",
            "limit=%00",
            "limit=1.5",
            "limit=-1",
            "limit=" + "9" * 30,
            "limit=" + "9" * 5000,
            "limit=٣",
            "limit=1&limit=x",
            "order=",
            "order=%00",
            "scope=%00",
            "scope=everything",
            "stream=%00",
            "starting_after=%00&stream=1",
            "starting_after=" + "9" * 18,
            "starting_after=" + "9" * 19,
            "include=%00",
            "=",
            "&&&",
            "%",
            "a=%zz",
            "x" * 10_000,
        ],
        ids=lambda query: query[:24],
    )
    def test_a_strange_query_is_no_error_of_ours(self, stage: Stage, query: str) -> None:
        own = stage.alice.ask()["id"]
        for path in (
            f"/v1/responses/{own}",
            f"/v1/responses/{own}/input_items",
            "/v1/models",
            "/v1/models/gpt-5.4",
        ):
            answered = stage.alice.get(f"{path}?{query}")
            assert answered.status_code in (200, 400), answered.text[:300]
            if answered.status_code == 400:
                told(answered)

    def test_a_nul_in_a_query_is_told_by_name(self, stage: Stage) -> None:
        for method, path, name in (
            ("GET", "/v1/responses", "q"),
            ("GET", "/v1/responses", "model"),
            ("GET", "/v1/conversations", "title"),
            ("GET", "/v1/branches", "after"),
            ("GET", "/v1/jobs", "kind"),
            ("GET", "/v1/prices", "price_set"),
            ("GET", "/v1/prices", "after"),
            ("GET", "/v1/prices/find", "service_tier"),
            ("GET", "/v1/costs", "price_set"),
            ("GET", "/v1/costs", "what_if"),
            ("GET", "/v1/costs", "timezone"),
            ("POST", "/v1/costs/reconcile", "upstream"),
            ("GET", "/v1/audit", "object"),
        ):
            answered = stage.alice.open(method, path, query_string={name: "a\0b"})
            assert told(answered)["param"] == name, (path, answered.text[:300])
        for path in ("branches/a%00b", "budgets/a%00b", "responses/a%00b/thread", "responses/a%00b/cost"):
            assert stage.alice.get(f"/v1/{path}").status_code == 404, path
        assert stage.alice.post("/v1/responses/a%00b/branch", json={}).status_code == 404

    def test_an_item_of_our_form_and_no_place(self, stage: Stage) -> None:
        own = stage.alice.ask()["id"].removeprefix("resp_")
        for position in ("0000", "ffff", "7fffffff", "ffffffff", "fffffffff"):
            answered = stage.alice.create([{"type": "item_reference", "id": f"msg_{own}{position}"}])
            assert answered.status_code in (200, 404), answered.text


class TestAnything:
    """Random JSON for random parameters: accepted or refused, and never an error of ours."""

    parameters = st.sampled_from(sorted(MAY_BE))
    keys = parameters | st.text(string.printable, max_size=8)

    @fuzz
    @given(
        st.dictionaries(
            keys,
            values | st.sampled_from([value for given in ACCEPTED.values() for value in given]),
            max_size=4,
        )
    )
    def test_of_a_create_request(self, stage: Stage, members: dict[str, Any]) -> None:
        body = {"model": "gpt-5.4", "input": "x", **members}
        answered = stage.alice.post("/v1/responses", data=json.dumps(body))
        assert answered.status_code < 500, answered.text
        if answered.status_code >= 400:
            error = answered.json["error"]
            assert set(error) == {"message", "type", "param", "code"}
        elif body.get("stream") is not True:
            assert answered.json["object"] == "response"

    @fuzz
    @given(
        st.lists(
            st.dictionaries(
                st.sampled_from(["type", "role", "content", "id", "call_id", "output", "name", "arguments", "summary"]),
                values
                | st.sampled_from(
                    [
                        "message",
                        "user",
                        "function_call",
                        "function_call_output",
                        "reasoning",
                        "item_reference",
                    ]
                )
                | st.lists(
                    st.fixed_dictionaries(
                        {"type": st.sampled_from(["input_text", "output_text", "refusal"])},
                        optional={"text": values},
                    )
                ),
                max_size=5,
            )
            | values,
            max_size=3,
        )
    )
    def test_of_input_items(self, stage: Stage, items: list[Any]) -> None:
        answered = stage.alice.post("/v1/responses", data=json.dumps({"model": "gpt-5.4", "input": items}))
        assert answered.status_code < 500, answered.text
        if answered.status_code == 200:
            own = answered.json["id"]
            for path in (own, f"{own}/input_items", f"{own}?stream=true"):
                assert stage.alice.get(f"/v1/responses/{path}").status_code == 200
            listed = stage.alice.get(f"/v1/responses/{own}/input_items").json
            assert all(isinstance(item["id"], str) for item in listed["data"])

    @fuzz
    @given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
    def test_of_a_body(self, stage: Stage, body: bytes) -> None:
        for path in ("/v1/responses", "/v1/responses/input_tokens"):
            assert stage.alice.post(path, data=body).status_code in (200, 400)

    @fuzz
    @given(values)
    def test_of_counting(self, stage: Stage, value: Any) -> None:
        for name in ("input", "instructions", "tools", "text", "personality"):
            answered = stage.alice.post("/v1/responses/input_tokens", data=json.dumps({name: value}))
            assert answered.status_code < 500, answered.text
