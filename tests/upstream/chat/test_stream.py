"""The story of stream.py: chat chunks in, Responses events out."""

import re

import orjson
import pytest
from openai import NOT_GIVEN
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from convstore.errors import UpstreamGarbled
from convstore.upstream.chat import ChatStream, response_of
from convstore.upstream.chat.names import Names, Tool

from .helpers import DONE, NAMES, call, chunk, completion, deltas, fold, play, stream, types

STOP = [chunk({}, "stop"), DONE]
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
GENERATED = re.compile(r"call_[0-9a-f]{24}")


def numbered(events):
    """The events as the core sends them on: lifecycle events around, numbers, and a full response."""
    skeleton = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1755000000,
        "tools": [],
        "tool_choice": "auto",
    }
    skeleton |= {"parallel_tool_calls": True, "output": [], "model": "m", "status": "in_progress"}
    started = [{"type": "response.created", "response": skeleton}]
    full = [e | {"response": skeleton | e["response"] | {"usage": None}} if "response" in e else e for e in events]
    return [event | {"sequence_number": number} for number, event in enumerate(started + full)]


def without_generated_ids(output):
    text = orjson.dumps(output).decode()
    return orjson.loads(GENERATED.sub("call_?", text))


class TestFeedRecordings:
    """Each recorded stream, from each server."""

    @pytest.mark.parametrize("name", NAMES)
    def test_it_says_what_the_whole_completion_says(self, name):
        folded = fold(play(stream(name)))
        whole = response_of(completion(name))
        assert without_generated_ids(folded.output) == without_generated_ids(whole["output"])
        assert without_generated_ids(folded.response) == without_generated_ids(whole)

    @pytest.mark.parametrize("name", NAMES)
    def test_its_terminal_holds_the_items_that_were_done(self, name):
        folded = fold(play(stream(name)))
        assert folded.response["output"] == folded.output

    @pytest.mark.parametrize("name", NAMES)
    def test_its_events_are_the_sdks_events(self, name):
        adapter = TypeAdapter(ResponseStreamEvent)
        for event in numbered(play(stream(name))):
            assert type(adapter.validate_python(event)).model_fields["type"].annotation.__args__ == (event["type"],)

    @pytest.mark.parametrize("name", NAMES)
    def test_the_sdks_helper_accumulates_it(self, name):
        state = ResponseStreamState(text_format=NOT_GIVEN, input_tools=NOT_GIVEN)
        adapter = TypeAdapter(ResponseStreamEvent)
        events = play(stream(name))
        for event in numbered(events):
            state.handle_event(adapter.validate_python(event))
        if events[-1]["type"] == "response.completed":
            assert len(state._completed_response.output) == len(events[-1]["response"]["output"])

    @pytest.mark.parametrize("name", NAMES)
    def test_no_event_is_numbered(self, name):
        assert not any("sequence_number" in event for event in play(stream(name)))

    def test_deepseeks_usage_stays_as_it_was(self):
        usage = fold(play(stream("deepseek_thinking_call"))).response["usage"]
        assert usage["prompt_cache_hit_tokens"] == 320
        assert usage == completion("deepseek_thinking_call")["usage"]

    def test_llamacpps_empty_call_ids_are_replaced_by_our_own(self):
        first, second = fold(play(stream("llamacpp_call"))).output
        assert GENERATED.fullmatch(first["call_id"]) and GENERATED.fullmatch(second["call_id"])
        assert first["call_id"] != second["call_id"]

    def test_vllms_interleaved_calls_come_one_after_another(self):
        output = fold(play(stream("vllm_reasoning_call"))).output
        assert [item.get("arguments") for item in output] == [None, '{"city": "Rome"}', '{"city": "Oslo"}']


