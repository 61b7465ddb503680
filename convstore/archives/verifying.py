"""Whether a file that was exported is what it was: held against its manifest, in it or beside it.

Of our own format each record is read as well, so that what is wrong is told with its line.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from convstore.archives.limits import Limits
from convstore.archives.lines import lines
from convstore.archives.native import reading
from convstore.domain import jsontext, manifest
from convstore.domain.archive import Archived, ArchivedBranch, ArchivedConversation, Broken
from convstore.errors import Unreadable

# Where the manifest lies of a file that has none in it.
BESIDE = ".manifest.json"
SHOWN = 100
_BLOCK = 2**20
_KINDS = ((ArchivedConversation, "conversations"), (Archived, "exchanges"), (ArchivedBranch, "branches"))


@dataclass(slots=True)
class Verified:
    """What was found. problems: the first hundred of them, each with its place, and how many there are."""

    manifest: Mapping[str, Any]
    problems: list[dict[str, str]] = field(default_factory=list)
    count: int = 0

    def tell(self, place: str, message: str) -> None:
        self.count += 1
        if len(self.problems) < SHOWN:
            self.problems.append({"place": place, "message": message})

    def as_dict(self) -> dict[str, Any]:
        return {
            "object": "export.verification",
            "valid": not self.count,
            "manifest": dict(self.manifest),
            "problems": self.problems,
            "problems_found": self.count,
        }


def verify(path: Path) -> Verified:
    """Check the file at *path*. Raises Unreadable: it is not there, or nothing says what it should be."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(0, size - manifest.LONGEST))
            tail = file.read()
    except OSError as error:
        raise Unreadable("it cannot be opened") from error
    last = manifest.of_line(tail.rstrip(b"\n").rpartition(b"\n")[2])
    if last is not None:
        return _lines(path, Verified(last))
    embedded = manifest.of_comment(tail)
    if embedded is not None:
        return _whole(path, Verified(embedded[0]), size - embedded[1])
    other = beside(path)
    if other.is_file():
        with other.open("rb") as file:
            told = manifest.of_line(file.read(manifest.LONGEST).strip())
        if told is not None:
            return _whole(path, Verified(told), size)
        raise Unreadable(f"{other.name} is no manifest")
    raise Unreadable(
        f"it has no manifest at its end, and none beside it ({other.name}): it was cut off, or is no export"
    )


def beside(path: Path) -> Path:
    """Where the manifest lies of a file that has none in it."""
    return path.with_name(path.name + BESIDE)


def _whole(path: Path, found: Verified, size: int) -> Verified:
    digest = sha256()
    with path.open("rb") as file:
        left = size
        while left > 0 and (block := file.read(min(_BLOCK, left))):
            digest.update(block)
            left -= len(block)
    _compare(found, size, digest.hexdigest())
    return found


def _compare(found: Verified, size: int, hashed: str) -> None:
    if found.manifest.get("bytes") != size:
        found.tell("file", f"It has {size} bytes in front of its manifest, which says {found.manifest.get('bytes')}.")
    elif found.manifest.get("sha256") != hashed:
        found.tell("file", "It was changed since it was made: its SHA-256 is another one.")


def _lines(path: Path, found: Verified) -> Verified:
    digest, counted = sha256(), Counter[str]()
    size = 0
    seen: set[str] = set()

    def told() -> Iterator[tuple[int, bytes]]:
        nonlocal size
        with path.open("rb") as file:
            for number, _, line in lines(file, Limits().longest):
                if manifest.of_line(line) is None:
                    digest.update(line + b"\n")
                    size += len(line) + 1
                    yield number, line

    for record in reading.read(told()):
        value = record.value
        if isinstance(value, Broken):
            found.tell(record.place, value.message)
            continue
        counted.update(noun for kind, noun in _KINDS if isinstance(value, kind))
        if isinstance(value, ArchivedConversation):
            seen = set()
        if isinstance(value, Archived):
            counted["items"] += len(value.input) + len(value.output)
            if value.parent_id is not None and value.parent_id not in seen:
                found.tell(record.place, f"The parent of {value.id} is not above it.")
            seen.add(value.id)
    for noun in ("conversations", "exchanges", "items", "branches"):
        if counted[noun] != found.manifest.get(noun):
            found.tell("file", f"It has {counted[noun]} {noun}; its manifest says {found.manifest.get(noun)}.")
    _compare(found, size, digest.hexdigest())
    return found


def as_json(found: Verified) -> bytes:
    """What was found, as JSON."""
    return jsontext.dumps(found.as_dict())
