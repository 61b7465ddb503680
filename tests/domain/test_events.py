"""The stream that a finished response would have been: complete, in order, always the same."""

import json
from typing import Any

import pytest
from hypothesis import given

from convstore.domain import events
from tests.domain.strategies import outputs, quick, responses, thorough
from tests.local_upstream import function_call, message, reasoning, response

OPENS = {
    "response.output_text": "response.content_part",
    "response.refusal": "response.content_part",
    "response.reasoning_text": "response.content_part",
    "response.reasoning_summary_text": "response.reasoning_summary_part",
}


def kinds(body: dict[str, Any]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events.of_response(body)]


class TestOfResponse:
    def test_a_text_is_told_in_the_order_of_the_api(self) -> None:
        assert kinds(response(message("Hi"))) == [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed",
        ]

    def test_a_call_is_told_in_the_order_of_the_api(self) -> None:
        assert kinds(response(function_call()))[2:-1] == [
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
        ]

    def test_reasoning_is_told_part_by_part(self) -> None:
        assert kinds(response(reasoning("Hm.")))[2:-1] == [
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
        ]

    def test_annotations_are_told_one_by_one(self) -> None:
        cited = message("Hi")
        cited["content"][0]["annotations"] = [{"type": "url_citation", "url": "u"}, {"type": "file_path"}]
        told = [e for e in events.of_response(response(cited)) if e["type"].endswith("annotation.added")]
        assert [event["annotation_index"] for event in told] == [0, 1]

    @pytest.mark.parametrize(
        ("status", "last"),
        [
            ("completed", "response.completed"),
            ("incomplete", "response.incomplete"),
            ("failed", "response.failed"),
            ("cancelled", "response.incomplete"),
        ],
    )
    def test_the_last_event_says_how_it_ended(self, status: str, last: str) -> None:
        body = response(message("Hi"), status=status)
        *_, end = events.of_response(body)
        assert (end["type"], end["response"]) == (last, body)

    @given(responses())
    @quick
    def test_numbers_rise_by_one_from_zero(self, body: dict[str, Any]) -> None:
        numbers = [event["sequence_number"] for event in events.of_response(body)]
        assert numbers == list(range(len(numbers)))

    @given(responses())
    @quick
    def test_the_same_response_always_gives_the_same_bytes(self, body: dict[str, Any]) -> None:
        again = json.loads(json.dumps(body))
        assert json.dumps(list(events.of_response(body))) == json.dumps(list(events.of_response(again)))

    @given(responses())
    @quick
    def test_the_first_events_hold_nothing_yet(self, body: dict[str, Any]) -> None:
        created, in_progress, *_ = events.of_response(body)
        for event in (created, in_progress):
            begun = event["response"]
            assert (begun["status"], begun["output"], begun["usage"], begun["error"]) == (
                "in_progress",
                [],
                None,
                None,
            )
            assert begun["id"] == body["id"]

    @given(responses())
    @thorough
    def test_clients_that_accumulate_never_meet_what_was_not_announced(self, body: dict[str, Any]) -> None:
        """What the helpers of the official SDKs rely on."""
        items: set[int] = set()
        parts: set[tuple[int, str, int]] = set()
        for event in events.of_response(body):
            family, _, step = event["type"].rpartition(".")
            if "output_index" not in event:
                continue
            at = event["output_index"]
            if event["type"] == "response.output_item.added":
                assert at == len(items)
                items.add(at)
            assert at in items
            if family in OPENS.values() or family in OPENS:
                opener = OPENS.get(family, family)
                place = (at, opener, event.get("content_index", event.get("summary_index")))
                if family == opener and step == "added":
                    parts.add(place)
                assert place in parts

    @given(responses())
    @thorough
    def test_what_was_begun_is_ended_and_nothing_twice(self, body: dict[str, Any]) -> None:
        begun: list[tuple[str, Any]] = []
        ended: list[tuple[str, Any]] = []
        for event in events.of_response(body):
            family, _, step = event["type"].rpartition(".")
            place = (event.get("output_index"), event.get("content_index"), event.get("summary_index"))
            if (step == "added" and not family.endswith("annotation")) or step == "delta":
                begun.append((family, place))
            elif step == "done":
                ended.append((family, place))
        assert sorted(begun, key=repr) == sorted(ended, key=repr)
        assert len({repr(each) for each in begun}) == len(begun)

    @given(responses())
    @quick
    def test_the_response_itself_is_left_alone(self, body: dict[str, Any]) -> None:
        before = json.dumps(body)
        list(events.of_response(body))
        assert json.dumps(body) == before

    @pytest.mark.parametrize(
        "odd",
        [
            {"type": "message", "content": ["text", None, 7, {"type": "output_text"}, {"text": "x"}]},
            {"type": "message", "content": "text"},
            {"type": "message", "content": [{"type": "output_text", "text": None, "annotations": None}]},
            {"type": "reasoning", "summary": [None, "x"], "content": None},
            {"type": "function_call", "arguments": None},
            {"type": "function_call"},
            {"type": None},
            {"type": ["message"]},
            {},
        ],
    )
    def test_an_odd_item_is_told_all_the_same(self, odd: dict[str, Any]) -> None:
        told = list(events.of_response(response(odd)))
        assert told[-2] == {**told[-2], "type": "response.output_item.done", "item": odd}


class TestOfOutput:
    @given(outputs())
    @quick
    def test_it_is_the_middle_of_the_same_stream(self, output: list[dict[str, Any]]) -> None:
        whole = list(events.of_response(response(*output)))[2:-1]
        assert list(events.of_output(output)) == [
            {name: value for name, value in event.items() if name != "sequence_number"} for event in whole
        ]
