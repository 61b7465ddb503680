"""Windows and counts: how much a model takes, and how much a text is."""

from typing import Any

import pytest
from hypothesis import given

from convstore.domain import jsontext, windows
from tests.domain.strategies import quick, values


class TestOfModel:
    def test_a_public_models_window_is_known(self) -> None:
        assert windows.of_model("gpt-4o", "https://api.openai.com/v1") == 128_000

    def test_it_is_known_behind_any_gateway(self) -> None:
        assert windows.of_model("gpt-4o", "https://gateway.example/v1") == 128_000

    def test_a_private_models_is_not(self) -> None:
        assert windows.of_model("acme-7b-private", "http://127.0.0.1:1/v1") is None


class TestOfTexts:
    def test_the_count_is_that_of_openais_tokenizer(self) -> None:
        assert windows.of_texts("hello world") == 2
        assert windows.of_texts("hello world", ["hello", {"a": " world"}]) == 4
        assert windows.of_texts(None, None) == 0

    def test_a_text_never_has_more_tokens_than_bytes(self) -> None:
        """What is no longer than the window in bytes need not be counted."""
        for text in ("a" * 100, "é😀\u2028", "<|endoftext|>"):
            assert 0 < windows.of_texts(text) <= len(text.encode())

    @given(values)
    @quick
    def test_anything_can_be_counted(self, value: Any) -> None:
        assert windows.of_texts(value) >= 0

    def test_half_a_character_is_counted_too(self) -> None:
        """An upstream's answer can hold one, and is counted with the thread."""
        assert windows.of_texts("hello world \ud800") >= 3
        assert windows.of_item(b'{"text":"\\ud800"}') > windows.WRAPPING

    @pytest.mark.parametrize("kind", [list, dict])
    def test_depth_is_no_obstacle(self, kind: type) -> None:
        value: Any = "hello world"
        for _ in range(jsontext.DEEPEST):
            value = [value] if kind is list else {"a": value}
        assert windows.of_texts(value) == 2


class TestOfItem:
    def test_texts_are_counted_and_the_item_is_wrapped(self) -> None:
        part = {"type": "input_text", "text": "hello world"}
        item = jsontext.dumps({"type": "message", "role": "user", "content": [part]})
        assert windows.of_item(item) == 2 + windows.WRAPPING
        assert windows.of_item(item) == 2 + windows.WRAPPING  # the second time from memory

    @pytest.mark.parametrize("unseen", ["encrypted_content", "image_url", "file_data", "id", "call_id"])
    def test_what_no_model_reads_as_text_does_not_count(self, unseen: str) -> None:
        assert windows.of_item(jsontext.dumps({"type": "x", unseen: "long " * 1000})) == windows.WRAPPING
