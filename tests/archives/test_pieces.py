"""Calls and outputs: whatever an export holds of them, they pair; and names that an upstream takes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convstore.archives import pieces
from convstore.archives.pieces import NO_OUTPUT, Call, Result, paired, unanswered
from tests.domain.strategies import thorough

calls = st.builds(Call, st.sampled_from(["c1", "c2", "c3"]), st.sampled_from(["python", "web.run"]), st.just("{}"))
results = st.builds(
    Result,
    st.just("out"),
    st.uuids().map(str),
    st.sampled_from([None, "c1", "c2", "c9"]),
    st.sampled_from([None, "python", "web"]),
)


def outline(found):
    return [(each.type, each.call_id) for each in found]


class TestPaired:
    def test_a_result_goes_to_the_call_of_its_id(self):
        found, left = paired([Call("a", "f", "{}"), Call("b", "f", "{}"), Result("1", "k", "a")], ())
        assert outline(found)[-1] == ("function_call_output", "a")
        assert [call.id for call in left] == ["b"]

    def test_without_an_id_it_goes_to_the_last_call_of_its_tool(self):
        asked = [Call("a", "web.run", "{}"), Call("b", "python", "{}")]
        found, left = paired([*asked, Result("1", "k", name="web")], ())
        assert outline(found)[-1] == ("function_call_output", "a")
        assert left == [asked[1]]

    def test_without_a_name_it_goes_to_the_last_call(self):
        found, _ = paired([Call("a", "f", "{}"), Call("b", "g", "{}"), Result("1", "k")], ())
        assert outline(found)[-1] == ("function_call_output", "b")

    def test_a_result_without_a_call_gets_one_of_its_tool(self):
        found, left = paired([Result("1", "k", name="file_search")], ())
        assert [each.type for each in found] == ["function_call", "function_call_output"]
        assert found[0].name == "file_search" and found[0].call_id == found[1].call_id
        assert left == []

    def test_a_call_from_before_may_be_answered_now(self):
        before = Call("a", "f", "{}")
        found, left = paired([Result("1", "k", "a")], [before])
        assert outline(found) == [("function_call_output", "a")] and left == []

    @thorough
    @given(st.lists(st.one_of(calls, results), max_size=12))
    def test_what_is_not_answered_can_be(self, given):
        found, left = paired(given, ())
        waiting = []
        for item in [*found, *unanswered(left)]:
            if item.type == "function_call":
                waiting.append(item.call_id)
            else:
                waiting.remove(item.call_id)
        assert waiting == []
        assert sum(item.type == "function_call_output" for item in found) == sum(
            isinstance(each, Result) for each in given
        )


class TestUnanswered:
    def test_it_says_that_there_is_no_output(self):
        (item,) = unanswered([Call("a", "f", "{}")])
        assert json.loads(item.body)["output"] == NO_OUTPUT and item.call_id == "a"


class TestCall:
    @pytest.mark.parametrize(("name", "shown"), [("python", "python"), ("web.run", "web_run"), ("a" * 99, "a" * 64)])
    def test_its_name_is_one_that_the_api_takes(self, name, shown):
        assert Call("a", name, "{}").item().name == shown
        assert Call("a", "…", "{}").item().name == "_"


class TestArguments:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ('{"a": 1}', '{"a": 1}'),
            ("print(1)", '{"input":"print(1)"}'),
            ("[1]", '{"input":"[1]"}'),
            ('{"a":1} x', '{"input":"{\\"a\\":1} x"}'),
            ({"a": [1]}, '{"a":[1]}'),
            ([1], '{"input":[1]}'),
        ],
    )
    def test_they_are_an_object_and_its_text_is_kept(self, given, expected):
        assert pieces.arguments(given) == expected

    def test_half_a_pair_stays_an_escape(self):
        assert pieces.arguments("\ud83d") == '{"input":"\\ud83d"}'
