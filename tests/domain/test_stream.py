"""A response stream on its way: numbered, under our ids, remembered, whatever the upstream left out."""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convstore import ids
from convstore.domain import events, reply, sse, stream
from convstore.domain.jsontext import NotJson
from convstore.domain.stream import KEPT, ResponseStream
from tests.domain.strategies import chunkings, quick, responses, thorough
from tests.local_upstream import blocks_of, function_call, message, reasoning, response, stream_of

EXCHANGE = ids.new(ids.EXCHANGE)
OFFSET = 3
Event = dict[str, Any]


def opened() -> ResponseStream:
    """A stream of an exchange that brought three items of its own."""
    return ResponseStream(EXCHANGE, OFFSET, lambda status: b'{"id":"ours","status":"%b"}' % status.encode())


def relayed(chunks: Iterable[bytes], passing: ResponseStream | None = None) -> list[Event]:
    """What the client gets of an upstream's bytes, its terminal event included if there is one."""
    passing = passing or opened()
    splitter = sse.Splitter()
    sent = b"".join(passing.feed(splitter.feed(chunk)) for chunk in chunks)
    if splitter.rest:
        sent += passing.feed([splitter.rest])
    if passing.reply is not None:
        sent += passing.finish(b'{"id":"ours"}', passing.reply.status)
    return list(blocks_of(sent))


def told(body: Event) -> list[Event]:
    return list(events.of_response(body))


def ours(body: Event) -> list[Event]:
    """The events of the same response under our ids: what the client ought to get."""
    shown = [
        {**item, "id": ids.item(item["type"], EXCHANGE, OFFSET + index)} for index, item in enumerate(body["output"])
    ]
    return told({**body, "output": shown})[2:-1]


def thin(event: Event) -> Event:
    """The event without its number, as some gateways send it."""
    return {name: value for name, value in event.items() if name != "sequence_number"}


def bare(event: Event) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def backwards(event: Event) -> Event:
    return dict(reversed(event.items()))


# One stream, as different servers write it.
SPELLINGS: dict[str, Callable[[Event], bytes]] = {
    "OpenAI's": sse.encode,
    "without numbers": lambda event: sse.encode(thin(event)),
    "numbered from 1": lambda event: sse.encode({**event, "sequence_number": event["sequence_number"] + 1}),
    "all numbered 0": lambda event: sse.encode({**event, "sequence_number": 0}),
    "in another order": lambda event: sse.encode(backwards(event)),
    "sorted": lambda event: sse.encode(dict(sorted(event.items()))),
    "with spaces": lambda event: b"event: " + event["type"].encode() + b"\n" + bare(event),
    "without event lines": bare,
    "data first": lambda event: bare(event)[:-1] + b"event: " + event["type"].encode() + b"\n\n",
    "with ids and comments": lambda event: b": x\nid: 1\n" + sse.encode(event),
    "with CRLF": lambda event: sse.encode(event).replace(b"\n", b"\r\n"),
    "over several lines": lambda event: (
        "".join(f"data: {line}\n" for line in json.dumps(event, indent=1, ensure_ascii=False).split("\n")).encode()
        + b"\n"
    ),
}


