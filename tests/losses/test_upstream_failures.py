"""An upstream that cannot be reached, does not answer, or answers something else: recorded, told, never asked twice."""

import gzip
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from convstore.storage.database import Database
from tests.conftest import PROVIDER_KEY, Client
from tests.local_upstream import (
    LocalUpstream,
    answer,
    error,
    hang_up,
    message,
    response,
    silence,
    stream_of,
    wait_until,
    whole,
)
from tests.losses import evidence, providers
from tests.losses.evidence import error_body, latest
from tests.losses.providers import FRAGILE, closed_early, head, says, stalls, trickles

pytestmark = pytest.mark.usefixtures("nothing_left")

HELLO = json.dumps(response(message("Hello."))).encode()
HTML = b"<html><head><title>502 Bad Gateway</title></head><body><h1>nginx</h1></body></html>"
# So short a wait that a test need not: what is said counts, not how long it is.
SOON = {"retry-after-ms": "10"}


@pytest.fixture
def at_last() -> Iterator[threading.Event]:
    """Set when the test is over: what waits for it waits for ever, as far as the test is concerned."""
    event = threading.Event()
    yield event
    event.set()


class TestReaching:
    @pytest.mark.parametrize("stream", [False, True])
    def test_a_refused_connection_is_recorded_and_told(self, alice: Client, database: Database, stream: bool) -> None:
        answered = alice.create(model="refusing", stream=stream)
        assert answered.status_code == 502
        assert error_body(answered)["code"] == "upstream_unreachable"
        recorded = latest(database)
        assert recorded.status == "failed"
        assert recorded.attempts == [{"upstream": "refusing", "error": "upstream_unreachable"}]
        assert recorded.error["message"] == error_body(answered)["message"]

    def test_a_connection_that_is_not_taken_up_in_time_is_the_same(self, alice: Client, database: Database) -> None:
        started = time.monotonic()
        answered = alice.create(model="unreachable")
        assert time.monotonic() - started < 3
        assert answered.status_code == 502
        assert error_body(answered)["code"] == "upstream_unreachable"
        assert latest(database).status == "failed"

    def test_a_refused_connection_is_tried_again(self, alice: Client, database: Database) -> None:
        assert alice.create(model="refusing-persistent").status_code == 502
        assert latest(database).attempts == [{"upstream": "refusing-persistent", "error": "upstream_unreachable"}] * 2

    def test_how_long_each_attempt_took_is_recorded(self, alice: Client, database: Database) -> None:
        alice.create(model="unreachable")
        (attempt,) = latest(database).exchange.attempts
        assert 250 <= attempt["ms"] < 3000

    def test_the_client_may_try_again(self, alice: Client) -> None:
        assert alice.create(model="refusing").headers.get("x-should-retry") != "false"

    def test_a_failed_request_can_be_read_back(self, alice: Client, database: Database) -> None:
        alice.create("Is it there?", model="refusing")
        failed = alice.get(f"/v1/responses/{latest(database).exchange.id}").json
        assert (failed["status"], failed["output"], failed["model"]) == ("failed", [], "refusing")
        assert failed["error"] == {
            "code": "server_error",
            "message": "The model provider could not be reached.",
        }
        asked = alice.get(f"/v1/responses/{failed['id']}/input_items").json
        assert asked["data"][0]["content"][0]["text"] == "Is it there?"


