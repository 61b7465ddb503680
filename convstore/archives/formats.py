"""The formats that are read, and the one way to read a file of any of them.

Nothing is kept here of what was read. A file that is damaged raises Unreadable, at the latest when its end should come:
whoever must not keep half of it reads it all once before keeping any.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

from convstore.archives import chatgpt, claude, completions, llm, sources
from convstore.archives.detection import CHATGPT, CLAUDE, COMPLETIONS, CONVSTORE, LLM, detected
from convstore.archives.limits import Limits
from convstore.archives.llm_rows import Rows
from convstore.archives.native import file as native
from convstore.archives.sources import Packing, Source
from convstore.archives.streams import Stream
from convstore.archives.task import Task
from convstore.domain.archive import Names, Record

Reader: TypeAlias = Callable[[Stream, Task], Iterator[Record]]
# Opens the database of a stranger: the room of databases does that, and is a stranger here.
OpenRows: TypeAlias = Callable[[Path, int], AbstractContextManager[Rows]]

# Every format that is a text.
FORMATS: dict[str, Reader] = {
    CONVSTORE: native.records,
    CHATGPT: chatgpt.records,
    CLAUDE: claude.records,
    COMPLETIONS: completions.records,
}
# All there are, as they are called on the wire.
ALL = (*FORMATS, LLM)
DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Reading:
    """A file that is being read. total: bytes, or answers of a database; done: how many of them were read."""

    format: str
    records: Iterator[Record]
    total: int
    done: Callable[[], int]


@contextmanager
def reading(
    path: Path,
    format: str | None = None,
    *,
    project_id: str,
    now: datetime,
    open_rows: OpenRows,
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[Reading]:
    """Read the file at *path*. format: what it is said to be; None to tell by its beginning.

    Raises Unreadable; so does taking records.
    """
    with sources.opened(path, limits) as source:
        found = detected(source, limits, format)
        task = Task(Names(project_id, found), now, limits)
        if source.packing is Packing.DATABASE:
            with open_rows(path, limits.longest) as rows:
                counted = _Counted(llm.records(rows, task))
                yield Reading(LLM, counted, llm.size(rows), counted.done)
        else:
            yield Reading(found, _read(source, FORMATS[found], task), source.total, source.done)


def check(
    path: Path,
    format: str | None = None,
    *,
    project_id: str,
    now: datetime,
    open_rows: OpenRows,
    limits: Limits = DEFAULT_LIMITS,
) -> str:
    """Read all of a file for nothing but its damage, and say what it is. Raises Unreadable.

    Of our own format only its end is looked for, which says that it is whole: it can be read twice as fast as parsed.
    """
    with sources.opened(path, limits) as source:
        found = detected(source, limits, format)
        if found == CONVSTORE:
            for _, stream in source.streams():
                native.check(stream, Task(Names(project_id, found), now, limits))
            return found
    with reading(path, found, project_id=project_id, now=now, open_rows=open_rows, limits=limits) as read:
        for _ in read.records:
            pass
    return found


def _read(source: Source, reader: Reader, task: Task) -> Iterator[Record]:
    for inside, stream in source.streams():
        yield from reader(stream, replace(task, inside=inside))


class _Counted:
    """Records, counted as they are taken."""

    def __init__(self, records: Iterator[Record]) -> None:
        self._records = records
        self._count = 0

    def __iter__(self) -> Iterator[Record]:
        return self

    def __next__(self) -> Record:
        record = next(self._records)
        self._count += 1
        return record

    def done(self) -> int:
        return self._count
