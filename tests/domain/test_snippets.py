"""Snippets: pieces of texts with what was found in them."""

from hypothesis import given
from hypothesis import strategies as st

from convstore.domain import snippets
from convstore.domain.snippets import LENGTH, Snippet
from convstore.domain.terms import LONGEST, query
from tests.domain.strategies import quick


def marked(found: Snippet | None) -> list[str]:
    assert found is not None
    return [found.text[start:end] for start, end in found.highlights]


class TestOf:
    def test_words_are_whole_and_runs_are_anywhere(self) -> None:
        text = "Weather, weathered: get_weather. 今天天气预报很好"
        assert marked(snippets.of(text, query("WEATHER 天气预"), "answer")) == ["Weather", "weather", "天气预"]

    def test_the_pairs_of_a_run_are_not_the_run(self) -> None:
        assert snippets.of("大学的学生", query("大学生"), "answer") is None

    def test_what_is_written_in_another_form(self) -> None:
        assert marked(snippets.of("ＧＰＴ １２, Straße 〜 ｶﾅ", query("gpt strasse カナ"), "answer")) == [
            "ＧＰＴ",
            "Straße",
            "ｶﾅ",
        ]

    def test_the_piece_is_where_most_of_it_stands(self) -> None:
        text = "apple " + "x " * 300 + "pear apple " + "y " * 300
        found = snippets.of(text, query("apple pear"), "answer", "msg_1")
        assert found is not None
        assert marked(found) == ["pear", "apple"]
        assert len(found.text) == LENGTH
        assert found.as_dict()["item_id"] == "msg_1"

    def test_nothing_that_breaks_a_line_or_acts(self) -> None:
        found = snippets.of("a\n\x1b[31mb\0 c", query("31mb"), "answer")
        assert found is not None and found.text == "a  [31mb  c"

    @quick
    @given(
        st.text(st.characters(exclude_categories=("Cs",)), max_size=300),
        st.sampled_from(["weather", "天气预报", "Ünï", "x" * 90, "好"]),
        st.text(st.characters(exclude_categories=("Cs",)), max_size=300),
    )
    def test_highlights_are_in_the_piece(self, before: str, wanted: str, after: str) -> None:
        found = snippets.of(f"{before} {wanted} {after}", query(wanted), "question")
        assert found is not None
        assert len(found.text) <= 2 * LENGTH
        for start, end in found.highlights:
            assert 0 <= start < end <= len(found.text) or len(wanted) >= LONGEST


class TestBest:
    def test_each_has_something_new_first(self) -> None:
        def piece(*parts: str) -> Snippet:
            return Snippet("answer", None, " ".join(parts), (), frozenset(parts))

        chosen = snippets.best([piece("a"), piece("a"), piece("b"), piece("a", "c"), piece("a")])
        assert [each.text for each in chosen] == ["a c", "b", "a"]