class TestTime:
    @pytest.mark.parametrize("stream", [False, True])
    def test_a_silent_upstream_is_given_up(
        self,
        alice: Client,
        upstream: LocalUpstream,
        database: Database,
        at_last: threading.Event,
        stream: bool,
    ) -> None:
        upstream.will(silence(at_last))
        started = time.monotonic()
        answered = alice.create(model="hasty", stream=stream)
        assert time.monotonic() - started < 3
        assert answered.status_code == 504
        assert error_body(answered)["code"] == "upstream_timeout"
        assert latest(database).attempts == [{"upstream": "hasty", "error": "upstream_timeout"}]

    def test_it_may_have_been_at_work_so_it_is_asked_once(
        self, alice: Client, upstream: LocalUpstream, at_last: threading.Event
    ) -> None:
        upstream.will(silence(at_last))
        alice.create(model="hasty")
        assert len(upstream.questions) == 1

    def test_a_body_that_stalls_is_given_up(
        self, alice: Client, upstream: LocalUpstream, database: Database, at_last: threading.Event
    ) -> None:
        upstream.will(stalls(head("Content-Length: 1000") + HELLO[:100], at_last))
        answered = alice.create(model="hasty")
        assert (answered.status_code, error_body(answered)["code"]) == (504, "upstream_timeout")
        assert latest(database).status == "failed"

    def test_a_body_that_trickles_is_given_up_after_the_total_time(
        self, alice: Client, upstream: LocalUpstream, database: Database
    ) -> None:
        upstream.will(trickles(head("Content-Length: 100000") + b"{", b" ", every_s=0.05))
        started = time.monotonic()
        answered = alice.create(model="hasty")
        assert providers.HASTY_TOTAL_S * 0.9 < time.monotonic() - started < providers.HASTY_TOTAL_S + 2
        assert (answered.status_code, error_body(answered)["code"]) == (504, "upstream_timeout")
        assert latest(database).status == "failed"

    def test_a_head_that_trickles_is_given_up_after_the_total_time(
        self, alice: Client, upstream: LocalUpstream, database: Database
    ) -> None:
        upstream.will(trickles(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a", every_s=0.05))
        started = time.monotonic()
        answered = alice.create(model="hasty")
        assert time.monotonic() - started < providers.HASTY_TOTAL_S + 2
        assert (answered.status_code, error_body(answered)["code"]) == (504, "upstream_timeout")
        assert latest(database).status == "failed"

    def test_an_error_whose_body_stalls_is_still_that_error(
        self, alice: Client, upstream: LocalUpstream, database: Database, at_last: threading.Event
    ) -> None:
        upstream.will(stalls(head("Content-Length: 1000", status="400 Bad Request") + b'{"error"', at_last))
        assert alice.create(model="hasty").status_code == 400
        assert latest(database).attempts == [{"upstream": "hasty", "status": 400, "error": "upstream_error"}]


class TestStatuses:
    @pytest.mark.parametrize("status", [400, 404, 405, 409, 413, 415, 422])
    def test_what_is_the_clients_fault_is_told_in_the_upstreams_words(
        self, alice: Client, upstream: LocalUpstream, database: Database, status: int
    ) -> None:
        upstream.will(error(status, "Too hot.", code="too_hot", param="temperature", type="heat_error"))
        answered = alice.create()
        assert answered.status_code == status
        assert error_body(answered) == {
            "message": "Too hot.",
            "type": "heat_error",
            "param": "temperature",
            "code": "too_hot",
        }
        assert answered.headers["x-should-retry"] == "false"
        assert latest(database).status == "failed"
        assert latest(database).attempts == [{"upstream": "local", "status": status, "error": "too_hot"}]

    @pytest.mark.parametrize("status", [401, 403])
    def test_what_is_our_fault_is_not(
        self, alice: Client, upstream: LocalUpstream, database: Database, status: int
    ) -> None:
        upstream.will(error(status, f"Incorrect API key provided: {PROVIDER_KEY}.", code="invalid_api_key"))
        answered = alice.create()
        assert answered.status_code == 502
        assert error_body(answered)["code"] == "upstream_authentication_failed"
        assert "Incorrect" not in answered.text
        assert answered.headers["x-should-retry"] == "false"
        assert latest(database).status == "failed"

    @pytest.mark.parametrize(("status", "shown"), [(500, 502), (502, 502), (503, 503), (504, 502), (529, 502)])
    def test_a_broken_upstream_is_a_bad_gateway(
        self, alice: Client, upstream: LocalUpstream, database: Database, status: int, shown: int
    ) -> None:
        upstream.will(error(status, "Overloaded."))
        answered = alice.create()
        assert answered.status_code == shown
        assert error_body(answered)["message"] == "Overloaded."
        assert answered.headers.get("x-should-retry") != "false"
        recorded = latest(database)
        assert (recorded.status, recorded.error["code"]) == ("failed", "server_error")
        assert recorded.attempts == [{"upstream": "local", "status": status, "error": "upstream_error"}]

    def test_a_rate_limit_is_told_with_the_time_to_wait(
        self, alice: Client, upstream: LocalUpstream, database: Database
    ) -> None:
        upstream.will(error(429, "Slow down.", {"Retry-After": "7"}, code="rate_limit_exceeded", type="tokens"))
        answered = alice.create()
        assert answered.status_code == 429
        assert answered.headers["Retry-After"] == "7"
        assert error_body(answered)["type"] == "tokens"
        assert latest(database).error == {"code": "rate_limit_exceeded", "message": "Slow down."}

    def test_a_rate_limit_without_a_time_is_told_without(self, alice: Client, upstream: LocalUpstream) -> None:
        upstream.will(error(429))
        answered = alice.create()
        assert answered.status_code == 429
        assert "Retry-After" not in answered.headers
        assert error_body(answered)["code"] == "rate_limit_exceeded"

    @pytest.mark.parametrize("code", ["insufficient_quota", "credit_balance_exhausted"])
    def test_an_empty_account_is_not_worth_another_try(self, alice: Client, upstream: LocalUpstream, code: str) -> None:
        upstream.will(error(429, headers={"Retry-After": "1"}, code=code))
        answered = alice.create(model="persistent")
        assert (answered.status_code, answered.headers["x-should-retry"]) == (429, "false")
        assert len(upstream.questions) == 1

    @pytest.mark.parametrize("wait", ["inf", "1e999", "nan", "-5", "soon", "", "99999999999999999999", "0"])
    @pytest.mark.parametrize("name", ["Retry-After", "retry-after-ms"])
    def test_a_time_to_wait_that_is_none_does_no_harm(
        self, alice: Client, upstream: LocalUpstream, name: str, wait: str
    ) -> None:
        upstream.will(error(429, headers={name: wait}))
        answered = alice.create()
        assert answered.status_code == 429
        assert int(answered.headers.get("Retry-After", "1")) >= 1

    @pytest.mark.parametrize("status", [400, 404, 429, 500, 502, 503])
    def test_a_page_of_html_is_not_quoted(
        self, alice: Client, upstream: LocalUpstream, database: Database, status: int
    ) -> None:
        upstream.will(whole(HTML, status, {"Content-Type": "text/html"}))
        answered = alice.create()
        assert error_body(answered)
        assert "<" not in answered.text
        assert latest(database).status == "failed"
        assert "nginx" not in evidence.everything(database)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"null",
            b"[]",
            b'"No."',
            b"{",
            b'{"error": null}',
            b'{"error": []}',
            b'{"error": {"message": {"a": 1}, "code": 5, "param": [], "type": {}}}',
            b'{"error": {"message": "\\ud800\\u0000", "code": "\\ud800", "param": "\\u0000", "type": "\\udfff"}}',
            b"\xff\xfe\x00",
            b'{"error": ' * 2000,
            b"x" * 200_000,
        ],
    )
    @pytest.mark.parametrize("status", [400, 500])
    def test_an_error_that_says_nothing_sensible_is_an_error_all_the_same(
        self, alice: Client, upstream: LocalUpstream, database: Database, status: int, body: bytes
    ) -> None:
        upstream.will(whole(body, status))
        answered = alice.create()
        assert answered.status_code == (400 if status == 400 else 502)
        assert error_body(answered)
        assert latest(database).status == "failed"
        assert alice.get(f"/v1/responses/{latest(database).exchange.id}").json["status"] == "failed"

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirect_is_not_followed_with_our_key(
        self, alice: Client, upstream: LocalUpstream, database: Database, status: int
    ) -> None:
        with LocalUpstream() as elsewhere:
            upstream.will(whole(b"", status, {"Location": f"{elsewhere.url}/responses"}))
            assert alice.create().status_code == 502
            assert elsewhere.asked == []
        assert len(upstream.questions) == 1
        assert latest(database).attempts == [{"upstream": "local", "status": status, "error": "upstream_error"}]