class TestFeedText:
    def test_text_opens_an_item_and_a_part_and_then_flows(self):
        chat = ChatStream()
        assert chat.feed(chunk({"role": "assistant", "content": ""})) == []
        assert chat.feed(chunk({"content": "Hel"})) == [
            {
                "type": "response.output_item.added",
                "output_index": 0,
                "item": {
                    "id": "msg_0",
                    "type": "message",
                    "status": "in_progress",
                    "role": "assistant",
                    "content": [],
                },
            },
            {
                "type": "response.content_part.added",
                "item_id": "msg_0",
                "output_index": 0,
                "content_index": 0,
                "part": {"type": "output_text", "annotations": [], "logprobs": [], "text": ""},
            },
            {
                "type": "response.output_text.delta",
                "item_id": "msg_0",
                "output_index": 0,
                "content_index": 0,
                "delta": "Hel",
                "logprobs": [],
            },
        ]
        assert types(chat.feed(chunk({"content": "lo"}))) == ["output_text.delta"]

    def test_the_finish_reason_closes_what_is_open(self):
        chat = ChatStream()
        chat.feed(chunk({"content": "Hello"}))
        events = chat.feed(chunk({}, "stop"))
        assert types(events) == ["output_text.done", "content_part.done", "output_item.done"]
        assert events[0]["text"] == "Hello"
        assert events[2]["item"]["status"] == "completed"

    def test_text_and_finish_reason_may_share_a_chunk(self):
        events = play([chunk({"content": "Hello"}, "stop"), DONE])
        assert fold(events).output[0]["content"][0]["text"] == "Hello"

    def test_chunks_that_say_nothing_give_no_events(self):
        chat = ChatStream()
        silent = [
            b"",
            chunk(),
            chunk({}),
            chunk({"role": "assistant"}),
            chunk({"content": None, "reasoning_content": None, "refusal": None, "tool_calls": None}),
            chunk({"content": "", "reasoning": "", "tool_calls": []}),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": ""}}]}),
            orjson.dumps({"choices": [{"index": 0, "delta": None, "finish_reason": None}]}),
            orjson.dumps({"choices": None}),
            orjson.dumps({"prompt_filter_results": []}),
        ]
        assert [event for data in silent for event in chat.feed(data)] == []
        assert types(play([*silent, *STOP])) == ["completed"]

    def test_choices_other_than_the_first_are_not_heard(self):
        other = orjson.dumps({"choices": [{"index": 1, "delta": {"content": "noise"}, "finish_reason": "length"}]})
        events = play([other, chunk({"content": "Hi"}), other, *STOP])
        assert deltas(events) == ["Hi"]
        assert fold(events).response["status"] == "completed"

    def test_logprobs_go_with_their_text_and_are_gathered_in_the_part(self):
        first, second = ({"token": token, "logprob": -0.1, "bytes": None, "top_logprobs": []} for token in "ab")

        def said(text, token):
            choice = {
                "index": 0,
                "delta": {"content": text},
                "logprobs": {"content": [token], "refusal": None},
            }
            return orjson.dumps({"choices": [choice]})

        events = play([said("a", first), said("", second), *STOP])
        assert [event.get("logprobs") for event in events[2:5]] == [[first], [second], [first, second]]
        assert fold(events).output[0]["content"][0]["logprobs"] == [first, second]

    def test_mistrals_list_of_parts_is_heard(self):
        thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
        events = play([chunk({"content": [thinking]}), chunk({"content": [{"type": "text", "text": "Hi"}]}), *STOP])
        assert [(item["type"], item["content"][0]["text"]) for item in fold(events).output] == [
            ("reasoning", "Hm."),
            ("message", "Hi"),
        ]


class TestFeedReasoning:
    @pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
    def test_reasoning_is_heard_under_each_of_its_names(self, name):
        events = play([chunk({name: "Hm"}), chunk({name: "…"}), *STOP])
        assert types(events) == [
            "output_item.added",
            "content_part.added",
            "reasoning_text.delta",
            "reasoning_text.delta",
            "reasoning_text.done",
            "content_part.done",
            "output_item.done",
            "completed",
        ]
        assert fold(events).output == [
            {
                "id": "rs_0",
                "type": "reasoning",
                "status": "completed",
                "summary": [],
                "content": [{"type": "reasoning_text", "text": "Hm…"}],
            }
        ]

    def test_litellms_thinking_blocks_are_heard(self):
        blocks = [
            {"type": "thinking", "thinking": "Hm", "signature": "x"},
            {"type": "redacted_thinking", "data": "x"},
        ]
        assert deltas(play([chunk({"thinking_blocks": blocks}), *STOP])) == ["Hm"]

    def test_two_names_for_one_thought_are_heard_once(self):
        assert deltas(play([chunk({"reasoning": "Hm", "reasoning_content": "Hm"}), *STOP])) == ["Hm"]

    def test_text_closes_reasoning(self):
        chat = ChatStream()
        chat.feed(chunk({"reasoning": "Hm"}))
        assert types(chat.feed(chunk({"content": "Hi"}))) == [
            "reasoning_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
        ]

    def test_reasoning_after_text_is_an_item_of_its_own(self):
        events = play([chunk({"reasoning": "a"}), chunk({"content": "b"}), chunk({"reasoning": "c"}), *STOP])
        assert [item["id"] for item in fold(events).output] == ["rs_0", "msg_1", "rs_2"]


