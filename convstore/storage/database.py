"""Connections and transactions, on SQLite and PostgreSQL alike.

SQLite has one writer. Writers of this process queue on a lock of ours instead of spinning in SQLite's busy handler,
which would stop a whole gevent worker; a writer of another process is waited for in short, cooperative naps. Every
failure to get at the database is a StorageUnavailable.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, OperationalError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from convstore import clock
from convstore.domain.sealing import Masters
from convstore.errors import Misconfigured, StorageUnavailable
from convstore.storage.memory import Memory
from convstore.storage.scope import Scope
from convstore.storage.seals import Recorder, Seal
from convstore.storage.vault import Vault
from convstore.telemetry import metrics

# How long a writer waits for its turn before the client hears 503, in seconds.
BUSY_S = 5.0
NAP_S = 0.002


@dataclass(frozen=True)
class Options:
    """url: a SQLAlchemy URL. synchronous: SQLite's pragma, NORMAL or FULL. pool: connections per process."""

    url: str
    synchronous: str = "NORMAL"
    pool: int = 16
    busy_s: float = BUSY_S
    # A burst of requests waits for connections; that is no reason to refuse them.
    pool_wait_s: float = 30.0
    # What data keys are wrapped with, and how long they are believed (vault.py).
    masters: Masters | None = None
    key_cache_s: float = 0.5
    now: clock.Clock = clock.utc_now


class Database:
    """One database. Safe to share between threads and greenlets, not between processes."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.engine = _engine(options)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._writer = threading.Lock()
        self.memory = Memory()
        # Writes the audit log; none, where nobody calls (migrations, tests of this floor).
        self.recorder: Recorder | None = None
        self.vault = Vault(options.masters, options.key_cache_s, options.now)

    @contextmanager
    def reading(self, project_id: str) -> Iterator[Scope]:
        """A Scope for queries."""
        with self.connection() as connection:
            yield Scope(connection, project_id, self.vault)

    @contextmanager
    def writing(self, project_id: str, *, records: bool = True) -> Iterator[Scope]:
        """A Scope in a transaction: all of it is kept, or none.

        records: it is what the call that is going on was made for, and its entry in the audit log goes with it.
        """
        with self.transaction(records=records) as connection:
            yield Scope(connection, project_id, self.vault)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection in autocommit mode. For queries across projects only (`everywhere.py`)."""
        with _available(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def transaction(self, *, records: bool = False) -> Iterator[Connection]:
        """A connection in a transaction. records: as in `writing`."""
        seals: list[Seal] = []
        with self.memory.trusting(), self.writer_turn(), _available(), self.engine.connect() as connection:
            connection.info["seals"] = seals
            if self.is_sqlite:
                self.begin_immediate(connection.exec_driver_sql)
            else:
                connection.exec_driver_sql("BEGIN")
            try:
                yield connection
                if records and self.recorder is not None:
                    self.recorder.record_call(connection)
            except BaseException:
                _rollback(connection)
                for seal in seals:
                    seal.undone()
                raise
            try:
                connection.exec_driver_sql("COMMIT")
            except BaseException:
                _rollback(connection)
                raise
        for seal in seals:
            seal.kept()

    @contextmanager
    def writer_turn(self) -> Iterator[None]:
        """Our place among this process's writers; on PostgreSQL there is no queue."""
        if not self.is_sqlite:
            yield
            return
        if not self._writer.acquire(timeout=self.options.busy_s):
            raise StorageUnavailable
        try:
            yield
        finally:
            self._writer.release()

    def begin_immediate(self, execute: Callable[[str], Any]) -> None:
        """Start SQLite's one write transaction, waiting for other processes in naps that let greenlets run."""
        deadline = time.monotonic() + self.options.busy_s
        while True:
            try:
                execute("BEGIN IMMEDIATE")
                return
            except (sqlite3.OperationalError, OperationalError) as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(NAP_S)

    def close(self) -> None:
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def _available() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except (DBAPIError, PoolTimeout) as error:
        raise StorageUnavailable from error


def _rollback(connection: Connection) -> None:
    try:
        connection.exec_driver_sql("ROLLBACK")
    except (DBAPIError, PendingRollbackError):
        # The connection is gone, or SQLite has rolled back by itself (disk full): either way nothing was kept.
        connection.invalidate()


def _engine(options: Options) -> Engine:
    try:
        url = make_url(options.url)
        if url.get_backend_name() not in ("sqlite", "postgresql"):
            raise Misconfigured(f"CONVSTORE_DATABASE_URL: {url.get_backend_name()!r} is not supported")
        common: dict[str, Any] = {
            "isolation_level": "AUTOCOMMIT",
            "pool_size": options.pool,
            # An overflow would be opened and closed at every burst, and a connection costs more than many queries.
            "max_overflow": 0,
            "pool_use_lifo": True,
            "pool_timeout": options.pool_wait_s,
            # Transactions are begun and ended here by name, so a connection comes back to the pool clean.
            "pool_reset_on_return": None,
        }
        if url.get_backend_name() == "sqlite":
            return _sqlite(options, common)
        engine = _postgres(options, common)
    except ModuleNotFoundError as error:
        raise Misconfigured(f"PostgreSQL needs the driver: pip install 'convstore[postgres]' ({error})") from error
    except (ArgumentError, ValueError, TypeError) as error:
        raise Misconfigured("CONVSTORE_DATABASE_URL is not a database URL") from error
    _count_statements(engine)
    return engine


def _postgres(options: Options, common: dict[str, Any]) -> Engine:
    url = make_url(options.url)
    # Left to itself, the driver waits as long as the network does: for minutes.
    given = {} if "connect_timeout" in url.query else {"connect_timeout": max(2, ceil(options.busy_s))}
    engine = create_engine(url, connect_args=given, **common)

    @event.listens_for(engine, "connect")
    def _limits(connection: Any, _record: Any) -> None:
        # Nor does the server limit by itself how long a lock is waited for.
        connection.execute(f"SET lock_timeout = {max(1, round(options.busy_s * 1000))}")

    return engine


def _sqlite(options: Options, common: dict[str, Any]) -> Engine:
    url = make_url(options.url)
    if not url.database or url.database == ":memory:":
        raise Misconfigured("CONVSTORE_DATABASE_URL: SQLite needs a file; an in-memory database forgets")
    Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"check_same_thread": False}, **common)

    @event.listens_for(engine, "connect")
    def _pragmas(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA busy_timeout = 0")
        _with_patience(lambda: connection.execute("PRAGMA journal_mode = WAL"), options.busy_s)
        connection.execute(f"PRAGMA synchronous = {options.synchronous}")
        # 32 MiB of log: the same few pages are written again and again, and a checkpoint writes each of them once.
        connection.execute("PRAGMA wal_autocheckpoint = 8000")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA cache_size = -4096")  # KiB a connection: ten of them stay small
        connection.execute("PRAGMA mmap_size = 268435456")  # reads of deep threads come from the page cache

    _count_statements(engine)
    return engine


def _with_patience(act: Callable[[], Any], seconds: float) -> None:
    """Switching to WAL needs the file for itself for a moment."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            act()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(NAP_S)


def _count_statements(engine: Engine) -> None:
    @event.listens_for(engine, "before_cursor_execute")
    def _count(_c: Any, _cursor: Any, _statement: str, _p: Any, _context: Any, _many: bool) -> None:
        metrics.SQL_STATEMENTS.inc()
