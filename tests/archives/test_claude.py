"""Claude's export: lines and trees of messages, and the blocks that they are made of."""

import io
import json

import pytest

from convstore.archives import claude
from convstore.archives.pieces import NO_OUTPUT
from tests.archives.makers import (
    NOW,
    Json,
    assert_paired,
    bodies,
    broken,
    conversations,
    exchanges,
    said,
    talk,
    task,
    texts,
)

ROOT = "00000000-0000-4000-8000-000000000000"


def records(*talks: Json):
    return list(claude.records(io.BytesIO(json.dumps(talks).encode()), task("claude")))


def answered(*blocks: Json, **more: object):
    """The exchange of one question that is answered with these blocks."""
    (found,) = exchanges(records(talk(said("h", "human", "hi"), said("a", "assistant", content=list(blocks), **more))))
    return found


class TestConversations:
    def test_without_parents_each_message_follows_the_one_before(self):
        first, second = exchanges(
            records(
                talk(
                    said("1", "human", "你好"),
                    said("2", "assistant", "Hello 👋"),
                    said("3", "human", "and?"),
                    said("4", "assistant", "…"),
                )
            )
        )
        assert (texts(first.input), texts(first.output)) == (["你好"], ["Hello 👋"])
        assert second.parent_id == first.id and texts(second.input) == ["and?"]
        assert (first.upstream, first.model, first.upstream_response_id) == ("import:claude", "claude", "2")
        assert first.created_at.isoformat() == "2026-01-02T03:04:05.678901+00:00"

    def test_with_parents_they_are_a_tree(self):
        found = exchanges(
            records(
                talk(
                    said("1", "human", "q", parent=ROOT),
                    said("2", "assistant", "a", parent="1"),
                    said("3", "assistant", "b", parent="1"),
                    said("4", "human", "next", parent="2"),
                    said("5", "human", "other", parent="2"),
                    said("6", "assistant", "c", parent="5"),
                )
            )
        )
        outline = {(*texts(each.input), *texts(each.output)): each for each in found}
        assert set(outline) == {("q", "a"), ("q", "b"), ("next",), ("other", "c")}
        parent = outline["q", "a"].id
        assert outline[("next",)].parent_id == outline["other", "c"].parent_id == parent
        assert outline["q", "b"].parent_id is None and outline[("next",)].error["code"] == "no_answer"

    def test_two_messages_of_one_id_are_both_kept(self):
        (found,) = exchanges(records(talk(said("1", "human", "q"), said("1", "assistant", "a"))))
        assert (texts(found.input), texts(found.output)) == (["q"], ["a"])

    def test_the_name_is_the_title_and_the_model_is_said_when_it_is(self):
        found = records(talk(said("1", "human", "q"), said("2", "assistant", "a"), model="claude-opus-4"))
        assert conversations(found)[0].title == "Ein Gespräch"
        assert exchanges(found)[0].model == exchanges(found)[0].requested_model == "claude-opus-4"

    def test_moments_that_are_none_are_now_and_ids_do_not_depend_on_it(self):
        untimed = talk(said("1", "human", "q", created_at=None), created_at="?", updated_at=None)
        (found,) = exchanges(records(untimed))
        assert found.created_at == NOW
        assert found.id.startswith("resp_000000000000")

    def test_what_is_no_conversation_is_broken_and_the_next_is_read(self):
        found = records(talk(), {"uuid": "x"}, None, talk(said("1", "human", "q")))
        assert [each.reason for each in broken(found)] == ["empty", "no_messages", "no_messages"]
        assert broken(found)[0].id == "talk-1" and len(exchanges(found)) == 1

    def test_a_second_reading_gives_the_same(self):
        one = talk(said("1", "human", "q"), said("2", "assistant", "a"))
        assert records(one) == records(one)


