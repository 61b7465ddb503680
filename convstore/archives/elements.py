"""The elements of one long JSON array, one held at a time.

The text grows until an element is whole in it. One that does not become whole is tried again when there is twice as
much of it, so that none is read more than twice over; and one that cannot become whole is refused where it stands.
"""

import codecs
from collections.abc import Iterator
from typing import Any

from convstore.archives.streams import BLOCK, Stream
from convstore.archives.values import UNFINISHED, Bad, parsed
from convstore.domain.jsontext import SPACE
from convstore.errors import Unreadable


def elements(file: Stream, longest: int, inside: str = "") -> Iterator[tuple[int, Any]]:
    """(number from 1, value) of each. inside: what goes before the place in an error, "member a.json, ".

    Raises Unreadable: no array, no JSON, cut off, or an element of more than *longest* characters.
    """
    text = _Text(file, longest, inside)
    if text.mark() != "[":
        raise text.unreadable("it is not a JSON array", "its beginning")
    text.step()
    if text.mark() == "]":
        text.step()
    else:
        yield from _elements(text)
    if text.mark():
        raise text.unreadable("something stands behind the array", "its end")


def _elements(text: "_Text") -> Iterator[tuple[int, Any]]:
    while True:
        text.mark()
        yield text.number + 1, text.element()
        text.number += 1
        mark = text.mark()
        text.step()
        if mark == "]":
            return
        if mark != ",":
            reason = "something else than a comma follows" if mark else "the file is cut off behind it"
            raise text.unreadable(reason, f"conversation {text.number}")


class _Text:
    """What is held of the file, and how far into it we are. number: of elements so far."""

    def __init__(self, file: Stream, longest: int, inside: str) -> None:
        self.number = 0
        self._file = file
        self._longest = longest
        self._inside = inside
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._held = ""
        self._at = 0
        self._is_over = False

    def mark(self) -> str:
        """The next character that is no space; none at the end of the file."""
        while True:
            space = SPACE.match(self._held, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._held):
                return self._held[self._at]
            if self._is_over:
                return ""
            self._grow(1)

    def step(self) -> None:
        """Past the character that `mark` gave."""
        self._at += 1

    def element(self) -> Any:
        """The value that begins here."""
        while True:
            try:
                value, end = parsed(self._held, self._at)
            except Bad as error:
                self._go_on(error)
                continue
            # A number that the text ends with, or nearly, may go on behind it.
            if type(value) not in (int, float) or end + UNFINISHED < len(self._held) or self._is_over:
                self._at = end
                return value
            self._grow(1)

    def unreadable(self, reason: str, place: str | None = None) -> Unreadable:
        return Unreadable(reason, self._inside + (place or f"conversation {self.number + 1}"))

    def _go_on(self, error: Bad) -> None:
        size = len(self._held) - self._at
        if not error.is_cut:
            raise self.unreadable(error.reason) from error
        if self._is_over:
            raise self.unreadable("the file is cut off in the middle of it") from error
        if size > self._longest:
            raise self.unreadable(f"it is longer than {self._longest} characters") from error
        self._grow(min(size, self._longest + 1 - size))

    def _grow(self, wanted: int) -> None:
        """At least *wanted* characters more, unless the file is over. What is behind us is let go."""
        grown = [self._held[self._at :]]
        self._at = 0
        while wanted > 0 and not self._is_over:
            block = self._file.read(BLOCK)
            if b"\0" in block:
                raise self.unreadable("it holds a NUL byte")
            self._is_over = not block
            try:
                grown.append(self._decoder.decode(block, final=self._is_over))
            except UnicodeDecodeError as error:
                raise self.unreadable("it is not UTF-8") from error
            wanted -= len(grown[-1])
        self._held = "".join(grown)
