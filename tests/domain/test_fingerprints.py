"""Fingerprints: what counts as the same thread, and what must not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convstore.domain import fingerprints
from convstore.domain.fingerprints import Thread
from convstore.domain.items import Item, of_object

TEXT = {"type": "output_text", "text": "Paris.", "annotations": [], "logprobs": []}
ANSWER = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [TEXT]}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "add", "arguments": '{"x":3}'}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "4"}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed"}


def thread(*items: Any, project: str = "proj_1", **whose: Any) -> Thread:
    return fingerprints.start(project, **whose).after([as_item(each) for each in items])


def as_item(value: Any) -> Item:
    """As it is stored: its JSON without its id."""
    value = {"role": "user", "content": value} if isinstance(value, str) else value
    body = json.dumps({name: part for name, part in value.items() if name != "id"}).encode()
    return Item(value.get("type", "message"), body, item_id=value.get("id"), role=value.get("role"))


SAME = {
    "short form": {"role": "assistant", "content": "Paris."},
    "no id": {name: value for name, value in ANSWER.items() if name != "id"},
    "another id": {**ANSWER, "id": "msg_of_somebody"},
    "another status": {**ANSWER, "status": "in_progress"},
    "no status": {name: value for name, value in ANSWER.items() if name != "status"},
    "no annotations": {**ANSWER, "content": [{"type": "output_text", "text": "Paris."}]},
    "annotations": {**ANSWER, "content": [{**TEXT, "annotations": [{"type": "url_citation"}]}]},
    "null members": {**ANSWER, "name": None, "content": [{**TEXT, "refusal": None}]},
    "a phase": {**ANSWER, "phase": "final_answer"},
    "other order": dict(reversed(ANSWER.items())),
    "no type": {"role": "assistant", "content": [TEXT]},
}
OTHER = {
    "another text": {**ANSWER, "content": [{**TEXT, "text": "Paris"}]},
    "a space more": {**ANSWER, "content": [{**TEXT, "text": "Paris. "}]},
    "another role": {**ANSWER, "role": "user"},
    "another type": {**ANSWER, "type": "reasoning"},
    "cut in two": {**ANSWER, "content": [{**TEXT, "text": "Par"}, {**TEXT, "text": "is."}]},
    "twice": {**ANSWER, "content": [TEXT, TEXT]},
    "nothing": {**ANSWER, "content": []},
    "a refusal": {**ANSWER, "content": [{"type": "refusal", "refusal": "Paris."}]},
    "an unknown member": {**ANSWER, "mood": "glad"},
    "another form of the letter": {**ANSWER, "content": "Pa\u0301ris."},
}


class TestItems:
    @pytest.mark.parametrize("name", SAME)
    def test_what_makes_no_difference(self, name: str) -> None:
        assert thread("Capital?", SAME[name]) == thread("Capital?", ANSWER)

    @pytest.mark.parametrize("name", OTHER)
    def test_what_does(self, name: str) -> None:
        assert thread("Capital?", OTHER[name]).whole != thread("Capital?", ANSWER).whole

    @pytest.mark.parametrize(
        "changed", [{"arguments": '{"x": 3}'}, {"name": "sub"}, {"call_id": "c2"}, {"namespace": "math"}]
    )
    def test_calls_are_the_same_to_the_last_byte(self, changed: dict[str, str]) -> None:
        assert thread("Add", {**CALL, "status": "completed", "id": "fc_2"}, RESULT) == thread("Add", CALL, RESULT)
        assert thread("Add", {**CALL, **changed}, RESULT).whole != thread("Add", CALL, RESULT).whole

    @pytest.mark.parametrize("value", [1, 1.0, True, "1"])
    def test_numbers_and_truth_are_different_things(self, value: Any) -> None:
        others = [each for each in (1, 1.0, True, "1") if type(each) is not type(value)]
        own = thread({"type": "thing", "value": value})
        assert all(thread({"type": "thing", "value": other}) != own for other in others)

    def test_integers_beyond_64_bits(self) -> None:
        assert thread({"type": "thing", "value": 2**70}) != thread({"type": "thing", "value": 2**70 + 1})

    def test_an_answer_as_the_store_completes_it(self) -> None:
        thin = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Paris."}]}
        assert fingerprints.of_body(of_object(thin).body) == fingerprints.of_body(as_item(thin).body)


class TestThreads:
    def test_order_counts(self) -> None:
        assert thread("a", "b") != thread("b", "a")

    def test_where_items_end_counts(self) -> None:
        assert thread("ab", "c") != thread("a", "bc")

    def test_whose_it_is_counts(self) -> None:
        assert thread("a") != thread("a", project="proj_2")
        assert thread("a") != thread("a", user="u")
        assert thread("a", user="u") != thread("a", safety_identifier="u")

    def test_it_grows_item_by_item(self) -> None:
        start = fingerprints.start("proj_1")
        items = [as_item(each) for each in ("a", THOUGHT, ANSWER, "b")]
        grown = list(start.growing(items))
        assert grown == [start.after(items[:count]) for count in range(1, 5)]
        assert start.after([]) == start

    def test_two_fingerprints_come_out_of_the_store_as_they_went_in(self) -> None:
        for each in (thread("a", ANSWER), thread("a", THOUGHT, ANSWER)):
            assert fingerprints.unpack(each.pack()) == each


class TestReasoning:
    def test_a_thread_is_known_with_it_and_without(self) -> None:
        known = thread("a", THOUGHT, ANSWER).each()
        assert thread("a", THOUGHT, ANSWER).whole in known
        assert thread("a", ANSWER).whole in known

    def test_other_reasoning_is_another_thread(self) -> None:
        other = thread("a", {**THOUGHT, "encrypted_content": "other"}, ANSWER).whole
        assert other not in thread("a", THOUGHT, ANSWER).each()

    def test_without_any_there_is_one(self) -> None:
        assert len(thread("a", ANSWER).each()) == 1

    def test_it_goes_on_without(self) -> None:
        assert thread("a", THOUGHT, ANSWER, "b", ANSWER).spoken == thread("a", ANSWER, "b", ANSWER).whole


said = st.sampled_from(["a", "b", THOUGHT, ANSWER, CALL, RESULT])


@given(st.lists(said, max_size=8), st.lists(said, max_size=8))
def test_different_threads_never_share_a_fingerprint(left: list[Any], right: list[Any]) -> None:
    assert (thread(*left).whole == thread(*right).whole) == (left == right)
    spoken = [[each for each in side if each is not THOUGHT] for side in (left, right)]
    assert (thread(*left).spoken == thread(*right).spoken) == (spoken[0] == spoken[1])