class TestFeed:
    def test_the_client_gets_the_stream_of_the_api(self) -> None:
        body = response(reasoning(), message("Hi"), function_call())
        got = relayed([b"".join(stream_of(body))])
        assert [event["type"] for event in got] == [event["type"] for event in told(body)]

    @given(responses().filter(lambda body: body["status"] != "failed"), st.sampled_from(sorted(SPELLINGS)))
    @thorough
    def test_however_an_upstream_writes_it_the_client_gets_the_same(self, body: Event, spelling: str) -> None:
        """The fast way (bytes) and the slow one (read and written again) agree."""
        got = relayed(map(SPELLINGS[spelling], told(body)))
        assert [thin(event) for event in got[2:-1]] == [thin(event) for event in ours(body)]

    @given(responses(), st.sampled_from(sorted(SPELLINGS)), st.data())
    @thorough
    def test_however_the_network_cuts_it_the_client_gets_the_same(
        self, body: Event, spelling: str, data: st.DataObject
    ) -> None:
        whole = b"".join(map(SPELLINGS[spelling], told(body)))
        assert relayed(data.draw(chunkings(whole))) == relayed([whole])

    @given(responses(), st.sampled_from(sorted(SPELLINGS)))
    @thorough
    def test_numbers_rise_by_one_from_zero(self, body: Event, spelling: str) -> None:
        got = relayed([b"".join(map(SPELLINGS[spelling], told(body)))])
        assert [event["sequence_number"] for event in got] == list(range(len(got)))

    @given(responses(), st.sampled_from(sorted(SPELLINGS)))
    @thorough
    def test_no_id_of_the_upstream_reaches_the_client(self, body: Event, spelling: str) -> None:
        got = relayed([b"".join(map(SPELLINGS[spelling], told(body)))])
        known = {index: ids.item(item["type"], EXCHANGE, OFFSET + index) for index, item in enumerate(body["output"])}
        for event in got[2:-1]:
            shown = event["item"]["id"] if "item" in event else event["item_id"]
            assert shown == known[event["output_index"]]

    def test_a_delta_passes_as_the_bytes_it_is(self) -> None:
        passing = opened()
        first = stream_of(response(message("Hi", "msg_up")))[:4]
        passing.feed([block.rstrip(b"\n") for block in first])
        odd = (
            b"event: response.output_text.delta\n"
            b'data: {"type":"response.output_text.delta","sequence_number":4,'
            b'"item_id":"msg_up","output_index":0 , "content_index":0,'
            b'"delta":"\\u00e9\\/ \\"item_id\\":\\"msg_up\\"",'
            b'"logprobs":[],"x" : 1.50}'
        )
        mine = ids.item("message", EXCHANGE, OFFSET).encode()
        assert passing.feed([odd]) == odd.replace(b'"item_id":"msg_up"', b'"item_id":"' + mine + b'"') + b"\n\n"

    def test_so_does_a_run_of_them(self) -> None:
        passing = opened()
        blocks = [block.rstrip(b"\n") for block in stream_of(response(message("abcdef", "msg_up")), deltas=6)]
        passing.feed(blocks[:4])
        odd = [block[:-1] + b' , "x" : 1.50 }' for block in blocks[4:10]]
        mine = ids.item("message", EXCHANGE, OFFSET).encode()
        assert passing.feed(odd) == b"".join(block.replace(b"msg_up", mine) + b"\n\n" for block in odd)

    def test_a_long_run_of_deltas_is_numbered_and_kept(self) -> None:
        text = "abcdefghij" * KEPT
        passing = opened()
        got = relayed([b"".join(stream_of(response(message(text)), deltas=3 * KEPT))], passing)
        assert len(got) > 3 * KEPT
        assert [event["sequence_number"] for event in got] == list(range(len(got)))
        assert "".join(event["delta"] for event in got if event["type"].endswith("text.delta")) == text
        assert json.loads(passing.partial()[0].body)["content"][0]["text"] == text

    def test_a_gap_in_the_upstreams_numbers_is_closed(self) -> None:
        blocks = told(response(message("Hi")))
        got = relayed([sse.encode({**event, "sequence_number": 3 * event["sequence_number"]}) for event in blocks])
        assert [event["sequence_number"] for event in got] == list(range(len(got)))

    def test_the_first_two_events_are_ours(self) -> None:
        first, second = relayed(stream_of(response(message("Hi"))))[:2]
        begun = {"id": "ours", "status": "in_progress"}
        assert first == {"type": "response.created", "sequence_number": 0, "response": begun}
        assert second == {"type": "response.in_progress", "sequence_number": 1, "response": begun}

    @pytest.mark.parametrize("skipped", [(0,), (1,), (0, 1)])
    def test_they_are_sent_whether_the_upstream_sends_its_own_or_not(self, skipped: tuple[int, ...]) -> None:
        body = response(message("Hi"))
        blocks = [block for number, block in enumerate(stream_of(body)) if number not in skipped]
        assert relayed(blocks) == relayed(stream_of(body))

    def test_queued_is_no_news_for_a_client_that_waits(self) -> None:
        queued = sse.encode({"type": "response.queued", "sequence_number": 1, "response": {}})
        blocks = stream_of(response(message("Hi")))
        assert relayed([blocks[0], queued, *blocks[1:]]) == relayed(blocks)

    def test_done_and_comments_are_nothing(self) -> None:
        blocks = stream_of(response(message("Hi")))
        noisy = [each for block in blocks for each in (b": keepalive\n\n", block)]
        assert relayed([*noisy, b"data: [DONE]\n\n"]) == relayed(blocks)

    def test_an_event_unknown_here_passes(self) -> None:
        strange = {
            "type": "response.shell_call_command.delta",
            "output_index": 0,
            "command_index": 0,
            "delta": "l",
        }
        blocks = stream_of(response(message("Hi")))
        got = relayed([*blocks[:4], sse.encode(strange), *blocks[4:]])
        assert got[4] == {**strange, "sequence_number": 4}
        assert len(got) == len(blocks) + 1

    def test_nothing_passes_after_the_last_word(self) -> None:
        blocks = stream_of(response(message("Hi")))
        assert relayed([*blocks, *blocks]) == relayed(blocks)

    @pytest.mark.parametrize(
        "garbage",
        [
            b"data: {",
            b"data: x",
            b"data: []",
            b"data: {}",
            b'data: {"type":7}',
            b'data: {"type":"a"',
            b"data: \xff",
            b"data: 1",
        ],
    )
    def test_what_is_no_event_is_refused(self, garbage: bytes) -> None:
        with pytest.raises(NotJson):
            opened().feed([garbage])


