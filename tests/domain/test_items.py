"""Items: the exact JSON that came, with what queries need beside it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convstore import ids
from convstore.domain import items, jsontext
from convstore.domain.items import Item
from convstore.domain.jsontext import Raw
from tests.domain.strategies import kinds, quick, spellings, texts, thorough, values

EXCHANGE = "resp_" + "0" * 31 + "a"
PART = {"type": "output_text", "annotations": [], "logprobs": [], "text": "Hi"}


def raw(text: str) -> Raw:
    return Raw(json.loads(text), text)


def body(item: Item) -> Any:
    return json.loads(item.body)


class TestOfText:
    @given(texts)
    @quick
    def test_a_plain_text_is_one_user_message(self, text: str) -> None:
        item = items.of_text(raw(json.dumps(text)))
        part = {"type": "input_text", "text": text}
        assert body(item) == {"type": "message", "role": "user", "content": [part]}
        assert (item.type, item.role, item.item_id) == ("message", "user", None)

    def test_its_spelling_is_kept(self) -> None:
        assert b'"text":"\\u00e9\\/"}' in items.of_text(raw('"\\u00e9\\/"')).body


class TestOfRaw:
    def test_an_item_is_kept_to_the_letter(self) -> None:
        text = '{"type":"message", "role" : "user","content":"\\u00e9 1.50", "x_mine":{"z":1,"a":1.50}}'
        item = items.of_raw(raw(text))
        assert item.body == text.encode()

    def test_its_id_stands_beside_it(self) -> None:
        item = items.of_raw(raw('{"id":"msg_mine","role":"user","content":"x"}'))
        assert item.item_id == "msg_mine"
        assert item.body == b'{"role":"user","content":"x"}'

    @given(spellings(st.one_of(kinds)))
    @thorough
    def test_every_kind_survives(self, text: str) -> None:
        item = items.of_raw(raw(text.strip()))
        assert body(item) == json.loads(text)
        assert item.type == json.loads(text)["type"]

    def test_what_queries_need_is_extracted(self) -> None:
        item = items.of_raw(raw('{"type":"function_call","id":"fc_1","call_id":"c1","name":"add","arguments":"{}"}'))
        assert (item.type, item.item_id, item.call_id, item.name, item.role) == (
            "function_call",
            "fc_1",
            "c1",
            "add",
            None,
        )

    def test_an_easy_message_is_a_message(self) -> None:
        assert items.of_raw(raw('{"role":"user","content":"x"}')).type == "message"

    @pytest.mark.parametrize("text", ['{"id":"msg_1"}', '{"type":null,"id":"msg_1"}', '{"id":"msg_1","type":null}'])
    def test_an_id_alone_is_a_reference(self, text: str) -> None:
        item = items.of_raw(raw(text))
        assert (item.type, item.item_id) == ("item_reference", "msg_1")

    @given(st.dictionaries(st.sampled_from(["type", "id", "role", "call_id", "name"]), values | st.text()))
    @thorough
    def test_every_column_takes_what_is_extracted(self, value: dict[str, Any]) -> None:
        """PostgreSQL takes no NUL, no half pair, and nothing longer than its column."""
        item = items.of_raw(raw(json.dumps(value)))
        widths = {item.type: 255, item.item_id: 255, item.role: 32, item.call_id: 255, item.name: 255}
        for text, width in widths.items():
            if text is not None:
                assert 0 < len(text) <= width
                assert "\0" not in text
                text.encode()
        assert item.type

    def test_a_role_as_long_as_a_novel_fits_its_column(self) -> None:
        assert len(items.of_raw(raw(json.dumps({"type": "odd", "role": "r" * 300}))).role or "") == 32


class TestOfOutput:
    def test_a_complete_item_is_kept_to_the_letter(self) -> None:
        text = '{"id":"up","type":"message","status":"completed","role":"assistant", "content":[ ],"x":1.50}'
        item = items.of_output(raw(text))
        assert item.body == b'{"type":"message","status":"completed","role":"assistant", "content":[ ],"x":1.50}'
        assert item.item_id == "up"

    @pytest.mark.parametrize(
        "thin",
        [
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "Hi"}]},
            {"type": "message", "status": "completed", "role": "assistant", "content": "Hi"},
            {"content": "Hi"},
            {
                "type": None,
                "status": None,
                "role": None,
                "content": [{"type": "text", "text": "Hi", "annotations": None}],
            },
        ],
    )
    def test_a_thin_message_is_completed(self, thin: dict[str, Any]) -> None:
        """The gateway of the first users sends `{type, text}` parts; every SDK reads `annotations`."""
        item = items.of_output(raw(json.dumps({"id": "up", **thin})))
        assert body(item) == {
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [PART],
        }
        assert item.item_id == "up"

    def test_what_it_does_say_is_left_alone(self) -> None:
        thin = {
            "type": "message",
            "status": "incomplete",
            "phase": "commentary",
            "content": [
                {"type": "output_text", "text": "Hi", "x": 1},
                {"type": "refusal", "refusal": "No"},
                7,
            ],
        }
        filled = body(items.of_output(raw(json.dumps(thin))))
        assert filled["status"] == "incomplete"
        assert filled["phase"] == "commentary"
        assert filled["content"] == [{**PART, "x": 1}, {"type": "refusal", "refusal": "No"}, 7]

    @given(spellings(st.one_of(kinds)))
    @thorough
    def test_what_is_no_message_is_never_touched(self, text: str) -> None:
        item = items.of_output(raw(text.strip()))
        if item.type != "message":
            assert body(item) == json.loads(text)

    @given(st.dictionaries(st.sampled_from(["type", "role", "content", "status", "id"]), values))
    @thorough
    def test_no_shape_of_an_item_breaks_it(self, value: dict[str, Any]) -> None:
        item = items.of_output(raw(json.dumps(value)))
        assert isinstance(body(item), dict)
        assert "id" not in body(item)


class TestShown:
    @given(st.one_of(kinds), texts)
    @quick
    def test_an_item_is_shown_with_an_id(self, value: dict[str, Any], item_id: str) -> None:
        item = items.of_raw(raw(json.dumps(value)))
        assert json.loads(item.shown(item_id)) == {"id": item_id, **value}

    @pytest.mark.parametrize("item_id", ['a"b', "a\\b", "a\nb", 'x","type":"forged', "é\u2028"])
    def test_an_id_of_any_characters_is_shown_as_it_is(self, item_id: str) -> None:
        item = items.of_raw(raw(json.dumps({"id": item_id, "type": "function_call", "call_id": "c"})))
        assert json.loads(item.shown(item_id)) == {"id": item_id, "type": "function_call", "call_id": "c"}

    def test_an_item_that_is_nothing_but_its_id(self) -> None:
        assert json.loads(Item("x", b"{}").shown("a")) == {"id": "a"}


class TestListed:
    @pytest.mark.parametrize(
        "given",
        [
            {"role": "user", "content": "x"},
            {"type": "message", "role": "user", "content": "x"},
            {"role": "user", "content": [{"type": "input_text", "text": "x"}]},
            {"role": "user", "status": "completed", "content": [{"type": "input_text", "text": "x"}]},
            {"type": "message", "role": "user", "status": "completed", "content": "x"},
            {"type": None, "role": "user", "status": None, "content": "x"},
        ],
    )
    @pytest.mark.parametrize("indent", [None, 2])
    def test_a_short_message_stands_in_its_long_form(self, given: dict[str, Any], indent: int | None) -> None:
        item = items.of_raw(raw(json.dumps(given, indent=indent)))
        assert json.loads(items.listed(item, "msg_1")) == {
            "id": "msg_1",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_text", "text": "x"}],
        }

    def test_words_of_the_text_do_not_fool_it(self) -> None:
        text = 'set "status":"completed" and "content":"x"'
        item = items.of_raw(raw(json.dumps({"role": "user", "content": text})))
        shown = json.loads(items.listed(item, "msg_1"))
        assert shown["status"] == "completed"
        assert shown["content"] == [{"type": "input_text", "text": text}]

    def test_what_the_assistant_said_is_output_text(self) -> None:
        item = items.of_raw(raw('{"role":"assistant","content":"x"}'))
        assert json.loads(items.listed(item, "msg_1"))["content"] == [{**PART, "text": "x"}]

    @given(st.one_of(kinds))
    @quick
    def test_everything_else_is_listed_as_it_came(self, value: dict[str, Any]) -> None:
        item = items.of_raw(raw(json.dumps(value)))
        assert json.loads(items.listed(item, "id_1")) == {"id": "id_1", **value}


class TestShownId:
    def test_a_client_finds_its_own_id_again(self) -> None:
        assert items.shown_id(Item("message", b"{}", "mine"), EXCHANGE, 0, output=False) == "mine"

    def test_an_upstreams_id_is_never_shown(self) -> None:
        shown = items.shown_id(Item("message", b"{}", "theirs"), EXCHANGE, 2, output=True)
        assert ids.item_home(shown) == (EXCHANGE, 2)

    @pytest.mark.parametrize(
        ("kind", "prefix"),
        [
            ("message", "msg"),
            ("reasoning", "rs"),
            ("function_call", "fc"),
            ("compaction", "cmp"),
            ("new", "item"),
        ],
    )
    def test_each_type_has_its_prefix(self, kind: str, prefix: str) -> None:
        assert items.shown_id(Item(kind, b"{}"), EXCHANGE, 1, output=False).startswith(f"{prefix}_")


class TestWithStatus:
    def test_only_the_status_changes(self) -> None:
        item = items.of_raw(raw('{"type":"message","status":"in_progress","role":"assistant","content":[]}'))
        changed = items.with_status(item, "incomplete")
        assert body(changed) == {**body(item), "status": "incomplete"}


class TestIds:
    @given(st.sampled_from([*ids.ITEM_PREFIXES, "unheard_of"]), st.integers(0, 2**28 - 1))
    @quick
    def test_an_items_id_says_where_it_is(self, kind: str, position: int) -> None:
        assert ids.item_home(ids.item(kind, EXCHANGE, position)) == (EXCHANGE, position)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "msg_",
            "msg_1",
            "msg_" + "g" * 36,
            "msg_" + "0" * 35,
            "msg_" + "0" * 40,
            "resp_" + "0" * 32 + "\n",
        ],
    )
    def test_a_strangers_id_is_nowhere(self, text: str) -> None:
        assert ids.item_home(text) is None
        assert ids.pack(ids.EXCHANGE, text) is None

    def test_ids_are_packed_and_unpacked(self) -> None:
        made = ids.new(ids.EXCHANGE)
        packed = ids.pack(ids.EXCHANGE, made)
        assert packed is not None
        assert ids.unpack(ids.EXCHANGE, packed) == made
        assert ids.pack(ids.CONVERSATION, made) is None
        assert jsontext.loads(jsontext.dumps(made)) == made