class TestBlocks:
    def test_they_become_items_in_their_order(self):
        found = answered(
            {"type": "thinking", "thinking": "Hm.", "summaries": [{"summary": "Thinks"}]},
            {"type": "text", "text": "Let me look."},
            {"type": "tool_use", "id": "toolu_1", "name": "web.search", "input": {"query": "猫"}},
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "a cat"}]},
            {"type": "text", "text": "A cat."},
        )
        thought, look, call, output, cat = bodies(found.output)
        assert thought["summary"] == [{"type": "summary_text", "text": "Hm."}]
        assert [look["type"], cat["type"]] == ["message", "message"]
        assert (call["name"], call["call_id"], json.loads(call["arguments"])) == (
            "web_search",
            "toolu_1",
            {"query": "猫"},
        )
        assert (output["call_id"], output["output"]) == ("toolu_1", "a cat")
        assert [each.sealed_by for each in found.output] == ["import:claude", None, None, None, None]

    def test_texts_side_by_side_are_parts_of_one_message(self):
        (body,) = bodies(answered({"type": "text", "text": "a"}, {"type": "text", "text": "b"}).output)
        assert [part["text"] for part in body["content"]] == ["a", "b"]

    def test_a_call_without_a_result_is_told_so_and_a_result_without_a_call_gets_one(self):
        lonely = answered({"type": "tool_use", "name": "f", "input": None})
        assert bodies(lonely.output)[1]["output"] == NO_OUTPUT
        assert_paired([lonely])
        orphan = answered({"type": "tool_result", "name": "g", "content": "out", "tool_use_id": "t"})
        assert [body["type"] for body in bodies(orphan.output)] == ["function_call", "function_call_output"]
        assert_paired([orphan])

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ("plain", "plain"),
            (None, ""),
            ([{"type": "image", "x": 1}], '[{"type":"image","x":1}]'),
            ({"a": 1}, '{"a":1}'),
        ],
    )
    def test_of_a_result_the_text_is_kept_or_else_its_json(self, content, expected):
        found = answered(
            {"type": "tool_use", "id": "t", "name": "f", "input": {}},
            {"type": "tool_result", "tool_use_id": "t", "content": content},
        )
        assert bodies(found.output)[1]["output"] == expected

    def test_bookkeeping_is_left_out_and_what_nobody_knows_is_kept(self):
        found = answered({"type": "token_budget"}, {"type": "brand_new", "x": "words"}, {"type": "text", "text": "a"})
        assert texts(found.output) == ['{"type":"brand_new","x":"words"}', "a"]

    def test_older_exports_have_one_text(self):
        found = answered(text="plain")
        assert texts(found.output) == ["plain"]

    def test_files_that_were_read_stand_before_the_question_and_others_are_named(self):
        attachments = [{"file_name": "a.txt", "extracted_content": "hello"}, {"file_name": "empty", "file_type": "txt"}]
        files = [
            {"file_uuid": "f1", "file_name": "cat.PNG"},
            {"file_uuid": "f2", "file_name": "b.pdf"},
            {"file_name": 3},
        ]
        question = said("h", "human", "see", attachments=attachments, files=files, files_v2=files[:1])
        (found,) = exchanges(records(talk(question)))
        assert bodies(found.input)[0]["content"] == [
            {"type": "input_text", "text": "a.txt\n\nhello"},
            {"type": "input_image", "file_id": "f1", "detail": "auto"},
            {"type": "input_file", "file_id": "f2", "filename": "b.pdf"},
            {"type": "input_text", "text": "see"},
        ]

    def test_a_question_that_is_only_a_file_is_a_question(self):
        (found,) = exchanges(records(talk(said("h", "human", files=[{"file_uuid": "f", "file_name": "b.pdf"}]))))
        assert bodies(found.input)[0]["content"][0]["file_id"] == "f"

    def test_a_cited_page_is_an_annotation(self):
        cited = [
            {"uuid": "c", "start_index": 0, "end_index": 2, "details": {"type": "web_search_citation", "url": "u"}}
        ]
        (body,) = bodies(answered({"type": "text", "text": "So.", "citations": cited}).output)
        assert body["content"][0]["annotations"] == [
            {"type": "url_citation", "url": "u", "title": "", "start_index": 0, "end_index": 2}
        ]

    def test_an_answer_that_reached_its_limit_is_incomplete(self):
        found = answered({"type": "text", "text": "a"}, stop_reason="max_tokens")
        assert (found.status, found.incomplete_reason) == ("incomplete", "max_output_tokens")

    @pytest.mark.parametrize("odd", [None, "words", 3, [], {"type": []}, {"type": "text", "text": 3, "citations": 4}])
    def test_a_block_of_another_shape_breaks_nothing(self, odd):
        assert texts(answered(odd, {"type": "text", "text": "a"}).output)[-1] == "a"