class TestFeedRefusals:
    def test_a_refusal_is_a_part_of_the_message(self):
        events = play([chunk({"refusal": "I "}), chunk({"refusal": "can't."}), *STOP])
        assert types(events)[2:6] == ["refusal.delta", "refusal.delta", "refusal.done", "content_part.done"]
        assert fold(events).output[0]["content"] == [{"type": "refusal", "refusal": "I can't."}]

    def test_a_refusal_after_text_is_the_second_part(self):
        events = play([chunk({"content": "Well,"}), chunk({"refusal": "no."}), *STOP])
        assert [part["type"] for part in fold(events).output[0]["content"]] == ["output_text", "refusal"]


CITED = {"url": "https://a.example", "title": "A", "start_index": 0, "end_index": 2}


class TestFeedCitations:
    def cited(self):
        return chunk({"annotations": [{"type": "url_citation", "url_citation": CITED}, {"type": "file"}]})

    def test_a_citation_is_flattened_and_counted(self):
        events = play([chunk({"content": "Hi"}), self.cited(), self.cited(), *STOP])
        added = [event for event in events if event["type"].endswith("annotation.added")]
        assert [event["annotation_index"] for event in added] == [0, 1]
        assert added[0]["annotation"] == {"type": "url_citation", **CITED}
        assert len(fold(events).output[0]["content"][0]["annotations"]) == 2

    def test_a_citation_before_its_text_waits_for_it(self):
        events = play([self.cited(), chunk({"content": "Hi"}), *STOP])
        assert len(fold(events).output[0]["content"][0]["annotations"]) == 1

    def test_a_citation_may_share_its_texts_only_chunk(self):
        citation = {"type": "url_citation", "url_citation": CITED}
        events = play([chunk({"content": "Hi", "annotations": [citation]}, "stop"), DONE])
        assert len(fold(events).output[0]["content"][0]["annotations"]) == 1

    def test_a_citation_behind_a_refusal_has_no_place(self):
        events = play([chunk({"content": "Hi"}), chunk({"refusal": "no"}), self.cited(), *STOP])
        assert fold(events).output[0]["content"][0]["annotations"] == []

    def test_citations_without_text_give_nothing(self):
        assert types(play([self.cited(), *STOP])) == ["completed"]


