"""Threads as lines of fine-tuning: whatever was stored, OpenAI would take what comes out."""

import json
import re
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from convstore.domain import jsontext
from convstore.domain.archive import Archived
from convstore.domain.items import REMOVAL, Item, of_object
from convstore.upstream.chat.training import line
from tests.domain.strategies import texts, thorough, values
from tests.domain.threads import call, item, said, user
from tests.render.archives import at, exchange, settings

ADD = {"type": "function", "name": "add", "description": "Adds.", "parameters": {"type": "object"}, "strict": True}
PATCH = {"type": "custom", "name": "patch", "description": "Patches."}
DOCS = {"type": "namespace", "name": "docs", "tools": [{"type": "function", "name": "find"}]}


def checked(written: bytes) -> dict[str, Any]:
    """The line, when it keeps the format's rules: those of FineTuneChatRequestInput and of the messages in it."""
    assert written.endswith(b"\n") and written.count(b"\n") == 1
    # The strictest parser at hand: no half surrogate pairs, no integers without end in what it reads.
    found = orjson.loads(written) if not re.search(rb"\d{19}", written) else json.loads(written)
    assert set(found) <= {"messages", "tools", "parallel_tool_calls"}
    _tools(found)
    assert found["messages"][-1]["role"] == "assistant"
    assert not found["messages"][-1].get("tool_calls")
    waiting: list[str] = []
    for message in found["messages"]:
        if message["role"] == "tool":
            assert set(message) == {"role", "tool_call_id", "content"}
            assert isinstance(message["content"], str)
            waiting.remove(message["tool_call_id"])
            continue
        assert not waiting, "a call whose output does not follow"
        waiting = _message(message)
    assert not waiting
    return found


def _tools(found: dict[str, Any]) -> None:
    names = [_tool(tool) for tool in found.get("tools", [])]
    assert len(set(names)) == len(names)
    assert "tools" not in found or names
    assert isinstance(found.get("parallel_tool_calls", True), bool)
    assert "tools" in found or "parallel_tool_calls" not in found


def _tool(tool: dict[str, Any]) -> str:
    assert set(tool) == {"type", "function"} and tool["type"] == "function"
    function = tool["function"]
    assert set(function) <= {"name", "description", "parameters", "strict"}
    assert isinstance(function.get("description", ""), str)
    assert isinstance(function["parameters"], dict)
    assert isinstance(function.get("strict", True), bool)
    return _name(function["name"])


def _name(name: str) -> str:
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name)
    return name


def _message(message: dict[str, Any]) -> list[str]:
    """The calls that must be answered next."""
    match message["role"]:
        case "system":
            assert set(message) == {"role", "content"} and isinstance(message["content"], str)
        case "user":
            assert set(message) == {"role", "content"}
            _content(message["content"])
        case "assistant":
            assert set(message) <= {"role", "content", "tool_calls"}
            calls = message.get("tool_calls", [])
            assert (isinstance(message["content"], str) and message["content"]) or calls
            return [_call(each) for each in calls]
        case role:
            raise AssertionError(f"no such role: {role}")
    return []


def _content(content: Any) -> None:
    if isinstance(content, str):
        return
    assert content
    for part in content:
        if part["type"] == "text":
            assert isinstance(part["text"], str)
        else:
            assert part["type"] == "image_url"
            assert re.match(r"https?://|data:image/", part["image_url"]["url"])
            assert part["image_url"].get("detail", "auto") in ("auto", "low", "high")


def _call(call: dict[str, Any]) -> str:
    assert set(call) == {"id", "type", "function"} and call["type"] == "function"
    assert set(call["function"]) == {"name", "arguments"}
    _name(call["function"]["name"])
    assert isinstance(call["function"]["arguments"], str)
    assert isinstance(call["id"], str) and call["id"]
    return str(call["id"])


def returned(output: Any = "3", call_id: str = "call_1") -> Item:
    return item("function_call_output", call_id=call_id, output=output)


def thread(*turns: tuple[Any, Any] | tuple[Any, Any, dict[str, Any]]) -> list[Archived]:
    found: list[Archived] = []
    for asked, answered, *more in turns:
        found.append(exchange(asked, answered, parent=found[-1] if found else None, **(more[0] if more else {})))
    return found


def messages(*turns: Any) -> list[dict[str, Any]]:
    written = line(thread(*turns))
    assert written is not None
    return checked(written)["messages"]


def removed(place: str) -> Item:
    return Item(REMOVAL, b'{"type":"convstore.removal","item_id":"msg_1"}', call_id=place)