class TestThinUpstreams:
    """The gateway of the first users sends seven fields and no more."""

    def test_parts_get_what_clients_read(self) -> None:
        item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}
        got = relayed([sse.encode(thin(event)) for event in told(response(item))])
        by_type = {event["type"]: event for event in got}
        assert by_type["response.content_part.added"]["part"]["annotations"] == []
        assert by_type["response.content_part.done"]["part"]["annotations"] == []
        done = by_type["response.output_item.done"]["item"]
        assert (done["status"], done["content"][0]["annotations"]) == ("completed", [])
        assert done["id"] == ids.item("message", EXCHANGE, OFFSET)

    def test_a_delta_without_an_id_belongs_to_its_place(self) -> None:
        got = relayed(
            [sse.encode({k: v for k, v in event.items() if k != "item_id"}) for event in told(response(message("x")))]
        )
        assert [event["type"] for event in got] == [event["type"] for event in told(response(message("x")))]

    @pytest.mark.parametrize("strange", ["", "another", 7, None, "x" * 300, 'a"b', "\ud800"])
    def test_an_id_nobody_announced_belongs_to_its_place(self, strange: Any) -> None:
        got = relayed(
            [sse.encode({**e, "item_id": strange} if "item_id" in e else e) for e in told(response(message("x")))]
        )
        mine = ids.item("message", EXCHANGE, OFFSET)
        assert {event["item_id"] for event in got if "item_id" in event} == {mine}

    def test_items_may_all_have_the_same_id(self) -> None:
        body = response(message("One", "same"), message("Two", "same"))
        got = relayed(stream_of(body))
        shown = [event["item_id"] for event in got if event["type"] == "response.output_text.delta"]
        assert shown == [ids.item("message", EXCHANGE, OFFSET), ids.item("message", EXCHANGE, OFFSET + 1)]

    def test_items_that_only_the_last_event_tells_of_are_told(self) -> None:
        body = response(reasoning(), message("Hi"), function_call())
        last = sse.encode(thin(told(body)[-1]))
        got = relayed([last])
        assert [event["type"] for event in got] == [event["type"] for event in told(body)]
        assert [thin(event) for event in got[2:-1]] == [thin(event) for event in ours(body)]

    def test_those_it_had_told_of_are_not_told_twice(self) -> None:
        body = response(message("One", "up_0"), function_call())
        first = [event for event in told(body) if event.get("output_index") != 1]
        got = relayed(map(sse.encode, first))
        assert [event["type"] for event in got].count("response.output_item.added") == 2
        assert [thin(event) for event in got[2:-1]] == [thin(event) for event in ours(body)]

    def test_a_plain_answer_becomes_the_stream_it_would_have_been(self) -> None:
        body = response(reasoning(), message("Hi"), function_call())
        passing = opened()
        sent = stream.of_response(passing, reply.of_text(json.dumps(body))) + passing.finish(b"{}", "completed")
        got = list(blocks_of(sent))
        assert [event["type"] for event in got] == [event["type"] for event in told(body)]
        assert [thin(event) for event in got[2:-1]] == [thin(event) for event in ours(body)]


