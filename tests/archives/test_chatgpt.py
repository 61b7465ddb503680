"""ChatGPT's export: every branch of every conversation, each word where it was said."""

import io
import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convstore.archives import chatgpt
from convstore.archives.pieces import NO_OUTPUT
from tests.archives.makers import (
    ASKED_AT,
    NOW,
    Json,
    assert_paired,
    bodies,
    broken,
    chat,
    conversations,
    exchanges,
    node,
    task,
    texts,
)
from tests.domain.strategies import thorough


def records(*chats: Json, project_id: str = "acme"):
    return list(chatgpt.records(io.BytesIO(json.dumps(chats).encode()), task("chatgpt", project_id)))


def threads(found):
    """Each exchange's thread, from the root."""
    by_id = {each.id: each for each in found}
    for each in found:
        thread = [each]
        while thread[0].parent_id:
            thread.insert(0, by_id[thread[0].parent_id])
        yield thread


def only(*nodes: Json, **more: object):
    (found,) = exchanges(records(chat(*nodes, **more)))
    return found


def answer(content: Json, **more: object) -> Json:
    """The output of an exchange whose answer is one message of this content."""
    return bodies(only(node("u", None, "user", "hi"), node("a", "u", "assistant", content=content, **more)).output)


class TestConversations:
    def test_a_question_and_its_answer_are_an_exchange(self):
        found = only(node("r", None), node("u", "r", "user", "你好 👋"), node("a", "u", "assistant", "Hello."))
        assert (texts(found.input), texts(found.output)) == (["你好 👋"], ["Hello."])
        assert (found.status, found.origin, found.upstream) == ("completed", "import", "import:chatgpt")
        assert found.upstream_response_id == "a" and found.parent_id is None and found.error is None

    def test_the_next_question_continues_it(self):
        first, second = exchanges(
            records(
                chat(
                    node("u", None, "user", "1"),
                    node("a", "u", "assistant", "2"),
                    node("v", "a", "user", "3"),
                    node("b", "v", "assistant", "4"),
                )
            )
        )
        assert second.parent_id == first.id and texts(second.input) == ["3"]
        assert second.conversation_id == first.conversation_id

    def test_an_answer_made_again_is_another_exchange_with_the_same_question(self):
        first, second = exchanges(
            records(
                chat(node("u", None, "user", "1"), node("a", "u", "assistant", "2"), node("b", "u", "assistant", "two"))
            )
        )
        assert first.parent_id is None and second.parent_id is None
        assert texts(first.input) == texts(second.input) == ["1"]
        assert (texts(first.output), texts(second.output)) == (["2"], ["two"])

    def test_answers_made_again_stand_in_the_order_that_their_question_names(self):
        nodes = [
            node("b", "u", "assistant", "second"),
            node("a", "u", "assistant", "first"),
            node("u", None, "user", "1", children=["a", "b"]),
        ]
        assert [texts(each.output) for each in exchanges(records(chat(*nodes)))] == [["first"], ["second"]]

    def test_an_edited_question_is_another_child(self):
        first, second, third = exchanges(
            records(
                chat(
                    node("u", None, "user", "1"),
                    node("a", "u", "assistant", "2"),
                    node("v", "a", "user", "3"),
                    node("w", "a", "user", "three"),
                    node("b", "v", "assistant", "4"),
                    node("c", "w", "assistant", "four"),
                )
            )
        )
        assert second.parent_id == third.parent_id == first.id
        assert (texts(second.input), texts(third.input)) == (["3"], ["three"])

    def test_an_edited_first_question_is_a_root_of_its_own_behind_what_was_told_before(self):
        first, second = exchanges(
            records(
                chat(
                    node("s", None, "system", "Be brief."),
                    node("u", "s", "user", "1"),
                    node("v", "s", "user", "one"),
                    node("a", "u", "assistant", "2"),
                    node("b", "v", "assistant", "two"),
                )
            )
        )
        assert (texts(first.input), texts(second.input)) == (["Be brief.", "1"], ["Be brief.", "one"])
        assert first.parent_id is second.parent_id is None and first.conversation_id == second.conversation_id

    def test_an_answer_that_goes_on_in_two_ways_ends_at_the_fork(self):
        first, second, third = exchanges(
            records(
                chat(
                    node("u", None, "user", "1"),
                    node("a", "u", "assistant", "2"),
                    node("b", "a", "assistant", "3"),
                    node("c", "a", "assistant", "three"),
                )
            )
        )
        assert texts(first.output) == ["2"] and second.parent_id == third.parent_id == first.id
        assert (second.input, third.input) == ((), ())
        assert (texts(second.output), texts(third.output)) == (["3"], ["three"])

    def test_a_question_that_nobody_answered_says_so(self):
        found = only(node("u", None, "user", "1"), node("a", "u", "assistant", ""))
        assert (found.status, found.output, found.error["code"]) == ("incomplete", (), "no_answer")
        assert found.model is None and found.upstream_response_id is None

    def test_empty_and_hidden_nodes_are_passed_over(self):
        hidden = {"is_visually_hidden_from_conversation": True}
        found = only(
            node("r", None),
            node("s", "r", "system", "", metadata=hidden),
            node("u", "s", "user", "1"),
            node("x", "u"),
            node("a", "x", "assistant", "2"),
        )
        assert [body["role"] for body in bodies(found.input)] == ["user"] and texts(found.output) == ["2"]

    def test_a_node_whose_parent_was_deleted_is_kept(self):
        found = exchanges(records(chat(node("u", "gone", "user", "1"), node("a", "u", "assistant", "2"))))
        assert [texts(each.input) for each in found] == [["1"]]

    def test_links_in_a_ring_end(self):
        ring = [node("u", "a", "user", "1", children=["a"]), node("a", "u", "assistant", "2", children=["u"])]
        assert [text for each in exchanges(records(chat(*ring))) for text in texts(each.input)] == ["1"]

    def test_a_node_that_two_list_as_their_child_is_kept_once(self):
        found = exchanges(
            records(
                chat(
                    node("u", None, "user", "1", children=["a", "b"]),
                    node("a", "u", "assistant", "2", children=["b"]),
                    node("b", None, "assistant", "3"),
                )
            )
        )
        assert sorted(text for each in found for text in texts(each.output)) == ["2", "3"]

    def test_a_chain_of_ten_thousand_is_read(self):
        nodes = [node(f"n{n}", f"n{n - 1}" if n else None, ("user", "assistant")[n % 2], f"{n}") for n in range(10_000)]
        found = exchanges(records(chat(*nodes)))
        assert len(found) == 5000
        assert all(later.parent_id == earlier.id for earlier, later in pairwise(found))

    def test_questions_that_fork_without_end_are_given_up(self):
        nodes = [node("n0", None, "user", "0")]
        for n in range(1, 3000):
            nodes += [node(f"n{n}", f"n{n - 1}", "user", "q"), node(f"a{n}", f"n{n - 1}", "assistant", "a")]
        assert [each.reason for each in broken(records(chat(*nodes)))] == ["tangled"]

    def test_one_in_which_nothing_is_said_is_broken_and_the_next_is_read(self):
        found = records(chat(node("r", None)), {"title": "no mapping"}, 7, chat(node("u", None, "user", "1")))
        assert [each.reason for each in broken(found)] == ["empty", "no_mapping", "no_mapping"]
        assert [each.place for each in found] == [
            "conversation 1",
            "conversation 2",
            "conversation 3",
            "conversation 4",
            "conversation 4",
        ]

    @pytest.mark.parametrize("odd", [None, 3, "x", [], {"message": 5}, {"message": {"author": 3, "content": [1]}}])
    def test_a_node_of_another_shape_is_passed_over(self, odd):
        talk = chat(node("u", None, "user", "1"), node("a", "u", "assistant", "2"))
        talk["mapping"]["odd"] = odd
        assert [texts(each.output) for each in exchanges(records(talk))] == [["2"]]


