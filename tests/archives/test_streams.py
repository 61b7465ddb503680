"""Bytes that nobody vouches for: handed out as they are, counted, and refused in one kind of words."""

import io

import pytest

from convstore.archives.limits import Limits
from convstore.archives.streams import Allowance, Guarded
from convstore.errors import Unreadable
from tests.archives.test_lines import Dripping


class Failing:
    """A disk that gives a little and then fails."""

    def __init__(self) -> None:
        self._blocks = [b"[1, ", b"2"]

    def read(self, size: int, /) -> bytes:
        if not self._blocks:
            raise OSError(5, "Input/output error")
        return self._blocks.pop(0)


def read(stream, size: int = 3) -> bytes:
    return b"".join(iter(lambda: stream.read(size), b""))


class TestGuarded:
    @pytest.mark.parametrize("body", [b"", b"[", b"[1]", b"\xef\xbb\xbf", b"\xef\xbb\xbf[1]", b"\xef\xbb", b"x" * 50])
    @pytest.mark.parametrize("seed", range(3))
    def test_it_hands_out_what_is_there_without_the_mark(self, body, seed):
        assert read(Guarded(Dripping(body, seed), Allowance(Limits()))) == body.removeprefix(b"\xef\xbb\xbf")

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-32-be", "utf-16-le"])
    def test_another_encoding_is_seen_through_any_pieces(self, encoding):
        with pytest.raises(Unreadable, match=r"member a: it .*UTF-"):
            read(Guarded(Dripping("[1]".encode(encoding), 1), Allowance(Limits()), "member a"))

    def test_a_disk_that_fails_is_told_in_our_words(self):
        with pytest.raises(Unreadable, match="cannot be read to its end"):
            read(Guarded(Failing(), Allowance(Limits())))


class TestAllowance:
    def test_a_file_that_is_not_packed_may_be_of_any_size(self):
        allowance = Allowance(Limits(trusted=1, unpacked=1))
        assert len(read(Guarded(io.BytesIO(b"x" * 100), allowance))) == 100
        assert allowance.spent == 100

    def test_little_is_trusted_whatever_its_ratio(self):
        assert len(read(Guarded(io.BytesIO(b"x" * 100), Allowance(Limits(trusted=100, ratio=1), lambda: 1)))) == 100

    def test_more_than_that_is_measured_against_what_was_packed(self):
        limits = Limits(trusted=10, ratio=5)
        assert len(read(Guarded(io.BytesIO(b"x" * 100), Allowance(limits, lambda: 20)))) == 100
        with pytest.raises(Unreadable, match="5 times its size"):
            read(Guarded(io.BytesIO(b"x" * 101), Allowance(limits, lambda: 20)))
