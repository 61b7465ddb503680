"""Exchanges as Parquet for analysts: the columns in columns.py, each with its type.

Moments are UTC with microseconds, amounts decimals that hold every amount exactly. It takes pyarrow, which comes with
the extra `parquet`, and is not loaded before somebody asks for it. What has been written is handed over at once; rows
wait until there is a row group of them, of a bounded size.
"""

from collections.abc import Sequence
from typing import Any

from convstore.domain.archive import Archived, ArchivedBranch, ArchivedConversation
from convstore.errors import FormatUnavailable
from convstore.render.columns import COLUMNS, Kind, Value, row

# Readers skip and load whole groups.
GROUP_ROWS = 10_000
# Metadata can be kilobytes a row: a group is closed before its texts take up more than this many characters.
GROUP_TEXT = 16 * 2**20


class Parquet:
    """A table that is written group by group. Raises FormatUnavailable where pyarrow is missing."""

    in_lanes = False

    def __init__(self, group_rows: int = GROUP_ROWS, group_text: int = GROUP_TEXT) -> None:
        self._pyarrow = _loaded()
        self._schema = _schema(self._pyarrow)
        self._sink = _Sink()
        self._writer: Any = None
        self._limits = group_rows, group_text
        self._rows: list[list[Value]] = []
        self._text = 0
        self._conversation: ArchivedConversation | None = None
        self._title: str | None = None

    def begin(self) -> bytes:
        self._writer = self._pyarrow.parquet.ParquetWriter(
            self._pyarrow.PythonFile(self._sink, mode="w"), self._schema, compression="zstd"
        )
        return self._sink.taken()

    def conversation(self, found: ArchivedConversation, title: str | None, branches: Sequence[ArchivedBranch]) -> bytes:
        self._conversation, self._title = found, title
        return b""

    def exchange(self, found: Archived) -> bytes:
        values = [_whole(value) for value in row(found, self._conversation, self._title)]
        self._rows.append(values)
        self._text += sum(len(value) for value in values if isinstance(value, str))
        rows, text = self._limits
        if len(self._rows) >= rows or self._text >= text:
            self._write()
        return self._sink.taken()

    def conversation_end(self) -> bytes:
        return b""

    def end(self) -> bytes:
        self._write()
        self._writer.close()
        return self._sink.taken()

    def _write(self) -> None:
        if not self._rows:
            return
        columns = [
            self._pyarrow.array(values, field.type)
            for values, field in zip(zip(*self._rows, strict=True), self._schema, strict=True)
        ]
        self._writer.write_table(self._pyarrow.Table.from_arrays(columns, schema=self._schema))
        self._rows, self._text = [], 0


class _Sink:
    """What pyarrow takes for a file: it keeps what is written until that is taken."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: Any) -> int:
        # A copy: the memory is pyarrow's, which goes on using it.
        part = bytes(data)
        self._parts.append(part)
        return len(part)

    def taken(self) -> bytes:
        """What was written since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)

    def flush(self) -> None:
        """There is nothing behind it."""

    def close(self) -> None:
        """What is left is taken afterwards."""


def _loaded() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as missing:
        raise FormatUnavailable("parquet", "convstore[parquet]") from missing
    return pyarrow


def _schema(pyarrow: Any) -> Any:
    types = {
        Kind.TEXT: pyarrow.string(),
        Kind.NUMBER: pyarrow.int64(),
        Kind.MOMENT: pyarrow.timestamp("us", tz="UTC"),
        # Twelve places are the most an amount has (domain/money.py).
        Kind.AMOUNT: pyarrow.decimal128(38, 18),
        Kind.FLAG: pyarrow.bool_(),
    }
    return pyarrow.schema([(column.name, types[column.kind]) for column in COLUMNS])


def _whole(value: Value) -> Value:
    """Half a surrogate pair is no character."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
