"""Conversations as Markdown: readable, and ours in every heading whatever was said."""

import re
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from convstore.domain.archive import Archived
from convstore.domain.items import REMOVAL, Item
from convstore.render.characters import visible
from convstore.render.markdown import Markdown
from convstore.render.quoting import code, fenced, plain, quoted
from tests.domain.threads import call, item, said, user
from tests.render.archives import HOME, at, branch, conversation, exchange, settings, written

READERS = (MarkdownIt("commonmark"), MarkdownIt("commonmark").enable(["table", "strikethrough"]))


def shown(*exchanges: Archived, title: str | None = "Weather", **more: Any) -> str:
    return written(Markdown(), conversation(title), exchanges, **more).decode()


def tokens(text: str, reader: MarkdownIt = READERS[1]) -> list[Token]:
    found = reader.parse(text)
    return [*found, *(inner for each in found for inner in each.children or ())]


def headings(text: str, reader: MarkdownIt = READERS[1]) -> list[str]:
    """The headings as they are shown, each with its order."""
    found = reader.parse(text)
    return [
        f"{each.tag} {''.join(inner.content for inner in found[place + 1].children or ())}"
        for place, each in enumerate(found)
        if each.type == "heading_open"
    ]


def anchors(text: str) -> set[str]:
    return {re.sub(r"[^\w\- ]", "", each[3:].lower()).replace(" ", "-") for each in headings(text)}


def links(text: str) -> list[str]:
    return [str(each.attrs["href"]) for each in tokens(text) if each.type == "link_open"]


class TestConversation:
    def test_the_whole_of_one(self) -> None:
        first = exchange("Hello?", "Hi *there*.", id="resp_1", cost="0.0012", completed_at=at(1.5))
        assert shown(first) == (
            "# Weather\n\n"
            f"`{HOME}` · 2026-11-22 12:00:00 UTC\n\n"
            "## Turn 1 `resp_1`\n\n"
            "`gpt-5.4` · 2026-11-22 12:00:00 UTC · completed · 1.5 s · "
            "100 (20 cached) tokens in, 30 (10 reasoning) out · 0.0012 `USD`\n\n"
            "**User**\n\n> Hello?\n\n"
            "**Assistant**\n\n> Hi *there*.\n\n"
        )

    def test_a_title_is_no_markup(self) -> None:
        nasty = "<b> [x](y) `z` _w_ # ![q] &lt;"
        assert headings(shown(title=nasty)) == [f"h1 {nasty}"]

    def test_without_a_title_it_goes_by_its_id(self) -> None:
        assert headings(shown(title=None)) == [f"h1 {HOME}"]

    def test_a_deleted_one_does_not_say_what_it_was_called(self) -> None:
        text = written(Markdown(), conversation("Secret", deleted_at=at(1)), []).decode()
        assert "Secret" not in text
        assert "Deleted conversation" in text

    def test_lanes_are_sections_that_know_where_they_come_from(self) -> None:
        first = exchange(id="resp_1")
        second = exchange("And?", parent=first, id="resp_2")
        fork = exchange("Or?", parent=first, forks=True, id="resp_3")
        tip = exchange("Then?", parent=fork, id="resp_4")
        text = shown(first, second, fork, tip, branches=[branch("other", tip)])
        assert headings(text) == [
            "h1 Weather",
            "h2 Turn 1 resp_1",
            "h2 Turn 2 resp_2",
            "h2 Branch 1 from turn 1",
            "h3 Turn 2 resp_3",
            "h3 Turn 3 resp_4",
            "h2 Branches",
        ]
        assert "Branch `other` ends here." in text
        assert links(text) == ["#turn-1-resp_1", "#branch-1-from-turn-1", "#turn-3-resp_4"]
        assert {each[1:] for each in links(text)} <= anchors(text)

    def test_the_next_one_begins_anew(self) -> None:
        document = Markdown()
        first = exchange(id="resp_1")
        written(document, conversation("A"), [first, exchange(parent=first, forks=True)], [branch("x", first)])
        again = written(document, conversation("B"), [exchange(id="resp_9")]).decode()
        assert headings(again) == ["h1 B", "h2 Turn 1 resp_9"]