class TestFigures:
    def test_the_moments_are_those_of_the_question_and_of_the_last_answer(self):
        found = only(
            node("u", None, "user", "1"),
            node("a", "u", "assistant", "2", create_time=ASKED_AT + 1),
            node("b", "a", "assistant", "3", create_time=int(ASKED_AT) + 5),
        )
        assert found.created_at.timestamp() == ASKED_AT
        assert found.completed_at.timestamp() == int(ASKED_AT) + 5

    @pytest.mark.parametrize("nonsense", [None, "yesterday", -5, 1e300, [], True])
    def test_where_messages_have_none_the_conversations_counts(self, nonsense):
        nodes = [
            node("u", None, "user", "1", create_time=nonsense),
            node("a", "u", "assistant", "2", create_time=nonsense),
        ]
        assert only(*nodes).created_at.timestamp() == ASKED_AT - 1
        timeless = only(*nodes, create_time=nonsense, update_time=nonsense)
        assert timeless.created_at == timeless.completed_at == NOW

    def test_the_model_is_the_answers_or_the_conversations_or_just_chatgpt(self):
        asked = node("u", None, "user", "1")
        named = node("a", "u", "assistant", "2", metadata={"model_slug": "gpt-5"})
        unnamed = node("a", "u", "assistant", "2")
        assert only(asked, named).model == "gpt-5"
        assert only(asked, unnamed).model == "gpt-4o"
        assert only(asked, unnamed, default_model_slug=None).model == "chatgpt"
        assert json.loads(only(asked, named).settings) == {"model": "gpt-5"}

    def test_an_answer_that_reached_its_limit_is_incomplete(self):
        cut = {"finish_details": {"type": "max_tokens"}}
        found = only(node("u", None, "user", "1"), node("a", "u", "assistant", "2", metadata=cut))
        assert (found.status, found.incomplete_reason, found.error) == ("incomplete", "max_output_tokens", None)

    def test_the_title_is_the_conversations(self):
        (found,) = conversations(records(chat(node("u", None, "user", "1"), title="Über \0 \ud83d 中文")))
        assert found.title == "Über  ? 中文"
        (untitled,) = conversations(records(chat(node("u", None, "user", "1"), title=None)))
        assert untitled.title is None


