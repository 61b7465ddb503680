"""Exchanges as CSV for spreadsheets: one line each, of the columns in columns.py.

The first line names the columns, and stands there when nothing else does. Lines end with CRLF, texts are UTF-8. A text
that begins like a formula gets an apostrophe in front (csv.py).
"""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from convstore.domain import money
from convstore.domain.archive import Archived, ArchivedBranch, ArchivedConversation
from convstore.render.columns import COLUMNS, Value, row
from convstore.render.csv import text


class Csv:
    """A table that is written line by line."""

    in_lanes = False

    def __init__(self) -> None:
        self._conversation: ArchivedConversation | None = None
        self._title: str | None = None

    def begin(self) -> bytes:
        return _line(column.name for column in COLUMNS)

    def conversation(self, found: ArchivedConversation, title: str | None, branches: Sequence[ArchivedBranch]) -> bytes:
        self._conversation, self._title = found, title
        return b""

    def exchange(self, found: Archived) -> bytes:
        return _line(map(_cell, row(found, self._conversation, self._title)))

    def conversation_end(self) -> bytes:
        return b""

    def end(self) -> bytes:
        return b""


def _line(cells: Iterable[str]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    # Half a surrogate pair is no character.
    return out.getvalue().encode("utf-8", "replace")


def _cell(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case datetime():
            # Always with microseconds: a column is read in one way.
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        case Decimal():
            return money.plain(value)
        case int():
            return str(value)
        case _:
            return text(value)