class TestExchange:
    def test_instructions_are_said_when_they_change(self) -> None:
        first = exchange(settings=settings(instructions="Be short."))
        same = exchange(parent=first, settings=settings(instructions="Be short."), repeats_settings=True)
        other = exchange(parent=same, settings=settings(instructions="Be long."))
        none = exchange(parent=other)
        text = shown(first, same, other, none)
        assert re.findall(r"> (Be \w+\.)", text) == ["Be short.", "Be long."]
        assert text.count("Without instructions from here on") == 1

    def test_calls_and_outputs_are_code(self) -> None:
        first = exchange("Add!", [call("add", x="```")])
        second = exchange([item("function_call_output", call_id="call_1", output="# 3")], "3", parent=first)
        text = shown(first, second)
        assert '````json\n{\n  "x": "```"\n}\n````' in text
        assert "```\n# 3\n```" in text
        assert "**Call of add**" in text

    def test_reasoning_is_quoted(self) -> None:
        thought = item("reasoning", summary=[{"type": "summary_text", "text": "Hm."}], encrypted_content="sealed")
        text = shown(exchange("x", [thought, said("y")]))
        assert "**Reasoning**\n\n> Hm.\n" in text
        assert "sealed" not in text

    def test_images_are_named(self) -> None:
        parts = [
            {"type": "input_image", "image_url": "https://x/y.png"},
            {"type": "input_image", "image_url": "data:image/png;base64,AAAAAAAA"},
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"},
        ]
        text = shown(exchange([user(parts)]))
        assert "Image: `https://x/y.png`" in text
        assert "Image: `image/png`, 6 bytes, not shown here" in text
        assert "File a.pdf" in text
        assert "AAAA" not in text and "BBBB" not in text

    def test_an_item_nobody_knows_is_shown(self) -> None:
        assert '"qubits": 7' in shown(exchange("x", [item("quantum_call", qubits=7)]))
        assert "no json" in shown(exchange("x", [Item("quantum_call", b"no json")]))

    def test_a_removal_is_not(self) -> None:
        gone = Item(REMOVAL, b'{"type":"convstore.removal","item_id":"msg_7"}', call_id="0.0")
        text = shown(exchange([gone, user("By hand.")], [], origin="items"))
        assert "By hand." in text and "removal" not in text and "msg_7" not in text

    def test_what_was_deleted_or_erased_is_not_said(self) -> None:
        for when in ({"deleted_at": at(60)}, {"erased_at": at(60)}):
            told = {"settings": settings(instructions="Secret."), "error": {"code": "x", "message": "Secret."}}
            text = shown(exchange("Secret?", "Secret!", **when, **told))
            assert "Secret" not in text
            assert re.search(r"\*(Deleted|Erased) 2026-11-22 12:01:00 UTC\.\*", text)

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ({"cost": "?"}, "cost unknown (`no_price`)"),
            ({}, "tokens unknown · cost unknown"),
            ({"status": "incomplete", "incomplete_reason": "max_output_tokens"}, "incomplete (`max_output_tokens`)"),
            ({"status": "failed", "error": {"code": "server_error", "message": "Oh."}}, "Failed: `server_error` `Oh.`"),
            ({"origin": "replay", "origin_id": "resp_0"}, "`replay` of `resp_0`"),
            ({"origin": "items"}, "by hand"),
        ],
    )
    def test_what_became_of_it(self, more: dict[str, Any], words: str) -> None:
        assert words in shown(exchange(**more))


class TestQuoted:
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("*a* `b` **c**\n\n- d\n- e", "> *a* `b` **c**\n>\n> - d\n> - e"),
            ("# a", "> \\# a"),
            ("1. > ## a", "> 1. > \\## a"),
            ("a\n===", "> a\n> \\==="),
            ("a\n-", "> a\n> \\-"),
            ("<b> `<b>` ` <b>", "> \\<b> `<b>` \\` \\<b>"),
            ("[a]: b", "> \\[a\\]: b"),
            ("```py\nx = 1\n```\ny", "> ```py\n> x = 1\n> ```\n> y"),
            ("1. ```\n   # x\n   ```", "> 1.\n> ```\n> # x\n> ```"),
            ("- - ~~~", "> - - \\~\\~\\~"),
            ("~~~\n<b>", "> ```\n> <b>\n> ```"),
            ("| a | b |\n|---|---|\n| `x | <i>` |", "> | a | b |\n> |---|---|\n> | \\`x | \\<i>\\` |"),
        ],
    )
    def test_a_text(self, text: str, found: str) -> None:
        assert quoted(text) == found


