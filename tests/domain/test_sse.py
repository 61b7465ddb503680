"""Server-sent events: the same blocks come out, wherever the network cut the bytes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convstore.domain import sse
from tests.domain.strategies import chunkings, halves, objects, quick, thorough

# As servers really write them: OpenAI's form, data alone, CRLF, bare CR, comments, data over several lines.
RECORDED = {
    "openai": (
        b"event: response.created\n"
        b'data: {"type":"response.created","sequence_number":0,"response":{"id":"r"}}\n\n'
        b"event: response.output_text.delta\n"
        b'data: {"type":"response.output_text.delta","delta":"a\\u2028b"}\n\n'
        b'event: response.completed\ndata: {"type":"response.completed","response":{"output":[]}}\n\n'
    ),
    "data alone": b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\ndata: {"choices":[]}\n\ndata: [DONE]\n\n',
    "crlf": b'event: a\r\ndata: {"n":1}\r\n\r\n: keepalive\r\n\r\nevent: b\r\ndata: {"n":2}\r\n\r\n',
    "cr": b'event: a\rdata: {"n":1}\r\revent: b\rdata: {"n":2}\r\r',
    "mixed": b'event: a\r\ndata: {"n":1}\n\r\nid: 7\nretry: 10\ndata: {"n":2}\r\n\ndata: {"n":3}\r\r',
    "line separators": 'data: {"t":"a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg"}\n\ndata: "é😀"\n\n'.encode(),
    "bom": b'\xef\xbb\xbfdata: {"n":1}\n\n\xef\xbb\xbfdata: {"n":2}\n\n',
    "comments": b': hello\n\n: keepalive\ndata: {"n":1}\n: in between\ndata: {"n":2}\n\n:\n\ndata:3\n\n',
    "several lines": b'data: {\ndata:   "n": 1\ndata: }\n\ndata\n\ndata:\ndata:\n\nevent\ndata: x\n\n',
    "many blank lines": b"\n\n\ndata: 1\n\n\n\ndata: 2\n\n\n",
    "cut off": b'data: {"n":1}\n\ndata: {"n":2}\n',
}


def split(chunks: list[bytes]) -> tuple[list[bytes], bytes]:
    """The blocks of a stream, and what is left at its end."""
    splitter = sse.Splitter()
    return [block for chunk in chunks for block in splitter.feed(chunk)], splitter.rest


def said(whole: bytes) -> list[bytes]:
    """The data of a stream's events, an unended one included: the plain reading of the standard."""
    text = whole.removeprefix(sse.BOM).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    found, held = [], []
    for line in [*text.split(b"\n"), b""]:
        if not line:
            if held:
                found.append(b"\n".join(held))
            held = []
        elif line == b"data" or line.startswith(b"data:"):
            held.append(line[5:].removeprefix(b" "))
    return [data for data in found if data]


