"""First lines: short, printable, and found in whatever is said."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from convstore.domain import jsontext, preview
from convstore.domain.items import Item, of_output, of_raw
from tests.domain.strategies import quick, values

# Everything that JSON can carry: control characters, other scripts, both halves of a pair on their own.
wild = st.text(st.characters(exclude_categories=()), max_size=200) | st.sampled_from(
    [
        "你好，世界。" * 40,
        "\x00\x1b[31m\n\u2028\u202ered",
        "\ud800",
        "\udc00 a",
        "😀" * 90,
        " \n\t\n ",
        '"\\' * 60,
        "é" * 80,
    ]
)
long = st.builds(lambda text, times: text * times, wild.filter(bool), st.integers(100, 2_000))
said = wild | long
parts = st.fixed_dictionaries({}, optional={"type": wild, "text": said | st.none(), "refusal": said, "image_url": wild})
contents = said | st.lists(parts | values, max_size=4) | values
messages = st.fixed_dictionaries(
    {"type": st.just("message"), "role": st.sampled_from(["user", "assistant"])}, optional={"content": contents}
)
others = st.fixed_dictionaries(
    {"type": st.sampled_from(["function_call", "reasoning", "custom_tool_call", "strange"])},
    optional={"name": wild, "call_id": st.just("c"), "arguments": said, "summary": values},
)


def is_a_line(line: str | None) -> bool:
    if line is None:
        return True
    line.encode()  # no half of a pair
    return 0 < len(line) <= preview.LONGEST and line.isprintable() and line == line.strip()


def item(value: dict[str, Any], *, is_ascii: bool) -> Item:
    try:
        body = json.dumps(value, ensure_ascii=is_ascii).encode()
    except UnicodeEncodeError:
        body = json.dumps(value).encode()
    return Item(str(value["type"]), body, role=value.get("role"), name=value.get("name"), call_id=value.get("call_id"))


class TestAnything:
    @quick
    @given(st.lists(messages | others, max_size=3), st.booleans())
    @example([{"type": "message", "role": "user", "content": "x" * 20_000 + "\ud800"}], True)
    @example([{"type": "message", "role": "user", "content": '\\"' * 9_000}], True)
    @example([{"type": "message", "role": "user", "content": "你" * 9_000}], False)
    def test_a_line_or_nothing(self, given: list[dict[str, Any]], is_ascii: bool) -> None:
        items = [item(each, is_ascii=is_ascii) for each in given]
        assert is_a_line(preview.of_question(items))
        assert is_a_line(preview.of_answer(items))

    @quick
    @given(values)
    def test_as_it_came_in_or_from_an_upstream(self, value: Any) -> None:
        text = jsontext.dumps({"type": "message", "role": "user", "content": value}).decode()
        raw = jsontext.Raw(jsontext.loads(text), text)
        assert is_a_line(preview.of_question([of_raw(raw)]))
        assert is_a_line(preview.of_answer([of_output(raw)]))


class TestWords:
    @quick
    @given(st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=300), st.integers(0, 3))
    def test_it_begins_as_what_was_said_and_a_long_body_says_the_same(self, text: str, lines: int) -> None:
        for rest in ("", "\nmore" * 5_000):
            asked = {"type": "message", "role": "user", "content": "\n" * lines + text + rest}
            line = preview.of_question([item(asked, is_ascii=False)])
            assert line is not None
            assert text.startswith(line) if len(text) <= preview.LONGEST else line == text[:79] + "…"
