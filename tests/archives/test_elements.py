"""Elements of a long array: whatever they are and however the file hands them out, each once, or a clear no."""

import io
import json
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convstore.archives.elements import elements
from convstore.archives.streams import BLOCK
from convstore.errors import Unreadable
from tests.archives.test_lines import Dripping
from tests.domain.strategies import quick, values


class Long:
    """A file of one array whose first element does not end."""

    def __init__(self, size: int, filling: bytes = b"x") -> None:
        self.left = size
        self._filling = filling
        self._head = b'["'

    def read(self, size: int, /) -> bytes:
        if self._head:
            head, self._head = self._head, b""
            return head
        size = min(size, self.left)
        self.left -= size
        return (self._filling * size)[:size]


class TestElements:
    def test_they_are_numbered_from_one(self):
        assert list(elements(io.BytesIO(b' [ {"a": 1} , 2,\n"x" ] \n'), 100)) == [(1, {"a": 1}), (2, 2), (3, "x")]

    def test_an_empty_array_has_none(self):
        assert list(elements(io.BytesIO(b"[ ]"), 100)) == []

    @quick
    @given(st.lists(values, max_size=6), st.integers(0, 99), st.sampled_from([None, 1]))
    def test_the_pieces_that_a_file_comes_in_do_not_matter(self, expected, seed, indent):
        body = json.dumps(expected, indent=indent, ensure_ascii=seed % 2 == 0).encode()
        assert [value for _, value in elements(Dripping(body, seed), 10_000)] == json.loads(body)

    @quick
    @given(st.lists(values, min_size=1, max_size=4), st.data())
    def test_a_file_that_is_cut_anywhere_is_refused(self, expected, data):
        body = json.dumps(expected).encode()
        cut = data.draw(st.integers(0, len(body) - 1))
        with pytest.raises(Unreadable):
            list(elements(io.BytesIO(body[:cut]), 10_000))

    def test_a_cut_element_is_named_and_those_before_it_were_read(self):
        found = elements(io.BytesIO(b'[{"a":1},{"b":"my secr'), 1000)
        assert next(found) == (1, {"a": 1})
        with pytest.raises(Unreadable, match="conversation 2: the file is cut off in the middle of it") as refused:
            next(found)
        assert "secr" not in refused.value.message

    @pytest.mark.parametrize(
        ("body", "place"),
        [
            (b"", "its beginning"),
            (b'{"a":1}', "its beginning"),
            (b"[1,2] x", "its end"),
            (b"[1,2][3]", "its end"),
            (b"[1 2]", "conversation 1"),
            (b"[1,2,]", "conversation 3"),
            (b"[1,/**/2]", "conversation 2"),
            (b'["\xff"]', "conversation 1"),
            (b'["a\x00"]', "conversation 1"),
            (b"[1, Infinity]", "conversation 2"),
            (b"[1," + b"[" * 200_000, "conversation 2"),
            (b"[" + b"[" * 600 + b"]" * 601, "conversation 1"),
            (b"[1," + b'{"a":' * 200_000, "conversation 2"),
            (b"[" + b"7" * 1_000_000 + b"]", "conversation 1"),
        ],
    )
    def test_what_is_wrong_is_said_with_its_place(self, body, place):
        with pytest.raises(Unreadable, match=place):
            list(elements(io.BytesIO(body), 2_000_000))

    def test_where_it_is_in_a_zip_goes_before_the_place(self):
        with pytest.raises(Unreadable, match=r"member a\.json, conversation 1"):
            list(elements(io.BytesIO(b"[oops]"), 100, "member a.json, "))

    def test_integers_and_half_pairs_are_exact(self):
        body = b'[123456789012345678901234567890, "\\ud83d", "\\u0000"]'
        assert [value for _, value in elements(io.BytesIO(body), 100)] == [
            123456789012345678901234567890,
            "\ud83d",
            "\0",
        ]

    @pytest.mark.parametrize("filling", [b"x", b'","', b" "])
    def test_an_element_that_does_not_end_is_refused_before_it_is_held(self, filling):
        tracemalloc.start()
        begun = time.perf_counter()
        try:
            with pytest.raises(Unreadable):
                list(elements(Long(200 * 2**20, filling if filling != b'","' else b"y"), 4 * 2**20))
            assert tracemalloc.get_traced_memory()[1] < 4 * 4 * 2**20 + 6 * BLOCK
        finally:
            tracemalloc.stop()
        assert time.perf_counter() - begun < 20

    def test_an_element_as_long_as_a_block_is_read_twice_at_most(self):
        body = json.dumps(["x" * n for n in (BLOCK - 5, BLOCK, 3 * BLOCK, 5)]).encode()
        assert [len(value) for _, value in elements(io.BytesIO(body), 4 * BLOCK)] == [BLOCK - 5, BLOCK, 3 * BLOCK, 5]

    def test_it_is_too_long_by_one_character(self):
        body = b'["' + b"x" * (2 * BLOCK) + b'"]'
        assert len(list(elements(io.BytesIO(body), 2 * BLOCK + 2))) == 1
        with pytest.raises(Unreadable, match="it is longer than"):
            list(elements(io.BytesIO(body), BLOCK))