class TestGarbage:
    @pytest.mark.parametrize(
        "said",
        [
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40),
            b"HTTP/1.1 banana\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Le",
            b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
            b"\r\n" * 10,
            b"",
        ],
    )
    @pytest.mark.parametrize("stream", [False, True])
    def test_what_is_not_http_is_a_bad_gateway(
        self, alice: Client, upstream: LocalUpstream, database: Database, stream: bool, said: bytes
    ) -> None:
        upstream.will(says(said))
        answered = alice.create(model="persistent", stream=stream)
        assert answered.status_code == 502
        assert error_body(answered)
        assert len(upstream.questions) == 1
        assert latest(database).status == "failed"

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"   ",
            b"null",
            b"true",
            b"[]",
            b'[{"type": "message"}]',
            b'"Hello."',
            b"{}",
            b'{"ok": true}',
            b'{"status": "ok"}',
            b'{"status": "completed", "output": "Hello."}',
            b'{"status": "completed", "output": {"type": "message"}}',
            b'{"status": "completed", "output": 5}',
            b'{"output": [5]}',
            b'{"output": ["Hello."]}',
            b'{"output": [null]}',
            b'{"output": [[]]}',
            b'{"output": []} and more',
            b'{"output": [}',
            b'{"output": [], "text": "\xff"}',
            b'{"output": ' + b"[" * 100_000,
            b'{"output": [], "a": ' + b"9" * 5000 + b"}",
            HELLO[:-1],
            HTML,
        ],
        ids=range(24),
    )
    def test_a_body_that_is_no_response_is_a_bad_gateway(
        self, alice: Client, upstream: LocalUpstream, database: Database, body: bytes
    ) -> None:
        upstream.will(whole(body))
        answered = alice.create()
        assert (answered.status_code, error_body(answered)["code"]) == (502, "upstream_invalid_answer")
        assert latest(database).status == "failed"

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
    @pytest.mark.parametrize("where", ['"usage": @', '"usage": {"input_tokens": @, "output_tokens": @}', '"x": @'])
    def test_a_number_that_json_does_not_have_does_not_reach_the_client(
        self, alice: Client, upstream: LocalUpstream, where: str, number: str
    ) -> None:
        around = HELLO.decode()[:-1] + ", " + where.replace("@", number) + "}"
        inside = HELLO.decode().replace('"role"', '"number": ' + number + ', "role"')
        for body in (around, inside):
            upstream.will(whole(body.encode()))
            answered = alice.create()
            assert answered.status_code in (200, 502)
            json.loads(answered.text, parse_constant=pytest.fail)

    @pytest.mark.parametrize(
        "body", [b"", b"[]", b"{", b"{}", b'{"choices": 5}', b'{"choices": [{"message": 1}]}', HTML]
    )
    @pytest.mark.parametrize("stream", [False, True])
    def test_a_chat_body_that_is_no_completion_is_a_bad_gateway(
        self, alice: Client, upstream: LocalUpstream, database: Database, stream: bool, body: bytes
    ) -> None:
        upstream.will(whole(body))
        answered = alice.create(model="chat", stream=stream)
        assert (answered.status_code, error_body(answered)["code"]) == (502, "upstream_invalid_answer")
        assert latest(database).status == "failed"

    def test_a_response_that_failed_is_a_bad_gateway_in_the_upstreams_words(
        self, alice: Client, upstream: LocalUpstream, database: Database
    ) -> None:
        upstream.will(whole(response(status="failed", error={"code": "server_error", "message": "GPU on fire."})))
        answered = alice.create()
        assert (answered.status_code, error_body(answered)["message"]) == (502, "GPU on fire.")
        assert latest(database).error == {"code": "server_error", "message": "GPU on fire."}

    def test_a_response_that_failed_halfway_keeps_its_half(
        self, alice: Client, upstream: LocalUpstream, database: Database
    ) -> None:
        said = {"code": "server_error", "message": "GPU on fire."}
        upstream.will(whole(response(message("It is"), status="failed", error=said)))
        given = alice.ask()
        assert (given["status"], given["error"]) == ("failed", said)
        assert latest(database).text == "It is"


