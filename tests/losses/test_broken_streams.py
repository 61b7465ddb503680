"""Streams that break off, stall, or say what no stream says: what had arrived is kept, and told to its end.

Whatever the upstream does, its client gets a valid stream with one terminal event, or, when nothing has been sent
yet, a plain error.
"""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from convstore.storage.database import Database
from tests.conftest import Client
from tests.local_upstream import (
    LocalUpstream,
    function_call,
    message,
    reasoning,
    response,
    stream,
    stream_of,
    whole,
)
from tests.losses import evidence
from tests.losses.evidence import error_body, error_event, latest, record, stream_events
from tests.losses.providers import head, says, sends, stalls, trickles

pytestmark = pytest.mark.usefixtures("nothing_left")

TEXT = "Grüße, 世界 🌍!"
WHOLE = response(message(TEXT))
# created, in_progress, item added, part added, three deltas, text done, part done, item done, completed.
BLOCKS = stream_of(WHOLE, deltas=3)
# How many blocks end with the first delta; with the last; with the item.
FIRST_DELTA, LAST_DELTA, ITEM_DONE = 5, 7, 10


@pytest.fixture
def at_last() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def seen(events: list[dict[str, Any]]) -> str:
    """The text that a client has put together from the deltas."""
    return "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")


def encoded(**event: Any) -> bytes:
    """An event with neither its `event:` line nor a number."""
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def events_of(blocks: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(block.partition(b"data: ")[2]) for block in blocks]


def without(name: str) -> list[bytes]:
    """The stream with a member left out of every event."""
    return [encoded(**{key: value for key, value in event.items() if key != name}) for event in events_of(BLOCKS)]


class TestTheScript:
    def test_it_is_the_stream_that_is_cut_below(self) -> None:
        kinds = [event["type"].removeprefix("response.") for event in events_of(BLOCKS)]
        assert len(kinds) == 11
        assert kinds[FIRST_DELTA - 1] == kinds[LAST_DELTA - 1] == "output_text.delta"
        assert kinds[ITEM_DONE - 1] == "output_item.done"