class TestLine:
    def test_a_thread_root_to_tip(self) -> None:
        assert messages(("Hello?", "Hi."), ("And?", "Bye.")) == [
            {"role": "user", "content": "Hello?"},
            {"role": "assistant", "content": "Hi."},
            {"role": "user", "content": "And?"},
            {"role": "assistant", "content": "Bye."},
        ]

    def test_the_last_request_says_the_instructions(self) -> None:
        first, last = {"settings": settings(instructions="Be short.")}, {"settings": settings(instructions="Be nice.")}
        assert messages(("Hello?", "Hi.", first), ("And?", "Bye.", last))[0] == {
            "role": "system",
            "content": "Be nice.",
        }

    def test_a_call_stands_with_its_output(self) -> None:
        found = messages(("Add!", [call("add", x=1)], {"settings": settings(tools=[ADD])}), ([returned()], "It is 3."))
        assert [each["role"] for each in found] == ["user", "assistant", "tool", "assistant"]
        assert found[1]["tool_calls"] == [
            {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"x": 1}'}}
        ]
        assert found[2] == {"role": "tool", "tool_call_id": "call_1", "content": "3"}

    def test_servers_that_count_calls_from_one_each_turn(self) -> None:
        turns = [("Add!", [call("add", x=1)]), ([returned("1")], "1."), ("Add!", [call("add", x=2)])]
        found = messages(*turns, ([returned("2")], "2."))
        assert [each["content"] for each in found if each["role"] == "tool"] == ["1", "2"]

    def test_the_tools_of_the_last_request_are_told(self) -> None:
        given = {"settings": settings(tools=[ADD, PATCH, DOCS, {"type": "web_search"}], parallel_tool_calls=False)}
        found = checked(line(thread(("Hello?", "Hi.", given))) or b"")
        assert [each["function"]["name"] for each in found["tools"]] == ["add", "patch", "docs__find"]
        assert found["tools"][0]["function"] == {name: value for name, value in ADD.items() if name != "type"}
        assert found["parallel_tool_calls"] is False

    def test_and_of_earlier_requests_what_was_called(self) -> None:
        first = {"settings": settings(tools=[ADD, PATCH])}
        found = checked(line(thread(("Add!", [call("add", x=1)], first), ([returned()], "3."))) or b"")
        assert [each["function"]["name"] for each in found["tools"]] == ["add"]

    def test_a_call_in_a_namespace_goes_by_the_name_that_is_told(self) -> None:
        asked = item("function_call", name="find", namespace="docs", call_id="call_1", arguments="{}")
        found = checked(
            line(thread(("Find!", [asked], {"settings": settings(tools=[DOCS])}), ([returned()], "3."))) or b""
        )
        assert found["messages"][1]["tool_calls"][0]["function"]["name"] == "docs__find"
        assert found["tools"][0]["function"]["name"] == "docs__find"

    def test_images_of_users_are_told(self) -> None:
        parts = [{"type": "input_text", "text": "What?"}, {"type": "input_image", "image_url": "https://x/y.png"}]
        found = messages(([user(parts)], "A cat."))
        assert found[0]["content"][1] == {"type": "image_url", "image_url": {"url": "https://x/y.png"}}

    def test_what_fine_tuning_does_not_know_is_left_out(self) -> None:
        answer = [
            item("reasoning", summary=[{"type": "summary_text", "text": "Hm."}]),
            item("web_search_call", action={}),
            item("compaction", encrypted_content="x"),
            item("quantum", x=1),
            call("add", "call_open"),
            said("Done."),
        ]
        asked = [user([{"type": "input_audio", "input_audio": {}}]), item("item_reference"), user("Go!")]
        assert messages((asked, answer)) == [
            {"role": "user", "content": "Go!"},
            {"role": "assistant", "content": "Done."},
        ]

    def test_it_ends_with_the_last_complete_answer(self) -> None:
        for ending in (
            {"status": "failed", "error": {"code": "server_error"}},
            {"status": "incomplete", "incomplete_reason": "max_output_tokens"},
            {"status": "in_progress"},
            {"erased_at": at(9)},
        ):
            assert messages(("Hello?", "Hi."), ("And?", "Bye", ending))[-1]["content"] == "Hi."
        assert messages(("Hello?", "Hi."), ("Add!", [call("add")]))[-1]["content"] == "Hi."
        assert messages(("Hello?", "Hi."), ("By hand.", [], {"origin": "items"}))[-1]["content"] == "Hi."

    def test_the_tip_is_then_that_of_the_answer(self) -> None:
        first, last = (
            {"settings": settings(instructions="A")},
            {"settings": settings(instructions="B"), "status": "failed"},
        )
        assert messages(("Hello?", "Hi.", first), ("And?", [], last))[0]["content"] == "A"

    def test_what_was_called_behind_the_answer_is_cut_off(self) -> None:
        assert messages(("Hello?", "Hi."), ("Add!", [said("Done."), user("x"), call("add"), returned()]))[-1] == {
            "role": "assistant",
            "content": "Done.",
        }

    def test_a_call_by_no_name_is_left_out_with_its_output(self) -> None:
        found = messages(("Add!", [call("a b"), call("", "call_2")]), ([returned(), returned(call_id="call_2")], "3."))
        assert [each["role"] for each in found] == ["user", "assistant"]

    def test_no_answer_no_line(self) -> None:
        assert line([]) is None
        assert line(thread(("Hello?", []))) is None
        assert line(thread(("Hello?", "Hi.", {"status": "failed"}))) is None
        assert line(thread(("Add!", [call("add")]))) is None

    def test_what_was_deleted_was_shown_all_the_same(self) -> None:
        assert messages(("Hello?", "Hi.", {"deleted_at": at(5)}), ("And?", "Bye."))[0]["content"] == "Hello?"

    def test_what_was_taken_out_was_not(self) -> None:
        found = messages(("Hello?", "Hi."), ([removed("0.1")], [], {"origin": "items"}), ("And?", "Bye."))
        assert [each["content"] for each in found] == ["Hello?", "And?", "Bye."]

    def test_not_even_when_it_was_taken_out_last_of_all(self) -> None:
        assert line(thread(("Hello?", "Hi."), ([removed("0.1")], [], {"origin": "items"}))) is None

    def test_a_refusal_is_an_answer(self) -> None:
        refusal = item("message", role="assistant", content=[{"type": "refusal", "refusal": "No."}])
        assert messages(("Hello?", [refusal]))[-1] == {"role": "assistant", "content": "No."}

    def test_half_a_surrogate_pair_is_made_a_character(self) -> None:
        odd = Item("message", b'{"role":"user","content":"a\\ud800b \\ud83d\\ude00 \\\\ud800"}', role="user")
        assert messages(([odd], "Hi."))[0]["content"] == "a\ufffdb 😀 \\ud800"


