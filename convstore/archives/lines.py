"""The lines of a file, one held at a time.

Lines end with a line feed; a carriage return before it is part of the space that JSON allows. The last one need not.
"""

import codecs
from collections.abc import Iterator
from typing import Any

from convstore.archives.streams import BLOCK, Stream
from convstore.archives.values import Bad, parsed
from convstore.errors import Unreadable

SPACE = " \t\r\n"


def lines(file: Stream, longest: int) -> Iterator[tuple[int, int, bytes]]:
    """(number from 1, offset behind it, the line without its end), blank ones too.

    Raises Unreadable at one of more than *longest* bytes; until then it has held no more than that and a block.
    """
    number = offset = 0
    held: list[bytes] = []
    size = 0
    while block := file.read(BLOCK):
        first, *rest = block.split(b"\n")
        held.append(first)
        size += len(first)
        _measure(size, longest, number)
        if not rest:
            continue
        last = rest.pop()
        for line in (b"".join(held), *rest):
            number += 1
            offset += len(line) + 1
            if len(line) > longest:
                _measure(len(line), longest, number - 1)
            yield number, offset, line
        held, size = [last], len(last)
    if size:
        _measure(size, longest, number)
        yield number + 1, offset + size, b"".join(held)


def objects(file: Stream, longest: int) -> Iterator[tuple[str, Any]]:
    """(place, the value of the line): JSON, one value a line; blank lines are passed over.

    The value is an Unreadable where a line is none: the others may be. Raises it where the file ends in the middle of a
    line, for then it was cut off.
    """
    before = 0
    for number, offset, line in lines(file, longest):
        is_ended, before = offset - before > len(line), offset
        if not line.strip():
            continue
        place = f"line {number}"
        try:
            found: Any = value(line, place)
        except Unreadable as error:
            if not is_ended:
                raise
            found = error
        yield place, found


def value(line: bytes, place: str) -> Any:
    """The JSON value that is all of *line*. Raises Unreadable."""
    if b"\0" in line:
        raise Unreadable("it holds a NUL byte", place)
    try:
        text = codecs.decode(line, "utf-8").strip(SPACE)
    except UnicodeDecodeError as error:
        raise Unreadable(f"it is not UTF-8 (byte {error.start})", place) from error
    try:
        found, end = parsed(text)
    except Bad as error:
        raise Unreadable(f"{error.reason} (character {error.at})", place) from error
    if end != len(text):
        raise Unreadable(f"something stands behind its JSON (character {end})", place)
    return found


def _measure(size: int, longest: int, number: int) -> None:
    if size > longest:
        raise Unreadable(f"it is longer than {longest} bytes", f"line {number + 1}")
