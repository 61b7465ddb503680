"""Words and terms: what texts are cut into, and what is looked for."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from convstore.domain import terms
from tests.domain.strategies import quick

anything = st.text(st.characters(exclude_categories=()), max_size=80)


class TestWords:
    def test_letters_and_digits_in_one_form(self) -> None:
        assert terms.words(["Don't ask GPT-5.4 about get_weather, Straße!"]) == (
            "don t ask gpt 5 4 about get weather strasse".split()
        )
        assert terms.words(["ＧＰＴ ｶﾅ"]) == ["gpt", "カナ", "ナ"]

    def test_a_run_is_cut_into_pairs_and_its_last_character(self) -> None:
        assert terms.words(["天气预报,好 東京タワー"]) == "天气 气预 预报 报 好 東京 京タ タワ ワー ー".split()
        assert terms.words(["用GPT模型"]) == "用 gpt 模型 型".split()

    def test_each_once(self) -> None:
        assert terms.words(["a b", "b a c"]) == ["a", "b", "c"]

    def test_no_more_than_an_index_takes(self) -> None:
        assert terms.words(["x" * 100]) == ["x" * terms.LONGEST]
        assert terms.words(["a " * terms.MOST_CHARACTERS + "b"]) == ["a"]
        many = "".join(map(chr, range(0x4E00, 0x9F00))) * 10
        found = terms.words([many[shift:] for shift in range(3)])
        assert sum(len(word.encode()) for word in found) <= terms.MOST_BYTES

    @quick
    @given(anything)
    def test_of_anything_words_that_no_engine_takes_for_more(self, text: str) -> None:
        for word in terms.words([text]):
            assert (word and word.isalnum()) or any(ord(sign) > 127 for sign in word)
            assert not set(word) & set(" _'\"\\:*&|!()\0")
            word.encode()


class TestQuery:
    def test_words_beginnings_and_runs(self) -> None:
        assert terms.query("Weather 天气 好 大学生") == terms.Query(
            ("weather", "天气", "大学", "学生"), ("好",), ("大学生",)
        )

    def test_signs_say_nothing(self) -> None:
        assert terms.query('"a" OR (b*) - NEAR/2') == terms.Query(("a", "or", "b", "near", "2"))
        assert terms.query("!?\0\ud800 ，。") == terms.Query(())

    def test_its_parts_are_what_can_be_pointed_at(self) -> None:
        assert terms.query("a 大学生 好 天气").parts == ("a", "天气", "好", "大学生")

    @quick
    @given(anything, anything)
    def test_a_text_has_the_words_of_what_is_in_it(self, before: str, text: str) -> None:
        there = terms.words([f"{before}\n{text}"])
        found = terms.query(text)
        assert set(found.words) <= set(there)
        assert all(any(word.startswith(each) for word in there) for each in found.beginnings)


class TestTerms:
    def test_no_word_is_one(self) -> None:
        one = terms.exact("m", "gpt-5.4")
        assert one != terms.exact("u", "gpt-5.4") != terms.exact("u", "gpt-5.5")
        assert terms.words([one]) == [one[1:]]

    @quick
    @given(st.integers(0, 2**53), st.integers(0, 2**53), st.integers(0, 2**53))
    def test_a_figure_in_a_range_has_one_of_its_sizes(self, least: int, figure: int, most: int) -> None:
        if least <= figure:
            assert terms.size("t", figure) in terms.sizes("t", least, None)
        if figure <= most:
            assert terms.size("t", figure) in terms.sizes("t", None, most)

    @quick
    @given(st.lists(st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)), min_size=3, max_size=3))
    def test_a_moment_in_between_has_one_of_its_dates(self, moments: list[datetime]) -> None:
        since, at, until = (each.replace(tzinfo=UTC) for each in sorted(moments))
        found = terms.between(since, until)
        assert set(terms.dates(at)) & set(found)
        assert len(found) <= 200

    def test_of_a_few_days_they_are_days(self) -> None:
        start = datetime(2026, 11, 30, 23, tzinfo=UTC)
        assert terms.between(start, start + timedelta(hours=2)) == ("_d2026x11x30", "_d2026x12x1")