ids = st.sampled_from(["call_1", "call_2", ""]) | values
odd = st.one_of(texts, values)
part = st.one_of(
    values,
    st.fixed_dictionaries(
        {"type": st.sampled_from(["input_text", "output_text", "refusal", "input_image", "input_file", "input_audio"])},
        optional=dict.fromkeys(("text", "refusal", "image_url", "detail", "filename"), odd),
    ),
)
kinds = ["message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output", "reasoning"]
stored = st.fixed_dictionaries(
    {"type": st.sampled_from([*kinds, "web_search_call", "mcp_call", "compaction", REMOVAL]) | texts},
    optional={
        "role": st.sampled_from(["user", "assistant", "system", "developer"]) | odd,
        "content": st.lists(part, max_size=3) | odd,
        "name": st.sampled_from(["add", "a b", "x" * 70]) | odd,
        "namespace": st.sampled_from(["docs", "ä"]) | odd,
        "call_id": ids,
        "arguments": odd,
        "input": odd,
        "output": st.lists(part, max_size=2) | odd,
    },
)
tools = st.lists(
    st.one_of(
        values,
        st.fixed_dictionaries(
            {"type": st.sampled_from(["function", "custom", "namespace", "web_search"])},
            optional={
                "name": st.sampled_from(["add", "docs", "a b"]) | odd,
                **dict.fromkeys(("description", "parameters", "strict", "format"), odd),
                "tools": st.just([ADD, PATCH, {"type": "function"}, 7]) | odd,
            },
        ),
    ),
    max_size=4,
)
requests = st.one_of(
    values.map(jsontext.dumps),
    st.binary(max_size=20),
    st.builds(
        lambda *given: settings(tools=given[0], instructions=given[1], parallel_tool_calls=given[2]), tools, odd, odd
    ),
)


@st.composite
def threads(draw: st.DrawFn) -> list[Archived]:
    """Threads of anything, with a good answer in them often enough."""
    turns = []
    for _ in range(draw(st.integers(1, 4))):
        asked = [of_object(each) for each in draw(st.lists(stored, max_size=4))]
        answered = [of_object(each) for each in draw(st.lists(stored, max_size=4))]
        if draw(st.booleans()):
            answered.append(said("Good."))
        status = draw(st.sampled_from(["completed", "completed", "incomplete", "failed"]))
        turns.append((asked, answered, {"status": status, "settings": draw(requests)}))
    return thread(*turns)


class TestLaw:
    @thorough
    @given(threads())
    def test_whatever_is_stored_the_line_is_valid_or_there_is_none(self, found: list[Archived]) -> None:
        written = line(found)
        if written is not None:
            checked(written)

    @thorough
    @given(st.lists(st.binary(max_size=30), max_size=3))
    def test_not_even_what_is_no_json_is_refused(self, bodies: list[bytes]) -> None:
        found = [exchange([Item("message", each, role="user") for each in bodies], "Good.")]
        assert messages_end(line(found)) == "Good."


def messages_end(written: bytes | None) -> str:
    assert written is not None
    return str(checked(written)["messages"][-1]["content"])
