"""The hot path's own way to the database: the driver's cursor, from the same pool.

Building a Connection and a Result costs as much as the statement they carry. A turn has four to eight statements,
so it goes under them: `?` for parameters on both engines, values in stored form, errors as everywhere else.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from convstore.errors import StorageUnavailable
from convstore.storage.database import Database
from convstore.storage.seals import Seal
from convstore.storage.vault import Sealer, Vault
from convstore.telemetry import metrics


class Clash(Exception):
    """A row with this key is there already. `constraint` is the driver's text, naming the table and columns."""

    def __init__(self, constraint: str) -> None:
        super().__init__(constraint)
        self.constraint = constraint


class Cursor:
    """A driver's cursor that takes `?` on every engine and counts statements.

    seals: what the transaction owes the audit log (strands.py). vault: what opens what was sealed;
    sealer: what has sealed what this one writes.
    """

    def __init__(self, cursor: Any, engine: str, vault: Vault, seals: list[Seal] | None = None) -> None:
        self._cursor = cursor
        self.vault = vault
        self.sealer: Sealer | None = None
        self.is_sqlite = engine == "sqlite"
        self.statements = 0
        self.seals: list[Seal] = [] if seals is None else seals

    @property
    def driver_connection(self) -> Any:
        """The driver's own connection, for what only that one can do."""
        return self._cursor.connection

    def execute(self, sql: str, values: tuple[Any, ...] = ()) -> Any:
        """Run one statement; the result is the driver's cursor."""
        self.statements += 1
        return self._cursor.execute(sql if self.is_sqlite else _marked(sql), values)

    def execute_many(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        """Run one statement for each row."""
        self.statements += 1
        self._cursor.executemany(sql if self.is_sqlite else _marked(sql), rows)


@contextmanager
def reading(database: Database) -> Iterator[Cursor]:
    """A cursor outside any transaction."""
    driver: Any = database.engine.dialect.dbapi
    try:
        connection = database.engine.raw_connection()
    except (driver.Error, SQLAlchemyError) as error:
        # Here the pool raises the driver's own errors, and its own when no connection came free in time.
        raise StorageUnavailable from error
    # PostgreSQL's text form of bytes is hexadecimal: twice the bytes, and twice the work.
    given = connection.cursor() if database.is_sqlite else connection.cursor(binary=True)
    cursor = Cursor(given, database.engine.dialect.name, database.vault)
    try:
        yield cursor
    except driver.IntegrityError as error:
        raise Clash(str(error)) from error
    except driver.Error as error:
        # A connection that broke is not given to the next one; when the server ended it, the others are gone, too.
        lost = database.engine.dialect.is_disconnect(error, connection.dbapi_connection, None)
        connection.invalidate(error)
        if lost:
            database.engine.dispose()
        raise StorageUnavailable from error
    finally:
        metrics.SQL_STATEMENTS.inc(cursor.statements)
        connection.close()


@contextmanager
def within(database: Database, connection: Connection) -> Iterator[Cursor]:
    """A cursor in a transaction of SQLAlchemy's, for what is to be kept together with its writes."""
    driver: Any = database.engine.dialect.dbapi
    raw: Any = connection.connection
    given = raw.cursor() if database.is_sqlite else raw.cursor(binary=True)
    cursor = Cursor(given, database.engine.dialect.name, database.vault, connection.info.get("seals"))
    try:
        yield cursor
    except driver.IntegrityError as error:
        raise Clash(str(error)) from error
    except driver.Error as error:
        raise StorageUnavailable from error
    finally:
        metrics.SQL_STATEMENTS.inc(cursor.statements)


@contextmanager
def writing(database: Database) -> Iterator[Cursor]:
    """A cursor whose writes are kept together or not at all."""
    if not database.is_sqlite:
        # One statement a batch (see statements.py): it is its own transaction.
        with reading(database) as cursor:
            yield cursor
        return
    with database.writer_turn(), reading(database) as cursor:
        database.begin_immediate(cursor.execute)
        try:
            yield cursor
        except BaseException:
            cursor.execute("ROLLBACK")
            raise
        cursor.execute("COMMIT")


@lru_cache(maxsize=1024)
def _marked(sql: str) -> str:
    return sql.replace("?", "%s")