SURROGATE, NUL, LONG = "\ud800", "\0", "x" * 70_000


class TestWrongTypes:
    """A response with something wrong in it is still an answer, as far as it can be told."""

    @pytest.mark.parametrize(
        "members",
        [
            {"usage": {"input_tokens": -1, "output_tokens": -7, "total_tokens": -8}},
            {"usage": {"input_tokens": "13", "output_tokens": "many"}},
            {"usage": {"input_tokens": 10**30, "output_tokens": 2**63}},
            {
                "usage": {
                    "input_tokens": 1,
                    "output_tokens": 1,
                    "input_tokens_details": [],
                    "total_tokens": {},
                }
            },
            {"usage": [1, 2, 3]},
            {"usage": "none"},
            {"model": 5},
            {"model": ["gpt"]},
            {"model": SURROGATE + NUL + LONG},
            {"id": 5},
            {"id": None},
            {"id": SURROGATE + NUL + LONG},
            {"status": "banana"},
            {"status": 5},
            {"status": []},
            {"status": {"a": 1}},
            {"status": SURROGATE},
            {"error": 5},
            {"error": []},
            {"error": True},
            {"error": {"code": [], "message": {}}},
            {"error": {"code": NUL + SURROGATE, "message": NUL + SURROGATE}, "status": "incomplete"},
            {"incomplete_details": "why"},
            {"incomplete_details": {"reason": 5}, "status": "incomplete"},
            {"incomplete_details": {"reason": NUL + SURROGATE + LONG}, "status": "incomplete"},
            {"created_at": "today", "object": 7, "metadata": [], "service_tier": {NUL: SURROGATE}},
            {SURROGATE: NUL, NUL: SURROGATE, "": {"": ""}},
            {"tools": 5, "text": "plain", "reasoning": [], "temperature": {}},
        ],
        ids=lambda members: json.dumps(members)[:40],
    )
    def test_around_the_output(
        self, alice: Client, upstream: LocalUpstream, database: Database, members: dict[str, Any]
    ) -> None:
        upstream.will(whole(response(message("Hello."), **members)))
        self._is_an_answer(alice, database, text="Hello.")

    @pytest.mark.parametrize(
        "members",
        [
            {"content": "Hello."},
            {"content": 5},
            {"content": None},
            {"content": {"type": "output_text"}},
            {"content": ["Hello.", None, 5, []]},
            {"content": [{"type": 5, "text": "Hello."}]},
            {"content": [{"type": "output_text", "text": 5}]},
            {"content": [{"type": "output_text", "text": None, "annotations": None}]},
            {"content": [{"type": "output_text", "text": NUL + SURROGATE + "Hello.", "annotations": {}}]},
            {"content": [{}]},
            {"id": 5},
            {"id": NUL + SURROGATE + LONG},
            {"role": 5},
            {"role": LONG},
            {"role": NUL + SURROGATE},
            {"type": 5},
            {"type": None},
            {"type": ""},
            {"type": LONG},
            {"type": NUL + SURROGATE},
            {"type": {"a": 1}},
            {"status": []},
            {"status": SURROGATE},
            {"name": NUL + SURROGATE + LONG, "call_id": LONG},
            {NUL: SURROGATE},
        ],
        ids=lambda members: json.dumps(members)[:40],
    )
    @pytest.mark.parametrize("stream", [False, True])
    def test_in_an_item(
        self,
        alice: Client,
        upstream: LocalUpstream,
        database: Database,
        stream: bool,
        members: dict[str, Any],
    ) -> None:
        upstream.will(whole(response({**message("Hello."), **members})))
        self._is_an_answer(alice, database, stream=stream)

    @pytest.mark.parametrize("item", [{}, {"type": "reasoning"}, {"type": "reasoning", "summary": 5, "content": "x"}])
    def test_an_item_that_says_little(
        self, alice: Client, upstream: LocalUpstream, database: Database, item: dict[str, Any]
    ) -> None:
        upstream.will(whole(response(item, message("Hello."))))
        self._is_an_answer(alice, database)

    @pytest.mark.parametrize("depth", [50, 300, 700, 800, 850, 900, 950, 2000, 20_000])
    def test_a_value_that_is_nested_however_deeply(
        self, alice: Client, upstream: LocalUpstream, database: Database, depth: int
    ) -> None:
        nested = '{"a":' * depth + "1" + "}" * depth
        body = json.dumps(response(message("Hello."), deep="@", usage=None)).replace('"@"', nested)
        upstream.will(whole(body.encode()))
        answered = alice.create()
        assert answered.status_code in (200, 502), answered.text
        assert latest(database).status in ("completed", "failed")
        assert alice.get(f"/v1/responses/{latest(database).exchange.id}").status_code == 200

    def _is_an_answer(self, alice: Client, database: Database, *, stream: bool = False, text: str = "") -> None:
        """Given, read back, listed, continued: with nothing lost in between."""
        answered = alice.create(stream=stream)
        assert answered.status_code == 200, answered.text
        given = evidence.stream_events(answered.data)[-1]["response"] if stream else answered.json
        assert given["usage"] is None or all(
            isinstance(given["usage"][name], int) and given["usage"][name] >= 0
            for name in ("input_tokens", "output_tokens", "total_tokens")
        )
        recorded = latest(database)
        assert given["id"] == recorded.exchange.id
        assert not text or recorded.text == text
        assert isinstance(given["model"], str)
        assert all(isinstance(item["id"], str) for item in given["output"])
        again = alice.get(f"/v1/responses/{given['id']}")
        assert again.json == given
        followed = alice.ask("And?", after=given["id"])
        listed = alice.get(f"/v1/responses/{followed['id']}/input_items?order=asc")
        assert len(listed.json["data"]) == 2 + len(given["output"])
        assert alice.get(f"/v1/responses/{given['id']}?stream=true").status_code == 200


