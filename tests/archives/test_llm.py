"""The logs of `llm`, as every version wrote them."""

import json
import tracemalloc
from datetime import timedelta

import pytest

from convstore.archives import formats
from convstore.archives.limits import Limits
from convstore.archives.pieces import NO_OUTPUT
from convstore.errors import Unreadable
from convstore.storage import llm_database
from tests.archives.llm_files import FIRST_RESPONSES, LOGS, NEWEST, OLDEST, RESPONSES, File
from tests.archives.makers import NOW, assert_paired, bodies, broken, conversations, exchanges, read, texts

AT = "2026-01-02T03:04:05.5"


def response(file: File, id: str, **more: object) -> None:
    row = {"model": "gpt-4o", "prompt": f"ask {id}", "response": f"answer {id}", "datetime_utc": AT}
    file.add("responses", id=id, **{**row, **more})


def turn(file: File, id: str, thread: str, parent: str, tip: str, **more: object) -> None:
    row = {"model": "gpt-4o", "datetime_utc": AT}
    file.add("turns", id=id, thread_id=thread, parent_message_hash=parent, tip_message_hash=tip, **{**row, **more})


@pytest.fixture
def old(tmp_path):
    return File(tmp_path / "logs.db", RESPONSES)


@pytest.fixture
def new(tmp_path):
    return File(tmp_path / "logs.db", NEWEST)


class TestLogs:
    @pytest.mark.parametrize(
        ("tables", "table", "moment"), [(OLDEST, "log", "timestamp"), (LOGS, "logs", "datetime_utc")]
    )
    def test_a_chat_is_named_after_its_first_answer(self, tmp_path, tables, table, moment):
        file = File(tmp_path / "a.db", tables)
        for prompt, chat in (("1", None), ("other", None), ("2", 1)):
            file.add(table, model="m", prompt=prompt, system="Be brief.", response="ok", chat_id=chat, **{moment: AT})
        first, second, other = exchanges(read(file.closed()))
        assert second.parent_id == first.id and other.parent_id is None
        assert (texts(first.input), texts(second.input), texts(other.input)) == (["1"], ["2"], ["other"])
        assert json.loads(first.settings) == {"model": "m", "instructions": "Be brief."}
        assert first.created_at.isoformat() == "2026-01-02T03:04:05.500000+00:00"
        assert second.repeats_settings and not first.repeats_settings


