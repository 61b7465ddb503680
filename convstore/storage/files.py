"""Files of exports and imports, in parts: so that any node can take one in, and give one out.

They are of what was said: sealed where that is encrypted, and dropped where any of it is erased (erasing.py).
"""

from sqlalchemy import ColumnElement, delete, func, select

from convstore import ids
from convstore.storage import tables
from convstore.storage.scope import Scope
from convstore.storage.types import deflate, inflate

_f = tables.file_parts


def add(scope: Scope, owner: str, number: int, body: bytes) -> None:
    """Put a part on disk. owner: the id of the export or import; each part but the last has PART bytes."""
    stored = scope.sealed(deflate(body))
    values = {"project_id": scope.project_id, "file_id": _own(owner), "number": number, "body": stored}
    scope.connection.execute(_f.insert().values(**values))


def part(scope: Scope, owner: str, number: int) -> bytes | None:
    """A part of a file; None behind its end. Raises ContentShredded, ContentUnreadable."""
    query = select(_f.c.body).where(*_of(scope, owner), _f.c.number == number)
    stored = scope.connection.execute(query).scalar()
    return None if stored is None else inflate(scope.bytes(bytes(stored)) or b"")


def count(scope: Scope, owner: str) -> int:
    """How many parts there are."""
    query = select(func.count()).select_from(_f).where(*_of(scope, owner))
    return int(scope.connection.execute(query).scalar_one())


def drop(scope: Scope, owner: str) -> None:
    """Remove a file."""
    scope.connection.execute(delete(_f).where(*_of(scope, owner)))


def _of(scope: Scope, owner: str) -> tuple[ColumnElement[bool], ...]:
    return _f.c.project_id == scope.project_id, _f.c.file_id == _own(owner)


def _own(owner: str) -> bytes:
    prefix = owner.partition("_")[0]
    return ids.pack(prefix, owner) or b""