class TestCut:
    @pytest.mark.parametrize("ends", ["cut", "reset", "end"])
    @pytest.mark.parametrize("number", range(len(BLOCKS)))
    def test_after_so_many_events(
        self, alice: Client, upstream: LocalUpstream, database: Database, number: int, ends: str
    ) -> None:
        upstream.will(sends(*BLOCKS[:number], ends=ends))
        answered = alice.create(stream=True)
        if number == 0:
            is_a_plain_error(answered, database, "upstream_stream_cut")
            return
        events = stream_events(answered.data)
        assert error_event(events)["code"] == "upstream_stream_cut"
        # What was sent came through: all of it, and nothing else.
        assert len(events) == max(2, number) + 1
        recorded = is_what_had_arrived(alice, database, events)
        assert recorded.text == seen(events)
        assert len(recorded.output) == (1 if number > 2 else 0)
        assert [item["status"] for item in recorded.output] == (
            [] if number < 3 else ["incomplete" if number < ITEM_DONE else "completed"]
        )

    @pytest.mark.parametrize("place", ["name", "data", "number", "half of a character", "whole data", "one line end"])
    @pytest.mark.parametrize("number", [0, FIRST_DELTA])
    def test_inside_an_event(
        self, alice: Client, upstream: LocalUpstream, database: Database, number: int, place: str
    ) -> None:
        block = BLOCKS[number]
        # The world is of three bytes a character, and stands in the middle of the delta and of the last event.
        halves = block.find("世".encode()) + 1 or len(block) // 2
        length = {
            "name": 8,
            "data": block.index(b"data: ") + 3,
            "number": block.index(b'"sequence_number":') + 18,
            "half of a character": halves,
            "whole data": len(block) - 3,
            "one line end": len(block) - 1,
        }[place]
        upstream.will(sends(*BLOCKS[:number], block[:length], ends="cut"))
        answered = alice.create(stream=True)
        if number == 0:
            is_a_plain_error(answered, database, "upstream_stream_cut")
            return
        events = stream_events(answered.data)
        assert error_event(events)["code"] == "upstream_stream_cut"
        recorded = is_what_had_arrived(alice, database, events)
        assert TEXT.startswith(recorded.text)

    def test_between_two_network_packets_wherever_they_part(
        self, alice: Client, upstream: LocalUpstream, database: Database
    ) -> None:
        data = b"".join(BLOCKS[:LAST_DELTA])
        for at in range(0, len(data), 97):
            upstream.will(sends(data[:at] or b"\n", data[at:], ends="cut"))
            events = stream_events(alice.create(stream=True).data)
            assert seen(events) == TEXT
            assert is_what_had_arrived(alice, database, events).text == TEXT

    def test_in_one_piece_with_what_came_before(
        self, alice: Client, upstream: LocalUpstream, database: Database
    ) -> None:
        upstream.will(sends(b"".join(BLOCKS[:LAST_DELTA]) + BLOCKS[LAST_DELTA][:20], ends="cut"))
        events = stream_events(alice.create(stream=True).data)
        assert seen(events) == TEXT
        assert is_what_had_arrived(alice, database, events).text == TEXT

    def test_in_the_middle_of_a_call(self, alice: Client, upstream: LocalUpstream, database: Database) -> None:
        blocks = stream_of(response(function_call("call_7", arguments='{"x":3}')))
        upstream.will(sends(*blocks[:4], ends="cut"))
        events = stream_events(alice.create(stream=True).data)
        (item,) = is_what_had_arrived(alice, database, events).output
        assert (item["type"], item["call_id"], item["status"]) == ("function_call", "call_7", "incomplete")
        assert item["arguments"] == '{"x":3}'

    def test_after_reasoning(self, alice: Client, upstream: LocalUpstream, database: Database) -> None:
        blocks = stream_of(response(reasoning("Well."), message("Yes.")))
        added = [number for number, event in enumerate(events_of(blocks)) if event["type"].endswith("item.added")]
        upstream.will(sends(*blocks[: added[1] + 1], ends="cut"))
        events = stream_events(alice.create(stream=True).data)
        first, second = is_what_had_arrived(alice, database, events).output
        assert (first["type"], first["encrypted_content"]) == ("reasoning", "gAAAA-sealed")
        assert (second["type"], second["content"]) == ("message", [])

    def test_a_long_stream_keeps_all_of_it(self, alice: Client, upstream: LocalUpstream, database: Database) -> None:
        words = "".join(f"word {number} " for number in range(2000))
        blocks = stream_of(response(message(words)), deltas=1500)
        upstream.will(sends(*[b"".join(blocks[at : at + 50]) for at in range(0, 1500, 50)], ends="cut"))
        events = stream_events(alice.create(stream=True).data)
        assert len(events) == 1501
        recorded = is_what_had_arrived(alice, database, events)
        assert len(recorded.text) > 10_000
        assert words.startswith(recorded.text)
        assert recorded.text == seen(events)

    def test_what_was_known_of_the_upstreams_answer_is_recorded(
        self, alice: Client, upstream: LocalUpstream, database: Database
    ) -> None:
        upstream.will(sends(*BLOCKS[:FIRST_DELTA], ends="cut"))
        assert alice.create(stream=True).data
        exchange = latest(database).exchange
        assert (exchange.upstream, exchange.upstream_response_id) == ("local", "resp_upstream_1")
        assert exchange.model == "gpt-5.4-2026-03-05"

    def test_the_attempt_that_broke_is_recorded(
        self, alice: Client, upstream: LocalUpstream, database: Database
    ) -> None:
        upstream.will(sends(*BLOCKS[:FIRST_DELTA], ends="cut"))
        assert alice.create(stream=True).data
        assert latest(database).attempts == [{"upstream": "local", "status": 200, "error": "upstream_stream_cut"}]

    def test_it_is_not_asked_for_again(self, alice: Client, upstream: LocalUpstream) -> None:
        for number in (0, 3):
            upstream.will(sends(*BLOCKS[:number], ends="cut"))
            assert alice.create(model="persistent", stream=True).data
        assert len(upstream.questions) == 2

    def test_the_thread_goes_on_from_what_had_arrived(
        self, alice: Client, upstream: LocalUpstream, database: Database
    ) -> None:
        upstream.will(sends(*BLOCKS[:LAST_DELTA], ends="cut"))
        assert alice.create("Greet.", stream=True).data
        alice.ask("Again?", after=latest(database).exchange.id)
        shown = [item["content"][0]["text"] for item in upstream.questions[-1].body["input"]]
        assert shown == ["Greet.", TEXT, "Again?"]


