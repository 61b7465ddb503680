"""JSON with its text kept: what came is what is stored, and what cannot be stored is refused by name."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convstore.domain import jsontext
from convstore.domain.jsontext import NotJson
from tests.domain.strategies import objects, quick, spellings, texts, thorough, values

# Each is JSON that the standard library may take and no database or upstream should see, or no JSON at all.
NOT_AN_OBJECT = [
    "",
    " ",
    "[]",
    "null",
    '"text"',
    "{",
    "{,}",
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    '{"a":1 "b":2}',
    '{"a":1}x',
    '{"a":1}{"b":2}',
    "{a:1}",
    "{'a':1}",
    '{"a":tru}',
    '{"a":01}',
    '{"a":.5}',
    '{"a":+1}',
    '{"a":"\n"}',
    '{"a\t":1}',
    '{"a":"\\x"}',
    '{"a":[1,]}',
    '{"a":[1 2]}',
    '{"a":[}',
    '{"a":[1',
    "{1:2}",
    "\ufeff{}",
]


class TestMembers:
    @given(spellings())
    @thorough
    def test_values_are_what_the_standard_library_reads(self, text: str) -> None:
        read = jsontext.members(text)
        assert {name: raw.value for name, raw in read.items()} == json.loads(text)

    @given(spellings())
    @thorough
    def test_each_text_is_the_exact_slice(self, text: str) -> None:
        for name, raw in jsontext.members(text).items():
            assert raw.text in text
            assert raw.text == raw.text.strip()
            assert json.loads(raw.text) == raw.value, name

    @given(spellings())
    @thorough
    def test_texts_join_to_the_same_object_again(self, text: str) -> None:
        read = jsontext.members(text)
        assert json.loads(jsontext.join({name: raw.text for name, raw in read.items()})) == json.loads(text)

    @given(st.lists(values, max_size=9), st.sampled_from(["", " ", "\n\t"]))
    @quick
    def test_a_split_array_comes_element_by_element(self, parts: list[Any], space: str) -> None:
        inner = (space + "," + space).join(json.dumps(part) for part in parts)
        raw = jsontext.members(f'{{"other": [1], "input":{space}[{space}{inner}{space}]}}', split=("input",))["input"]
        assert raw.value == parts
        assert raw.elements is not None
        assert [element.value for element in raw.elements] == parts
        assert [json.loads(element.text) for element in raw.elements] == parts

    def test_only_named_arrays_are_split(self) -> None:
        read = jsontext.members('{"input":[1],"tools":[2],"text":"x"}', split=("input", "text"))
        assert read["input"].elements is not None
        assert read["tools"].elements is None
        assert read["text"].elements is None

    def test_spelling_is_kept_to_the_letter(self) -> None:
        text = '{"a":{ "z" : 1.50, "b":"\\u00e9\\/" , "big":1E+2},"a2":[ ]}'
        read = jsontext.members(text)
        assert read["a"].text == '{ "z" : 1.50, "b":"\\u00e9\\/" , "big":1E+2}'
        assert read["a2"].text == "[ ]"

    def test_of_a_repeated_member_the_last_counts(self) -> None:
        read = jsontext.members('{"a":1,"b":2,"a":3}')
        assert {name: raw.text for name, raw in read.items()} == {"a": "3", "b": "2"}

    def test_an_integer_of_any_size_survives(self) -> None:
        big = 10**4000 + 7
        assert jsontext.members(f'{{"n":{big},"m":-{big}}}')["n"].value == big

    @pytest.mark.parametrize("text", NOT_AN_OBJECT)
    def test_what_is_no_object_is_refused(self, text: str) -> None:
        with pytest.raises(NotJson):
            jsontext.members(text, split=("a",))

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            ("NaN", "NaN is not a JSON number"),
            ("Infinity", "Infinity is not a JSON number"),
            ("-Infinity", "-Infinity is not a JSON number"),
            ('[1,{"x":NaN}]', "NaN is not a JSON number"),
            ("1e400", "a number is out of range"),
            ("-1e400", "a number is out of range"),
            ("9" * 5000, "Exceeds the limit"),
            ("[" * 100_000, "nested too deeply"),
            ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
            ('{"a":' * 50_000 + "1" + "}" * 50_000, "nested too deeply"),
        ],
        ids=[
            "nan",
            "inf",
            "-inf",
            "nan-inside",
            "1e400",
            "-1e400",
            "digits",
            "open",
            "deep-array",
            "deep-object",
        ],
    )
    def test_numbers_and_depths_beyond_reason_name_their_member(self, value: str, reason: str) -> None:
        for split in ((), ("bad",)):
            with pytest.raises(NotJson) as refused:
                jsontext.members(f'{{"good":1,"bad":{value}}}', split=split)
            assert refused.value.member == "bad"
            assert reason in refused.value.reason

    def test_the_smallest_number_is_no_number_out_of_range(self) -> None:
        assert jsontext.members('{"n":1e-400}')["n"].value == 0.0

    @pytest.mark.parametrize("depth", [1, 100, jsontext.DEEPEST])
    def test_nesting_is_taken_up_to_a_limit(self, depth: int) -> None:
        text = "[" * depth + "]" * depth
        assert jsontext.members(f'{{"a":{text}}}')["a"].text == text

    @pytest.mark.parametrize("open_, close", ["[]", ('{"a":', "}")])
    def test_the_limit_leaves_room_for_those_who_read_it_later(self, open_: str, close: str) -> None:
        """A value that was let in is read and written again further down the stack."""
        depth = jsontext.DEEPEST + 1
        text = open_ * depth + ("1" if close == "}" else "") + close * depth
        with pytest.raises(NotJson, match="nested too deeply"):
            jsontext.members(f'{{"a":{text}}}')

    def test_width_is_not_depth(self) -> None:
        wide = [[[number]] for number in range(2000)]
        assert jsontext.members(json.dumps({"a": wide}))["a"].value == wide


class TestElements:
    @given(st.lists(values, max_size=5))
    @quick
    def test_elements_are_those_of_the_array(self, parts: list[Any]) -> None:
        read = jsontext.elements(f" {json.dumps(parts)}\n")
        assert [raw.value for raw in read] == parts

    @pytest.mark.parametrize("text", ["", "{}", "[", "[1,]", "[1]x", "1"])
    def test_what_is_no_array_is_refused(self, text: str) -> None:
        with pytest.raises(NotJson):
            jsontext.elements(text)


class TestDecode:
    def test_text_is_utf8(self) -> None:
        assert jsontext.decode('{"a":"é😀"}'.encode()) == '{"a":"é😀"}'

    @pytest.mark.parametrize("body", [b'"\xff"', b'"\xed\xa0\x80"', b'"\xc3"', '"é"'.encode("latin-1")])
    def test_anything_else_is_refused_with_its_place(self, body: bytes) -> None:
        with pytest.raises(NotJson, match=r"byte 1\b"):
            jsontext.decode(body)


class TestUnstorable:
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            (r'"\u0000"', "a NUL character (\\u0000)"),
            (r'{"a":["x\u0000"]}', "a NUL character (\\u0000)"),
            (r'{"\u0000":1}', "a NUL character (\\u0000)"),
            (r'"\ud800"', "a lone surrogate"),
            (r'"\uDFFF"', "a lone surrogate"),
            (r'"\udc00\ud800"', "a lone surrogate"),
            (r'"\ud800x"', "a lone surrogate"),
            (r'"\ud800\n\udc00"', "a lone surrogate"),
            (r'"\ud800\ud800\udc00"', "a lone surrogate"),
            (r'"\ud83d\ude00\ude00"', "a lone surrogate"),
            (r'"\ud800 \udc00"', "a lone surrogate"),
        ],
    )
    def test_it_is_named(self, text: str, found: str) -> None:
        assert jsontext.unstorable(text) == found

    @pytest.mark.parametrize(
        "text",
        [
            r'"\ud83d\ude00"',
            r'"\uD83D\uDE00x\ud83d\ude00"',
            r'"\\u0000"',
            r'"\\ud800"',
            r'"\\\\ud800"',
            r'"\u0001"',
            '"😀"',
        ],
    )
    def test_what_only_looks_like_it_passes(self, text: str) -> None:
        assert jsontext.unstorable(text) is None

    @given(st.text(st.characters(), max_size=12))
    @thorough
    def test_it_is_found_exactly_when_a_database_would_refuse_it(self, text: str) -> None:
        spelled = json.dumps(text, ensure_ascii=True)
        value = json.loads(spelled)  # adjacent halves have become one character
        unfit = "\0" in value or any("\ud800" <= char <= "\udfff" for char in value)
        assert (jsontext.unstorable(spelled) is not None) == unfit


class TestWithout:
    @given(spellings(), texts)
    @quick
    def test_one_member_goes_and_the_rest_stays(self, text: str, name: str) -> None:
        rest = {key: value for key, value in json.loads(text).items() if key != name}
        assert json.loads(jsontext.without(text, name)) == rest

    @given(
        st.lists(st.tuples(st.sampled_from(["id", "type", "x"]), texts | st.integers()), max_size=6),
        st.sampled_from([(",", ":"), (", ", ": ")]),
    )
    @thorough
    def test_a_member_that_stands_twice_is_gone_for_good(
        self, pairs: list[tuple[str, Any]], marks: tuple[str, str]
    ) -> None:
        comma, colon = marks
        text = "{" + comma.join(json.dumps(key) + colon + json.dumps(value) for key, value in pairs) + "}"
        rest = {key: value for key, value in json.loads(text).items() if key != "id"}
        assert json.loads(jsontext.without(text, "id")) == rest

    @pytest.mark.parametrize("identifier", ["", "a", 'a"b', "a\\", "a\\\\", '\\",', "\u2028", "é", "x" * 300], ids=repr)
    def test_the_quick_way_sees_where_the_id_ends(self, identifier: str) -> None:
        text = '{"id":' + json.dumps(identifier) + ',"text":"\\",\\"id\\":\\"kept"}'
        assert json.loads(jsontext.without(text, "id")) == {"text": '","id":"kept'}

    def test_the_rest_keeps_its_spelling(self) -> None:
        assert jsontext.without('{"id":"x","a":1.50, "b" : [ ]}', "id") == '{"a":1.50, "b" : [ ]}'


class TestDumps:
    @given(values)
    @quick
    def test_what_is_written_is_read_again(self, value: Any) -> None:
        assert jsontext.loads(jsontext.dumps(value)) == value

    def test_what_the_fast_encoder_refuses_is_written_all_the_same(self) -> None:
        value = {"big": 2**200, "half": "\ud800", "deep": [[[1]]]}
        assert jsontext.loads(jsontext.dumps(value)) == value
        assert jsontext.dumps({"big": 2**200}) == b'{"big":%d}' % 2**200

    @given(objects)
    @quick
    def test_it_is_compact(self, value: dict[str, Any]) -> None:
        assert len(jsontext.dumps(value)) <= len(json.dumps(value, separators=(",", ":")))


class TestLoads:
    @pytest.mark.parametrize("text", [b"", b"{", b"\xff", "[" * 100_000, "9" * 5000])
    def test_what_is_no_json_is_one_kind_of_error(self, text: bytes | str) -> None:
        with pytest.raises(NotJson):
            jsontext.loads(text)


class TestDigest:
    def test_it_is_sixteen_bytes_that_follow_the_text(self) -> None:
        assert len(jsontext.digest(b"")) == 16
        assert jsontext.digest(b"a") == jsontext.digest(b"a") != jsontext.digest(b"b")