class TestContents:
    def test_pictures_are_named_and_files_too(self):
        picture = {"content_type": "image_asset_pointer", "asset_pointer": "file-service://file-1", "width": 2}
        content = {"content_type": "multimodal_text", "parts": [picture, "what is it?"]}
        attachments = [{"id": "file-1", "name": "a.png"}, {"id": "file-2", "name": "b.pdf"}]
        found = only(node("u", None, "user", content=content, metadata={"attachments": attachments}))
        assert bodies(found.input)[0]["content"] == [
            {"type": "input_image", "file_id": "file-service://file-1", "detail": "auto"},
            {"type": "input_text", "text": "what is it?"},
            {"type": "input_file", "file_id": "file-2", "filename": "b.pdf"},
        ]

    def test_what_was_spoken_is_its_words_and_the_name_of_its_sound(self):
        spoken = {"content_type": "audio_transcription", "text": "hello", "direction": "in"}
        sound = {"content_type": "audio_asset_pointer", "asset_pointer": "sediment://s1"}
        both = {"content_type": "real_time_user_audio_video_asset_pointer", "audio_asset_pointer": sound}
        found = only(node("u", None, "user", content={"content_type": "multimodal_text", "parts": [spoken, both]}))
        assert bodies(found.input)[0]["content"] == [
            {"type": "input_text", "text": "hello"},
            {"type": "input_file", "file_id": "sediment://s1"},
        ]

    def test_thoughts_are_reasoning_that_no_other_upstream_is_shown(self):
        thoughts = [{"summary": "Plan", "content": "First …"}, {"summary": "Done"}, {"content": ""}]
        found = only(
            node("u", None, "user", "1"),
            node("t", "u", "assistant", content={"content_type": "thoughts", "thoughts": thoughts}),
            node("r", "t", "assistant", content={"content_type": "reasoning_recap", "content": "Thought for 5s"}),
            node("a", "r", "assistant", "2"),
        )
        assert [body["type"] for body in bodies(found.output)] == ["reasoning", "reasoning", "message"]
        assert [part["text"] for part in bodies(found.output)[0]["summary"]] == ["**Plan**\n\nFirst …", "**Done**"]
        assert [each.sealed_by for each in found.output] == ["import:chatgpt", "import:chatgpt", None]

    def test_a_call_and_the_tool_that_follows_are_a_pair(self):
        code = {"content_type": "code", "language": "python", "text": "print(1)"}
        found = only(
            node("u", None, "user", "1"),
            node("c", "u", "assistant", content=code, recipient="python"),
            node("t", "c", "tool", name="python", content={"content_type": "execution_output", "text": "1\n"}),
            node("a", "t", "assistant", "one"),
        )
        call, output, _ = bodies(found.output)
        assert (call["name"], call["arguments"]) == ("python", '{"code":"print(1)"}')
        assert (output["call_id"], output["output"]) == (call["call_id"], "1\n")
        assert found.output[0].item.call_id == call["call_id"] and found.output[0].item.name == "python"

    def test_a_call_that_is_not_answered_is_told_so(self):
        found = only(node("u", None, "user", "1"), node("c", "u", "assistant", "{}", recipient="bio"))
        assert bodies(found.output)[1]["output"] == NO_OUTPUT
        assert_paired([found])

    def test_a_picture_that_a_tool_made_is_a_part_of_its_output(self):
        picture = {"content_type": "image_asset_pointer", "asset_pointer": "sediment://p"}
        content = {"content_type": "multimodal_text", "parts": [picture]}
        found = only(
            node("u", None, "user", "draw"),
            node("c", "u", "assistant", '{"prompt":"a cat"}', recipient="dalle.text2im"),
            node("t", "c", "tool", name="dalle.text2im", content=content),
        )
        call, output = bodies(found.output)
        assert (call["name"], call["arguments"]) == ("dalle_text2im", '{"prompt":"a cat"}')
        assert output["output"] == [{"type": "input_image", "file_id": "sediment://p", "detail": "auto"}]

    def test_a_forked_run_pairs_on_each_of_its_branches(self):
        found = exchanges(
            records(
                chat(
                    node("u", None, "user", "1"),
                    node("c", "u", "assistant", "{}", recipient="python"),
                    node("t", "c", "tool", "out", name="python"),
                    node("s", "c", "tool", "again", name="python"),
                    node("v", "c", "user", "stop"),
                    node("w", "c", "assistant", "never mind"),
                )
            )
        )
        leaves = {each.id for each in found} - {each.parent_id for each in found}
        assert len(leaves) == 4
        for thread in threads(found):
            if thread[-1].id in leaves:
                assert_paired(thread)

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ({"content_type": "tether_quote", "url": "u", "domain": "d", "title": "T", "text": "q"}, "T\nu\nq"),
            ({"content_type": "tether_browsing_display", "result": "r", "summary": None}, "r"),
            ({"content_type": "system_error", "name": "Timeout", "text": "too slow"}, "Timeout\ntoo slow"),
            ({"content_type": "sonic_webpage", "url": "u", "title": "T", "text": "w"}, "T\nu\nw"),
            ({"content_type": "citable_code_output", "output_str": "42"}, "42"),
            ({"content_type": "brand_new", "text": "words", "x": 1}, "words"),
            ({"content_type": "brand_new", "payload": {"x": 1}}, '{"content_type":"brand_new","payload":{"x":1}}'),
            ({"content_type": "brand_new", "parts": ["a", {"odd": 1}]}, 'a|{"odd":1}'),
        ],
    )
    def test_of_every_other_kind_the_text_is_kept(self, content, expected):
        (body,) = answer(content)
        assert "|".join(part["text"] for part in body["content"]) == expected

    def test_what_is_nested_as_deep_as_is_taken_is_kept(self):
        deep: object = "core"
        for _ in range(480):
            deep = [deep]
        (body,) = answer({"content_type": "brand_new", "payload": deep})
        assert "core" in body["content"][0]["text"]

    def test_instructions_for_all_conversations_speak_as_a_developer(self):
        content = {"content_type": "user_editable_context", "user_profile": "I paint.", "user_instructions": "Be kind."}
        remembered = {"content_type": "model_editable_context", "model_set_context": "Likes blue."}
        found = only(
            node("c", None, "user", content=content),
            node("m", "c", "assistant", content=remembered),
            node("u", "m", "user", "1"),
            node("a", "u", "assistant", "2"),
        )
        assert [body["role"] for body in bodies(found.input)] == ["developer", "developer", "user"]
        assert texts(found.input) == ["I paint.\nBe kind.", "Likes blue.", "1"]

    def test_a_cited_page_is_an_annotation(self):
        cited = {"citations": [{"start_ix": 0, "end_ix": 3, "metadata": {"type": "webpage", "url": "u", "title": "T"}}]}
        (body,) = answer({"content_type": "text", "parts": ["See it."]}, metadata=cited)
        assert body["content"][0]["annotations"] == [
            {"type": "url_citation", "url": "u", "title": "T", "start_index": 0, "end_index": 3}
        ]

    def test_nul_and_half_pairs_stay_escapes_in_bodies_and_leave_columns(self):
        found = only(
            node("u", None, "user", "a\0b \ud83d\nnew"),
            node("c\0", "u", "assistant", "{}", recipient="py\0thon\ud83d"),
            default_model_slug="m\0\ud83d",
        )
        for each in (*found.input, *found.output):
            assert b"\n" not in each.item.body and b"\0" not in each.item.body
            each.item.body.decode("utf-8")
        assert texts(found.input) == ["a\0b \ud83d\nnew"]
        assert (found.model, found.upstream_response_id) == ("m?", "c")


