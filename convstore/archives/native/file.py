"""A file of the native format: its lines, and whether it is whole.

Its manifest is its last line. A file without one was cut off: a part of it is not brought in. Where the manifest says
something else than what is there, somebody changed the file since: that is told, and the rest is read as it stands.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

from convstore.archives.lines import lines
from convstore.archives.native import reading
from convstore.archives.streams import Stream
from convstore.archives.task import Task
from convstore.domain import manifest
from convstore.domain.archive import Broken, Record
from convstore.domain.manifest import Tally
from convstore.errors import Unreadable


def records(file: Stream, task: Task) -> Iterator[Record]:
    """What the file holds. Raises Unreadable, UnknownVersion."""
    tally, last = Tally("jsonl"), 0
    found: dict[str, Any] | None = None

    def told() -> Iterator[tuple[int, bytes]]:
        nonlocal found, last
        for number, _, line in lines(file, task.limits.longest):
            last, found = number, manifest.of_line(line)
            if found is None:
                tally.add(line + b"\n")
                yield number, line

    yield from reading.read(told())
    if found is not None and (found.get("sha256"), found.get("bytes")) != (tally.sha256(), tally.size):
        yield Record(
            f"line {last}",
            Broken("altered", "The file is not what its manifest says: it was changed since it was made."),
        )


def check(file: Stream, task: Task) -> None:
    """Raises Unreadable where the file has no end. Its records are looked at when they are brought in."""
    last = deque(lines(file, task.limits.longest), maxlen=1)
    if not last or manifest.of_line(last[0][2]) is None:
        raise Unreadable("it is cut off: its last line should be its manifest", f"line {last[0][0] if last else 0}")