class TestStalled:
    def test_a_stream_that_falls_silent_is_given_up(
        self, alice: Client, upstream: LocalUpstream, database: Database, at_last: threading.Event
    ) -> None:
        begun = head("Transfer-Encoding: chunked", kind="text/event-stream")
        data = b"".join(BLOCKS[:LAST_DELTA])
        upstream.will(stalls(begun + b"%x\r\n%b\r\n" % (len(data), data), at_last))
        events = stream_events(alice.create(model="hasty", stream=True).data)
        assert error_event(events)["code"] == "upstream_timeout"
        assert is_what_had_arrived(alice, database, events).text == TEXT

    @pytest.mark.parametrize("then", [b": keep-alive\n\n", BLOCKS[4]], ids=["comments", "events"])
    def test_one_that_never_ends_is_given_up_after_the_total_time(
        self, alice: Client, upstream: LocalUpstream, database: Database, then: bytes
    ) -> None:
        begun = head("Connection: close", kind="text/event-stream")
        upstream.will(trickles(begun + b"".join(BLOCKS[:FIRST_DELTA]), then, every_s=0.05))
        events = stream_events(alice.create(model="hasty", stream=True).data)
        assert error_event(events)["code"] == "upstream_timeout"
        assert is_what_had_arrived(alice, database, events).text == seen(events)

    def test_one_that_never_begins_is_a_plain_error(
        self, alice: Client, upstream: LocalUpstream, database: Database
    ) -> None:
        begun = head("Connection: close", kind="text/event-stream")
        upstream.will(trickles(begun, b": keep-alive\n\n", every_s=0.05))
        is_a_plain_error(alice.create(model="hasty", stream=True), database, "upstream_timeout", 504)


MALFORMED = {
    "not JSON": b"event: response.output_text.delta\ndata: {oops\n\n",
    "no object": b"data: 5\n\n",
    "a list": b"data: []\n\n",
    "null": b"data: null\n\n",
    "no type": encoded(delta="x"),
    "a number for a type": encoded(type=5),
    "null for a type": encoded(type=None),
    "not UTF-8": b'data: {"type": "response.output_text.delta", "delta": "\xff\xfe"}\n\n',
    "nested too deeply": b'data: {"type": "response.x", "x": ' + b"[" * 100_000 + b"\n\n",
    "a NaN": b'data: {"type": "response.x", "x": NaN}\n\n',
    "no response object": b'event: x\ndata: {"type": "response.completed", "response": {"output": [5]}}\n\n',
    "a delta that begins well": BLOCKS[5].rstrip(b"\n}") + b"\n\n",
    "a delta with more behind it": BLOCKS[5].rstrip(b"\n") + b" and more}\n\n",
    "a delta whose text is no string": BLOCKS[5].replace(b'"delta":', b'"delta":bare words, "x":'),
    "half a delta on two lines": BLOCKS[5].replace(b'"delta"', b'\ndata: "del\ndata: ta"'),
    "a delta with a bare control character": BLOCKS[5].replace(b'"delta":"', b'"delta":"\x01\x02'),
    "a delta that is not UTF-8": BLOCKS[5].replace(b'"delta":"', b'"delta":"\xff\xfe'),
}


class TestMalformed:
    @pytest.mark.parametrize("together", [False, True], ids=["apart", "in one piece"])
    @pytest.mark.parametrize("block", MALFORMED.values(), ids=MALFORMED.keys())
    def test_an_event_that_is_none_ends_the_stream(
        self, alice: Client, upstream: LocalUpstream, database: Database, block: bytes, together: bool
    ) -> None:
        chunks = [*BLOCKS[:FIRST_DELTA], block, *BLOCKS[FIRST_DELTA + 1 :]]
        upstream.will(sends(*([b"".join(chunks)] if together else chunks)))
        events = stream_events(alice.create(stream=True).data)
        assert error_event(events)["code"] == "upstream_invalid_answer"
        assert len(events) == FIRST_DELTA + 1
        assert is_what_had_arrived(alice, database, events).text == seen(events) == TEXT[: len(seen(events))]

    @pytest.mark.parametrize("block", MALFORMED.values(), ids=MALFORMED.keys())
    def test_as_the_first_it_is_a_plain_error(
        self, alice: Client, upstream: LocalUpstream, database: Database, block: bytes
    ) -> None:
        upstream.will(sends(block, *BLOCKS))
        answered = alice.create(stream=True)
        if answered.status_code == 200 and b"[[[" not in block:
            # Some of these begin like an event, and are one: the stream began with them, and broke with them.
            assert error_event(stream_events(answered.data))
            assert latest(database).status == "incomplete"
            return
        is_a_plain_error(answered, database, "upstream_invalid_answer")

    def test_a_page_of_html_is_a_plain_error(self, alice: Client, upstream: LocalUpstream, database: Database) -> None:
        page = b"<!doctype html>\n<html>\n\n<body>\n\n<h1>502 Bad Gateway</h1>\n\n</body></html>"
        upstream.will(sends(page))
        is_a_plain_error(alice.create(stream=True), database)

    def test_nothing_but_a_head_is_a_plain_error(
        self, alice: Client, upstream: LocalUpstream, database: Database
    ) -> None:
        upstream.will(sends(), says(head("Connection: close", kind="text/event-stream")))
        for _ in range(2):
            is_a_plain_error(alice.create(stream=True), database, "upstream_stream_cut")

    @pytest.mark.parametrize("said", [b"[DONE]", b": nothing\n\n", b"\n\n\n", b"data:\n\n", b"data: [DONE]\n\n"])
    def test_nothing_but_words_that_mean_nothing_is_too(
        self, alice: Client, upstream: LocalUpstream, database: Database, said: bytes
    ) -> None:
        upstream.will(sends(said))
        is_a_plain_error(alice.create(stream=True), database, "upstream_stream_cut")

    @pytest.mark.parametrize(
        "kind", ["a\nb", "a\r\nb", "a\n\ndata: {}\n\n", "\ud800", "\0", "", "x" * 10_000, " ", "\u2028"]
    )
    def test_an_event_of_any_name_leaves_the_stream_valid(
        self, alice: Client, upstream: LocalUpstream, database: Database, kind: str
    ) -> None:
        upstream.will(sends(*BLOCKS[:3], encoded(type=kind, x=1), *BLOCKS[3:]))
        events = stream_events(alice.create(stream=True).data)
        assert events[-1]["type"] in ("response.completed", "error")
        assert latest(database).status == ("completed" if events[-1]["type"] == "response.completed" else "incomplete")