class TestIds:
    nodes = (
        node("u", None, "user", "1"),
        node("a", "u", "assistant", "2"),
        node("v", "a", "user", "3"),
        node("b", "v", "assistant", "4"),
    )

    def test_they_are_the_same_on_a_second_reading_and_others_in_another_project(self):
        talk = chat(*self.nodes)
        assert records(talk) == records(talk)
        theirs = {each.id for each in exchanges(records(talk, project_id="globex"))}
        assert not theirs & {each.id for each in exchanges(records(talk))}

    def test_a_longer_export_adds_to_a_shorter_one(self):
        before = [each.id for each in exchanges(records(chat(*self.nodes[:2])))]
        after = [each.id for each in exchanges(records(chat(*self.nodes)))]
        assert after[:1] == before and len(after) == 2

    def test_an_answer_that_has_grown_is_another_exchange(self):
        (before,) = exchanges(records(chat(*self.nodes[:2])))
        (after,) = exchanges(records(chat(*self.nodes[:2], node("c", "a", "assistant", "more"))))
        assert before.id != after.id

    def test_what_is_old_stands_among_what_is_old(self):
        early = exchanges(records(chat(node("u", None, "user", "1", create_time=1.6e9), conversation_id="x")))
        late = exchanges(records(chat(node("u", None, "user", "1", create_time=1.7e9), conversation_id="y")))
        assert early[0].id < late[0].id


