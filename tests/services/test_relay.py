"""The relay: a create request, from its arrival to its answer, and what must not get lost on the way."""

import io
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from convstore import ids
from convstore.config import Settings
from convstore.domain import usage
from convstore.domain.items import Item
from convstore.errors import (
    CallWithoutOutput,
    ConvstoreError,
    DuplicateItem,
    ItemNotFound,
    ModelNotFound,
    ParentUnfinished,
    PreviousResponseNotFound,
    ResponseNotFound,
    UpstreamError,
)
from convstore.schemas.responses import count_request
from convstore.services import relay, responses, streaming, tokens, turn
from convstore.services.relay import Whole
from convstore.telemetry import logs, metrics
from tests.conftest import FixedClock, upstream_settings
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
from tests.services.conftest import Asker, asker, opened, shown, working


class TestCreate:
    def test_what_was_asked_and_answered_is_stored(self, acme: Asker, upstream: LocalUpstream) -> None:
        upstream.will(answer("Fine."))
        given = acme.ask("How are you?", metadata={"a": "b"})
        assert json.loads(responses.get(acme.deps, acme.principal, given["id"])) == given
        row = acme.stored(given["id"])
        assert (row.status, row.stored, row.model, row.requested_model) == (
            "completed",
            True,
            "gpt-5.4-2026-03-05",
            "gpt-5.4",
        )

    def test_a_stream_stores_the_same(self, acme: Asker, upstream: LocalUpstream) -> None:
        upstream.will(answer(reasoning(), "Fine."), answer(reasoning(), "Fine."))
        plain, last = acme.ask("How are you?"), acme.stream("How are you?")[-1]["response"]
        own = ("id", "created_at", "completed_at")
        assert {k: v for k, v in plain.items() if k not in (*own, "output")} == {
            k: v for k, v in last.items() if k not in (*own, "output")
        }
        assert [{**item, "id": None} for item in plain["output"]] == [{**item, "id": None} for item in last["output"]]

    def test_nothing_is_stored_of_what_fails_before_the_upstream_is_asked(
        self, acme: Asker, upstream: LocalUpstream
    ) -> None:
        asked = len(upstream.questions)
        for wrong in (
            {"after": ids.new(ids.EXCHANGE)},
            {"input": [{"type": "item_reference", "id": "msg_unknown"}]},
            {"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]},
        ):
            with pytest.raises(ConvstoreError):
                acme.ask(**wrong)
        assert acme.statuses() == []
        assert len(upstream.questions) == asked

    def test_a_turn_takes_as_many_statements_at_any_depth(self, acme: Asker) -> None:
        def statements(after: str) -> int:
            before = metrics.SQL_STATEMENTS._value.get()
            acme.ask("and?", after=after)
            return int(metrics.SQL_STATEMENTS._value.get() - before)

        tip = acme.ask()["id"]
        early = statements(tip)
        for _ in range(30):
            tip = acme.ask("and?", after=tip)["id"]
        assert statements(tip) == early

    def test_a_model_nobody_serves_is_refused(
        self, settings: Settings, upstream: LocalUpstream, clock: FixedClock
    ) -> None:
        only = replace(settings, upstreams=(upstream_settings(upstream, models=("gpt-5.4*",)),))
        with working(only, clock) as deps, pytest.raises(ModelNotFound) as refused:
            asker(deps, "acme").ask(model="other")
        assert refused.value.message == "The requested model 'other' does not exist."


class TestParents:
    def test_an_unknown_one(self, acme: Asker) -> None:
        for unknown in (ids.new(ids.EXCHANGE), "resp_x", "x", "conv_" + "0" * 32):
            with pytest.raises(PreviousResponseNotFound, match=f"'{unknown}' not found"):
                acme.ask(after=unknown)

    def test_another_projects(self, acme: Asker, globex: Asker) -> None:
        with pytest.raises(PreviousResponseNotFound):
            acme.ask(after=globex.ask()["id"])

    def test_one_that_was_not_to_be_stored_is_recorded_and_hidden(self, acme: Asker) -> None:
        given = acme.ask(store=False)
        assert given["store"] is False
        with pytest.raises(PreviousResponseNotFound):
            acme.ask(after=given["id"])
        with pytest.raises(ResponseNotFound):
            responses.get(acme.deps, acme.principal, given["id"])
        with pytest.raises(ResponseNotFound):
            responses.delete(acme.deps, acme.principal, given["id"])
        row = acme.stored(given["id"])
        assert (row.stored, row.status) == (False, "completed")

    def test_one_may_end_a_stored_thread(self, acme: Asker, upstream: LocalUpstream) -> None:
        upstream.will(answer("One."), answer("Two."))
        first = acme.ask("1?")
        acme.ask("2?", after=first["id"], store=False)
        assert shown(upstream) == ["1?", "One.", "2?"]
        acme.ask("other", after=first["id"])
        assert shown(upstream) == ["1?", "One.", "other"]

    def test_a_deleted_one_is_gone_but_what_continues_it_works(self, acme: Asker, upstream: LocalUpstream) -> None:
        upstream.will(answer("One."), answer("Two."), answer("Three."))
        first = acme.ask("1?")
        second = acme.ask("2?", after=first["id"])
        responses.delete(acme.deps, acme.principal, first["id"])
        with pytest.raises(PreviousResponseNotFound):
            acme.ask(after=first["id"])
        acme.ask("3?", after=second["id"])
        assert shown(upstream) == ["1?", "One.", "2?", "Two.", "3?"]

    def test_an_unfinished_one_is_not_ready(self, acme: Asker, upstream: LocalUpstream) -> None:
        go = threading.Event()
        blocks = stream_of(response(message("Slow")))
        upstream.will(stream(blocks, gates=[*([opened()] * 4), go]))
        running = acme.create(stream=True)
        with pytest.raises(ParentUnfinished) as refused:
            acme.ask(after=running.response_id)
        assert (refused.value.code, refused.value.param) == ("invalid_value", "previous_response_id")
        go.set()
        assert not isinstance(running, Whole)
        list(running)
        assert acme.ask(after=running.response_id)["previous_response_id"] == running.response_id

    def test_a_failed_one_can_be_continued(self, acme: Asker, upstream: LocalUpstream) -> None:
        upstream.will(error(500, "Oops."))
        with pytest.raises(UpstreamError):
            acme.ask("1?")
        acme.ask("again", after=_last(acme))
        assert shown(upstream) == ["1?", "again"]

    def test_an_incomplete_one_can_be_continued(self, acme: Asker, upstream: LocalUpstream) -> None:
        cut = response(message("So f"), status="incomplete", incomplete_details={"reason": "max_output_tokens"})
        upstream.will(whole(cut))
        first = acme.ask("1?")
        assert (first["status"], first["incomplete_details"]) == (
            "incomplete",
            {"reason": "max_output_tokens"},
        )
        acme.ask("go on", after=first["id"])
        assert shown(upstream) == ["1?", "So f", "go on"]

    def test_instructions_and_tools_are_not_inherited(self, acme: Asker, upstream: LocalUpstream) -> None:
        tool = {"type": "function", "name": "add", "parameters": {}}
        first = acme.ask("1?", instructions="Be brief.", tools=[tool], temperature=0.5, metadata={"a": "b"})
        second = acme.ask("2?", after=first["id"])
        body = upstream.questions[-1].body
        assert not {"instructions", "tools", "temperature", "metadata"} & set(body)
        assert (second["instructions"], second["tools"], second["temperature"], second["metadata"]) == (
            None,
            [],
            1.0,
            {},
        )

    def test_an_open_call_must_be_answered(self, acme: Asker, upstream: LocalUpstream) -> None:
        upstream.will(answer(function_call("call_1"), function_call("call_2")))
        first = acme.ask()
        outputs = [{"type": "function_call_output", "call_id": f"call_{n}", "output": "7"} for n in (2, 1)]
        with pytest.raises(CallWithoutOutput):
            acme.ask(outputs[:1], after=first["id"])
        acme.ask(outputs, after=first["id"])
        assert [item["type"] for item in upstream.questions[-1].body["input"][1:]] == [
            "function_call",
            "function_call",
            "function_call_output",
            "function_call_output",
        ]


class TestReferences:
    @pytest.mark.parametrize(
        "reference", [{"type": "item_reference"}, {"type": None}, {}], ids=["type", "null", "none"]
    )
    def test_an_item_is_shown_in_place_of_its_reference(
        self, acme: Asker, upstream: LocalUpstream, reference: dict[str, Any]
    ) -> None:
        upstream.will(answer("One."))
        said = acme.ask("1?")["output"][0]["id"]
        acme.ask([{**reference, "id": said}, {"role": "user", "content": "2?"}])
        assert shown(upstream) == ["One.", "2?"]
        assert "id" not in upstream.questions[-1].body["input"][0]

    def test_by_the_clients_own_id_too(self, acme: Asker, upstream: LocalUpstream) -> None:
        mine = f"msg_{ids.new(ids.REQUEST)}"
        acme.ask([{"id": mine, "role": "user", "content": "mine"}])
        acme.ask([{"type": "item_reference", "id": mine}])
        assert shown(upstream) == ["mine"]

    def test_it_is_stored_as_the_item_it_was(self, acme: Asker, upstream: LocalUpstream) -> None:
        upstream.will(answer("One."))
        said = acme.ask("1?")["output"][0]["id"]
        second = acme.ask([{"type": "item_reference", "id": said}])
        listing = responses.input_items(acme.deps, acme.principal, second["id"], responses.Page())
        (item,) = [json.loads(body) for _, body in listing.items]
        assert (item["id"], item["type"], item["content"][0]["text"]) == (said, "message", "One.")
        acme.ask("2?", after=second["id"])
        assert shown(upstream)[0] == "One."

    def test_an_unknown_one_is_refused_in_the_apis_words(self, acme: Asker, globex: Asker) -> None:
        theirs = globex.ask()["output"][0]["id"]
        unstored = acme.ask(store=False)["output"][0]["id"]
        deleted = acme.ask()
        responses.delete(acme.deps, acme.principal, deleted["id"])
        strange = ids.item("message", deleted["id"], 7)[:-4] + "fffffff"
        for unknown in ("rs_unknown", theirs, unstored, deleted["output"][0]["id"], strange):
            with pytest.raises(ItemNotFound) as refused:
                acme.ask([{"type": "item_reference", "id": unknown}])
            assert refused.value.message == (
                f"Item with id '{unknown}' not found. Items are not persisted when 'store' is set to false. "
                "Try again with 'store' set to true, or remove this item from your input."
            )
            assert refused.value.param == "input"

    def test_an_item_of_the_thread_may_not_be_sent_again(self, acme: Asker) -> None:
        first = acme.ask([{"id": "msg_own", "role": "user", "content": "1?"}])
        again = [{**first["output"][0]}, {"role": "user", "content": "2?"}]
        for repeated in (again, [{"id": "msg_own", "role": "user", "content": "1?"}]):
            with pytest.raises(DuplicateItem):
                acme.ask(repeated, after=first["id"])
        acme.ask(again)  # of no thread: the client keeps the history itself

    def test_nor_may_it_be_referred_to(self, acme: Asker, upstream: LocalUpstream) -> None:
        first = acme.ask([{"id": "msg_own", "role": "user", "content": "1?"}])
        second = acme.ask("2?", after=first["id"])
        other = acme.ask("other", after=first["id"])
        asked = len(upstream.questions)
        there = ["msg_own", first["output"][0]["id"], ids.item("message", second["id"], 0), second["output"][0]["id"]]
        for item_id in there:
            with pytest.raises(DuplicateItem, match=item_id):
                acme.ask([{"type": "item_reference", "id": item_id}], after=second["id"])
        assert len(upstream.questions) == asked
        elsewhere = {"type": "item_reference", "id": other["output"][0]["id"]}
        third = acme.ask([elsewhere], after=second["id"])
        with pytest.raises(DuplicateItem):
            acme.ask([elsewhere], after=third["id"])

    def test_many_items_of_ours_are_looked_for_in_one_statement(self, acme: Asker) -> None:
        told = [acme.ask(f"{number}?")["output"][0] for number in range(8)]
        tip = acme.ask()["id"]

        def statements(items: list[Any]) -> int:
            before = metrics.SQL_STATEMENTS._value.get()
            acme.ask(items, after=tip)
            return int(metrics.SQL_STATEMENTS._value.get() - before)

        assert statements(told[:1]) == statements(told[1:]) == statements([*told, {"role": "user", "content": "?"}])


class TestOtherUpstreams:
    @pytest.fixture
    def two(self, settings: Settings, upstream: LocalUpstream, clock: FixedClock) -> Iterator[Asker]:
        """Somebody with two providers behind one service."""
        here = upstream_settings(upstream, name="here", models=("gpt-*",))
        there = upstream_settings(upstream, name="there", models=("deepseek-*",), aliases={"fast": "deepseek-flash"})
        with working(replace(settings, upstreams=(here, there)), clock) as deps:
            yield asker(deps, "acme")

    def test_what_one_sealed_is_not_shown_to_the_other(self, two: Asker, upstream: LocalUpstream) -> None:
        upstream.will(answer(reasoning(), "One."), answer(reasoning(), "Two."), answer("Three."))
        first = two.ask("1?", model="gpt-5.4")
        second = two.ask("2?", model="deepseek-v4", after=first["id"])
        assert shown(upstream) == ["1?", "One.", "2?"]
        two.ask("3?", model="gpt-5.4", after=second["id"])
        assert shown(upstream) == ["1?", "reasoning", "One.", "2?", "Two.", "3?"]
        assert (two.stored(first["id"]).upstream, two.stored(second["id"]).upstream) == ("here", "there")

    def test_an_alias_goes_under_its_real_name(self, two: Asker, upstream: LocalUpstream) -> None:
        given = two.ask(model="fast")
        assert upstream.questions[-1].body["model"] == "deepseek-flash"
        row = two.stored(given["id"])
        assert (row.requested_model, row.upstream) == ("fast", "there")


class TestStateful:
    @pytest.fixture
    def stateful(self, settings: Settings, upstream: LocalUpstream, clock: FixedClock) -> Iterator[Asker]:
        """Somebody whose provider remembers."""
        remembering = upstream_settings(upstream, dialect="responses-stateful")
        with working(replace(settings, upstreams=(remembering,)), clock) as deps:
            yield asker(deps, "acme")

    def test_the_upstream_is_left_to_know_the_history(self, stateful: Asker, upstream: LocalUpstream) -> None:
        upstream.will(answer("One.", id="resp_theirs_1"))
        stateful.ask("2?", after=stateful.ask("1?")["id"])
        body = upstream.questions[-1].body
        assert (body["previous_response_id"], body["store"]) == ("resp_theirs_1", True)
        assert shown(upstream) == ["2?"]

    def test_one_that_has_forgotten_is_told_everything(self, stateful: Asker, upstream: LocalUpstream) -> None:
        upstream.will(answer("One."), error(400, "Gone.", code="previous_response_not_found"), answer("Two."))
        second = stateful.ask("2?", after=stateful.ask("1?")["id"])
        assert shown(upstream) == ["1?", "One.", "2?"]
        assert second["status"] == "completed"


# What no provider should send, and some do.
NONSENSE = {
    "nothing": b"",
    "no json": b"<html>502</html>",
    "cut json": b'{"id":"resp_1","output":[{"type":"mess',
    "array": b"[]",
    "null": b"null",
    "empty object": b"{}",
    "output of words": b'{"status":"completed","output":["x"]}',
    "output an object": b'{"status":"completed","output":{}}',
    "nan": b'{"status":"completed","output":[{"type":"x","n":NaN}]}',
    "latin-1": '{"status":"completed","output":[{"type":"é"}]}'.encode("latin-1"),
    "deep": b'{"status":"completed","output":[{"a":' + b"[" * 5000 + b"]" * 5000 + b"}]}",
    "deeper": b'{"status":"completed","output":[],"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}
# Odd, but an answer all the same.
ODD = {
    "status a list": {"status": ["completed"]},
    "status an object": {"status": {}},
    "status unknown": {"status": "done"},
    "usage a word": {"usage": "many"},
    "usage huge": {"usage": {"input_tokens": 2**80, "output_tokens": -5}},
    "model a number": {"model": 5},
    "model endless": {"model": "m" * 5000},
    "model with NUL": {"model": "m\0m", "id": "r\0r"},
    "id a list": {"id": [1]},
    "id half a pair": {"id": "\ud800"},
    "reason with NUL": {"status": "incomplete", "incomplete_details": {"reason": "x\0y"}},
    "reason half a pair": {"status": "incomplete", "incomplete_details": {"reason": "\ud800"}},
    "error half a pair": {"status": "incomplete", "error": {"code": "\ud800", "message": "\0\ud800"}},
    "text half a pair": {"output": [message("\ud800\0")]},
    "members of ours": {"metadata": 5, "object": 7, "created_at": "x", "store": None, "text": 5, "tools": 5},
    "nulls": dict.fromkeys(["usage", "error", "temperature", "parallel_tool_calls", "reasoning", "truncation"]),
    "deep": {"x": json.loads("[" * 300 + "]" * 300)},
    "big numbers": {"x": 10**400, "y": 1e300},
    "odd items": {
        "output": [
            {},
            {"type": None},
            {"type": 5, "id": 7},
            {"type": "message", "content": ["x", None, 5]},
            {"type": "message", "content": None, "role": "r" * 300},
            {"type": "reasoning", "summary": None},
            {"type": "function_call", "call_id": "c\0" * 300, "name": "\ud800" * 300, "arguments": None},
            {"type": "t" * 5000, "id": "i" * 5000},
        ]
    },
}


class TestOddUpstreams:
    """Whatever a provider says: nothing stays in progress, and nobody gets a 500."""

    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(turn, "PATIENCE_S", 0.0)

    @pytest.mark.parametrize("name", NONSENSE)
    def test_nonsense_is_an_error_of_the_upstream_and_recorded(
        self, acme: Asker, upstream: LocalUpstream, name: str
    ) -> None:
        for streamed in (False, True):
            upstream.will(whole(NONSENSE[name]))
            with pytest.raises(UpstreamError):
                acme.create(stream=streamed)
        assert acme.statuses() == ["failed", "failed"]

    @pytest.mark.parametrize("name", ODD)
    def test_an_odd_answer_is_an_answer(self, acme: Asker, upstream: LocalUpstream, name: str) -> None:
        body = json.dumps({**response(message("Hi")), **ODD[name]}).encode()
        upstream.will(whole(body))
        given = acme.ask()
        assert json.loads(responses.get(acme.deps, acme.principal, given["id"])) == given
        assert b"".join(responses.stream(acme.deps, acme.principal, given["id"]))
        page = responses.Page(limit=100)
        assert responses.input_items(acme.deps, acme.principal, given["id"], page).items
        asked = count_request(json.dumps({"previous_response_id": given["id"]}).encode())
        assert tokens.count(acme.deps, acme.principal, asked).tokens > 0
        upstream.will(answer("Fine."))
        if name != "odd items":  # they end with an open call
            acme.ask(after=given["id"])
        assert "in_progress" not in acme.statuses()

    @pytest.mark.parametrize("name", ODD)
    def test_so_is_an_odd_last_event(self, acme: Asker, upstream: LocalUpstream, name: str) -> None:
        body = {**response(message("Hi")), **ODD[name]}
        kind = "response.incomplete" if body["status"] == "incomplete" else "response.completed"
        last = {"type": kind, "response": body}
        upstream.will(stream([b"data: " + json.dumps(last).encode() + b"\n\n"]))
        events = acme.stream()
        assert [event["type"] for event in events][-1] in ("response.completed", "response.incomplete")
        assert "in_progress" not in acme.statuses()

    @pytest.mark.parametrize(
        "event",
        [
            b"data: {",
            b"data: []",
            b'data: {"type":5}',
            b'data: {"type":"response.\\ud800"}',
            b'data: {"type":"a\\nb"}',
            b'data: {"type":"response.output_item.added","output_index":0,'
            b'"item":{"type":"message","content":["x"]}}\n\n'
            b'data: {"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"x"}',
            b'data: {"type":"response.output_item.added","output_index":"x","item":5}',
            b'data: {"type":"response.output_item.done","output_index":0,"item":{"type":["x"]}}',
            b'data: {"type":"response.completed","response":{"output":["x"]}}',
            b'data: {"type":"response.completed","response":{"output":5}}',
            b'data: {"type":"response.completed","response":[]}',
            b'data: {"type":"response.failed","response":{"error":"No."}}',
            b'data: {"type":"error","error":{"code":["x"],"message":{}}}',
            b'data: {"type":"error","code":"\\ud800","message":"\\ud800\\u0000"}',
            b"data: \xff",
        ],
    )
    @pytest.mark.parametrize("begun", [False, True], ids=["first", "later"])
    def test_no_event_leaves_anything_in_progress(
        self, acme: Asker, upstream: LocalUpstream, event: bytes, begun: bool
    ) -> None:
        before = stream_of(response(message("Hi")))[:5] if begun else []
        upstream.will(stream([*before, event + b"\n\n"]))
        try:
            events = acme.stream()
        except UpstreamError:
            events = []
        assert "in_progress" not in acme.statuses()
        if begun:
            assert events[-1]["type"] in (
                "error",
                "response.completed",
                "response.failed",
                "response.incomplete",
            )
        assert streaming.wait(5)

    @pytest.mark.parametrize("delta", [b'"delta":"\xff"}', b'"delta":"a"b"}', b'"delta":"\n"}', b'"delta":"'])
    def test_nor_does_a_broken_delta_among_good_ones(self, acme: Asker, upstream: LocalUpstream, delta: bytes) -> None:
        blocks = stream_of(response(message("Hello")), deltas=5)
        broken = blocks[7][: blocks[7].index(b'"delta"')] + delta + b"\n\n"
        upstream.will(stream([*blocks[:7], broken], cut_after=8))
        events = acme.stream()
        assert events[-1]["type"] == "error"
        assert acme.statuses() == ["incomplete"]
        given = json.loads(responses.get(acme.deps, acme.principal, events[0]["response"]["id"]))
        assert given["output"][0]["content"][0]["text"].startswith("Hel")

    @pytest.mark.parametrize("heard", [True, False], ids=["heard", "unheard"])
    @pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
    def test_nor_does_a_mistake_of_our_own(
        self, acme: Asker, monkeypatch: pytest.MonkeyPatch, streamed: bool, heard: bool
    ) -> None:
        """Only dead processes are swept: what a living one leaves open stays open until it ends.

        heard: whether the stream that its logs go to is open.
        """

        def mistaken(*_: Any) -> None:
            raise RuntimeError("a mistake")

        events: list[dict[str, Any]] = []
        stderr = io.StringIO()
        with monkeypatch.context() as patched:
            patched.setattr(usage, "normalise", mistaken)
            patched.setattr(sys, "stderr", stderr)
            logs.configure("info", "json")
            if not heard:
                stderr.close()
            with suppress(Exception):
                events = acme.stream() if streamed else [acme.ask()]
        assert acme.statuses() in (["failed"], ["incomplete"])
        assert [event["type"] for event in events][-1:] == (["error"] if streamed else [])


class TestWritten:
    def test_every_output_item_has_an_id_of_ours(self, acme: Asker, upstream: LocalUpstream) -> None:
        upstream.will(answer(reasoning(), "Hi", function_call()))
        given = acme.ask([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}])
        assert [ids.item_home(item["id"]) for item in given["output"]] == [(given["id"], n) for n in (2, 3, 4)]

    def test_an_item_without_members_is_written_too(self, acme: Asker) -> None:
        row = acme.stored(acme.ask()["id"])
        body = json.loads(relay.written(row, [Item("x", b"{}")]).body)
        assert set(body["output"][0]) == {"id"}


def _last(acme: Asker) -> str:
    """The id of the last exchange of a project."""
    mark = "?" if acme.deps.database.is_sqlite else "%s"
    query = f"SELECT max(id) FROM exchanges WHERE project_id = {mark}"
    if not acme.deps.database.is_sqlite:
        query = "SELECT id FROM exchanges WHERE project_id = %s ORDER BY id DESC LIMIT 1"
    with acme.deps.database.connection() as connection:
        found = connection.exec_driver_sql(query, (ids.pack(ids.PROJECT, acme.principal.project_id),)).scalar_one()
    return ids.unpack(ids.EXCHANGE, bytes(found))