class TestUnusual:
    """Streams that are written in another way, and are whole."""

    def test_an_upstream_that_counts_otherwise(self, alice: Client, upstream: LocalUpstream) -> None:
        for numbers in (
            [7] * 11,
            range(100, 111),
            range(10, -1, -1),
            range(-5, 6),
            ["x"] * 11,
            [None] * 11,
            [1.5] * 11,
        ):
            blocks = [
                encoded(**{**event, "sequence_number": number})
                for event, number in zip(events_of(BLOCKS), numbers, strict=True)
            ]
            upstream.will(sends(*blocks))
            is_whole(alice)

    def test_one_that_does_not_count(self, alice: Client, upstream: LocalUpstream) -> None:
        upstream.will(sends(*without("sequence_number")))
        is_whole(alice)

    def test_one_that_does_not_name_its_events(self, alice: Client, upstream: LocalUpstream) -> None:
        upstream.will(sends(*[b"data: " + block.partition(b"data: ")[2] for block in BLOCKS]))
        is_whole(alice)

    def test_one_whose_names_are_wrong(self, alice: Client, upstream: LocalUpstream) -> None:
        upstream.will(sends(*[b"event: message\ndata: " + block.partition(b"data: ")[2] for block in BLOCKS]))
        is_whole(alice)

    @pytest.mark.parametrize("name", ["output_index", "item_id", "content_index", "logprobs"])
    def test_one_that_leaves_out_what_it_may_think_is_clear(
        self, alice: Client, upstream: LocalUpstream, name: str
    ) -> None:
        upstream.will(sends(*without(name)))
        is_whole(alice)

    @pytest.mark.parametrize("end", [b"\r\n", b"\r"])
    @pytest.mark.parametrize("size", [1, 7, 100_000])
    def test_other_line_ends(self, alice: Client, upstream: LocalUpstream, end: bytes, size: int) -> None:
        data = b"".join(BLOCKS).replace(b"\n", end)
        upstream.will(sends(*[data[at : at + size] for at in range(0, len(data), size)]))
        is_whole(alice)

    @pytest.mark.parametrize("size", [1, 2, 3, 5])
    def test_pieces_that_part_anywhere(self, alice: Client, upstream: LocalUpstream, size: int) -> None:
        data = b"\xef\xbb\xbf" + b"".join(BLOCKS)
        upstream.will(sends(*[data[at : at + size] for at in range(0, len(data), size)]))
        is_whole(alice)

    @pytest.mark.parametrize(
        "between",
        [
            b": keep-alive\n\n",
            b":\n\n",
            b"\n\n",
            b"event: ping\n\n",
            b"id: 5\nretry: 100\n\n",
            b"data:\n\n",
            b"x\n\n",
        ],
    )
    def test_what_stands_between_events(self, alice: Client, upstream: LocalUpstream, between: bytes) -> None:
        upstream.will(sends(*[between + block for block in BLOCKS], between))
        is_whole(alice)

    def test_comments_inside_events(self, alice: Client, upstream: LocalUpstream) -> None:
        upstream.will(sends(*[b": so\n" + block.replace(b"\ndata", b"\n: it is\nid: 7\ndata") for block in BLOCKS]))
        is_whole(alice)

    def test_data_on_several_lines(self, alice: Client, upstream: LocalUpstream) -> None:
        blocks = [
            b"data: " + json.dumps(event, indent=1).replace("\n", "\ndata: ").encode() for event in events_of(BLOCKS)
        ]
        upstream.will(sends(*[block + b"\n\n" for block in blocks]))
        is_whole(alice)

    def test_the_last_empty_line_may_be_missing(self, alice: Client, upstream: LocalUpstream) -> None:
        for missing in (1, 2):
            upstream.will(sends(*BLOCKS[:-1], BLOCKS[-1][:-missing]))
            is_whole(alice)

    def test_done_at_the_end(self, alice: Client, upstream: LocalUpstream) -> None:
        upstream.will(sends(*BLOCKS, b"data: [DONE]\n\n"))
        is_whole(alice)

    @pytest.mark.parametrize("after", [BLOCKS[4], b"data: {oops\n\n", BLOCKS[-1], encoded(type="error", message="No.")])
    @pytest.mark.parametrize("together", [False, True], ids=["apart", "in one piece"])
    def test_nothing_counts_after_the_last_word(
        self, alice: Client, upstream: LocalUpstream, after: bytes, together: bool
    ) -> None:
        after = after.replace(b'"sequence_number":4', b'"sequence_number":10')
        upstream.will(sends(*([b"".join(BLOCKS) + after] if together else [*BLOCKS, after])))
        is_whole(alice)

    @pytest.mark.parametrize("ends", ["cut", "reset"])
    def test_nor_does_how_the_connection_ends(self, alice: Client, upstream: LocalUpstream, ends: str) -> None:
        upstream.will(sends(*BLOCKS, ends=ends))
        is_whole(alice)

    def test_an_end_alone_tells_everything(self, alice: Client, upstream: LocalUpstream) -> None:
        upstream.will(sends(encoded(type="response.completed", response=WHOLE)))
        is_whole(alice)

    def test_an_end_without_its_output_is_filled_from_the_events(self, alice: Client, upstream: LocalUpstream) -> None:
        thin = {key: value for key, value in WHOLE.items() if key != "output"}
        for end in ({**thin, "output": []}, thin, {**thin, "output": None}):
            upstream.will(sends(*BLOCKS[:-1], encoded(type="response.completed", response=end)))
            is_whole(alice)

    def test_even_when_nothing_was_said_to_be_done(self, alice: Client, upstream: LocalUpstream) -> None:
        thin = {key: value for key, value in WHOLE.items() if key != "output"}
        upstream.will(sends(*BLOCKS[:LAST_DELTA], encoded(type="response.completed", response={**thin, "output": []})))
        events = stream_events(alice.create(stream=True).data)
        assert events[-1]["type"] == "response.completed"
        assert texts(events[-1]["response"]) == TEXT

    def test_an_end_without_a_response_at_all(self, alice: Client, upstream: LocalUpstream) -> None:
        for end in (encoded(type="response.completed"), encoded(type="response.completed", response=None)):
            upstream.will(sends(*BLOCKS[:-1], end))
            events = stream_events(alice.create(stream=True).data)
            assert events[-1]["type"] == "response.completed"
            assert texts(events[-1]["response"]) == TEXT

    def test_deltas_alone(self, alice: Client, upstream: LocalUpstream) -> None:
        """No lifecycle, no items, no parts: nothing says what they belong to, but nothing breaks."""
        deltas = [block for block in BLOCKS if b"output_text.delta" in block]
        upstream.will(sends(*deltas, BLOCKS[-1]))
        events = stream_events(alice.create(stream=True).data)
        assert events[-1]["type"] == "response.completed"
        assert texts(events[-1]["response"]) == TEXT

    @pytest.mark.parametrize(
        "change",
        [
            {"item": None},
            {"item": []},
            {"item": {}},
            {"item": {"type": 5, "id": 5, "content": 5}},
            {"item": {"type": "message", "content": ["x"]}},
            {"output_index": -1},
            {"output_index": "0"},
            {"output_index": 10**20},
            {"output_index": True},
            {"part": 5},
            {"part": None},
            {"part": {"type": "output_text", "text": 5, "annotations": None}},
            {"content_index": -5},
            {"content_index": 99},
            {"content_index": "x"},
            {"delta": 5},
            {"delta": None},
            {"delta": {"text": "x"}},
            {"delta": "\ud83d"},
            {"delta": "\0"},
            {"text": 5},
            {"item_id": 5},
            {"item_id": None},
            {"item_id": "\ud800\0"},
            {"response": 5},
            {"response": {"id": 5, "model": [], "status": {}}},
        ],
        ids=json.dumps,
    )
    @pytest.mark.parametrize("number", [len(BLOCKS), LAST_DELTA], ids=["whole", "cut"])
    def test_wrong_types_break_nothing(
        self, alice: Client, upstream: LocalUpstream, database: Database, change: dict[str, Any], number: int
    ) -> None:
        (name,) = change
        blocks = [encoded(**{**event, **(change if name in event else {})}) for event in events_of(BLOCKS[:-1])]
        annotation = encoded(
            type="response.output_text.annotation.added", output_index=0, content_index=0, annotation={"a": 1}
        )
        upstream.will(sends(*[*blocks[:FIRST_DELTA], annotation, *blocks[FIRST_DELTA:], BLOCKS[-1]][:number]))
        events = stream_events(alice.create(stream=True).data)
        recorded = latest(database)
        if number == LAST_DELTA:
            assert error_event(events)
            assert recorded.status == "incomplete"
        else:
            assert recorded.status == ("incomplete" if events[-1]["type"] == "error" else "completed")
        again = alice.get(f"/v1/responses/{recorded.exchange.id}")
        assert again.status_code == 200
        assert alice.ask("And?", after=recorded.exchange.id)


