"""Server-sent events as bytes.

Lines end in CR, LF or CRLF and in nothing else: U+2028 and U+0085 inside JSON are not line ends. An event ends at
an empty line, wherever the network cut the bytes. Source: WHATWG HTML, server-sent events.
"""

import re
from collections.abc import Iterator

from convstore.domain import jsontext

_LINE_END = re.compile(rb"\r\n|\r|\n")
_FIELDS = re.compile(rb"(?:^|[\r\n])(event|data)(?::[ ]?([^\r\n]*))?(?=[\r\n]|$)")
BOM = b"\xef\xbb\xbf"


class Splitter:
    """Chunks in, whole event blocks out, each without the empty line that ended it.

    Memory is that of the longest event. What is left at the end of a stream (`rest`) is an event that was cut, or
    one whose closing line the server did not send.
    """

    def __init__(self) -> None:
        self._held = b""
        self._started = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The event blocks that *chunk* completes."""
        if not self._started and (self._held or chunk):
            chunk = self._held + chunk
            self._held = b""
            if len(chunk) < 3 and BOM.startswith(chunk):
                self._held = chunk
                return []
            self._started = True
            chunk = chunk.removeprefix(BOM)
        held = self._held + chunk if self._held else chunk
        if b"\r" in held:
            # A CR at the very end may be half of a CRLF: it waits for the next chunk.
            tail = b"\r" if held.endswith(b"\r") else b""
            held = _LINE_END.sub(b"\n", held[: len(held) - len(tail)]) + tail
        blocks = held.split(b"\n\n")
        self._held = blocks.pop()
        return [block for each in blocks if (block := each.lstrip(b"\n") if each[:1] == b"\n" else each)]

    @property
    def rest(self) -> bytes:
        """What has arrived of an event whose end has not."""
        return self._held.strip(b"\r\n")


def data_of(block: bytes) -> bytes:
    """The data of an event block: its `data` lines joined by newlines; b"" for comments and the like."""
    if block.startswith(b"data: ") and b"\n" not in block:
        return block[6:]
    at = block.find(b"\ndata: ") + 7
    if at > 6 and block.startswith(b"event: ") and block.count(b"\n") == 1:
        return block[at:]
    return b"\n".join(value for name, value in fields(block) if name == b"data")


def fields(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The `event` and `data` fields of a block, in order."""
    for found in _FIELDS.finditer(block):
        yield found[1], found[2] or b""


def encode(event: dict[str, object]) -> bytes:
    """An event of the API on the wire: `event:` always equals `data.type`."""
    kind = str(event["type"])
    if not (kind.isascii() and kind.isprintable()):
        # An upstream's word for an event we do not know must not end the line it stands on.
        kind = re.sub(r"[\r\n]", " ", kind)
    return b"event: " + kind.encode("utf-8", "replace") + b"\ndata: " + jsontext.dumps(event) + b"\n\n"