class TestReply:
    @given(responses(), st.sampled_from(sorted(SPELLINGS)))
    @thorough
    def test_it_is_what_the_upstream_said_last(self, body: Event, spelling: str) -> None:
        passing = opened()
        relayed(map(SPELLINGS[spelling], told(body)), passing)
        assert passing.reply is not None
        assert passing.reply.status == body["status"]
        assert passing.reply.upstream_id == "resp_upstream_1"
        assert [json.loads(item.body) for item in passing.answer()] == [
            {name: value for name, value in item.items() if name != "id"} for item in body["output"]
        ]

    def test_items_are_stored_to_the_letter(self) -> None:
        item = b'{"type":"message", "status":"completed","role":"assistant", "content" : [ ], "x":1.50}'
        passing = opened()
        relayed([b'data: {"type":"response.completed","response":{"output":[' + item + b"]}}\n\n"], passing)
        assert [item.body for item in passing.answer()] == [item]

    def test_a_last_event_with_less_than_was_told_does_not_count(self) -> None:
        """DeepSeek-like gateways end with an empty output."""
        body = response(message("One"), function_call())
        blocks = [*told(body)[:-1], {"type": "response.completed", "response": {**body, "output": []}}]
        passing = opened()
        relayed(map(sse.encode, blocks), passing)
        assert [item.type for item in passing.answer()] == ["message", "function_call"]

    @pytest.mark.parametrize("status", ["failed", "incomplete"])
    def test_a_failure_keeps_what_had_arrived(self, status: str) -> None:
        body = response(message("One"), function_call())
        end = {
            "type": f"response.{status}",
            "response": {"status": status, "output": [], "error": {"code": "x", "message": "y"}},
        }
        passing = opened()
        relayed(map(sse.encode, [*told(body)[:5], end]), passing)
        assert passing.reply is not None
        assert passing.reply.status == status
        (item,) = passing.reply.output
        assert json.loads(item.body)["content"][0]["text"] == "One"
        assert json.loads(item.body)["status"] == "incomplete"

    @pytest.mark.parametrize(
        ("event", "expected"),
        [
            ({"type": "error", "code": "x", "message": "y", "param": None}, {"code": "x", "message": "y"}),
            ({"type": "error", "error": {"code": "x", "message": "y"}}, {"code": "x", "message": "y"}),
            ({"error": {"code": "x", "message": "y"}}, {"code": "x", "message": "y"}),
            ({"error": {"message": "y"}}, {"code": "server_error", "message": "y"}),
            ({"type": "error"}, {"code": "server_error", "message": "upstream error"}),
            (
                {"type": "response.failed", "response": {"error": {"code": "x", "message": "y"}}},
                {"code": "x", "message": "y"},
            ),
        ],
    )
    def test_an_error_before_anything_was_sent_sends_nothing(self, event: Event, expected: Event) -> None:
        passing = opened()
        assert passing.feed([b"data: " + json.dumps(event).encode()]) == b""
        assert not passing.begun
        assert passing.reply is not None
        assert (passing.reply.status, passing.reply.error) == ("failed", expected)

    @pytest.mark.parametrize("last", [{"type": "response.completed"}, {"type": "response.completed", "response": None}])
    def test_a_last_event_may_be_empty(self, last: Event) -> None:
        passing = opened()
        relayed(map(sse.encode, [*told(response(message("Hi")))[:-1], last]), passing)
        assert [item.type for item in passing.answer()] == ["message"]