class TestFraming:
    def test_a_compressed_answer_is_understood_though_nobody_asked_for_it(
        self, alice: Client, upstream: LocalUpstream
    ) -> None:
        upstream.will(whole(gzip.compress(HELLO), headers={"Content-Encoding": "gzip"}))
        assert alice.ask()["output"][0]["content"][0]["text"] == "Hello."
        assert upstream.questions[-1].headers["Accept-Encoding"] == "identity"

    def test_a_compressed_stream_is_understood_too(self, alice: Client, upstream: LocalUpstream) -> None:
        blocks = stream_of(response(message("Hello.")))
        packed = gzip.compress(b"".join(blocks))
        upstream.will(whole(packed, headers={"Content-Encoding": "gzip", "Content-Type": "text/event-stream"}))
        events = evidence.stream_events(alice.create(stream=True).data)
        assert events[-1]["response"]["output"][0]["content"][0]["text"] == "Hello."

    @pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "banana"])
    def test_an_encoding_that_does_not_fit_is_a_bad_gateway(
        self, alice: Client, upstream: LocalUpstream, database: Database, encoding: str
    ) -> None:
        upstream.will(whole(b"\x00\x01\x02 neither", headers={"Content-Encoding": encoding}))
        assert alice.create().status_code == 502
        assert latest(database).status == "failed"

    def test_a_compressed_error_is_read_too(self, alice: Client, upstream: LocalUpstream) -> None:
        body = json.dumps({"error": {"message": "Too hot.", "code": "too_hot"}}).encode()
        upstream.will(whole(gzip.compress(body), 400, {"Content-Encoding": "gzip"}))
        assert error_body(alice.create())["code"] == "too_hot"

    def test_an_answer_may_end_with_its_connection(self, alice: Client, upstream: LocalUpstream) -> None:
        upstream.will(says(head("Connection: close") + HELLO), says(head() + HELLO))
        assert alice.ask()["output"][0]["content"][0]["text"] == "Hello."
        assert alice.ask()["output"][0]["content"][0]["text"] == "Hello."

    @pytest.mark.parametrize("length", [0, 1, len(HELLO) // 2, len(HELLO) - 1])
    def test_a_body_cut_in_the_middle_is_a_bad_gateway(
        self, alice: Client, upstream: LocalUpstream, database: Database, length: int
    ) -> None:
        upstream.will(closed_early(HELLO[:length], missing=len(HELLO) - length))
        answered = alice.create()
        assert (answered.status_code, error_body(answered)["code"]) == (502, "upstream_stream_cut")
        assert latest(database).attempts == [{"upstream": "local", "status": 200, "error": "upstream_stream_cut"}]

    def test_a_whole_body_that_lacks_only_the_end_of_its_frame_is_cut_too(
        self, alice: Client, upstream: LocalUpstream, database: Database
    ) -> None:
        chunk = b"%x\r\n%b\r\n" % (len(HELLO), HELLO)
        upstream.will(says(head("Transfer-Encoding: chunked") + chunk))
        assert alice.create().status_code == 502
        assert latest(database).status == "failed"

    def test_an_interim_answer_is_passed_over(self, alice: Client, upstream: LocalUpstream) -> None:
        final = head(f"Content-Length: {len(HELLO)}") + HELLO
        upstream.will(says(b"HTTP/1.1 100 Continue\r\n\r\n" + final))
        assert alice.ask()["output"][0]["content"][0]["text"] == "Hello."


class TestRetries:
    @pytest.mark.parametrize("status", [429, 502, 503, 504])
    def test_an_upstream_that_says_it_did_nothing_is_asked_again(
        self, alice: Client, upstream: LocalUpstream, database: Database, status: int
    ) -> None:
        upstream.will(error(status, headers=SOON), answer("Hello."))
        assert alice.ask(model="persistent")["status"] == "completed"
        assert len(upstream.questions) == 2
        assert upstream.questions[0].raw == upstream.questions[1].raw
        assert latest(database).attempts == [
            {
                "upstream": "persistent",
                "status": status,
                "error": "rate_limit_exceeded" if status == 429 else "upstream_error",
            },
            {"upstream": "persistent", "status": 200},
        ]

    def test_a_stream_is_asked_for_again_as_well(
        self, alice: Client, upstream: LocalUpstream, database: Database
    ) -> None:
        upstream.will(error(503, headers=SOON), answer("Hello."))
        assert evidence.stream_events(alice.create(model="persistent", stream=True).data)
        assert [attempt["status"] for attempt in latest(database).attempts] == [503, 200]

    def test_not_more_often_than_was_set(self, alice: Client, upstream: LocalUpstream, database: Database) -> None:
        upstream.will(*[error(503, f"No. {number}", headers=SOON) for number in range(5)])
        answered = alice.create(model="persistent")
        assert (answered.status_code, error_body(answered)["message"]) == (503, "No. 2")
        assert len(upstream.questions) == len(latest(database).attempts) == 3
        upstream.forget()

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500, 501, 529])
    def test_any_other_status_is_final(self, alice: Client, upstream: LocalUpstream, status: int) -> None:
        upstream.will(error(status, headers=SOON))
        assert alice.create(model="persistent").status_code in (status, 502)
        assert len(upstream.questions) == 1

    def test_a_rate_limit_without_a_time_is_the_clients_to_wait_for(
        self, alice: Client, upstream: LocalUpstream
    ) -> None:
        upstream.will(error(429))
        assert alice.create(model="persistent").status_code == 429
        assert len(upstream.questions) == 1

    def test_a_long_time_to_wait_is_the_clients_as_well(self, alice: Client, upstream: LocalUpstream) -> None:
        upstream.will(error(503, headers={"Retry-After": "3600"}))
        answered = alice.create(model="persistent")
        assert (answered.status_code, answered.headers["Retry-After"]) == (503, "3600")
        assert len(upstream.questions) == 1

    def test_a_date_to_wait_for_is_understood(self, alice: Client, upstream: LocalUpstream) -> None:
        past = format_datetime(datetime.now(UTC) - timedelta(minutes=1), usegmt=True)
        later = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)
        upstream.will(error(429, headers={"Retry-After": past}), error(429, headers={"Retry-After": later}))
        answered = alice.create(model="persistent")
        assert answered.status_code == 429
        assert 500 < int(answered.headers["Retry-After"]) <= 600
        assert len(upstream.questions) == 2

    def test_a_lost_answer_is_not_asked_for_again(
        self, alice: Client, upstream: LocalUpstream, database: Database
    ) -> None:
        upstream.will(hang_up)
        answered = alice.create(model="persistent")
        assert (answered.status_code, error_body(answered)["code"]) == (502, "upstream_stream_cut")
        assert len(upstream.questions) == 1
        assert latest(database).attempts == [{"upstream": "persistent", "error": "upstream_stream_cut"}]

    def test_an_answer_of_which_anything_was_read_is_not_either(self, alice: Client, upstream: LocalUpstream) -> None:
        upstream.will(closed_early(b"{"), says(head("Content-Length: 10")[:20]))
        for number in (1, 2):
            assert alice.create(model="persistent").status_code == 502
            assert len(upstream.questions) == number


