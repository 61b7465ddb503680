"""Chat Completions, a thread a line: what shares a beginning becomes one tree."""

import io
import json

import pytest

from convstore.archives import completions
from convstore.archives.pieces import NO_OUTPUT
from convstore.errors import Unreadable
from tests.archives.makers import NOW, Json, as_lines, bodies, broken, conversations, exchanges, task, texts

WEATHER = {"name": "weather", "description": "Tells it.", "parameters": {"type": "object"}}


def records(*lines: Json):
    return list(completions.records(io.BytesIO(as_lines(lines)), task("completions")))


def message(role: str, content: object = None, **more: object) -> Json:
    return {"role": role, "content": content, **more}


def line(*messages: Json, **more: object) -> Json:
    return {"messages": list(messages), **more}


class TestThreads:
    def test_each_question_with_its_answer_is_an_exchange(self):
        first, second = exchanges(
            records(
                line(message("user", "1"), message("assistant", "2"), message("user", "3"), message("assistant", "4"))
            )
        )
        assert (texts(first.input), texts(first.output)) == (["1"], ["2"])
        assert (texts(second.input), second.parent_id) == (["3"], first.id)
        assert (first.upstream, first.model, first.status) == ("import:completions", "unknown", "completed")

    def test_what_is_ordered_at_the_front_are_the_instructions(self):
        (found,) = exchanges(
            records(
                line(
                    message("system", "Be brief."),
                    message("developer", [{"type": "text", "text": "Be kind."}]),
                    message("user", "1"),
                    message("system", "Stop."),
                    message("assistant", "2"),
                    model="gpt-4o",
                )
            )
        )
        assert json.loads(found.settings) == {"model": "gpt-4o", "instructions": "Be brief.\n\nBe kind."}
        assert [body["role"] for body in bodies(found.input)] == ["user", "system"]

    def test_a_question_without_an_answer_says_so(self):
        (found,) = exchanges(records(line(message("user", "1"))))
        assert (found.status, found.error["code"], found.model) == ("incomplete", "no_answer", None)

    def test_tools_are_called_and_answered(self):
        call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Köln"}'}}
        first, second = exchanges(
            records(
                line(
                    message("user", "How is it?"),
                    message("assistant", None, tool_calls=[call]),
                    message("tool", "sunny", tool_call_id="call_1"),
                    message("assistant", "Sunny."),
                    tools=[{"type": "function", "function": WEATHER}],
                    parallel_tool_calls=False,
                )
            )
        )
        (asked,) = bodies(first.output)
        assert (asked["type"], asked["call_id"], asked["arguments"]) == ("function_call", "call_1", '{"city":"Köln"}')
        (told,) = bodies(second.input)
        assert (told["type"], told["call_id"], told["output"]) == ("function_call_output", "call_1", "sunny")
        settings = json.loads(first.settings)
        assert settings["tools"] == [{"type": "function", **WEATHER}] and settings["parallel_tool_calls"] is False

    def test_functions_are_what_tools_were(self):
        first, second = exchanges(
            records(
                line(
                    message("user", "?"),
                    message("assistant", None, function_call={"name": "weather", "arguments": "{}"}),
                    message("function", "sunny", name="weather"),
                    message("assistant", "Sunny."),
                    functions=[WEATHER],
                )
            )
        )
        assert bodies(first.output)[0]["call_id"] == bodies(second.input)[0]["call_id"]
        assert json.loads(first.settings)["tools"] == [{"type": "function", **WEATHER}]

    def test_a_call_that_the_next_question_passes_over_is_told_so_there(self):
        call = {"id": "c", "function": {"name": "f", "arguments": "not json"}}
        _, second = exchanges(
            records(line(message("user", "1"), message("assistant", "", tool_calls=[call]), message("user", "2")))
        )
        assert [body["type"] for body in bodies(second.input)] == ["function_call_output", "message"]
        assert bodies(second.input)[0]["output"] == NO_OUTPUT

    def test_pictures_files_and_what_nobody_knows_are_kept(self):
        content = [
            {"type": "text", "text": "see"},
            {"type": "image_url", "image_url": {"url": "https://x.example/a.png", "detail": "low"}},
            {"type": "image_url", "image_url": "https://x.example/b.png"},
            {"type": "file", "file": {"file_id": "file-1"}},
            {"type": "brand_new", "x": 1},
        ]
        (found,) = exchanges(records(line(message("user", content))))
        assert bodies(found.input)[0]["content"] == [
            {"type": "input_text", "text": "see"},
            {"type": "input_image", "image_url": "https://x.example/a.png", "detail": "low"},
            {"type": "input_image", "image_url": "https://x.example/b.png", "detail": "auto"},
            {"type": "input_file", "file_id": "file-1"},
            {"type": "input_text", "text": '{"type":"brand_new","x":1}'},
        ]

    def test_refusals_and_thoughts_are_kept(self):
        (found,) = exchanges(
            records(line(message("user", "1"), message("assistant", None, refusal="No.", reasoning_content="Hm.")))
        )
        thought, refused = bodies(found.output)
        assert thought["summary"][0]["text"] == "Hm." and refused["content"] == [{"type": "refusal", "refusal": "No."}]

    def test_metadata_is_the_last_exchanges_and_holds_texts(self):
        first, second = exchanges(
            records(
                line(message("user", "1"), message("assistant", "2"), message("user", "3"), metadata={"a": "b", "n": 1})
            )
        )
        assert first.metadata is None and json.loads(second.metadata) == {"a": "b", "n": "1"}

    def test_moments_are_the_lines_or_now_and_no_part_of_an_id(self):
        dated, undated = line(message("user", "1"), created=1_700_000_000), line(message("user", "1"))
        first, second = exchanges(records(dated, undated))
        assert first.created_at.timestamp() == 1_700_000_000 and second.created_at == NOW
        assert first.id == second.id and first.id.startswith("resp_000000000000")


