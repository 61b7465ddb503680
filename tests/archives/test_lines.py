"""Lines: their numbers and offsets, however the file hands them out, and never more than one held."""

import io
import random
import time
import tracemalloc

import pytest

from convstore.archives.lines import lines, objects
from convstore.archives.streams import BLOCK
from convstore.errors import Unreadable


class Dripping:
    """A file that gives what it likes, never more than was asked for."""

    def __init__(self, body: bytes, seed: int) -> None:
        self._file = io.BytesIO(body)
        self._random = random.Random(seed)

    def read(self, size: int, /) -> bytes:
        return self._file.read(min(size, self._random.randint(1, 7)))


class Endless:
    """One line without an end."""

    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, size: int, /) -> bytes:
        size = min(size, self.left)
        self.left -= size
        return b"x" * size


class TestLines:
    def test_each_has_its_number_and_where_it_ends(self):
        found = list(lines(io.BytesIO(b"one\n\nthree\r\nfour"), 100))
        assert found == [(1, 4, b"one"), (2, 5, b""), (3, 12, b"three\r"), (4, 16, b"four")]

    def test_a_last_line_feed_begins_no_line(self):
        assert [line for _, _, line in lines(io.BytesIO(b"one\n"), 100)] == [b"one"]
        assert list(lines(io.BytesIO(b""), 100)) == []

    @pytest.mark.parametrize("seed", range(5))
    def test_the_pieces_that_a_file_comes_in_do_not_matter(self, seed):
        body = b"".join(b"%d" % n * (n % 5) + b"\n" for n in range(300)) + b"end"
        assert list(lines(Dripping(body, seed), 100)) == list(lines(io.BytesIO(body), 100))

    def test_the_offset_is_where_the_next_line_begins(self):
        body = b"a\nbb\nccc"
        for _, offset, _ in lines(io.BytesIO(body), 100):
            assert offset == len(body) or body[offset - 1 : offset] == b"\n"

    def test_a_line_of_the_longest_length_is_taken_and_a_longer_one_is_not(self):
        assert len(list(lines(io.BytesIO(b"ok\n" + b"x" * 50 + b"\nok"), 50))) == 3
        with pytest.raises(Unreadable, match="line 2: it is longer than 49 bytes"):
            list(lines(io.BytesIO(b"ok\n" + b"x" * 50 + b"\nok"), 49))

    def test_a_line_that_does_not_end_is_refused_before_it_is_held(self):
        tracemalloc.start()
        try:
            with pytest.raises(Unreadable, match="line 1"):
                list(lines(Endless(200 * 2**20), 8 * 2**20))
            assert tracemalloc.get_traced_memory()[1] < 8 * 2**20 + 4 * BLOCK
        finally:
            tracemalloc.stop()

    def test_ordinary_lines_are_quick(self):
        body = (b'{"object":"exchange","text":"' + b"x" * 900 + b'"}\n') * 50_000
        begun = time.perf_counter()
        assert sum(1 for _ in lines(io.BytesIO(body), 2**20)) == 50_000
        # 45 MB; the goal is 200 MB/s, a noisy machine is given a quarter of it.
        assert time.perf_counter() - begun < len(body) / 50e6


class TestObjects:
    def test_blank_lines_are_passed_over_but_counted(self):
        assert list(objects(io.BytesIO(b'\n  \r\n{"a":1}\r\n[]'), 100)) == [("line 3", {"a": 1}), ("line 4", [])]

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            (b"{", "it is not JSON"),
            (b'{"a":tru}', "it is not JSON"),
            (b"{} {}", "something stands behind its JSON"),
            (b'"\xff"', "it is not UTF-8"),
            (b'"\x00"', "it holds a NUL byte"),
            (b"[NaN]", "NaN is not a JSON number"),
            (b"[" * 100_000, "it is nested too deeply"),
            (b"[" * 600 + b"]" * 600, "it is nested too deeply"),
            (b"1" * 1_000_000, "a number has too many digits"),
        ],
    )
    def test_what_is_wrong_is_said_with_its_line(self, line, reason):
        with pytest.raises(Unreadable, match=f"line 2: {reason}"):
            list(objects(io.BytesIO(b"1\n" + line), 2_000_000))

    def test_nothing_that_was_said_is_told(self):
        with pytest.raises(Unreadable) as refused:
            list(objects(io.BytesIO(b'{"text":"my secret" oops}'), 100))
        assert "secret" not in refused.value.message and "oops" not in refused.value.message

    def test_integers_and_half_pairs_are_exact(self):
        assert list(objects(io.BytesIO(b'[123456789012345678901234567890,"\\ud83d"]'), 100)) == [
            ("line 1", [123456789012345678901234567890, "\ud83d"])
        ]
