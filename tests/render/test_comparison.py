"""A comparison for people: whatever was said stays text, on a page and on a terminal."""

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convstore.domain.comparison import Comparison, compare
from convstore.domain.words import Allowance
from convstore.render import html, text
from convstore.render.characters import on_a_line, visible
from tests.domain.strategies import quick, texts
from tests.domain.threads import call, said, thread, turn, user

NASTY = "</pre></script><script>alert(1)</script><img src=x onerror=alert(2)>\" ' &amp; {{ 7*7 }} {% raw %}"
TAGS = {
    *("html head meta title style body h1 h2 h3 table tr th td code section span div pre del ins p".split()),
}


def of(left: str, right: str, **settings: object) -> Comparison:
    """Two turns with a text everywhere where one can stand."""
    sides = [
        thread(turn([user(word)], [said(word), call(word, **{word: word})], instructions=word, **{f"x{word}": word}))
        for word in (left, right)
    ]
    return compare(*sides, ancestor=None)


class Page(HTMLParser):
    """What a browser makes of a page: its elements with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


class TestHtml:
    @pytest.mark.parametrize(("left", "right"), [(NASTY, "x"), ("x", NASTY), (NASTY, NASTY), (NASTY, NASTY + "x")])
    def test_what_was_said_is_text(self, left: str, right: str) -> None:
        page = Page(html.comparison(of(left, right)))
        assert set(page.tags) <= TAGS
        assert page.attributes <= {"lang", "charset", "name", "content", "class", "dir"}
        assert "<script>alert(1)</script>" in "".join(page.texts)
        assert "{{ 7*7 }}" in "".join(page.texts)

    @quick
    @given(texts, texts)
    def test_whatever_it_was(self, left: str, right: str) -> None:
        page = Page(html.comparison(of(left, right)))
        assert set(page.tags) <= TAGS

    def test_the_page_stands_alone(self) -> None:
        page = html.comparison(of("x", "y"))
        assert not re.search(r"https?:|//|src=|href=|url\(|@import", page)
        (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
        digest = b64encode(sha256(style.encode()).digest()).decode()
        assert f"style-src 'sha256-{digest}';" in html.POLICY
        assert "style=" not in page
        assert "prefers-color-scheme: dark" in style

    def test_both_sides_are_shown_and_marked(self) -> None:
        page = html.comparison(of("The sky is blue.", "The sky is green."))
        assert "The sky is <del>blue</del>." in page
        assert "The sky is <ins>green</ins>." in page

    def test_a_first_newline_is_not_lost(self) -> None:
        assert '<pre dir="auto">\n\nx' in html.comparison(of("\nx", "\nx"))

    def test_what_was_too_long_is_said_to_be(self) -> None:
        sides = thread(turn("Hello?")), thread(turn("Hello!"))
        found = compare(*sides, ancestor=None, allowance=Allowance(characters=0))
        assert "Too long to be compared here." in html.comparison(found)
        assert "(too long to be compared here)" in text.comparison(found)

    def test_nothing_to_show(self) -> None:
        found = compare(thread(), thread(), ancestor="resp_1")
        assert "No differences." in html.comparison(found)
        assert "No differences." in text.comparison(found)


class TestText:
    def test_the_whole_of_it(self) -> None:
        left = thread(turn("Hello?", [said("It is blue."), call("add", x=1, y=1)], tokens=10, seconds=1, top_p=1))
        right = thread(turn("Hello?", [said("It is red."), call("add", x=2)], tokens=12, seconds=3), turn("Bye", []))
        shown = text.comparison(compare(left, right, ancestor="resp_0"))
        names = {left.turns[0].exchange.id: "L", right.turns[0].exchange.id: "R", right.turns[1].exchange.id: "S"}
        for own, name in names.items():
            shown = shown.replace(own, name)
        head, _, turns = shown.partition("\n\n@@")
        assert head.splitlines()[2] == "    last common ancestor: resp_0"
        assert "time, ms                        1000        3000       +2000" in head
        assert "@@" + turns == (
            "@@ turn 1: changed @@\n"
            "- L · gpt-5.4 · completed\n"
            "+ R · gpt-5.4 · completed\n"
            "- setting top_p: 1\n"
            "  input message user: same\n"
            "    | Hello?\n"
            "  output message assistant: changed\n"
            "    | It is [-blue-]{+red+}.\n"
            "  output function_call add: changed\n"
            "-   argument x: 1\n"
            "+   argument x: 2\n"
            "-   argument y: 1\n"
            '    | {"x":[-1,"y":1-]{+2+}}\n'
            "\n"
            "@@ turn 2: only right @@\n"
            "+ S · gpt-5.4 · completed\n"
            "  input message user: only right\n"
            "+   | Bye\n"
        )

    def test_nothing_in_it_acts_on_a_terminal(self) -> None:
        nasty = "\x1b[2J\x1b]0;x\x07 \r gone \x9b31m \u202e turned \x08\x7f \u2028"
        shown = text.comparison(of(nasty, "x"))
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2028]", shown)
        assert "␛[2J" in shown

    def test_nor_is_it_taken_for_a_heading(self) -> None:
        shown = text.comparison(of("x\n@@ turn 9: same @@\n+ resp_1", "x"))
        assert not re.search("^(@@ turn 9|\\+ resp_1)", shown, re.MULTILINE)

    @quick
    @given(st.text(), st.text())
    def test_whatever_was_said(self, left: str, right: str) -> None:
        shown = text.comparison(of(left, right))
        assert all(line[:1] in "-+ @" for line in shown.split("\n"))
        assert all(character.isprintable() or character in "\n\t" or ord(character) >= 0xA0 for character in shown)


class TestVisible:
    @pytest.mark.parametrize(
        ("given", "shown"),
        [
            ("a\tb\nc", "a\tb\nc"),
            ("\0\x1b\r", "␀␛␍"),
            ("\x7f\x9b", "␡⟨U+009B⟩"),
            ("\u202eabc", "⟨U+202E⟩abc"),
            ("天气 👩‍💻 e\u0301", "天气 👩‍💻 e\u0301"),
            ("\ud800", "⟨U+D800⟩"),
        ],
    )
    def test_a_character(self, given: str, shown: str) -> None:
        assert visible(given) == shown

    def test_a_name_stays_on_its_line(self) -> None:
        assert on_a_line("a\tb\nc\x1b") == "a␉b␊c␛"
