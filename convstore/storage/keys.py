"""The data keys of every project: which there are, wrapped anew, destroyed.

Like everywhere.py it looks across projects. What seals and opens with them is vault.py's.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, update

from convstore import ids
from convstore.errors import Misconfigured
from convstore.storage import tables
from convstore.storage.database import Database

_k = tables.storage_keys


@dataclass(frozen=True, slots=True)
class Kept:
    """A data key as it is stored."""

    project_id: str
    number: int
    wrapped: bytes
    key_id: bytes


def check(database: Database) -> None:
    """Raises Misconfigured unless every data key can be opened with the master keys that are here."""
    with database.connection() as connection:
        query = select(_k.c.key_id).where(_k.c.destroyed_at.is_(None)).distinct()
        wanted = {bytes(row.key_id) for row in connection.execute(query)}
    missing = sorted(each.hex() for each in wanted if each not in database.vault.masters)
    if missing:
        raise Misconfigured(
            f"CONVSTORE_STORAGE_KEY: what is stored is encrypted under the key {', '.join(missing)}, which is not "
            "here. Set it, or add it to CONVSTORE_STORAGE_KEYS_OLD."
        )


def living(connection: Connection, project_id: str) -> list[Kept]:
    """The data keys of a project that are not destroyed, oldest first; of a transaction, nobody else changes them."""
    query = select(_k).where(_k.c.project_id == project_id, _k.c.destroyed_at.is_(None)).order_by(_k.c.number)
    return [
        Kept(row.project_id, row.number, bytes(row.wrapped), bytes(row.key_id))
        for row in connection.execute(query.with_for_update())
    ]


def wrap(connection: Connection, key: Kept, key_id: bytes, wrapped: bytes) -> None:
    """Put the same data key there under another master key."""
    own = (_k.c.project_id == key.project_id) & (_k.c.number == key.number) & _k.c.destroyed_at.is_(None)
    connection.execute(update(_k).where(own).values(key_id=key_id, wrapped=wrapped))


def destroy(connection: Connection, project_id: str, now: datetime, *, below: int | None = None) -> int:
    """Destroy the data keys of a project, or those with smaller numbers. Returns how many."""
    query = update(_k).where(_k.c.project_id == project_id, _k.c.destroyed_at.is_(None))
    if below is not None:
        query = query.where(_k.c.number < below)
    return connection.execute(query.values(wrapped=b"", destroyed_at=now)).rowcount


def scrub(database: Database) -> None:
    """Overwrite what SQLite still has of rows that are gone, in its file and its log. PostgreSQL's vacuum does so."""
    if database.is_sqlite:
        with database.connection() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        return
    with database.connection() as connection:
        connection.exec_driver_sql("VACUUM storage_keys")


def packed(project_id: str) -> bytes:
    """The stored form of a project's id."""
    return ids.pack(ids.PROJECT, project_id) or b""
