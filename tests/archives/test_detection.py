"""What a file is, told by its beginning; and what somebody says it is, checked."""

import json

import pytest

from convstore.archives import sources
from convstore.archives.detection import detected
from convstore.archives.limits import Limits
from convstore.errors import Unreadable
from tests.archives.makers import as_lines, chat, gzipped, node, said, talk, zipped

CHATGPT = json.dumps([chat(node("u", None, "user", "1"))]).encode()
CLAUDE = json.dumps([talk(said("1", "human", "1"))]).encode()
COMPLETIONS = as_lines([{"messages": [{"role": "user", "content": "1"}]}])
PREFERENCE = as_lines([{"input": {"messages": []}, "preferred_output": []}])
NATIVE = as_lines([{"object": "convstore.export", "version": 1}, {"messages": []}])
DATABASE = b"SQLite format 3\0" + bytes(100)

EACH = [
    (CHATGPT, "chatgpt"),
    (b"\n " + CLAUDE, "claude"),
    (COMPLETIONS, "completions"),
    (PREFERENCE, "completions"),
    (b"\n\n" + COMPLETIONS, "completions"),
    (NATIVE, "convstore"),
    (DATABASE, "llm"),
    (b"\xef\xbb\xbf" + CHATGPT, "chatgpt"),
    (b'[null, {"odd": 1}, {"mapping": {}}]', "chatgpt"),
    (as_lines([{"odd": 1}, {"messages": []}]), "completions"),
]


def told(path, body: bytes | None = None, wanted: str | None = None) -> str:
    if body is not None:
        path.write_bytes(body)
    with sources.opened(path, Limits()) as source:
        return detected(source, Limits(), wanted)


class TestDetected:
    @pytest.mark.parametrize(("body", "expected"), EACH)
    def test_each_format_is_told_by_its_beginning(self, tmp_path, body, expected):
        assert told(tmp_path / "file", body) == expected

    @pytest.mark.parametrize(("body", "expected"), [each for each in EACH if each[1] != "llm"])
    def test_packing_does_not_matter(self, tmp_path, body, expected):
        assert told(gzipped(tmp_path / "a.gz", body)) == expected

    @pytest.mark.parametrize(("body", "expected"), [(CHATGPT, "chatgpt"), (CLAUDE, "claude")])
    def test_a_zip_is_what_its_first_list_with_something_in_it_is(self, tmp_path, body, expected):
        path = zipped(tmp_path / "a.zip", conversations_000_json=b"[]", conversations_001_json=body)
        assert told(path) == expected

    def test_reading_begins_at_the_beginning_afterwards(self, tmp_path):
        (tmp_path / "a").write_bytes(CHATGPT)
        with sources.opened(tmp_path / "a", Limits()) as source:
            detected(source, Limits())
            assert [stream.read(10_000) for _, stream in source.streams()] == [CHATGPT]

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b"", "it is empty"),
            (b"hello", "neither JSON nor"),
            (b"\x89PNG\r\n", "neither JSON nor"),
            (b"[]", "cannot be told: say its format, if it is one of chatgpt, claude"),
            (b'[{"odd":1}]', "cannot be told"),
            (b'{"odd":1}', "one of convstore, completions"),
            (b'{"odd":', "line 1: it is not JSON"),
            (b"[{]", "conversation 1"),
        ],
    )
    def test_what_is_nothing_of_it_is_refused(self, tmp_path, body, reason):
        with pytest.raises(Unreadable, match=reason):
            told(tmp_path / "a", body)

    def test_a_zip_whose_list_is_none_is_refused(self, tmp_path):
        with pytest.raises(Unreadable, match=r"member conversations\.json: it is not a JSON array"):
            told(zipped(tmp_path / "a.zip", conversations_json=b"{}"))


class TestWanted:
    @pytest.mark.parametrize(("body", "expected"), EACH)
    def test_it_may_be_what_the_file_is(self, tmp_path, body, expected):
        assert told(tmp_path / "a", body, expected) == expected

    @pytest.mark.parametrize(("body", "actual"), EACH)
    def test_it_may_not_be_something_else(self, tmp_path, body, actual):
        for other in {"chatgpt", "claude", "completions", "convstore", "llm"} - {actual}:
            with pytest.raises(Unreadable, match=f"not of the format '{other}'"):
                told(tmp_path / "a", body, other)

    def test_it_counts_where_the_file_does_not_say(self, tmp_path):
        assert told(tmp_path / "a", b"[]", "claude") == "claude"
        assert told(tmp_path / "b", b'[{"odd":1}]', "chatgpt") == "chatgpt"
        assert told(tmp_path / "c", b'{"odd":1}', "completions") == "completions"
