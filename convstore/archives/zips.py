"""Zips that others made: the lists of conversations in one, and no other member.

A member's name is never a name on our disk. One that tries to be (absolute, or with `..`) is a sign that somebody means
harm, so nothing of such a zip is read; nor of one with links in it.
"""

import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import PureWindowsPath
from typing import BinaryIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from convstore.archives.limits import Limits
from convstore.archives.streams import Allowance, Guarded
from convstore.errors import Unreadable

MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
# ChatGPT's newer exports are split: conversations-000.json, conversations-001.json …
WANTED = "conversations*.json"
_ENCRYPTED = 0x1


@contextmanager
def opened(file: BinaryIO, limits: Limits) -> Iterator[ZipFile]:
    """The zip in *file*. Raises Unreadable."""
    try:
        archive = ZipFile(_Bounded(file, limits.directory))
    except (BadZipFile, OSError, ValueError, NotImplementedError, struct.error, EOFError, OverflowError) as error:
        raise Unreadable("it is a zip that is cut off, or damaged") from error
    with archive:
        yield archive


def members(archive: ZipFile, limits: Limits) -> list[ZipInfo]:
    """The lists of conversations, by name. Raises Unreadable: there is none, or one that must not be read."""
    for info in archive.infolist():
        _check_name(info)
    wanted = [info for info in archive.infolist() if fnmatch(_base(info), WANTED)]
    if not wanted:
        raise Unreadable("it is a zip without a conversations.json")
    for info in wanted:
        _check(info, limits)
    return sorted(wanted, key=lambda info: info.filename)


def inside(info: ZipInfo) -> str:
    """Where something in this member is, before the place: "member a/conversations.json, "."""
    return f"member {_shown(info)}, "


def read(archive: ZipFile, info: ZipInfo, allowance: Allowance) -> Guarded:
    """What is in the member. Raises Unreadable."""
    try:
        return Guarded(archive.open(info), allowance, f"member {_shown(info)}")
    except (BadZipFile, OSError, RuntimeError) as error:
        raise Unreadable("it is damaged", f"member {_shown(info)}") from error


def _check_name(info: ZipInfo) -> None:
    # Windows' rules know both kinds of slashes, and drives.
    path = PureWindowsPath(info.orig_filename)
    if path.anchor or path.drive or ".." in path.parts:
        raise Unreadable("its name leads out of the zip", f"member {_shown(info)}")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise Unreadable("it is a link", f"member {_shown(info)}")


def _check(info: ZipInfo, limits: Limits) -> None:
    place = f"member {_shown(info)}"
    if info.flag_bits & _ENCRYPTED:
        raise Unreadable("it is encrypted", place)
    # Of the other ways to pack, one asks for gigabytes of memory.
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise Unreadable("it is packed in a way that is not read", place)
    if info.file_size > limits.trusted and info.file_size > limits.ratio * max(1, info.compress_size):
        raise Unreadable(f"it unpacks to more than {limits.ratio} times its size", place)


def _base(info: ZipInfo) -> str:
    return PureWindowsPath(info.filename).name.lower()


def _shown(info: ZipInfo) -> str:
    return "".join(each if each.isprintable() else "?" for each in info.filename[:100])


class _Bounded:
    """A file of which nothing big is read at once: the list of members is."""

    def __init__(self, file: BinaryIO, most: int) -> None:
        self._file = file
        self._most = most
        self.seek = file.seek
        self.tell = file.tell
        self.seekable = file.seekable

    def read(self, size: int = -1) -> bytes:
        if size > self._most:
            raise Unreadable("it is a zip of too many members")
        return self._file.read(size)

    def close(self) -> None:
        """Whoever opened the file closes it."""
