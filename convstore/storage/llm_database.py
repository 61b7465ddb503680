"""An SQLite file of a stranger, read without trusting it: the rows of `llm`'s tables.

Opened for reading only, as a file that nobody writes: no lock is taken, no journal looked at. Only tables that are
stored as such are read: not views, not what a module of SQLite would make up. Nothing that the file says is run: SQLite
may select, read and count, and is stopped when it does not come up with a row.
Source: sqlite.org/security.html.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from convstore.errors import Unreadable

# Steps of SQLite's machine between two rows: sorting a million answers takes a twentieth of it.
MOST_STEPS = 2_000_000_000
# Rows that belong to one thing: parts of a message, files of a question.
MOST_ROWS = 10_000
_STEPS_A_LOOK = 1_000_000
_ALLOWED = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ)
_COUNTS = ("count",)
# What SQLite asks of a table with its columns: name is the second, "hidden" (made up, or generated) the last.
_NAME, _HIDDEN = 1, 6


@contextmanager
def opened(path: Path, longest: int) -> Iterator["LlmDatabase"]:
    """The database at *path*. longest: bytes of one value. Raises Unreadable."""
    for ending in ("-wal", "-journal"):
        beside = path.with_name(path.name + ending)
        if beside.exists() and beside.stat().st_size:
            raise Unreadable(f"somebody is writing to it, or was stopped doing so: there is a file {ending} beside it")
    with _explained():
        address = f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1"
        connection = sqlite3.connect(address, uri=True, isolation_level=None, cached_statements=256)
    try:
        with _explained():
            database = LlmDatabase(connection, longest)
        yield database
    finally:
        connection.close()


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
            raise Unreadable("looking for a row in it takes too long: it is damaged, or meant to do harm") from error
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_TOOBIG:
            raise Unreadable("a value in it is too long") from error
        raise Unreadable("it is a database that is cut off, damaged, or not of llm") from error
    except UnicodeDecodeError as error:
        # Of a name, or of what SQLite says about one.
        raise Unreadable("it is a database that is damaged: its names are not UTF-8") from error


class LlmDatabase:
    """Its tables. Every method raises Unreadable."""

    def __init__(self, connection: sqlite3.Connection, longest: int) -> None:
        self._connection = connection
        self._steps = 0
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0", "query_only = ON"):
            connection.execute(f"PRAGMA {pragma}").close()
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, longest)
        connection.set_progress_handler(self._look, _STEPS_A_LOOK)
        # What is not UTF-8 is shown as such, and is no reason to lose the rest.
        connection.text_factory = lambda text: text.decode("utf-8", "replace")
        # A virtual table has no page of its own.
        named = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0").fetchall()
        self._columns = {name: self._columns_of(name) for (name,) in named if isinstance(name, str)}
        connection.set_authorizer(_allowed)

    def has(self, table: str) -> bool:
        return table in self._columns

    def count(self, table: str) -> int:
        return int(next(self._select(f"SELECT count(*) FROM {_quoted(table)}"))[0])

    def keys(self, table: str, columns: Sequence[str], order: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Of each row these columns and its rowid, in order of others, then of the rowid; None where there is none."""
        there = self._columns[table]
        chosen = [_quoted(name) if name in there else "NULL" for name in columns]
        ordered = [_quoted(name) for name in order if name in there]
        yield from self._select(
            f"SELECT {', '.join([*chosen, 'rowid'])} FROM {_quoted(table)} ORDER BY {', '.join([*ordered, 'rowid'])}"
        )

    def row(self, table: str, rowid: int) -> Mapping[str, Any]:
        found = self._rows(table, "rowid = ?", (rowid,))
        if not found:
            raise Unreadable(f"its table '{table}' is damaged")
        return found[0]

    def where(self, table: str, column: str, value: Any, order: str | None = None) -> list[Mapping[str, Any]]:
        """The rows with this value; none when there is no such table, or column."""
        if column not in self._columns.get(table, ()):
            return []
        last = f" ORDER BY {_quoted(order)}" if order in self._columns[table] and order else ""
        return self._rows(table, f"{_quoted(column)} = ?{last}", (value,))

    def _rows(self, table: str, condition: str, values: Sequence[Any]) -> list[Mapping[str, Any]]:
        names = self._columns[table]
        chosen = ", ".join(map(_quoted, names))
        found = self._select(f"SELECT {chosen} FROM {_quoted(table)} WHERE {condition}", values)
        rows: list[Mapping[str, Any]] = [dict(zip(names, row, strict=True)) for row in islice(found, MOST_ROWS + 1)]
        if len(rows) > MOST_ROWS:
            raise Unreadable(f"too many rows of its table '{table}' belong together")
        return rows

    def _select(self, statement: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        self._steps = 0
        with _explained():
            for row in self._connection.execute(statement, values):
                self._steps = 0
                yield row

    def _columns_of(self, table: str) -> tuple[str, ...]:
        described = self._connection.execute(f"PRAGMA table_xinfo({_quoted(table)})").fetchall()
        return tuple(row[_NAME] for row in described if not row[_HIDDEN])

    def _look(self) -> int:
        """Whether SQLite is to stop."""
        self._steps += _STEPS_A_LOOK
        return int(self._steps > MOST_STEPS)


def _allowed(action: int, _first: str | None, second: str | None, *_: str | None) -> int:
    is_count = action == sqlite3.SQLITE_FUNCTION and second in _COUNTS
    return sqlite3.SQLITE_OK if action in _ALLOWED or is_count else sqlite3.SQLITE_DENY


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
