"""Differences of texts by words, whatever the script, at a bounded cost."""

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convstore.domain import words
from convstore.domain.words import Allowance, Segment, TextDifference, difference, split
from tests.domain.strategies import thorough

# Texts that have something in common, of scripts with spaces and without, with marks, spaces and nasty characters.
_pieces = st.sampled_from(
    [
        "the ",
        "sky",
        " is",
        " ",
        "\n",
        "blue",
        ".",
        ", ",
        "天",
        "气",
        "。",
        "カナ",
        "e\u0301",
        "\0",
        "\x1b[31m",
        "\r\n",
        "--",
        "'",
    ]
)
texts = st.lists(_pieces, max_size=30).map("".join) | st.text(max_size=30)


def left_of(found: TextDifference) -> str:
    return "".join(each.text for each in found.segments if each.op != "insert")


def right_of(found: TextDifference) -> str:
    return "".join(each.text for each in found.segments if each.op != "delete")


def marked(left: str, right: str) -> str:
    forms = {"equal": "{}", "delete": "[-{}-]", "insert": "{{+{}+}}"}
    return "".join(forms[each.op].format(each.text) for each in difference(left, right, Allowance()).segments)


class TestWords:
    @pytest.mark.parametrize(
        ("left", "right", "expected"),
        [
            ("Hello world", "Hello world again", "Hello world{+ again+}"),
            ("The sky is blue.", "The sea is blue!", "The [-sky-]{+sea+} is blue[-.-]{+!+}"),
            ("a red apple", "a green pear", "a [-red apple-]{+green pear+}"),
            ("don't go", "do go", "[-don't-]{+do+} go"),
            ("今天天气很好", "今天天气不好", "今天天气[-很-]{+不+}好"),
            ("東京へ行く", "京都へ行く", "[-東-]京{+都+}へ行く"),
            ("हिन्दी भाषा", "हिन्दू भाषा", "[-हिन्दी-]{+हिन्दू+} भाषा"),
            ("x", "", "[-x-]"),
            ("", "", ""),
        ],
    )
    def test_only_the_words_that_differ_are_marked(self, left: str, right: str, expected: str) -> None:
        assert marked(left, right) == expected

    def test_one_that_is_not_there(self) -> None:
        assert difference(None, "x", Allowance()).segments == (Segment("insert", "x"),)
        assert difference("x", None, Allowance()).segments == (Segment("delete", "x"),)

    @thorough
    @given(st.text())
    def test_a_text_is_its_words(self, text: str) -> None:
        assert "".join(split(text)) == text


class TestLaws:
    @thorough
    @given(texts, texts)
    def test_segments_give_back_both_texts(self, left: str, right: str) -> None:
        found = difference(left, right, Allowance())
        assert (left_of(found), right_of(found)) == (left, right)
        assert all(each.text for each in found.segments)

    @thorough
    @given(texts, texts, st.integers(0, 60))
    def test_however_little_effort_is_left(self, left: str, right: str, steps: int) -> None:
        found = difference(left, right, Allowance(words.Effort(steps)))
        assert (left_of(found), right_of(found)) == (left, right)

    @thorough
    @given(texts)
    def test_a_text_does_not_differ_from_itself(self, text: str) -> None:
        assert all(each.op == "equal" for each in difference(text, text, Allowance()).segments)

    @thorough
    @given(texts, texts)
    def test_swapping_the_sides_swaps_the_segments(self, left: str, right: str) -> None:
        there, back = difference(left, right, Allowance()), difference(right, left, Allowance())
        other = {"equal": "equal", "delete": "insert", "insert": "delete"}

        def by_place(found: TextDifference) -> list[tuple[str, str, str]]:
            rows: list[tuple[str, str, str]] = []
            gone = came = ""
            for each in found.segments:
                if each.op == "equal":
                    rows.append((gone, came, each.text))
                    gone = came = ""
                elif each.op == "delete":
                    gone += each.text
                else:
                    came += each.text
            return [*rows, (gone, came, "")]

        mirrored = TextDifference("words", tuple(Segment(other[each.op], each.text) for each in back.segments))
        assert by_place(there) == by_place(mirrored)


class TestLimits:
    def test_many_words_are_compared_by_lines(self) -> None:
        left = "one two three\n" * 7_000
        found = difference(left, left + "four\n", Allowance())
        assert found == TextDifference("lines", (Segment("equal", left), Segment("insert", "four\n")))

    def test_and_many_lines_not_at_all(self) -> None:
        left = "one\n" * 20_001
        assert difference(left, left + "two\n", Allowance()) == TextDifference("none")

    def test_nor_is_a_text_that_is_too_long(self) -> None:
        assert difference("x" * (words.MOST_CHARACTERS + 1), "y", Allowance()) == TextDifference("none")

    def test_nor_one_that_there_is_no_room_for(self) -> None:
        allowance = Allowance(characters=10)
        assert difference("x" * 6, "y", allowance).granularity == "words"
        assert difference("x" * 6, "y", allowance) == TextDifference("none")
        assert difference("x", "y", allowance).granularity == "words"

    @pytest.mark.parametrize("separator", ["x", "|", " "])
    def test_what_repeats_itself_does_not_take_for_ever(self, separator: str) -> None:
        """difflib's matcher takes minutes here."""
        chance = random.Random(1)
        left, right = (
            f" {separator} ".join(chance.choice(letters) for _ in range(9_000)) for letters in ("abc", "abd")
        )
        started = time.process_time()
        found = difference(left, right, Allowance())
        assert time.process_time() - started < 10
        assert (left_of(found), right_of(found)) == (left, right)