kinds = st.sampled_from(["user", "assistant", "assistant", "system", "tool", "call", "thoughts", "empty", "null"])


@st.composite
def trees(draw: st.DrawFn) -> list[tuple[str, str | None, str]]:
    """(id, parent, kind) of nodes, each behind its parent."""
    size = draw(st.integers(1, 14))
    return [
        (f"n{n}", f"n{draw(st.integers(0, n - 1))}" if n and draw(st.integers(0, 9)) else None, draw(kinds))
        for n in range(size)
    ]


def planted(tree: list[tuple[str, str | None, str]]) -> Json:
    made = []
    for name, parent, kind in tree:
        text = f"text of {name}"
        if kind == "null":
            made.append(node(name, parent))
        elif kind == "empty":
            made.append(node(name, parent, "assistant", ""))
        elif kind == "call":
            made.append(node(name, parent, "assistant", text, recipient="python"))
        elif kind == "tool":
            made.append(node(name, parent, "tool", text, name="python"))
        elif kind == "thoughts":
            steps = {"content_type": "thoughts", "thoughts": [{"content": text}]}
            made.append(node(name, parent, "assistant", content=steps))
        else:
            made.append(node(name, parent, kind, text))
    return chat(*made)


def spoken(thread) -> list[str]:
    """The ids of the nodes whose words are on a thread, in order."""
    found = []
    for exchange in thread:
        for body in bodies((*exchange.input, *exchange.output)):
            words = [*(part.get("text") for part in body.get("content") or body.get("summary") or ())]
            words += [body.get("arguments"), body.get("output")]
            found += [word.partition("text of ")[2].rstrip('"}') for word in words if word and "text of " in word]
    return found


def expected_paths(tree: list[tuple[str, str | None, str]]) -> dict[str, list[str]]:
    """For each node that says something, those above it that do, and itself."""
    parents = {name: parent for name, parent, _ in tree}
    silent = {name for name, _, kind in tree if kind in ("null", "empty")}
    paths = {}
    for name, _, _ in tree:
        path, at = [], name
        while at is not None:
            path.insert(0, at)
            at = parents[at]
        paths[name] = [each for each in path if each not in silent]
    return {name: path for name, path in paths.items() if name not in silent}


class TestRandomTrees:
    @thorough
    @given(trees())
    def test_the_leaves_are_the_ends_of_threads_that_say_what_was_said(self, tree):
        paths = expected_paths(tree)
        inner = {path[-2] for path in paths.values() if len(path) > 1}
        leaves = [path for name, path in paths.items() if name not in inner]
        found = exchanges(records(planted(tree)))
        parents = {each.parent_id for each in found}
        ends = [spoken(thread) for thread in threads(found) if thread[-1].id not in parents]
        assert sorted(ends) == sorted(leaves)

    @thorough
    @given(trees())
    def test_a_parent_comes_before_its_children_and_every_thread_pairs(self, tree):
        found = exchanges(records(planted(tree)))
        seen: set[str] = set()
        for each in found:
            assert each.parent_id is None or each.parent_id in seen
            assert each.id not in seen
            seen.add(each.id)
        parents = {each.parent_id for each in found}
        for thread in threads(found):
            if thread[-1].id not in parents:
                assert_paired(thread)

    @thorough
    @given(trees(), st.randoms())
    def test_the_order_of_the_file_does_not_matter(self, tree, random):
        straight = planted(tree)
        shuffled = {**straight, "mapping": dict(random.sample(sorted(straight["mapping"].items()), len(tree)))}
        assert {each.id for each in exchanges(records(shuffled))} == {each.id for each in exchanges(records(straight))}