class TestBreaker:
    """Each test has a fragile provider of its own: what a breaker remembers outlives the test."""

    def _break(self, alice: Client, upstream: LocalUpstream, model: str) -> None:
        upstream.will(*[error(500)] * providers.BREAKER_FAILURES)
        for _ in range(providers.BREAKER_FAILURES):
            assert alice.create(model=model).status_code == 502

    def test_an_upstream_that_fails_again_and_again_is_left_alone(
        self, alice: Client, upstream: LocalUpstream, database: Database
    ) -> None:
        self._break(alice, upstream, FRAGILE[0])
        answered = alice.create(model=FRAGILE[0])
        assert (answered.status_code, error_body(answered)["code"]) == (503, "upstream_unavailable")
        assert int(answered.headers["Retry-After"]) >= 1
        assert len(upstream.questions) == providers.BREAKER_FAILURES
        recorded = latest(database)
        assert recorded.status == "failed"
        assert recorded.attempts == [{"upstream": FRAGILE[0], "error": "breaker_open"}]

    def test_others_are_not(self, alice: Client, upstream: LocalUpstream) -> None:
        self._break(alice, upstream, FRAGILE[1])
        assert alice.create(model=FRAGILE[1]).status_code == 503
        assert alice.ask()["status"] == "completed"

    def test_after_a_pause_it_is_tried_and_back_again(self, alice: Client, upstream: LocalUpstream) -> None:
        self._break(alice, upstream, FRAGILE[2])
        wait_until(lambda: alice.create(model=FRAGILE[2]).status_code == 200, 10)
        # Closed for good, not half open: a single failure does not open it.
        upstream.will(error(500))
        assert alice.create(model=FRAGILE[2]).status_code == 502
        assert alice.create(model=FRAGILE[2]).status_code == 200

    def test_when_the_trial_fails_it_is_left_alone_again(self, alice: Client, upstream: LocalUpstream) -> None:
        self._break(alice, upstream, FRAGILE[3])
        asked = len(upstream.questions)
        upstream.will(error(500))
        wait_until(lambda: alice.create(model=FRAGILE[3]) and len(upstream.questions) > asked, 10)
        assert alice.create(model=FRAGILE[3]).status_code == 503
        assert len(upstream.questions) == asked + 1

    def test_what_is_the_clients_fault_does_not_count(self, alice: Client, upstream: LocalUpstream) -> None:
        upstream.will(*[error(status) for status in (400, 404, 422, 429, 413)])
        for _ in range(5):
            alice.create(model=FRAGILE[4])
        assert alice.create(model=FRAGILE[4]).status_code == 200

    def test_an_answer_in_between_starts_the_count_anew(self, alice: Client, upstream: LocalUpstream) -> None:
        for _ in range(2):
            upstream.will(*[error(500)] * (providers.BREAKER_FAILURES - 1))
            for _ in range(providers.BREAKER_FAILURES - 1):
                assert alice.create(model=FRAGILE[5]).status_code == 502
            assert alice.create(model=FRAGILE[5]).status_code == 200


