"""The fold: at any moment it holds what a client that followed the stream would hold."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convstore.domain import events
from convstore.domain.fold import Fold
from tests.domain.strategies import outputs, quick, responses, texts, thorough, values
from tests.local_upstream import function_call, message, response

EVENTS = [event["type"] for event in events.of_response(response(message("x"), function_call()))] + [
    "response.refusal.delta",
    "response.reasoning_text.done",
    "response.reasoning_summary_text.delta",
    "response.reasoning_summary_part.added",
    "response.output_text.annotation.added",
    "response.mcp_call_arguments.delta",
    "response.code_interpreter_call_code.done",
    "error",
    "invented.tomorrow",
]
MEMBERS = [
    "item",
    "part",
    "delta",
    "text",
    "refusal",
    "arguments",
    "annotation",
    "output_index",
    "content_index",
]


def folded(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    fold = Fold()
    for event in told:
        fold.add(event)
    return fold.output


def texts_of(output: list[dict[str, Any]]) -> str:
    """Everything that was said, in a row."""
    said = ""
    for item in output:
        for part in [*(item.get("summary") or []), *(item.get("content") or [])]:
            said += str(part.get("text") or part.get("refusal") or "")
        said += str(item.get("arguments") or item.get("input") or "")
    return said


class TestAdd:
    @given(responses())
    @thorough
    def test_a_whole_stream_gives_the_output_of_its_response(self, body: dict[str, Any]) -> None:
        assert folded(list(events.of_response(body))) == body["output"]

    @given(responses(), st.data())
    @thorough
    def test_what_had_arrived_of_a_stream_is_a_part_of_its_output(
        self, body: dict[str, Any], data: st.DataObject
    ) -> None:
        told = list(events.of_response(body))
        kept = folded(told[: data.draw(st.integers(0, len(told)))])
        assert len(kept) <= len(body["output"])
        for item, whole in zip(kept, body["output"], strict=False):
            assert item["type"] == whole["type"]
            assert item["id"] == whole["id"]
        # Everything before the last item had ended; of the last one there is a beginning.
        assert kept[:-1] == body["output"][: len(kept) - 1] if kept else True
        assert texts_of(body["output"]).startswith(texts_of(kept))

    @given(texts, st.lists(st.integers(0, 30), max_size=5))
    @quick
    def test_deltas_of_any_size_make_the_same_text(self, text: str, sizes: list[int]) -> None:
        fold = Fold()
        told = list(events.of_response(response(message(text))))
        for event in told[:4]:
            fold.add(event)
        cuts = sorted({min(size, len(text)) for size in sizes})
        for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
            fold.add({**told[4], "delta": text[start:end]})
        assert fold.output[0]["content"][0]["text"] == text

    def test_the_end_of_a_text_counts_more_than_its_pieces(self) -> None:
        told = list(events.of_response(response(message("whole"))))
        told[4]["delta"] = "who"
        assert folded(told[:5])[0]["content"][0]["text"] == "who"
        assert folded(told[:6])[0]["content"][0]["text"] == "whole"

    def test_unknown_events_change_nothing(self) -> None:
        told = list(events.of_response(response(message("x"))))
        strange = [
            {"type": "response.invented.delta", "output_index": 0, "delta": "y"},
            {"type": "error"},
            {},
        ]
        assert folded([each for event in told for each in (event, *strange)]) == folded(told)

    def test_a_delta_of_an_item_nobody_announced_changes_nothing(self) -> None:
        assert (
            folded([{"type": "response.output_text.delta", "output_index": 3, "content_index": 0, "delta": "x"}]) == []
        )

    def test_a_part_that_was_not_announced_is_made(self) -> None:
        told = list(events.of_response(response(message("Hi"))))
        assert texts_of(folded([told[2], told[4]])) == "Hi"

    @given(
        st.lists(
            st.builds(
                lambda kind, members: {"type": kind, **members},
                st.sampled_from(EVENTS) | values,
                st.dictionaries(
                    st.sampled_from(MEMBERS), values | st.sampled_from([{"content": ["x"]}, {"content": [7]}])
                ),
            ),
            max_size=8,
        )
    )
    @thorough
    def test_no_event_ever_breaks_it(self, told: list[dict[str, Any]]) -> None:
        """What an upstream sends is folded when the stream has broken: the worst moment to fail."""
        for item in folded(told):
            assert isinstance(item, dict)

    @pytest.mark.parametrize("parts", [["x"], [None], [7], [["x"]], "x", 7])
    def test_a_part_that_is_no_object_does_not_break_it(self, parts: Any) -> None:
        begun = {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {"type": "message", "content": parts},
        }
        place = {"output_index": 0, "content_index": 0}
        note = {"type": "response.output_text.annotation.added", **place, "annotation": {"type": "file_path"}}
        assert folded([begun, {"type": "response.output_text.delta", **place, "delta": "x"}, note])


class TestOutput:
    @given(outputs())
    @quick
    def test_an_item_that_had_not_ended_is_incomplete(self, output: list[dict[str, Any]]) -> None:
        for index, item in enumerate(output):
            begun = {
                "type": "response.output_item.added",
                "output_index": index,
                "item": {**item, "status": "in_progress"},
            }
            assert folded([begun])[0] == {**item, "status": "incomplete"}

    def test_items_stand_in_their_order_whenever_they_came(self) -> None:
        told = [
            {"type": "response.output_item.added", "output_index": index, "item": {"id": str(index)}}
            for index in (2, 0, 1)
        ]
        assert [item["id"] for item in folded(told)] == ["0", "1", "2"]

    def test_it_can_be_asked_at_any_moment(self) -> None:
        fold = Fold()
        grown = []
        for event in events.of_response(response(message("Hi"), function_call())):
            fold.add(event)
            grown.append(len(fold.output))
        assert grown == sorted(grown)