class TestSplitter:
    @pytest.mark.parametrize("name", RECORDED)
    def test_events_are_those_of_the_standard(self, name: str) -> None:
        blocks, rest = split([RECORDED[name]])
        assert [data for data in map(sse.data_of, [*blocks, rest]) if data] == said(RECORDED[name])

    @pytest.mark.parametrize("name", RECORDED)
    def test_every_cut_in_two_gives_the_same(self, name: str) -> None:
        whole = split([RECORDED[name]])
        for halved in halves(RECORDED[name]):
            assert split(list(halved)) == whole

    @pytest.mark.parametrize("name", RECORDED)
    def test_byte_by_byte_gives_the_same(self, name: str) -> None:
        assert split([bytes([byte]) for byte in RECORDED[name]]) == split([RECORDED[name]])

    @given(st.data(), st.lists(st.sampled_from(sorted(RECORDED.values())), min_size=1, max_size=3).map(b"".join))
    @quick
    def test_every_chunking_gives_the_same(self, data: st.DataObject, whole: bytes) -> None:
        assert split(data.draw(chunkings(whole))) == split([whole])

    @given(
        st.data(),
        st.lists(
            st.sampled_from(
                [b"data: x", b"data:", b"event: y", b":", b"\n", b"\r", b"\r\n", b"\xef\xbb\xbf", b"\xc2\x85"]
            ),
            max_size=16,
        ).map(b"".join),
    )
    @thorough
    def test_every_chunking_of_nonsense_gives_the_same(self, data: st.DataObject, whole: bytes) -> None:
        blocks, rest = split(data.draw(chunkings(whole)))
        assert (blocks, rest) == split([whole])
        assert [found for found in map(sse.data_of, [*blocks, rest]) if found] == said(whole)

    def test_an_event_is_out_as_soon_as_it_has_ended(self) -> None:
        splitter = sse.Splitter()
        assert splitter.feed(b"data: 1\n\ndata:") == [b"data: 1"]
        assert splitter.feed(b" 2\n") == []
        assert splitter.feed(b"\n") == [b"data: 2"]
        assert splitter.rest == b""

    def test_a_cr_at_the_end_of_a_chunk_may_be_half_a_line_end(self) -> None:
        splitter = sse.Splitter()
        assert splitter.feed(b"data: 1\r") == []
        assert splitter.feed(b"\ndata: 2\r\n\r") == []
        assert splitter.feed(b"\n") == [b"data: 1\ndata: 2"]

    def test_what_was_cut_is_left(self) -> None:
        assert split([b"data: 1\n\ndata: {", b'"n"']) == ([b"data: 1"], b'data: {"n"')

    def test_nothing_gives_nothing(self) -> None:
        assert split([b"", b"", b"\xef", b"\xbb", b"\xbf", b"\n", b""]) == ([], b"")


class TestDataOf:
    @pytest.mark.parametrize(
        ("block", "data"),
        [
            (b"data: x", b"x"),
            (b"data:x", b"x"),
            (b"data:  x", b" x"),
            (b"data", b""),
            (b"event: e\ndata: x", b"x"),
            (b"data: x\nevent: e", b"x"),
            (b"data: a\ndata: b", b"a\nb"),
            (b"data: a\nid: 1\ndata:\ndata: b", b"a\n\nb"),
            (b": data: x", b""),
            (b"datum: x\ndatax: y\ndata : z", b""),
            (b"event: data: x", b""),
            ("data: a\u2028b\u0085c".encode(), "a\u2028b\u0085c".encode()),
        ],
    )
    def test_it_is_what_the_data_lines_hold(self, block: bytes, data: bytes) -> None:
        assert sse.data_of(block) == data


class TestFields:
    def test_events_and_data_come_in_order(self) -> None:
        block = b"event: e\ndata: 1\nid: 9\ndata:2\nevent"
        assert list(sse.fields(block)) == [
            (b"event", b"e"),
            (b"data", b"1"),
            (b"data", b"2"),
            (b"event", b""),
        ]


class TestEncode:
    @given(objects)
    @quick
    def test_what_is_written_is_read_again(self, members: dict[str, Any]) -> None:
        event = {**members, "type": "response.created"}
        blocks, rest = split([sse.encode(event)])
        assert rest == b""
        assert [json.loads(sse.data_of(block)) for block in blocks] == [event]
        assert blocks[0].startswith(b"event: response.created\n")

    @pytest.mark.parametrize("kind", ["a\nevent: b", "a\r\n\r\ndata: {}", "\ud800", "a\u2028b"])
    def test_no_type_breaks_out_of_its_line(self, kind: str) -> None:
        """The type of an event that passes through is the upstream's word."""
        blocks, rest = split([sse.encode({"type": kind, "n": 1})])
        assert (len(blocks), rest) == (1, b"")
        assert json.loads(sse.data_of(blocks[0])) == {"type": kind, "n": 1}
        assert [name for name, _ in sse.fields(blocks[0])] == [b"event", b"data"]
