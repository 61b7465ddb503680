"""Several writes as one: a transaction on SQLite, one statement on PostgreSQL.

A turn writes twice, three to six rows each time. PostgreSQL takes them as one statement (data-modifying WITH): one
round trip, and atomic without BEGIN and COMMIT. SQLite is in this process, so separate statements are cheapest.
The SQL is written here once per shape and kept; going through the expression compiler costs three times the write.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import LargeBinary, Table
from sqlalchemy.types import TypeDecorator

from convstore.storage.direct import Cursor

Row = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Insert:
    """Rows for one table, values in the order of *columns*, already in stored form.

    ignore: a row that is there already is left alone. if_updated: only when the batch's Update found its row.
    adds: the columns whose values are added to those of a row that is there already.
    keeps: a row that is there already is left alone, and locked; the name of a column of its key.
    """

    table: Table
    columns: tuple[str, ...]
    rows: Sequence[Row]
    ignore: bool = False
    if_updated: bool = False
    adds: tuple[str, ...] = ()
    keeps: str | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """The values of a row's columns. *where* columns come after *columns* in *values*; None among those is NULL.

    A None among the others changes nothing; what is to be emptied stands in *emptied*.
    """

    table: Table
    columns: tuple[str, ...]
    where: tuple[str, ...]
    values: Row
    emptied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    """The rows with these values."""

    table: Table
    where: tuple[str, ...]
    values: Row


@dataclass(frozen=True, slots=True)
class Other:
    """Any other statement. guarded: it ends with its conditions, and one more is that the batch's Update found its row.

    On SQLite, where writes follow one another, that goes without saying.
    """

    sql: str
    values: Row
    guarded: bool = False


Write = Insert | Update | Delete | Other


# PostgreSQL takes 65,535 parameters in one statement; a client may send its whole history at once.
MOST_PARAMETERS = 30_000


def execute(cursor: Cursor, writes: Sequence[Write]) -> bool:
    """Do all writes or none; False when an Update that is the first of them found no row (then none was done)."""
    if cursor.is_sqlite:
        return each(cursor, writes)
    dense = [_dense(write) for write in writes]
    values = tuple(value for write in dense for value in _values(write))
    if len(values) > MOST_PARAMETERS:
        return _in_transaction(cursor, writes)
    parts = tuple(_with_part(number, *_shape(write)) for number, write in enumerate(dense))
    return bool(cursor.execute(_with(parts, isinstance(writes[0], Update)), values).fetchone()[0])


def _in_transaction(cursor: Cursor, writes: Sequence[Write]) -> bool:
    cursor.execute("BEGIN")
    try:
        done = each(cursor, writes)
        cursor.execute("COMMIT" if done else "ROLLBACK")
    except BaseException:
        cursor.execute("ROLLBACK")
        raise
    return done


def each(cursor: Cursor, writes: Sequence[Write]) -> bool:
    """The same one by one, in a transaction that somebody else ends."""
    first, *others = writes
    if not _one(cursor, first):
        return False
    for write in others:
        _one(cursor, write)
    return True


def _one(cursor: Cursor, write: Write) -> bool:
    if isinstance(write, Insert) and len(write.rows) > 1:
        single = replace(write, rows=write.rows[:1], if_updated=False)
        cursor.execute_many(_sql(*_shape(single), False), [tuple(row) for row in write.rows])
        return True
    write = _dense(write)
    done = cursor.execute(_sql(*_shape(write), False), _values(write))
    return not isinstance(write, Update) or done.rowcount > 0


def _dense(write: Write) -> Write:
    """The write without the columns that would only be set to NULL, which they are already: half of most rows."""
    if isinstance(write, Insert):
        if len(write.rows) == 1:
            used = [at for at, value in enumerate(write.rows[0]) if value is not None]
        else:
            used = [at for at, values in enumerate(zip(*write.rows, strict=True)) if any(v is not None for v in values)]
        if len(used) == len(write.columns):
            return write
        rows = [[row[at] for at in used] for row in write.rows]
        columns = tuple(write.columns[at] for at in used)
        return Insert(write.table, columns, rows, write.ignore, write.if_updated, write.adds, write.keeps)
    if isinstance(write, Update):
        return Update(write.table, *_assigned(write), write.emptied)
    return write


def _assigned(write: Update) -> tuple[tuple[str, ...], tuple[str, ...], Row]:
    """The columns to set, the conditions, and the values of both. A comparison with NULL is written another way."""
    set_to, where = write.values[: len(write.columns)], write.values[len(write.columns) :]
    given = [(column, value) for column, value in zip(write.columns, set_to, strict=True) if value is not None]
    sought = list(zip(write.where, where, strict=True))
    conditions = tuple(f'"{column}" IS NULL' if value is None else f'"{column}" = ?' for column, value in sought)
    values = tuple(value for _, value in (*given, *sought) if value is not None)
    return tuple(column for column, _ in given), conditions, values


def _shape(write: Write) -> tuple[Any, ...]:
    """What the SQL text of a write depends on."""
    if isinstance(write, Insert):
        present = "ignore" if write.ignore else write.keeps or write.adds
        return "insert", write.table, write.columns, len(write.rows), present, write.if_updated
    if isinstance(write, Update):
        settings = [f'"{column}" = ?' for column in write.columns] + [f'"{column}" = NULL' for column in write.emptied]
        return "update", write.table, tuple(settings), write.where, (), False
    if isinstance(write, Other):
        return "other", None, (), write.sql, (), write.guarded
    return "delete", write.table, (), tuple(f'"{column}" = ?' for column in write.where), (), False


def _values(write: Write) -> tuple[Any, ...]:
    if isinstance(write, Insert):
        return tuple(value for row in write.rows for value in row)
    return tuple(write.values)


@lru_cache(maxsize=1024)
def _with(parts: tuple[str, ...], updates: bool) -> str:
    return f"WITH {', '.join(parts)} {'SELECT count(*) FROM w0' if updates else 'SELECT 1'}"


@lru_cache(maxsize=1024)
def _with_part(number: int, *shape: Any) -> str:
    return f"w{number} AS ({_sql(*shape, True)})"


@lru_cache(maxsize=1024)
def _sql(
    kind: str, table: Any, columns: tuple[str, ...], extra: Any, present: Any, guarded: bool, batched: bool
) -> str:
    """*extra* is the number of rows of an insert, the conditions of the others; *columns* an update's assignments.

    *present*: what becomes of a row that is there already: "ignore", the column to keep, or the columns to add to.
    """
    if kind == "other":
        return f"{extra} AND EXISTS (SELECT 1 FROM w0)" if guarded and batched else str(extra)
    if kind == "update":
        returning = " RETURNING 1" if batched else ""
        return f'UPDATE "{table.name}" SET {", ".join(columns)} WHERE {" AND ".join(extra)}{returning}'
    if kind == "delete":
        return f'DELETE FROM "{table.name}" WHERE {" AND ".join(extra)}'
    guarded = guarded and batched
    names = ", ".join(f'"{column}"' for column in columns)
    marks = ", ".join("?" + (_cast(table, column) if guarded else "") for column in columns)
    values = f"VALUES {', '.join([f'({marks})'] * extra)}"
    if guarded:
        values = f"SELECT * FROM ({values}) AS v WHERE EXISTS (SELECT 1 FROM w0)"
    return f'INSERT INTO "{table.name}" ({names}) {values}{_on_conflict(table, present)}'


def _on_conflict(table: Table, present: Any) -> str:
    if not present:
        return ""
    if present == "ignore":
        return " ON CONFLICT DO NOTHING"
    key = ", ".join(f'"{column.name}"' for column in table.primary_key.columns)
    if isinstance(present, str):
        return f' ON CONFLICT ({key}) DO UPDATE SET "{present}" = excluded."{present}"'
    sums = ", ".join(f'"{column}" = "{table.name}"."{column}" + excluded."{column}"' for column in present)
    return f" ON CONFLICT ({key}) DO UPDATE SET {sums}"


def _cast(table: Table, column: str) -> str:
    """PostgreSQL takes a bare NULL in VALUES for text."""
    kind = table.c[column].type
    implementation = kind.impl_instance if isinstance(kind, TypeDecorator) else kind
    if isinstance(implementation, LargeBinary):
        return "::bytea"
    casts = {"integer": "::integer", "boolean": "::boolean", "big_integer": "::bigint", "TSVECTOR": "::tsvector"}
    return casts.get(implementation.__visit_name__, "::text")
