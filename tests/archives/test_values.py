"""JSON of strangers: what is taken is exact, and what is not taken costs nothing."""

import json
import tracemalloc

import pytest

from convstore.archives.values import Bad, is_deep, parsed
from convstore.domain import jsontext
from convstore.domain.jsontext import DEEPEST


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


class TestParsed:
    def test_it_says_where_the_value_ends(self):
        assert parsed('  {"a": 1} tail', 2) == ({"a": 1}, 10)

    @pytest.mark.parametrize("text", ['{"a": [1, "x', '"x\\', '"\\ud8', "[1, -", '{"a"', "[tru", "", "[1.5e", '["a", '])
    def test_what_may_go_on_says_so(self, text):
        with pytest.raises(Bad) as refused:
            parsed(text)
        assert refused.value.is_cut

    @pytest.mark.parametrize("text", ["[1 2" + " " * 40, "{1:2" + " " * 40, '"\n' + "x" * 40, "[}" + " " * 40])
    def test_what_cannot_be_json_any_more_says_so(self, text):
        with pytest.raises(Bad) as refused:
            parsed(text)
        assert not refused.value.is_cut

    def test_the_deepest_that_is_taken_can_be_written_again(self):
        value, _ = parsed(nested(DEEPEST))
        assert jsontext.dumps({"wrapped": value})
        with pytest.raises(Bad, match="nested too deeply"):
            parsed(nested(DEEPEST + 1))

    def test_nesting_is_refused_before_it_costs_anything(self):
        text = nested(2_000_000)
        tracemalloc.start()
        try:
            with pytest.raises(Bad, match="nested too deeply"):
                parsed(text)
            assert tracemalloc.get_traced_memory()[1] < 2**20
        finally:
            tracemalloc.stop()

    @pytest.mark.parametrize("text", ["NaN", "[-Infinity]", "1" * 5000])
    def test_numbers_that_are_none_are_refused(self, text):
        with pytest.raises(Bad, match="number"):
            parsed(text)


class TestIsDeep:
    def test_it_looks_into_lists_and_objects(self):
        assert not is_deep("x") and not is_deep([{"a": [1]}])
        assert is_deep(json.loads('{"a":[' * 300 + "1" + "]}" * 300))
        assert not is_deep(json.loads('{"a":[' * 250 + "1" + "]}" * 250))
