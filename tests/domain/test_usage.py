"""Token usage: whatever the upstream calls it, one shape comes out, and an unknown figure is unknown."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convstore.domain import usage
from convstore.domain.usage import LARGEST, Usage
from tests.domain.strategies import thorough, values

OWN = {
    "input_tokens": 13,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 18,
}
# The gateway of the first users (docs/gateway.md): Chat Completions' names inside a Response object.
GATEWAY = {
    "prompt_tokens": 123,
    "completion_tokens": 45,
    "total_tokens": 168,
    "prompt_tokens_details": {"cached_tokens": 100, "text_tokens": 123, "audio_tokens": 0, "image_tokens": 0},
    "completion_tokens_details": {"text_tokens": 20, "audio_tokens": 0, "reasoning_tokens": 25},
}
DEEPSEEK = {
    "prompt_tokens": 60,
    "completion_tokens": 9,
    "total_tokens": 69,
    "prompt_cache_hit_tokens": 48,
    "prompt_cache_miss_tokens": 12,
    "completion_tokens_details": {"reasoning_tokens": 3},
}


class TestNormalise:
    @pytest.mark.parametrize(
        ("reported", "expected"),
        [
            (OWN, Usage(13, 4, 1, 5, 2, 18)),
            (GATEWAY, Usage(123, 100, 0, 45, 25, 168)),
            (DEEPSEEK, Usage(60, 48, 0, 9, 3, 69)),
            ({"prompt_tokens": 7, "completion_tokens": 3}, Usage(7, 0, 0, 3, 0, 10)),
            ({"input_tokens": 7, "output_tokens": 3}, Usage(7, 0, 0, 3, 0, 10)),
            ({"input_tokens": 7}, Usage(7, 0, 0, 0, 0, 7)),
            ({"completion_tokens": 3}, Usage(0, 0, 0, 3, 0, 3)),
            (
                {"input_tokens": 7, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2},
                # As Anthropic counts them: beside the input.
                Usage(14, 5, 2, 0, 0, 14),
            ),
            (
                {"input_tokens": 7, "output_tokens": 1, "cache_read_input_tokens": 5, "total_tokens": 8},
                Usage(7, 5, 0, 1, 0, 8),
            ),
            (
                {
                    "input_tokens": 7,
                    "output_tokens": 1,
                    "cache_read_input_tokens": 5,
                    "input_tokens_details": {"cached_tokens": 5},
                },
                Usage(7, 5, 0, 1, 0, 8),
            ),
            ({"prompt_tokens": 7, "cache_read_input_tokens": 5}, Usage(7, 5, 0, 0, 0, 7)),
            (
                # As xAI counts it: reasoning beside the output.
                {
                    "prompt_tokens": 7,
                    "completion_tokens": 3,
                    "total_tokens": 30,
                    "completion_tokens_details": {"reasoning_tokens": 20},
                },
                Usage(7, 0, 0, 23, 20, 30),
            ),
            ({"input_tokens": 7, "cached_tokens": 5}, Usage(7, 5, 0, 0, 0, 7)),
            ({"input_tokens": 7, "output_tokens": 3, "total_tokens": 99}, Usage(7, 0, 0, 3, 0, 99)),
            ({"input_tokens": 7.0, "output_tokens": 3.0}, Usage(7, 0, 0, 3, 0, 10)),
            ({"input_tokens": 0, "output_tokens": 0}, Usage(0, 0, 0, 0, 0, 0)),
            ({"input_tokens": None, "prompt_tokens": 7, "output_tokens": 3}, Usage(7, 0, 0, 3, 0, 10)),
            (
                {"input_tokens": 7, "input_tokens_details": None, "output_tokens_details": []},
                Usage(7, 0, 0, 0, 0, 7),
            ),
        ],
    )
    def test_every_shape_becomes_one(self, reported: Any, expected: Usage) -> None:
        assert usage.normalise(reported) == expected

    def test_both_names_at_once_are_not_added_up(self) -> None:
        assert usage.normalise({**GATEWAY, **OWN}) == Usage(13, 4, 1, 5, 2, 18)

    @pytest.mark.parametrize(
        "nonsense",
        [
            None,
            {},
            [],
            "many",
            7,
            True,
            {"total_tokens": 18},
            {"input_tokens": None, "output_tokens": None},
            {"input_tokens": "13", "output_tokens": "5"},
            {"input_tokens": -1},
            {"input_tokens": 1.5},
            {"input_tokens": True},
            {"input_tokens": LARGEST},
            {"input_tokens": float("nan"), "output_tokens": float("inf")},
            {"input_tokens": [1], "output_tokens": {"a": 1}},
        ],
    )
    def test_no_figures_are_none_and_never_zero(self, nonsense: Any) -> None:
        assert usage.normalise(nonsense) is None

    @given(st.dictionaries(st.sampled_from([*OWN, *GATEWAY, *DEEPSEEK]), values | st.just(OWN) | st.floats()))
    @thorough
    def test_whatever_was_reported_fits_the_columns(self, reported: dict[str, Any]) -> None:
        found = usage.normalise(reported)
        if found is not None:
            assert all(isinstance(count, int) and 0 <= count < 2 * LARGEST for count in usage.columns(found))


class TestAsApi:
    def test_no_member_is_ever_missing(self) -> None:
        assert Usage(13, 4, 1, 5, 2, 18).as_api() == OWN

    def test_what_it_says_is_read_as_the_same(self) -> None:
        assert usage.normalise(Usage(1, 2, 3, 4, 5, 6).as_api()) == Usage(1, 2, 3, 4, 5, 6)


class TestColumns:
    def test_they_give_the_usage_back(self) -> None:
        assert usage.of_columns(*usage.columns(Usage(1, 2, 3, 4, 5, 6))) == Usage(1, 2, 3, 4, 5, 6)

    def test_unknown_stays_unknown(self) -> None:
        assert usage.of_columns(*usage.columns(None)) is None

    def test_zero_is_known(self) -> None:
        assert usage.of_columns(*usage.columns(Usage(0, 0, 0, 0, 0, 0))) == Usage(0, 0, 0, 0, 0, 0)