fragments = st.sampled_from(
    [
        *(
            "#",
            "=",
            "-",
            "`",
            "``",
            "```",
            "~~~",
            ">",
            "*",
            "1.",
            "[",
            "](",
            ")",
            "![",
            "\\",
            "|",
            "+",
            "<",
            "&lt;",
            "<!--",
        ),
        *(
            "<b>",
            "<http://x>",
            "<a@b.c>",
            "-->",
            "&#60;",
            "x",
            "天气",
            " ",
            "\t",
            "\r",
            "\0",
            "\x0b",
            "\u2028",
            "$$",
            "_",
        ),
    ]
)
starts = st.sampled_from(["", "", "", "> ", "- ", "1. ", "   ", "    ", "\t", "- - ", "> - "])
# What makes something of itself, or of the lines around it, where it is not escaped.
tricks = st.sampled_from(
    [
        *(
            "x",
            "",
            "===",
            "---",
            "-",
            "=",
            "# x",
            "##",
            "```",
            "````",
            "```py",
            "~~~",
            "~~~ `x`",
            "***",
            "[a]: /b",
            "[^1]: x",
        ),
        *(
            "<b>",
            "<!--",
            "</script>",
            "<?x",
            "<![CDATA[",
            "`<b>`",
            "` <b>",
            "` <b> `",
            "`` ` <b>",
            "\\` <b> `",
            "\\<b>",
        ),
        *(
            "[a](x`) <b> `",
            "[a](/b)",
            "![a](/b)",
            "[a]",
            "| a | b |",
            "|---|---|",
            "| a | b |\n|---|---|\n| ` | <b> ` |",
            "a | ` | <b> `",
            "--- | ---",
        ),
    ]
)
lines = st.builds(
    lambda start, trick, more: start + trick + more, starts, tricks, fragments | st.text(max_size=2) | st.just("")
)
free = st.lists(fragments, max_size=8).map("".join)
nasty = st.lists(lines | lines | free, max_size=6).map("\n".join)
often = hypothesis.settings(max_examples=500, deadline=None)


class TestLaw:
    @often
    @given(nasty, nasty, nasty)
    def test_headings_are_ours_and_nothing_is_html(self, text: str, other: str, name: str) -> None:
        items = [user(text), call("add", x=other), item("reasoning", summary=[{"type": "summary_text", "text": other}])]
        items.append(Item("message", item("message", role="user", content=[{"type": name, "x": text}]).body, role=name))
        picture = {"type": "input_image", "image_url": other or "x"}
        items.append(Item("function_call_output", item("x", output=text).body, name=name, call_id="c"))
        first = exchange(
            [*items, user([picture])], other, id="resp_1", model=name, settings=settings(instructions=text)
        )
        second = exchange(
            other, text, parent=first, id="resp_2", error={"code": text, "message": other}, origin_id=name
        )
        fork = exchange(text, other, parent=first, forks=True, id="resp_3", incomplete_reason=other)
        text = shown(first, second, fork, title=None, branches=[branch(name, second)])
        for reader in READERS:
            assert headings(text, reader) == [
                f"h1 {HOME}",
                "h2 Turn 1 resp_1",
                "h2 Turn 2 resp_2",
                "h2 Branch 1 from turn 1",
                "h3 Turn 2 resp_3",
                "h2 Branches",
            ]
            kinds = {each.type for each in tokens(text, reader)}
            assert not kinds & {"html_block", "html_inline", "image"}
        assert links(text) == ["#turn-1-resp_1", "#branch-1-from-turn-1", "#turn-2-resp_2"]

    @often
    @given(nasty)
    def test_a_text_stays_in_its_quote(self, text: str) -> None:
        for reader in READERS:
            found = [each.type for each in reader.parse(f"{quoted(text)}\n\nend") if each.level == 0]
            assert found == ["blockquote_open", "blockquote_close", "paragraph_open", "paragraph_close"]

    @often
    @given(nasty)
    def test_code_is_kept_to_the_letter(self, text: str) -> None:
        (block,) = READERS[0].parse(fenced(text))
        assert (block.type, block.content) == ("fence", f"{visible(text)}\n")

    @often
    @given(nasty)
    def test_what_stands_on_a_line_is_text(self, text: str) -> None:
        for made in (code(text), plain(text)):
            kinds = {each.type for each in tokens(f"**x** {made}")}
            assert kinds <= {"paragraph_open", "paragraph_close", "inline", "text", "code_inline", "text_special"} | {
                "strong_open",
                "strong_close",
            }
