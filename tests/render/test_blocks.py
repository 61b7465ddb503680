"""What an exchange says, as a person reads it: every kind of item, and what nobody expected."""

from typing import Any

import pytest

from convstore.domain.items import REMOVAL, Item
from convstore.render import blocks
from convstore.render.blocks import Block, Piece
from tests.domain.threads import call, item, said, user
from tests.render.archives import at, exchange, settings


def of(*items: Item, **more: Any) -> list[Block]:
    return list(blocks.of(exchange(items, [], **more)))


def pieces(*items: Item) -> list[Piece]:
    return [piece for block in of(*items) for piece in block.pieces]


def parts(*given: Any) -> list[Piece]:
    return pieces(user(list(given)))


class TestOf:
    def test_inputs_come_before_outputs(self) -> None:
        found = [(block.kind, block.title, block.pieces[0].text) for block in blocks.of(exchange("Hello?", "Hi."))]
        assert found == [("question", "User", "Hello?"), ("answer", "Assistant", "Hi.")]

    def test_an_assistants_message_among_the_inputs_is_an_answer(self) -> None:
        assert [(block.kind, block.title) for block in of(said("x"))] == [("answer", "Assistant")]

    @pytest.mark.parametrize(
        ("role", "title"), [("system", "System"), ("developer", "Developer"), ("critic", "critic")]
    )
    def test_others_speak_under_their_own_name(self, role: str, title: str) -> None:
        assert of(item("message", role=role, content="x"))[0].title == title

    def test_a_call_lays_its_arguments_out(self) -> None:
        assert of(call("add", x=1)) == [Block("call", "Call of add", (Piece("code", '{\n  "x": 1\n}'),))]

    def test_what_only_looks_like_json_stays_as_it_is(self) -> None:
        assert pieces(item("function_call", name="f", call_id="c", arguments='{"x": ')) == [Piece("code", '{"x": ')]
        assert pieces(item("custom_tool_call", name="f", call_id="c", input="*** Begin")) == [
            Piece("code", "*** Begin")
        ]

    def test_a_call_without_arguments_is_one(self) -> None:
        assert of(item("function_call", name="f", call_id="c", arguments="")) == [Block("call", "Call of f", ())]

    def test_an_output_is_code_and_its_images_are_images(self) -> None:
        given = [{"type": "input_text", "text": "3"}, {"type": "input_image", "image_url": "https://x/y.png"}]
        found = pieces(item("function_call_output", call_id="c", output=given))
        assert found == [Piece("code", "3"), Piece("image", "https://x/y.png")]

    def test_reasoning_that_is_sealed_is_not_shown(self) -> None:
        assert of(item("reasoning", summary=[], encrypted_content="x")) == []

    def test_a_generated_image_is_one(self) -> None:
        found = pieces(item("image_generation_call", result="AAAA", output_format="webp", revised_prompt="A cat."))
        assert found[0] == Piece("image", "data:image/webp;base64,AAAA")
        assert "A cat." in found[1].text and "AAAA" not in found[1].text

    def test_an_item_nobody_knows_is_its_json(self) -> None:
        assert of(item("quantum", id="x", qubits=7)) == [
            Block("other", "quantum", (Piece("code", '{\n  "qubits": 7\n}'),))
        ]

    def test_one_that_is_no_json_is_what_it_is(self) -> None:
        assert pieces(Item("quantum", b"\xff no")) == [Piece("code", "\ufffd no")]

    def test_a_removal_is_not_shown_but_an_answer_may_say_what_it_likes(self) -> None:
        removal = Item(REMOVAL, b'{"type":"convstore.removal"}', call_id="0.0")
        assert of(removal) == []
        assert [block.title for block in blocks.of(exchange("x", [removal]))] == ["User", REMOVAL]

    def test_of_what_is_gone_there_is_nothing(self) -> None:
        for when in ({"deleted_at": at(1)}, {"erased_at": at(1)}):
            assert of(user("x"), settings=settings(instructions="x"), **when) == []
            assert blocks.instructions(exchange(settings=settings(instructions="x"), **when)) is None


class TestParts:
    def test_a_refusal_says_that_it_is_one(self) -> None:
        assert parts({"type": "refusal", "refusal": "No."}) == [Piece("note", "Refused"), Piece("text", "No.")]

    def test_sources_are_named_once(self) -> None:
        source = {"type": "url_citation", "url": "https://x/y", "title": "Y"}
        found = parts(
            {"type": "output_text", "text": "It is.", "annotations": [source, source, {"type": "file_path"}, 7]}
        )
        assert found == [Piece("text", "It is."), Piece("note", "Source: Y, https://x/y")]

    def test_images_go_by_their_address_or_their_file(self) -> None:
        assert parts({"type": "image_url", "image_url": {"url": "https://x"}}) == [Piece("image", "https://x")]
        assert parts({"type": "input_image", "file_id": "file-1"}) == [Piece("note", "Image file-1")]

    def test_of_files_there_are_names_and_no_bytes(self) -> None:
        given = {"type": "input_file", "filename": "a.pdf", "file_url": "data:x;base64,AAAA", "file_data": "AAAA"}
        assert parts(given, {"type": "input_audio", "input_audio": {"data": "AAAA"}}) == [
            Piece("note", "File a.pdf"),
            Piece("note", "Audio"),
        ]

    def test_a_part_nobody_knows_is_its_json(self) -> None:
        assert parts({"type": "smell", "of": 7}, 8) == [
            Piece("code", '{\n  "type": "smell",\n  "of": 7\n}'),
            Piece("code", "8"),
        ]

    def test_acting_characters_are_shown_and_line_ends_are_line_ends(self) -> None:
        assert pieces(user("a\r\nb\x1b\u202e")) == [Piece("text", "a\nb␛⟨U+202E⟩")]