class TestTrees:
    def test_lines_that_begin_alike_are_one_tree(self):
        start = (message("user", "1"), message("assistant", "2"))
        found = records(
            line(*start, message("user", "3"), message("assistant", "4")),
            line(*start, message("user", "drei")),
            line(message("user", "1"), message("assistant", "zwei")),
        )
        first, second, again, third, other = exchanges(found)
        assert again.id == first.id and second.parent_id == third.parent_id == first.id
        assert other.id != first.id and other.parent_id is None
        assert {each.id for each in conversations(found)} == {first.conversation_id}
        assert {each.conversation_id for each in exchanges(found)} == {first.conversation_id}

    def test_a_log_of_growing_requests_is_one_thread(self):
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        messages = [
            message("user", "1"),
            message("assistant", None, tool_calls=[call]),
            message("tool", "out", tool_call_id="c"),
            message("assistant", "2"),
        ]
        found = exchanges(records(line(*messages[:2]), line(*messages)))
        assert found[0].id == found[1].id and len({each.id for each in found}) == 2

    def test_other_instructions_tools_or_models_are_another_tree(self):
        asked = message("user", "1")
        found = records(
            line(asked),
            line(message("system", "x"), asked),
            line(asked, model="m"),
            line(asked, tools=[{"type": "function", "function": WEATHER}]),
        )
        assert len({each.id for each in exchanges(found)}) == len({each.id for each in conversations(found)}) == 4

    def test_texts_cannot_be_cut_so_that_two_threads_look_alike(self):
        one = line(message("user", "a"), message("user", "b"), message("assistant", "c"))
        other = line(message("user", "a"), message("assistant", "b"), message("assistant", "c"))
        assert len({each.id for each in exchanges(records(one, other))}) == 2

    def test_a_preference_is_two_answers_to_one_question(self):
        first, good, bad = exchanges(
            records(
                {
                    "input": {
                        "messages": [message("user", "1"), message("assistant", "2"), message("user", "3")],
                        "tools": [],
                        "parallel_tool_calls": True,
                    },
                    "preferred_output": [message("assistant", "good")],
                    "non_preferred_output": [message("assistant", "bad")],
                }
            )
        )
        assert good.parent_id == bad.parent_id == first.id and good.id != bad.id
        assert (texts(good.output), texts(bad.output)) == (["good"], ["bad"])
        assert texts(good.input) == texts(bad.input) == ["3"]

    def test_a_preference_may_be_of_several_turns(self):
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        asks, hears = message("assistant", None, tool_calls=[call]), message("tool", "out", tool_call_id="c")
        short, asked, heard = exchanges(
            records(
                {
                    "input": {"messages": [message("user", "1")]},
                    "preferred_output": [message("assistant", "short")],
                    "non_preferred_output": [asks, hears, message("assistant", "long")],
                }
            )
        )
        assert heard.parent_id == asked.id and short.parent_id is asked.parent_id is None
        assert (texts(short.output), texts(heard.output)) == (["short"], ["long"])

    def test_a_preference_about_the_first_question_is_two_roots_of_one_conversation(self):
        good, bad = exchanges(
            records(
                {
                    "input": {"messages": [message("user", "1")]},
                    "preferred_output": [message("assistant", "good")],
                    "non_preferred_output": [message("assistant", "bad")],
                }
            )
        )
        assert good.parent_id is bad.parent_id is None and good.conversation_id == bad.conversation_id


class TestBroken:
    @pytest.mark.parametrize(
        ("given", "reason"),
        [
            ([], "no_messages"),
            ({"prompt": "x"}, "no_messages"),
            ({"messages": "x"}, "invalid_messages"),
            ({"messages": [{"content": "x"}]}, "invalid_messages"),
            ({"messages": [message("user", "x"), 3]}, "invalid_messages"),
            ({"messages": []}, "empty"),
            ({"messages": [message("system", "x")]}, "empty"),
            ({"input": {"messages": [message("user", "x")]}, "preferred_output": "x"}, "invalid_messages"),
        ],
    )
    def test_a_line_that_is_no_thread_is_broken_and_the_next_is_read(self, given, reason):
        found = records(given, line(message("user", "1")))
        assert [each.reason for each in broken(found)] == [reason]
        assert found[0].place == "line 1" and found[-1].place == "line 2" and len(exchanges(found)) == 1

    def test_a_message_is_named_by_its_place(self):
        (found,) = broken(records({"messages": [message("user", "x"), 3]}))
        assert "message 2" in found.message

    def test_a_line_that_is_not_json_ends_the_reading(self):
        found = completions.records(io.BytesIO(as_lines([line(message("user", "1"))]) + b"{"), task("completions"))
        assert next(found).place == "line 1"
        with pytest.raises(Unreadable, match="line 2"):
            list(found)
