"""Bytes of a file that nobody vouches for.

Whatever goes wrong beneath (a cut gzip, a wrong checksum, a disk that fails) comes out as Unreadable, with the place.
Packed bytes are counted as they come out, not as they are announced: a bomb is noticed before it has gone off.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from zipfile import BadZipFile

from convstore.archives.limits import Limits
from convstore.errors import Unreadable

# What a reader asks for at a time: more is no faster, less is.
BLOCK = 2**20
UTF8_MARK = b"\xef\xbb\xbf"
_MARKS = ((b"\xff\xfe\0\0", "UTF-32"), (b"\0\0\xfe\xff", "UTF-32"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))


class Stream(Protocol):
    """A binary file, as far as readers use one: open files and gzip's, and members of a zip."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(slots=True)
class Allowance:
    """What may still come out of a packed file, all of its members together.

    packed: how many packed bytes have been used up so far; None of a file that is not packed.
    """

    limits: Limits
    packed: Callable[[], int] | None = None
    spent: int = 0

    def spend(self, size: int, place: str | None) -> None:
        """Raises Unreadable when it is too much."""
        self.spent += size
        if self.packed is None or self.spent <= self.limits.trusted:
            return
        if self.spent > self.limits.unpacked:
            raise Unreadable(f"it unpacks to more than {self.limits.unpacked} bytes", place)
        if self.spent > self.limits.ratio * max(1, self.packed()):
            raise Unreadable(f"it unpacks to more than {self.limits.ratio} times its size", place)


class Guarded:
    """A stream that fails in our words, begins behind a UTF-8 mark, and is no UTF-16."""

    def __init__(self, file: Stream, allowance: Allowance, place: str | None = None) -> None:
        self._file = file
        self._allowance = allowance
        self._place = place
        self._head: bytes | None = None

    def read(self, size: int, /) -> bytes:
        """Up to *size* bytes; none at the end only. Raises Unreadable."""
        if self._head is None:
            self._head = self._beginning()
        if self._head:
            block, self._head = self._head[:size], self._head[size:]
            return block
        return self._next(size)

    def _beginning(self) -> bytes:
        head = b""
        while len(head) < 4 and (block := self._next(BLOCK)):
            head += block
        for mark, name in _MARKS:
            if head.startswith(mark):
                raise Unreadable(f"it is {name}, not UTF-8", self._place)
        if b"\0" in head[:4]:
            raise Unreadable("it holds NUL bytes: it is UTF-16 or UTF-32, not UTF-8, or no text", self._place)
        return head.removeprefix(UTF8_MARK)

    def _next(self, size: int) -> bytes:
        try:
            block = self._file.read(size)
        except (EOFError, zlib.error, BadZipFile) as error:
            raise Unreadable("it is cut off, or damaged: it does not unpack", self._place) from error
        except OSError as error:
            # gzip's own error is one, too.
            raise Unreadable("it cannot be read to its end: it is damaged, or its disk is", self._place) from error
        self._allowance.spend(len(block), self._place)
        return block