class TestConnections:
    def test_one_is_used_again(self, alice: Client, upstream: LocalUpstream) -> None:
        alice.ask()
        accepted = upstream.accepted
        for _ in range(3):
            alice.ask()
            alice.stream()
        assert upstream.accepted == accepted

    def test_one_that_the_upstream_closed_meanwhile_is_no_error(
        self, alice: Client, upstream: LocalUpstream, database: Database
    ) -> None:
        def answer_and_close(exchange: Any) -> None:
            exchange.whole(200, HELLO)
            exchange.end_connection()

        for _ in range(3):
            upstream.will(answer_and_close)
            ended = upstream.ended
            alice.ask()
            wait_until(lambda ended=ended: upstream.ended > ended)
        assert alice.ask()["status"] == "completed"
        assert len(upstream.questions) == 4
        assert latest(database).attempts == []

    def test_one_that_broke_is_not_used_again(self, alice: Client, upstream: LocalUpstream) -> None:
        upstream.will(closed_early(HELLO[:50]), hang_up, says(b"garbage\r\n\r\n"), closed_early(b""))
        for _ in range(4):
            assert alice.create().status_code == 502
        assert alice.ask()["status"] == "completed"

    def test_an_answer_of_an_earlier_request_is_never_taken_for_the_next_ones(
        self, alice: Client, upstream: LocalUpstream
    ) -> None:
        # More bytes than the Content-Length says: the rest would stand in front of the next answer.
        upstream.will(
            lambda exchange: (
                exchange.whole(200, HELLO)
                or exchange.say(head(f"Content-Length: {len(HELLO)}") + HELLO.replace(b"Hello", b"Wrong"))
            )
        )
        ended = upstream.ended
        # Whether such an answer is believed depends on how it arrives.
        assert alice.create().status_code in (200, 502)
        wait_until(lambda: upstream.ended > ended)
        upstream.will(answer("Right."))
        assert alice.ask()["output"][0]["content"][0]["text"] == "Right."