class TestPartial:
    @given(responses(), st.data())
    @thorough
    def test_it_is_what_the_client_holds(self, body: Event, data: st.DataObject) -> None:
        blocks = [sse.encode(event) for event in told(body)[:-1]]
        passing = opened()
        got = relayed(blocks[: data.draw(st.integers(0, len(blocks)))], passing)
        held = stream.fold(sse.encode(event) for event in got)
        assert [json.loads(item.body) for item in passing.partial()] == [
            {name: value for name, value in item.items() if name != "id"} for item in held.output
        ]

    def test_it_can_be_asked_again_and_again(self) -> None:
        passing = opened()
        blocks = stream_of(response(message("abcdef")), deltas=6)
        grown = []
        for block in blocks[:10]:
            passing.feed([block.rstrip(b"\n")])
            grown.append(
                "".join(
                    json.loads(item.body)["content"][0]["text"]
                    for item in passing.partial()[:1]
                    if b"text" in item.body
                )
            )
        assert grown[-1] == "abcdef"
        assert all(later.startswith(earlier) for earlier, later in pairwise(grown))

    @pytest.mark.parametrize(
        "broken",
        [b'"delta":"', b'"delta":"\xff"}', b'"delta":"\n"}', b'"delta":"a"b"}', b'"delta":\ud800}', b"}"],
    )
    def test_a_broken_event_does_not_lose_what_came_before_it(self, broken: bytes) -> None:
        """One that looks like a delta at both ends passes on as bytes; what it is shows when it is folded."""
        passing = opened()
        blocks = [block.rstrip(b"\n") for block in stream_of(response(message("Hello", "msg_up")), deltas=5)]
        passing.feed(blocks[:7])
        with suppress(NotJson):
            passing.feed([blocks[7][: blocks[7].index(b'"delta"')] + broken])
        (item,) = passing.partial()
        assert json.loads(item.body)["content"][0]["text"] == "Hel"

    def test_nor_does_a_flood_of_them(self) -> None:
        passing = opened()
        blocks = [block.rstrip(b"\n") for block in stream_of(response(message("Hello", "msg_up")), deltas=5)]
        passing.feed(blocks[:7])
        for number in range(7, 7 + 2 * KEPT):
            delta = {**json.loads(sse.data_of(blocks[7])), "sequence_number": number, "delta": "BROKEN"}
            with suppress(NotJson):
                passing.feed([sse.encode(delta).rstrip(b"\n").replace(b"BROKEN", b"\xff")])
        (item,) = passing.partial()
        assert json.loads(item.body)["content"][0]["text"] == "Hel"


class TestTakeUnsaved:
    @given(responses(), st.data())
    @quick
    def test_everything_that_went_out_is_taken_once(self, body: Event, data: st.DataObject) -> None:
        """What a process that died had saved is the stream up to there."""
        passing = opened()
        whole = b"".join(map(sse.encode, told(body)[:-1]))
        taken = []
        splitter = sse.Splitter()
        for chunk in data.draw(chunkings(whole)):
            passing.feed(splitter.feed(chunk))
            taken += passing.take_unsaved()
        assert passing.take_unsaved() == []
        recovered = stream.fold(block for part in taken for block in sse.Splitter().feed(part))
        assert [json.loads(item.body) for item in passing.partial()] == [
            {name: value for name, value in item.items() if name != "id"} for item in recovered.output
        ]

    def test_nothing_is_gathered_that_nobody_takes(self) -> None:
        passing = opened()
        passing.is_followed = False
        relayed(stream_of(response(message("Hi")))[:-1], passing)
        assert passing.take_unsaved() == []
        assert [json.loads(item.body)["content"][0]["text"] for item in passing.partial()] == ["Hi"]


class TestFinish:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            ("completed", "response.completed"),
            ("incomplete", "response.incomplete"),
            ("failed", "response.failed"),
            ("cancelled", "response.incomplete"),
        ],
    )
    def test_the_last_event_holds_our_response(self, status: str, kind: str) -> None:
        passing = opened()
        passing.begin()
        (event,) = blocks_of(passing.finish(b'{"id":"ours"}', status))
        assert event == {"type": kind, "sequence_number": 2, "response": {"id": "ours"}}

    def test_a_stream_that_never_began_begins_with_it(self) -> None:
        kinds = [event["type"] for event in blocks_of(opened().finish(b"{}", "completed"))]
        assert kinds == ["response.created", "response.in_progress", "response.completed"]


class TestError:
    def test_it_is_flat_and_numbered(self) -> None:
        passing = opened()
        passing.begin()
        (event,) = blocks_of(passing.error("server_error", "It broke."))
        assert event == {
            "type": "error",
            "sequence_number": 2,
            "code": "server_error",
            "message": "It broke.",
            "param": None,
        }