class TestTheUpstreamsOwnErrors:
    FLAT = encoded(type="error", code="server_error", message="GPU on fire.", param=None)
    NESTED = encoded(type="error", error={"code": "server_error", "message": "GPU on fire.", "type": "x"})
    UNTYPED = encoded(error={"code": "server_error", "message": "GPU on fire."})
    FAILED = encoded(
        type="response.failed",
        response=response(status="failed", error={"code": "server_error", "message": "GPU on fire."}),
    )
    ALL = pytest.mark.parametrize("said", [FLAT, NESTED, UNTYPED, FAILED], ids=["flat", "nested", "untyped", "failed"])

    @ALL
    def test_in_the_middle_it_is_a_failed_response(
        self, alice: Client, upstream: LocalUpstream, database: Database, said: bytes
    ) -> None:
        upstream.will(sends(*BLOCKS[:LAST_DELTA], said))
        events = stream_events(alice.create(stream=True).data)
        assert events[-1]["type"] == "response.failed"
        given = events[-1]["response"]
        assert given["status"] == "failed"
        assert given["error"] == {"code": "server_error", "message": "GPU on fire."}
        assert texts(given) == TEXT
        assert alice.get(f"/v1/responses/{given['id']}").json == given
        assert latest(database).status == "failed"

    @ALL
    def test_as_the_first_word_it_is_a_plain_error(
        self, alice: Client, upstream: LocalUpstream, database: Database, said: bytes
    ) -> None:
        upstream.will(sends(said))
        answered = alice.create(stream=True)
        assert (answered.status_code, error_body(answered)["message"]) == (502, "GPU on fire.")
        assert latest(database).status == "failed"
        assert latest(database).error == {"code": "server_error", "message": "GPU on fire."}

    def test_a_pair_of_them_is_one(self, alice: Client, upstream: LocalUpstream) -> None:
        upstream.will(sends(*BLOCKS[:LAST_DELTA], self.FLAT, self.FAILED))
        events = stream_events(alice.create(stream=True).data)
        assert events[-1]["type"] == "response.failed"

    def test_what_it_had_cost_is_recorded_though_nothing_was_said(
        self, alice: Client, upstream: LocalUpstream, database: Database
    ) -> None:
        upstream.will(sends(self.FAILED))
        assert alice.create(stream=True).data
        exchange = latest(database).exchange
        assert exchange.upstream_response_id == "resp_upstream_1"
        assert exchange.usage is not None
        assert exchange.usage.total == 18

    @pytest.mark.parametrize(
        "error",
        [
            None,
            5,
            "GPU on fire.",
            [],
            {},
            {"message": 5, "code": []},
            {"message": "\ud800\0", "code": "\ud800\0"},
        ],
    )
    @pytest.mark.parametrize("number", [0, LAST_DELTA])
    def test_whatever_it_says(
        self, alice: Client, upstream: LocalUpstream, database: Database, error: Any, number: int
    ) -> None:
        for said in (
            encoded(type="response.failed", response=response(status="failed", error=error)),
            encoded(type="error", error=error),
            encoded(**{"type": "error", **(error if isinstance(error, dict) else {"message": error})}),
        ):
            upstream.will(sends(*BLOCKS[:number], said))
            answered = alice.create(stream=True)
            if number:
                assert stream_events(answered.data)[-1]["type"] == "response.failed"
            else:
                assert error_body(answered)
            assert latest(database).status == "failed"

    def test_an_incomplete_response_is_one(self, alice: Client, upstream: LocalUpstream, database: Database) -> None:
        partial = response(
            {**message("Grüße"), "status": "incomplete"},
            status="incomplete",
            incomplete_details={"reason": "max_output_tokens"},
        )
        upstream.will(sends(*BLOCKS[:LAST_DELTA], encoded(type="response.incomplete", response=partial)))
        events = stream_events(alice.create(stream=True).data)
        assert events[-1]["type"] == "response.incomplete"
        assert events[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
        assert latest(database).status == "incomplete"


class TestTheOtherForm:
    def test_a_whole_answer_to_a_streamed_request_becomes_a_stream(
        self, alice: Client, upstream: LocalUpstream
    ) -> None:
        upstream.will(whole(WHOLE))
        is_whole(alice)

    def test_with_everything_in_it(self, alice: Client, upstream: LocalUpstream) -> None:
        upstream.will(whole(response(reasoning(), message("Yes."), function_call())))
        events = stream_events(alice.create(stream=True).data)
        assert [item["type"] for item in events[-1]["response"]["output"]] == [
            "reasoning",
            "message",
            "function_call",
        ]
        added = [event["item"]["id"] for event in events if event["type"] == "response.output_item.added"]
        assert added == [item["id"] for item in events[-1]["response"]["output"]]

    def test_a_whole_answer_that_failed_halfway_keeps_its_half(
        self, alice: Client, upstream: LocalUpstream, database: Database
    ) -> None:
        said = {"code": "server_error", "message": "GPU on fire."}
        upstream.will(whole(response(message("It is"), status="failed", error=said)))
        assert alice.create(stream=True).data
        recorded = latest(database)
        assert (recorded.status, recorded.error, recorded.text) == ("failed", said, "It is")

    def test_a_streamed_answer_to_a_plain_request_becomes_whole(
        self, alice: Client, upstream: LocalUpstream, database: Database
    ) -> None:
        upstream.will(stream(BLOCKS))
        given = alice.ask()
        assert (given["status"], texts(given)) == ("completed", TEXT)
        assert alice.get(f"/v1/responses/{given['id']}").json == given

    def test_when_it_is_cut_what_had_arrived_is_kept(
        self, alice: Client, upstream: LocalUpstream, database: Database
    ) -> None:
        upstream.will(sends(*BLOCKS[:LAST_DELTA], ends="cut"))
        answered = alice.create()
        assert (answered.status_code, error_body(answered)["code"]) == (502, "upstream_stream_cut")
        assert latest(database).text == TEXT

    def test_when_it_is_malformed_too(self, alice: Client, upstream: LocalUpstream, database: Database) -> None:
        upstream.will(sends(*BLOCKS[:LAST_DELTA], MALFORMED["not JSON"]))
        answered = alice.create()
        assert (answered.status_code, error_body(answered)["code"]) == (502, "upstream_invalid_answer")
        assert latest(database).text == TEXT


def chat_chunk(finish_reason: str | None = None, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return encoded(id="chatcmpl-1", object="chat.completion.chunk", created=1, model="m-1", choices=[choice])


CHAT = [
    chat_chunk(role="assistant", content=""),
    chat_chunk(content="Grüße, "),
    chat_chunk(content="世界"),
    chat_chunk("stop"),
    encoded(id="chatcmpl-1", choices=[], usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}),
    b"data: [DONE]\n\n",
]


class TestChat:
    def test_the_script_is_whole(self, alice: Client, upstream: LocalUpstream) -> None:
        upstream.will(sends(*CHAT))
        events = stream_events(alice.create(model="chat", stream=True).data)
        assert (events[-1]["type"], seen(events)) == ("response.completed", "Grüße, 世界")
        assert events[-1]["response"]["usage"]["total_tokens"] == 5

    @pytest.mark.parametrize("ends", ["cut", "reset", "end"])
    @pytest.mark.parametrize("number", range(4))
    def test_cut_before_it_said_why_it_ended(
        self, alice: Client, upstream: LocalUpstream, database: Database, number: int, ends: str
    ) -> None:
        upstream.will(sends(*CHAT[:number], ends=ends))
        answered = alice.create(model="chat", stream=True)
        if number == 0:
            is_a_plain_error(answered, database, "upstream_stream_cut")
            return
        events = stream_events(answered.data)
        assert error_event(events)["code"] == "upstream_stream_cut"
        recorded = is_what_had_arrived(alice, database, events)
        assert recorded.text == seen(events) == ["", "", "Grüße, ", "Grüße, 世界"][number]

    @pytest.mark.parametrize("number", [4, 5])
    def test_an_end_that_was_said_is_one_though_done_is_missing(
        self, alice: Client, upstream: LocalUpstream, number: int
    ) -> None:
        upstream.will(sends(*CHAT[:number]))
        events = stream_events(alice.create(model="chat", stream=True).data)
        assert (events[-1]["type"], seen(events)) == ("response.completed", "Grüße, 世界")

    @pytest.mark.parametrize(
        "said",
        [
            encoded(error={"message": "GPU on fire.", "code": 500}),
            encoded(error="GPU on fire."),
            encoded(object="error", message="GPU on fire.", code=500),
        ],
        ids=["object", "string", "vLLM"],
    )
    @pytest.mark.parametrize("number", [0, 3])
    def test_an_error_instead_of_a_chunk(
        self, alice: Client, upstream: LocalUpstream, database: Database, said: bytes, number: int
    ) -> None:
        upstream.will(sends(*CHAT[:number], said))
        answered = alice.create(model="chat", stream=True)
        if number == 0:
            assert (answered.status_code, error_body(answered)["message"]) == (502, "GPU on fire.")
        else:
            events = stream_events(answered.data)
            assert events[-1]["type"] == "response.failed"
            assert events[-1]["response"]["error"]["message"] == "GPU on fire."
        recorded = latest(database)
        assert (recorded.status, recorded.error["message"]) == ("failed", "GPU on fire.")
        assert recorded.text == ("Grüße, 世界" if number else "")

    @pytest.mark.parametrize(
        "said",
        [
            b"data: {oops\n\n",
            b"data: []\n\n",
            encoded(choices=5),
            encoded(choices=[5]),
            encoded(choices=[{"delta": 5}]),
            encoded(choices=[{"delta": {"content": 5}}]),
            encoded(choices=[{"delta": {"tool_calls": 5}}]),
            encoded(choices=[{"delta": {"tool_calls": [{"function": 5}]}}]),
        ],
    )
    @pytest.mark.parametrize("together", [False, True], ids=["apart", "in one piece"])
    def test_a_chunk_that_is_none(
        self, alice: Client, upstream: LocalUpstream, database: Database, said: bytes, together: bool
    ) -> None:
        chunks = [*CHAT[:3], said, *CHAT[3:]]
        upstream.will(sends(*([b"".join(chunks)] if together else chunks)))
        events = stream_events(alice.create(model="chat", stream=True).data)
        assert error_event(events)["code"] == "upstream_invalid_answer"
        assert is_what_had_arrived(alice, database, events).text == seen(events) == "Grüße, 世界"

    @pytest.mark.parametrize("member", ["model", "id", "usage", "service_tier", "created"])
    @pytest.mark.parametrize("value", [5, [], {}, "\ud800\0"], ids=json.dumps)
    def test_wrong_types_beside_the_choices_break_nothing(
        self, alice: Client, upstream: LocalUpstream, member: str, value: Any
    ) -> None:
        changed = [encoded(**{**json.loads(chunk.removeprefix(b"data: ")), member: value}) for chunk in CHAT[:-1]]
        upstream.will(sends(*changed, CHAT[-1]))
        events = stream_events(alice.create(model="chat", stream=True).data)
        assert (events[-1]["type"], seen(events)) == ("response.completed", "Grüße, 世界")


# -- what is true of all of them ------------------------------------------------------------------------------


def is_a_plain_error(answered: Any, database: Database, code: str | None = None, status: int = 502) -> None:
    """Nothing was sent: the client gets JSON, and the exchange failed."""
    assert answered.status_code == status
    assert code is None or error_body(answered)["code"] == code
    recorded = latest(database)
    assert (recorded.status, recorded.output) == ("failed", [])
    assert recorded.error == {"code": "server_error", "message": error_body(answered)["message"]}


def is_what_had_arrived(alice: Client, database: Database, events: list[dict[str, Any]]) -> evidence.Record:
    """A stream that broke is on record as incomplete, with the reason, and reads like what its client saw."""
    recorded = record(database, events[0]["response"]["id"])
    assert recorded.status == "incomplete"
    assert recorded.error == {"code": "server_error", "message": events[-1]["message"]}
    stored = alice.get(f"/v1/responses/{recorded.exchange.id}").json
    assert (stored["status"], stored["error"]) == ("incomplete", recorded.error)
    assert texts(stored) == seen(events)
    announced = [event["item"]["id"] for event in events if event["type"] == "response.output_item.added"]
    assert [item["id"] for item in stored["output"]] == announced
    return recorded


def is_whole(alice: Client) -> None:
    """The stream says everything, and so does what is stored."""
    answered = alice.create(stream=True)
    assert answered.status_code == 200, answered.text
    events = stream_events(answered.data)
    assert events[-1]["type"] == "response.completed", events[-1]
    given = events[-1]["response"]
    assert texts(given) == seen(events) == TEXT
    assert given["usage"]["total_tokens"] == 18
    assert alice.get(f"/v1/responses/{given['id']}").json == given


def texts(shown: dict[str, Any]) -> str:
    """The text of a response."""
    return "".join(part["text"] for item in shown["output"] for part in item.get("content", []))