class TestResponses:
    def test_the_first_of_these_tables_are_enough(self, tmp_path):
        file = File(tmp_path / "a.db", FIRST_RESPONSES)
        response(file, "r", duration_ms=1500)
        (found,) = exchanges(read(file.closed()))
        assert (texts(found.input), texts(found.output)) == (["ask r"], ["answer r"])
        assert found.completed_at - found.created_at == timedelta(seconds=1.5)
        assert (found.upstream, found.upstream_response_id, found.usage) == ("import:llm", "r", None)

    def test_a_conversation_is_a_line_in_order_of_time(self, old):
        old.add("conversations", id="c", name="Ein Gespräch")
        response(old, "z", conversation_id="c", datetime_utc="2026-01-01T00:00:00")
        response(old, "alone")
        response(old, "a", conversation_id="c", datetime_utc="2026-01-02T00:00:00")
        found = read(old.closed())
        by_id = {each.upstream_response_id: each for each in exchanges(found)}
        assert by_id["a"].parent_id == by_id["z"].id and by_id["alone"].parent_id is None
        assert by_id["a"].conversation_id == by_id["z"].conversation_id != by_id["alone"].conversation_id
        assert {each.title for each in conversations(found)} == {"Ein Gespräch", None}

    def test_the_settings_are_what_the_api_has_of_them(self, old):
        old.add("schemas", id="s", content='{"type":"object"}')
        old.add("tools", id=1, name="double", description="Doubles.", input_schema='{"type":"object"}')
        old.add("tool_responses", tool_id=1, response_id="r")
        old.add("fragments", id=1, content="Of fragments.")
        old.add("system_fragments", response_id="r", fragment_id=1, order=0)
        response(
            old, "r", system="Be brief.", schema_id="s", options_json='{"temperature":0.5,"max_tokens":9,"seed":1}'
        )
        (found,) = exchanges(read(old.closed()))
        assert json.loads(found.settings) == {
            "model": "gpt-4o",
            "instructions": "Of fragments.\nBe brief.",
            "tools": [
                {"type": "function", "name": "double", "description": "Doubles.", "parameters": {"type": "object"}}
            ],
            "temperature": 0.5,
            "max_output_tokens": 9,
            "text": {"format": {"type": "json_schema", "name": "output", "schema": {"type": "object"}}},
        }

    def test_usage_is_what_was_counted_and_the_model_what_it_came_to(self, old):
        details = json.dumps({"prompt_tokens_details": {"cached_tokens": 4}})
        response(old, "r", input_tokens=12, output_tokens=3, token_details=details, resolved_model="gpt-4o-2026")
        (found,) = exchanges(read(old.closed()))
        assert (found.usage.input, found.usage.cached, found.usage.output, found.usage.total) == (12, 4, 3, 15)
        assert (found.requested_model, found.model) == ("gpt-4o", "gpt-4o-2026")

    def test_fragments_stand_before_the_prompt_and_files_behind_it(self, old):
        for number, text in enumerate(("second", "first")):
            old.add("fragments", id=number, content=text)
            old.add("prompt_fragments", response_id="r", fragment_id=number, order=1 - number)
        old.add("attachments", id="a", type="image/png", url="https://x.example/a.png")
        old.add("attachments", id="b", type="image/png", content=b"\x89PNG")
        old.add("attachments", id="c", type="application/pdf", path="/home/x/c.pdf")
        for order, attachment in enumerate("abc"):
            old.add("prompt_attachments", response_id="r", attachment_id=attachment, order=order)
        response(old, "r")
        (found,) = exchanges(read(old.closed()))
        assert bodies(found.input)[0]["content"] == [
            {"type": "input_text", "text": "first"},
            {"type": "input_text", "text": "second"},
            {"type": "input_text", "text": "ask r"},
            {"type": "input_image", "image_url": "https://x.example/a.png", "detail": "auto"},
            {"type": "input_image", "image_url": "data:image/png;base64,iVBORw==", "detail": "auto"},
            {"type": "input_file", "file_id": "/home/x/c.pdf"},
        ]

    @pytest.mark.parametrize("call_id", ["call_1", None])
    def test_a_tool_is_called_by_one_answer_and_heard_by_the_next_question(self, old, call_id):
        response(old, "1", conversation_id="c", response="", reasoning="Hm.", datetime_utc="2026-01-01T00:00:00")
        old.add("tool_calls", response_id="1", name="double", arguments='{"n":3}', tool_call_id=call_id)
        response(old, "2", conversation_id="c", prompt="", datetime_utc="2026-01-01T00:00:01")
        old.add("tool_results", response_id="2", name="double", output="6", tool_call_id=call_id)
        first, second = exchanges(read(old.closed()))
        assert [body["type"] for body in bodies(first.output)] == ["reasoning", "function_call"]
        assert bodies(second.input)[0]["output"] == "6"
        assert_paired([first, second])

    def test_a_call_that_was_not_answered_is_told_so_in_the_next_question(self, old):
        response(old, "1", conversation_id="c", response="", datetime_utc="2026-01-01T00:00:00")
        old.add("tool_calls", response_id="1", name="double", arguments="{}", tool_call_id="x")
        response(old, "2", conversation_id="c", datetime_utc="2026-01-01T00:00:01")
        first, second = exchanges(read(old.closed()))
        assert bodies(second.input)[0]["output"] == NO_OUTPUT
        assert_paired([first, second])

    def test_an_answer_that_is_none_says_so(self, old):
        response(old, "r", response="")
        (found,) = exchanges(read(old.closed()))
        assert (found.status, found.error["code"]) == ("incomplete", "no_answer")

    def test_a_row_without_an_id_is_broken_and_the_next_is_read(self, old):
        response(old, None)
        response(old, "r", datetime_utc="nonsense", duration_ms=-5)
        found = read(old.closed())
        assert [each.reason for each in broken(found)] == ["no_id"]
        assert exchanges(found)[0].created_at == exchanges(found)[0].completed_at == NOW

    def test_a_second_reading_gives_the_same(self, old):
        response(old, "r")
        path = old.closed()
        assert read(path) == read(path)


