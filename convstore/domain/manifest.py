"""What is said of a file that leaves: what is in it, and what it hashes to. It stands at its end, or beside it.

    jsonl            the last line
    markdown, html   a comment at the end
    the others       a file of its own beside it: their readers take nothing else in them

bytes and sha256 are of all that stands before it.
"""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

from convstore.domain import jsontext

OBJECT = "convstore.manifest"
VERSION = 1
_COUNTED = ("conversations", "exchanges", "items", "branches")
_NAMED = b'"%b"' % OBJECT.encode()
_COMMENT = re.compile(rb"<!-- (\{[^\n]*\}) -->\n\Z")
# No manifest is longer: what stands at the end of a file is looked at, and not the file.
LONGEST = 4096


@dataclass(slots=True)
class Tally:
    """What has been written of a file so far."""

    format: str
    conversations: int = 0
    exchanges: int = 0
    items: int = 0
    branches: int = 0
    size: int = 0
    _sha256: Any = field(default_factory=hashlib.sha256, repr=False)

    def add(self, written: bytes) -> bytes:
        """Count bytes of the file, and hand them on."""
        self.size += len(written)
        self._sha256.update(written)
        return written

    def sha256(self) -> str:
        """What all of it hashes to, in hexadecimal."""
        return str(self._sha256.hexdigest())

    def manifest(self) -> dict[str, Any]:
        """What is to be said of it."""
        counted = {name: getattr(self, name) for name in _COUNTED}
        what = {"object": OBJECT, "version": VERSION, "format": self.format}
        return {**what, **counted, "bytes": self.size, "sha256": self.sha256()}


def as_line(manifest: dict[str, Any]) -> bytes:
    """The last line of a file of lines."""
    return jsontext.dumps(manifest) + b"\n"


def as_comment(manifest: dict[str, Any]) -> bytes:
    """The end of a page. It holds figures and names of ours alone: nothing that ends a comment."""
    return b"<!-- " + jsontext.dumps(manifest) + b" -->\n"


def of_end(tail: bytes) -> tuple[dict[str, Any], int] | None:
    """The manifest at the end of a file of any format that has it there, and how many bytes it takes."""
    line = tail.rstrip(b"\n").rpartition(b"\n")[2]
    found = of_line(line)
    return (found, len(line) + 1) if found is not None else of_comment(tail)


def of_comment(tail: bytes) -> tuple[dict[str, Any], int] | None:
    """The manifest at the end of a page, and how many bytes it takes; None where there is none."""
    found = _COMMENT.search(tail)
    if found is None:
        return None
    manifest = of_line(found[1])
    return None if manifest is None else (manifest, len(found[0]))


def of_line(line: bytes) -> dict[str, Any] | None:
    """The manifest in a line; None where it is none."""
    # Every line of a file is asked.
    if len(line) > LONGEST or _NAMED not in line:
        return None
    try:
        value = jsontext.loads(line)
    except jsontext.NotJson:
        return None
    return value if isinstance(value, dict) and value.get("object") == OBJECT else None
