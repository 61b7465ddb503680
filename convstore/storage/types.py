"""Column types: ids as 16 bytes, times as microseconds, JSON as bytes.

The same on every engine: SQLite has no zones, PostgreSQL no NUL in text, and both index 16 bytes better than 37.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from backports import zstd
from sqlalchemy import BigInteger, LargeBinary
from sqlalchemy.types import TypeDecorator

from convstore import ids

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

# Below this a frame's overhead and the time to open it outweigh what it saves.
COMPRESS_FROM = 4096
# What begins sealed forms (domain/sealing.py): nothing in them can be compressed.
_SEALED = (b"\x01", b"\x02")
_ZSTD = b"\x28\xb5\x2f\xfd"


class Id(TypeDecorator[str]):
    """`resp_` + 32 hex digits outside, 16 bytes inside. An id of another form matches nothing."""

    impl = LargeBinary(16)
    cache_ok = True

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix

    def process_bind_param(self, value: str | None, dialect: Any) -> bytes | None:
        if value is None:
            return None
        # 17 bytes: no stored id has that length, so a stranger's id is simply not found.
        return ids.pack(self.prefix, value) or bytes(17)

    def process_result_value(self, value: Any, dialect: Any) -> str | None:
        return None if value is None else ids.unpack(self.prefix, bytes(value))


class Utc(TypeDecorator[datetime]):
    """An aware UTC datetime outside, microseconds since 1970 inside."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        return None if value is None else micros(value)

    def process_result_value(self, value: Any, dialect: Any) -> datetime | None:
        return None if value is None else from_micros(value)


class Body(TypeDecorator[bytes]):
    """Exact JSON bytes, compressed when that pays. A zstd frame cannot be mistaken for JSON.

    What is sealed is read as it is: whoever knows the project opens it (scope.py).
    """

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: Any) -> bytes | None:
        return None if value is None else deflate(value)

    def process_result_value(self, value: Any, dialect: Any) -> bytes | None:
        return None if value is None else inflate(value)


def deflate(body: bytes) -> bytes:
    """The stored form of a body."""
    if len(body) < COMPRESS_FROM or body[:1] in _SEALED:
        return body
    packed = zstd.compress(body, 3)
    return packed if len(packed) < 0.9 * len(body) else body


def inflate(stored: bytes) -> bytes:
    """The body of a stored form."""
    return zstd.decompress(stored) if stored[:4] == _ZSTD else bytes(stored)


def micros(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - EPOCH) // MICROSECOND


def from_micros(count: int) -> datetime:
    """The moment that many microseconds after 1970."""
    return EPOCH + timedelta(microseconds=count)