class TestTheProvidersKey:
    SAYINGS = (
        f"Incorrect API key provided: {PROVIDER_KEY}. You can find your API key at …",
        f"Bearer {PROVIDER_KEY}",
        "x" * 1990 + PROVIDER_KEY,
    )

    def test_it_is_in_every_request(self, alice: Client, upstream: LocalUpstream) -> None:
        alice.ask()
        assert upstream.questions[-1].headers["Authorization"] == f"Bearer {PROVIDER_KEY}"

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500, 503])
    @pytest.mark.parametrize("saying", SAYINGS, ids=["key", "header", "cut"])
    def test_an_upstream_that_quotes_it_is_not_quoted(
        self, alice: Client, upstream: LocalUpstream, database: Database, status: int, saying: str
    ) -> None:
        # As a code it would be cut to length: no piece of it may be left either.
        upstream.will(error(status, saying, code=saying[-60:], param=saying[-60:], type=saying[-60:]))
        answered = alice.create()
        self._is_nowhere(answered.text + str(answered.headers), database)

    @pytest.mark.parametrize("where", ["message", "code"])
    @pytest.mark.parametrize("stream", [False, True])
    def test_not_in_a_failed_response_either(
        self, alice: Client, upstream: LocalUpstream, database: Database, stream: bool, where: str
    ) -> None:
        said = {"code": "server_error", "message": "No.", where: f"no {PROVIDER_KEY}"}
        for body in (
            response(status="failed", error=said),
            response(message("x"), status="failed", error=said),
        ):
            upstream.will(answer(*body["output"], status="failed", error=said))
            answered = alice.create(stream=stream)
            self._is_nowhere(answered.text + str(answered.headers), database)

    def test_not_in_a_streams_error_event(self, alice: Client, upstream: LocalUpstream, database: Database) -> None:
        begun = stream_of(response(message("Hello.")))[:4]
        event = {"type": "error", "code": PROVIDER_KEY, "message": f"bad key {PROVIDER_KEY}", "param": None}
        upstream.will(providers.sends(*begun, b"data: " + json.dumps(event).encode() + b"\n\n"))
        answered = alice.create(stream=True)
        assert answered.status_code == 200
        self._is_nowhere(answered.text, database)

    def test_a_proxy_of_the_machine_never_sees_it(
        self, alice: Client, dead_ends: providers.DeadEnds, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, dead_ends.refusing)
        assert alice.ask()["status"] == "completed"

    def _is_nowhere(self, told: str, database: Database) -> None:
        # Half of it would be half a secret.
        half = PROVIDER_KEY[: len(PROVIDER_KEY) // 2]
        assert half not in told
        assert half not in evidence.everything(database)