class TestTurns:
    def conversation(self, new: File) -> None:
        """A question with a system prompt and a fragment; then a tool, called and heard."""
        new.add("threads", id="t1", name="Ein Faden")
        new.add("fragments", id=7, content="A novel.")
        new.message("s", None, "system", {"text": "Be brief."})
        reference = {"text_ref": [{"fragment": 7}, {"literal": "\nWhat is it?"}, {"fragment": 99}]}
        new.message("u1", "s", "user", {"payload": reference})
        new.message("a1", "u1", "assistant", {"type": "reasoning", "text": "Hm."}, {"text": "A novel."})
        new.message("u2", "a1", "user", {"text": "double it"})
        call = {"name": "double", "arguments": {"n": 3}, "tool_call_id": "call_1"}
        new.message("a2", "u2", "assistant", {"type": "tool_call", "tool_name": "double", "payload": call})
        result = {"name": "double", "output": "6", "tool_call_id": "call_1"}
        new.message("r2", "a2", "tool", {"type": "tool_result", "payload": result})
        new.message("a3", "r2", "assistant", {"text": "Six."})
        turn(new, "1", "t1", "u1", "a1", duration_ms=250, input_tokens=5, output_tokens=2)
        turn(new, "2", "t1", "u2", "a2")
        turn(new, "3", "t1", "r2", "a3")

    def test_a_turn_is_what_was_new_to_the_model_and_what_it_said(self, new):
        self.conversation(new)
        found = read(new.closed())
        first, second, third = exchanges(found)
        assert conversations(found)[0].title == "Ein Faden" and len(conversations(found)) == 1
        assert texts(first.input) == ["A novel.\nWhat is it?"] and texts(first.output) == ["A novel."]
        assert [body["type"] for body in bodies(first.output)] == ["reasoning", "message"]
        assert (texts(second.input), bodies(second.output)[0]["name"]) == (["double it"], "double")
        assert bodies(third.input)[0]["output"] == "6" and texts(third.output) == ["Six."]
        assert (second.parent_id, third.parent_id) == (first.id, second.id)
        assert {json.loads(each.settings)["instructions"] for each in (first, second, third)} == {"Be brief."}
        assert first.usage.total == 7 and first.completed_at - first.created_at == timedelta(milliseconds=250)
        assert_paired([first, second, third])

    def test_a_fork_lies_in_the_conversation_that_it_forks_off_from(self, new):
        self.conversation(new)
        new.add("threads", id="t2", name="Fork", forked_from="t1")
        new.message("f", "a1", "user", {"text": "another way"})
        new.message("g", "f", "assistant", {"text": "Sure."})
        turn(new, "9", "t2", "f", "g")
        found = read(new.closed())
        fork = exchanges(found)[-1]
        assert texts(fork.input) == ["another way"] and fork.parent_id == exchanges(found)[0].id
        assert len({each.conversation_id for each in exchanges(found)}) == len(conversations(found)) == 1

    def test_a_history_of_which_no_turn_is_known_is_all_of_the_question(self, new):
        new.message("u1", None, "user", {"text": "1"})
        new.message("a1", "u1", "assistant", {"text": "2"})
        new.message("u2", "a1", "user", {"text": "3"})
        new.message("a2", "u2", "assistant", {"text": "4"})
        turn(new, "1", "t", "u2", "a2")
        (found,) = exchanges(read(new.closed()))
        assert [body["role"] for body in bodies(found.input)] == ["user", "assistant", "user"]
        assert (texts(found.input), texts(found.output)) == (["1", "2", "3"], ["4"])

    def test_what_older_tables_repeat_is_read_once(self, new):
        self.conversation(new)
        response(new, "1")
        response(new, "before")
        ids = [each.upstream_response_id for each in exchanges(read(new.closed()))]
        assert ids == ["before", "1", "2", "3"]

    def test_a_ring_of_messages_is_broken_and_the_next_turn_is_read(self, new):
        new.message("x", "y", "user", {"text": "1"})
        new.message("y", "x", "assistant", {"text": "2"})
        new.message("u", None, "user", {"text": "3"})
        new.message("a", "u", "assistant", {"text": "4"})
        turn(new, "1", "t", "x", "missing")
        turn(new, "2", "t", "u", "a")
        found = read(new.closed())
        assert [each.reason for each in broken(found)] == ["endless"]
        assert texts(exchanges(found)[0].output) == ["4"]

    def test_attachments_are_shown(self, new):
        new.add("attachments", id="p", type="image/png", url="https://x.example/p.png")
        new.message("u", None, "user", {"type": "attachment", "payload": {"attachment": {"id": "p"}}})
        new.message("a", "u", "assistant", {"text": "nice"})
        turn(new, "1", "t", "u", "a")
        (found,) = exchanges(read(new.closed()))
        assert bodies(found.input)[0]["content"][0]["image_url"] == "https://x.example/p.png"

    def test_a_part_of_another_shape_breaks_nothing(self, new):
        new.message("u", None, "user", {"type": "tool_result", "payload": []}, {"type": "odd", "payload": {"x": 1}})
        new.message("a", "u", "assistant", {"type": "tool_call", "payload": {"arguments": 3}}, {"text": "ok"})
        turn(new, "1", "t", "u", "a")
        assert texts(exchanges(read(new.closed()))[0].output) == ["ok"]


class TestSize:
    def test_many_answers_take_no_memory(self, old):
        rows = [(f"r{n:06}", "m", "ask " * 50, "answer " * 50, f"c{n // 10}", AT) for n in range(3000)]
        old.connection.executemany(
            "INSERT INTO responses (id, model, prompt, response, conversation_id, datetime_utc) VALUES (?,?,?,?,?,?)",
            rows,
        )
        path = old.closed()
        del rows
        tracemalloc.start()
        try:
            with formats.reading(path, project_id="acme", now=NOW, open_rows=llm_database.opened) as reading:
                assert reading.total == 3000
                assert sum(1 for _ in reading.records) == 3300
            assert tracemalloc.get_traced_memory()[1] < 2 * 2**20
        finally:
            tracemalloc.stop()

    def test_a_text_that_is_pointed_at_again_and_again_is_refused(self, new):
        new.add("fragments", id=1, content="x" * 100_000)
        new.message("u", None, "user", {"payload": {"text_ref": [{"fragment": 1}] * 100}})
        turn(new, "1", "t", "u", "none")
        with pytest.raises(Unreadable, match="turn 1: what belongs to it is longer"):
            read(new.closed(), limits=Limits(longest=2**20))

    def test_a_value_that_is_too_long_is_refused(self, old):
        response(old, "r", response="x" * 2_000_000)
        with pytest.raises(Unreadable):
            read(old.closed(), limits=Limits(longest=2**20))