class TestFeedCalls:
    def test_arguments_flow_as_they_come(self):
        chat = ChatStream()
        assert types(chat.feed(chunk(call(0, "", id="call_a", name="add")))) == ["output_item.added"]
        assert deltas(chat.feed(chunk(call(0, '{"x":')))) == ['{"x":']
        assert deltas(chat.feed(chunk(call(0, "1}")))) == ["1}"]
        assert types(chat.feed(chunk({}, "tool_calls"))) == [
            "function_call_arguments.done",
            "output_item.done",
        ]

    def test_a_call_has_all_its_fields(self):
        events = play([chunk(call(0, '{"x":1}', id="call_a", name="add")), chunk({}, "tool_calls"), DONE])
        item = {"id": "fc_0", "type": "function_call", "call_id": "call_a", "name": "add"}
        assert events[0]["item"] == {**item, "status": "in_progress", "arguments": ""}
        assert fold(events).output == [{**item, "status": "completed", "arguments": '{"x":1}'}]

    def test_a_call_closes_the_text_before_it(self):
        events = play([chunk({"content": "Hi"}), chunk(call(0, "{}", id="a", name="f")), *STOP])
        assert types(events)[5:7] == ["output_item.done", "output_item.added"]
        assert [item["id"] for item in fold(events).output] == ["msg_0", "fc_1"]

    def test_no_arguments_are_an_empty_object(self):
        events = play([chunk(call(0, None, id="a", name="f")), *STOP])
        assert deltas(events) == ["{}"]
        assert fold(events).output[0]["arguments"] == "{}"

    def test_arguments_sent_as_an_object_become_text(self):
        piece = {"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}}
        assert fold(play([chunk({"tool_calls": [piece]}), *STOP])).output[0]["arguments"] == '{"x":1}'

    def test_a_call_that_is_whole_gives_way_to_the_next_at_once(self):
        chat = ChatStream()
        chat.feed(chunk(call(0, '{"x":1}', id="a", name="f")))
        events = chat.feed(chunk(call(1, '{"x":', id="b", name="g")))
        assert types(events) == [
            "function_call_arguments.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
        ]

    def test_a_call_that_is_not_whole_keeps_the_next_waiting(self):
        chat = ChatStream()
        chat.feed(chunk(call(0, '{"x":', id="a", name="f")))
        assert chat.feed(chunk(call(1, '{"y":', id="b", name="g"))) == []
        assert chat.feed(chunk(call(1, "2}"))) == []
        events = chat.feed(chunk(call(0, "1}")))
        assert deltas(events) == ["1}", '{"y":2}']

    def test_a_brace_inside_a_text_does_not_make_a_call_whole(self):
        chat = ChatStream()
        chat.feed(chunk(call(0, '{"x":"{}', id="a", name="f")))
        assert chat.feed(chunk(call(1, "{}", id="b", name="g"))) == []
        assert types(chat.feed(chunk(call(0, '"}'))))[:3] == [
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
        ]

    def test_calls_that_never_become_whole_come_in_order_at_the_end(self):
        datas = [chunk(call(0, '{"x":', id="a", name="f")), chunk(call(1, '{"y":', id="b", name="g"))]
        folded = fold(play([*datas, chunk({}, "length"), DONE]))
        assert [(item["call_id"], item["status"]) for item in folded.output] == [
            ("a", "completed"),
            ("b", "incomplete"),
        ]

    def test_two_calls_may_share_a_chunk(self):
        two = call(0, "{}", id="a", name="f")["tool_calls"] + call(1, "{}", id="b", name="g")["tool_calls"]
        assert [item["name"] for item in fold(play([chunk({"tool_calls": two}), *STOP])).output] == ["f", "g"]

    def test_a_name_that_comes_late_is_waited_for(self):
        chat = ChatStream()
        assert chat.feed(chunk(call(0, '{"x":', id="a"))) == []
        assert types(chat.feed(chunk(call(0, "1}", name="f")))) == [
            "output_item.added",
            "function_call_arguments.delta",
        ]

    def test_a_name_that_is_repeated_counts_once(self):
        datas = [chunk(call(0, '{"x":', id="a", name="f")), chunk(call(0, "1}", id="a", name="f"))]
        assert [item["name"] for item in fold(play([*datas, *STOP])).output] == ["f"]

    def test_a_call_without_any_name_still_ends(self):
        output = fold(play([chunk(call(0, "{}", id="a")), *STOP])).output
        assert output[0]["name"] == "" and output[0]["call_id"] == "a"

    def test_a_missing_id_is_made_up(self):
        output = fold(play([chunk(call(0, "{}", name="f")), *STOP])).output
        assert GENERATED.fullmatch(output[0]["call_id"])

    def test_an_id_used_twice_is_replaced_the_second_time(self):
        datas = [chunk(call(0, "{}", id="a", name="f")), chunk(call(1, "{}", id="a", name="g"))]
        first, second = fold(play([*datas, *STOP])).output
        assert first["call_id"] == "a" and GENERATED.fullmatch(second["call_id"])

    def test_an_id_that_changes_from_piece_to_piece_is_the_same_call(self):
        datas = [chunk(call(0, '{"x":', id="a", name="f")), chunk(call(0, "1}", id="b"))]
        assert [item["call_id"] for item in fold(play([*datas, *STOP])).output] == ["a"]

    def test_calls_that_all_have_index_0_are_told_apart_by_id(self):
        datas = [chunk(call(0, "{}", id="a", name="f")), chunk(call(0, "{}", id="b", name="f"))]
        assert [item["call_id"] for item in fold(play([*datas, *STOP])).output] == ["a", "b"]

    def test_calls_that_all_have_index_0_and_no_ids_are_told_apart_by_name_and_wholeness(self):
        names = ["f", "g", "g"]
        output = fold(play([*(chunk(call(0, "{}", name=name)) for name in names), *STOP])).output
        assert [item["name"] for item in output] == names

    def test_calls_that_all_have_index_0_and_say_nothing_else_are_told_apart_by_name(self):
        output = fold(play([*(chunk(call(0, name=name)) for name in "fg"), *STOP])).output
        assert [(item["name"], item["arguments"]) for item in output] == [("f", "{}"), ("g", "{}")]

    def test_calls_without_indexes_are_told_apart_by_their_names(self):
        datas = [
            chunk(call(None, '{"x":', name="f")),
            chunk(call(None, "1}")),
            chunk(call(None, "{}", name="f")),
        ]
        assert [item["arguments"] for item in fold(play([*datas, *STOP])).output] == ['{"x":1}', "{}"]

    def test_a_piece_without_an_index_continues_the_latest_call(self):
        datas = [chunk(call(0, '{"x":', id="a", name="f")), chunk(call(None, "1}"))]
        assert [item["arguments"] for item in fold(play([*datas, *STOP])).output] == ['{"x":1}']

    def test_a_call_said_again_after_it_ended_is_not_heard(self):
        datas = [chunk(call(0, "{}", id="a", name="f")), chunk(call(1, "{}", id="b", name="g"))]
        again = chunk(call(0, "{}", id="a", name="f"))
        assert len(fold(play([*datas, again, *STOP])).output) == 2

    def test_text_after_a_whole_call_flows_in_a_message_behind_it(self):
        chat = ChatStream()
        chat.feed(chunk(call(0, "{}", id="a", name="f")))
        assert deltas(chat.feed(chunk({"content": "So"}))) == ["So"]

    def test_text_between_the_pieces_of_a_call_waits(self):
        datas = [chunk(call(0, '{"x":', id="a", name="f")), chunk({"content": "So"}), chunk(call(0, "1}"))]
        call_item, message = fold(play([*datas, *STOP])).output
        assert call_item["arguments"] == '{"x":1}'
        assert message["content"][0]["text"] == "So"


class TestFeedCustomCalls:
    TOOLS = Names([Tool("apply_patch", is_custom=True)])

    def test_the_input_comes_out_of_the_arguments(self):
        datas = [chunk(call(0, '{"input": "*** Be', id="a", name="apply_patch")), chunk(call(0, 'gin\\n"}'))]
        events = play([*datas, *STOP], self.TOOLS)
        assert types(events) == [
            "output_item.added",
            "custom_tool_call_input.delta",
            "custom_tool_call_input.done",
            "output_item.done",
            "completed",
        ]
        assert fold(events).output == [
            {
                "id": "ctc_0",
                "type": "custom_tool_call",
                "status": "completed",
                "call_id": "a",
                "input": "*** Begin\n",
                "name": "apply_patch",
            }
        ]

    @pytest.mark.parametrize("arguments", ['{"patch": "x"}', '{"input": 5}', "plain text", '{"input": "cut'])
    def test_arguments_of_another_shape_are_the_input_as_they_are(self, arguments):
        events = play([chunk(call(0, arguments, id="a", name="apply_patch")), *STOP], self.TOOLS)
        assert fold(events).output[0]["input"] == arguments

    def test_other_functions_stay_functions(self):
        events = play([chunk(call(0, "{}", id="a", name="add")), *STOP], self.TOOLS)
        assert fold(events).output[0]["type"] == "function_call"


class TestFeedNamespaces:
    TOOLS = Names([Tool("find", "docs"), Tool("patch", "docs", is_custom=True)])

    def test_a_call_names_its_namespace_from_the_start(self):
        datas = [chunk(call(0, '{"q":', id="a", name="docs__find")), chunk(call(0, '"x"}')), *STOP]
        events = play(datas, self.TOOLS)
        whole = {
            "id": "fc_0",
            "type": "function_call",
            "status": "completed",
            "arguments": '{"q":"x"}',
            "call_id": "a",
            "name": "find",
            "namespace": "docs",
        }
        assert events[0]["item"] == whole | {"status": "in_progress", "arguments": ""}
        assert fold(events).output == [whole]
        assert fold(events).response["output"] == [whole]

    def test_so_does_a_custom_one(self):
        events = play([chunk(call(0, '{"input":"x"}', id="a", name="docs__patch")), *STOP], self.TOOLS)
        (item,) = fold(events).output
        assert (item["type"], item["name"], item["namespace"], item["input"]) == (
            "custom_tool_call",
            "patch",
            "docs",
            "x",
        )

    def test_a_name_that_is_repeated_begins_no_other_call(self):
        datas = [chunk(call(0, piece, id="a", name="docs__find")) for piece in ('{"q":', '"x"}')]
        (item,) = fold(play([*datas, *STOP], self.TOOLS)).output
        assert item["arguments"] == '{"q":"x"}'

    def test_a_call_that_is_cut_names_it_too(self):
        datas = [chunk(call(0, '{"q":', id="a", name="docs__find")), b'{"error":{"message":"No."}}']
        (item,) = play(datas, self.TOOLS)[-1]["response"]["output"]
        assert (item["status"], item["name"], item["namespace"]) == ("incomplete", "find", "docs")


class TestFeedTheEnd:
    def test_done_gives_the_terminal(self):
        chat = ChatStream()
        chat.feed(chunk({"content": "Hi"}, "stop", model="gpt-x", service_tier="flex"))
        assert chat.feed(chunk(usage=USAGE)) == []
        (terminal,) = chat.feed(DONE)
        assert terminal == {
            "type": "response.completed",
            "response": {
                "model": "gpt-x",
                "status": "completed",
                "incomplete_details": None,
                "error": None,
                "output": [
                    {
                        "id": "msg_0",
                        "type": "message",
                        "status": "completed",
                        "role": "assistant",
                        "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": "Hi"}],
                    }
                ],
                "usage": USAGE,
                "service_tier": "flex",
            },
        }

    def test_the_latest_usage_wins(self):
        running = chunk({"content": "Hi"}, usage={"completion_tokens": 1})
        assert fold(play([running, chunk({}, "stop", usage=USAGE), DONE])).response["usage"] == USAGE

    @pytest.mark.parametrize(
        ("reason", "told"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
    )
    def test_a_cut_answer_is_incomplete_and_so_is_its_last_item(self, reason, told):
        folded = fold(play([chunk({"reasoning": "Hm"}), chunk({"content": "Hi"}, reason), DONE]))
        assert folded.response["status"] == "incomplete"
        assert folded.response["incomplete_details"] == {"reason": told}
        assert [item["status"] for item in folded.output] == ["completed", "incomplete"]

    def test_an_unknown_finish_reason_is_a_failure(self):
        folded = fold(play([chunk({"content": "Hi"}, "insufficient_system_resource"), DONE]))
        assert folded.response["status"] == "failed"
        assert folded.response["error"]["code"] == "server_error"
        assert "insufficient_system_resource" in folded.response["error"]["message"]
        assert folded.output[0]["status"] == "incomplete"

    def test_done_without_a_finish_reason_is_a_failure(self):
        folded = fold(play([chunk({"content": "Hi"}), DONE]))
        assert folded.response["status"] == "failed"
        assert folded.output == folded.response["output"]

    def test_the_first_finish_reason_counts(self):
        assert fold(play([chunk({"content": "Hi"}, "length"), *STOP])).response["status"] == "incomplete"

    def test_an_answer_that_says_nothing_is_completed_and_empty(self):
        events = play(STOP)
        assert types(events) == ["completed"]
        assert events[0]["response"]["output"] == []

    def test_a_new_id_on_the_terminals_item_leaves_the_done_one_alone(self):
        *_, done, terminal = play([chunk({"content": "Hi"}), *STOP])
        terminal["response"]["output"][0]["id"] = "msg_minted"
        assert done["item"]["id"] == "msg_0"

    def test_nothing_comes_after_the_terminal(self):
        chat = ChatStream()
        chat.feed(chunk({"content": "Hi"}, "stop"))
        chat.feed(DONE)
        assert chat.feed(chunk({"content": "noise"})) == chat.feed(DONE) == chat.end() == []


class TestFeedErrors:
    def failed(self, error):
        chat = ChatStream()
        chat.feed(chunk({"content": "Hi"}))
        events = chat.feed(orjson.dumps(error))
        assert chat.feed(DONE) == chat.end() == []
        return events

    def test_an_error_closes_nothing_and_fails_the_response(self):
        (event,) = self.failed({"error": {"message": "Overloaded.", "type": "server_error", "code": None}})
        assert event["type"] == "response.failed"
        assert event["response"]["error"] == {"code": "server_error", "message": "Overloaded."}

    def test_what_was_being_said_is_kept_as_incomplete(self):
        (event,) = self.failed({"error": {"message": "Overloaded."}})
        (item,) = event["response"]["output"]
        assert item["status"] == "incomplete"
        assert item["content"][0]["text"] == "Hi"

    def test_what_the_client_was_not_told_of_yet_is_left_out(self):
        chat = ChatStream()
        chat.feed(chunk(call(0, '{"x":', id="a", name="f")))
        chat.feed(chunk(call(1, '{"y":', id="b", name="g")))
        (event,) = chat.feed(b'{"error": "model runner stopped"}')
        assert [item["name"] for item in event["response"]["output"]] == ["f"]

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            ({"code": "rate_limit_exceeded", "message": "Slow."}, "rate_limit_exceeded"),
            ({"code": "context_length_exceeded", "message": "Long."}, "context_length_exceeded"),
            ({"code": "their_own_code", "message": "Odd."}, "server_error"),
            ({"code": 429, "message": "Slow."}, "rate_limit_exceeded"),
            ({"code": 502, "message": "Bad."}, "server_error"),
            ({"message": "Bad.", "code": {}}, "server_error"),
            ("model runner stopped", "server_error"),
        ],
    )
    def test_only_the_apis_codes_are_passed_on(self, error, code):
        (event,) = self.failed({"error": error})
        assert event["response"]["error"]["code"] == code
        assert event["response"]["error"]["message"]

    def test_vllms_flat_error_is_an_error(self):
        (event,) = self.failed({"object": "error", "message": "Bad.", "type": "BadRequestError", "code": 400})
        assert event["response"]["error"]["message"] == "Bad."

    @pytest.mark.parametrize(
        "data",
        [
            b'{"choices": [',
            b"[1]",
            b'"text"',
            b'{"choices": {"a": 1}}',
            b'{"choices": ["text"]}',
            b'{"choices": [{"delta": "text"}]}',
            b'{"choices": [{"delta": {"content": 5}}]}',
            b'{"choices": [{"delta": {"refusal": 5}}]}',
            b'{"choices": [{"delta": {"tool_calls": "text"}}]}',
            b'{"choices": [{"delta": {"tool_calls": [5]}}]}',
            b'{"choices": [{"delta": {"tool_calls": [{"function": "text"}]}}]}',
            b'{"choices": [{"delta": {"annotations": 5}}]}',
            b'{"choices": [{"delta": {"content": "a"}, "logprobs": 5}]}',
        ],
    )
    def test_what_is_no_chunk_is_garbled(self, data):
        with pytest.raises(UpstreamGarbled):
            ChatStream().feed(data)


class TestEnd:
    def test_it_gives_the_terminal_when_a_finish_reason_was_seen(self):
        chat = ChatStream()
        chat.feed(chunk({"content": "Hi"}, "stop"))
        chat.feed(chunk(usage=USAGE))
        (terminal,) = chat.end()
        assert terminal["type"] == "response.completed"
        assert terminal["response"]["usage"] == USAGE

    def test_a_stream_that_was_cut_has_no_terminal(self):
        chat = ChatStream()
        chat.feed(chunk({"content": "Hi"}))
        assert chat.end() == []

    def test_a_stream_that_said_nothing_has_no_terminal(self):
        assert ChatStream().end() == []

    def test_it_can_be_called_again(self):
        chat = ChatStream()
        chat.feed(chunk({"content": "Hi"}, "stop"))
        assert len(chat.end()) == 1
        assert chat.end() == []

    def test_nothing_is_heard_after_it(self):
        chat = ChatStream()
        chat.feed(chunk({"content": "Hi"}))
        chat.end()
        assert chat.feed(chunk({"content": "noise"})) == chat.feed(DONE) == []
