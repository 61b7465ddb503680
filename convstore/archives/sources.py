"""A file as it lies on the disk: plain, packed with gzip, a zip, or a database; and the streams that it holds."""

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, cast
from zipfile import ZipFile

from convstore.archives import zips
from convstore.archives.limits import Limits
from convstore.archives.streams import Allowance, Guarded
from convstore.errors import Unreadable

SQLITE_MAGIC = b"SQLite format 3\0"
GZIP_MAGIC = b"\x1f\x8b"


class Packing(StrEnum):
    """How a file holds what it holds."""

    PLAIN = "plain"
    GZIP = "gzip"
    ZIP = "zip"
    DATABASE = "database"


@dataclass(frozen=True, slots=True)
class Source:
    """A file that is open.

    streams: what it holds, from its beginning each time it is asked: (what goes before a place, bytes). total and
    done: bytes of it, and how many of them have been read since.
    """

    packing: Packing
    path: Path
    streams: Callable[[], Iterator[tuple[str, Guarded]]]
    total: int
    done: Callable[[], int]


@contextmanager
def opened(path: Path, limits: Limits) -> Iterator[Source]:
    """What is at *path*. Raises Unreadable."""
    try:
        if not path.is_file():
            raise Unreadable("there is no such file")
        file = path.open("rb")
    except OSError as error:
        raise Unreadable("it cannot be opened") from error
    with file:
        head = file.read(len(SQLITE_MAGIC))
        size = path.stat().st_size
        if head.startswith(zips.MAGIC):
            with zips.opened(file, limits) as archive:
                yield _zip(path, archive, limits)
        elif head.startswith(GZIP_MAGIC):
            yield _gzip(path, file, size, limits)
        elif head == SQLITE_MAGIC:
            yield Source(Packing.DATABASE, path, lambda: iter(()), size, lambda: 0)
        else:
            yield _plain(path, file, size, limits)


def _plain(path: Path, file: BinaryIO, size: int, limits: Limits) -> Source:
    def streams() -> Iterator[tuple[str, Guarded]]:
        file.seek(0)
        yield "", Guarded(file, Allowance(limits))

    return Source(Packing.PLAIN, path, streams, size, file.tell)


def _gzip(path: Path, file: BinaryIO, size: int, limits: Limits) -> Source:
    def streams() -> Iterator[tuple[str, Guarded]]:
        file.seek(0)
        yield "", Guarded(cast(BinaryIO, gzip.GzipFile(fileobj=file)), Allowance(limits, file.tell))

    return Source(Packing.GZIP, path, streams, size, file.tell)


def _zip(path: Path, archive: ZipFile, limits: Limits) -> Source:
    members = zips.members(archive, limits)
    # The ratio of each member was looked at; of all together it is by what they take up.
    packed = sum(info.compress_size for info in members)
    allowance = Allowance(limits, lambda: packed)

    def streams() -> Iterator[tuple[str, Guarded]]:
        allowance.spent = 0
        for info in members:
            yield zips.inside(info), zips.read(archive, info, allowance)

    return Source(Packing.ZIP, path, streams, sum(info.file_size for info in members), lambda: allowance.spent)
