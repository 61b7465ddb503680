"""How an item was sent: the difference to how it is shown, and back."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from convstore.domain import sent
from tests.domain.test_fingerprints import ANSWER, SAME, THOUGHT

scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-3, 3) | st.text("ab=-~+", max_size=3)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab-=", max_size=2), inner, max_size=3)
)
objects = st.dictionaries(st.text("ab-=~+", max_size=2), values, max_size=4)


def same(left: Any, right: Any) -> bool:
    """Equal as JSON: 1, 1.0 and true are three things."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


@given(objects, objects)
def test_the_difference_brings_it_back(shown: dict[str, Any], given_: dict[str, Any]) -> None:
    change = json.loads(json.dumps(sent.difference(shown, given_)))
    assert same(sent.restored(shown, change), given_)


def test_every_usual_form_comes_back_and_is_short() -> None:
    long = {**ANSWER, "content": [{**ANSWER["content"][0], "text": "Paris. " * 500}]}  # type: ignore[dict-item]
    for form in (*SAME.values(), {"role": "assistant", "content": "Paris. " * 500}):
        given_ = json.loads(json.dumps(form).replace('"Paris."', json.dumps("Paris. " * 500)))
        change = sent.difference(long, given_)
        assert same(sent.restored(long, change), given_)
        assert len(json.dumps(change)) < 200


def test_as_it_is_shown_there_is_no_difference() -> None:
    assert sent.difference(ANSWER, dict(ANSWER)) is None
    assert sent.difference({"a": 1}, {"a": True}) is not None


class TestSequences:
    def test_reasoning_may_be_left_out(self) -> None:
        assert sent.differences([THOUGHT, ANSWER], [ANSWER]) == [sent.LEFT_OUT, None]

    def test_or_sent(self) -> None:
        assert sent.differences([THOUGHT, ANSWER], [THOUGHT, ANSWER]) == [None, None]

    def test_what_does_not_go_together_is_said(self) -> None:
        assert sent.differences([ANSWER], []) is None
        assert sent.differences([ANSWER], [ANSWER, ANSWER]) is None
        assert sent.differences([THOUGHT], [ANSWER]) is None
