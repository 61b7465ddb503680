"""Rows of an `llm` database, and what those of all its versions have in common.

Which columns there are depends on the version that made it: what is not there is None.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from convstore.archives.moments import moment
from convstore.archives.pieces import told
from convstore.archives.task import Task
from convstore.archives.values import Bad, parsed
from convstore.domain import items, jsontext
from convstore.domain import usage as usages
from convstore.errors import Unreadable

UPSTREAM = "import:llm"
MODEL = "llm"
Row = Mapping[str, Any]
Part = dict[str, Any]

# An answer that took longer than this was not measured.
_LONGEST_MS = 30 * 24 * 3600 * 1000
_OPTIONS = {"temperature": "temperature", "top_p": "top_p", "max_tokens": "max_output_tokens"}


class Rows(Protocol):
    """The tables of a database. Each method raises Unreadable."""

    def has(self, table: str) -> bool: ...

    def count(self, table: str) -> int: ...

    def keys(self, table: str, columns: Sequence[str], order: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Of each row these columns and its rowid, in order of others, then of the rowid."""

    def row(self, table: str, rowid: int) -> Row: ...

    def where(self, table: str, column: str, value: Any, order: str | None = None) -> list[Row]:
        """The rows with this value; none when there is no such table. Quick only where the column has an index."""


class Measured:
    """Rows that stop when what is read for one exchange gets too much: a row may be pointed at any number of times."""

    def __init__(self, rows: Rows, longest: int) -> None:
        self.has, self.count, self.keys = rows.has, rows.count, rows.keys
        self._rows = rows
        self._longest = longest
        self._held = 0
        self._place = ""

    def begin(self, place: str) -> None:
        """From here on it is about another exchange."""
        self._held = 0
        self._place = place

    def row(self, table: str, rowid: int) -> Row:
        return self._measured([self._rows.row(table, rowid)])[0]

    def where(self, table: str, column: str, value: Any, order: str | None = None) -> list[Row]:
        return self._measured(self._rows.where(table, column, value, order))

    def _measured(self, rows: list[Row]) -> list[Row]:
        self._held += sum(len(value) for row in rows for value in row.values() if isinstance(value, str | bytes))
        if self._held > self._longest:
            raise Unreadable(f"what belongs to it is longer than {self._longest} bytes", self._place)
        return rows


def settings_of(rows: Rows, row: Row, tools: Sequence[Row], instructions: str | None, task: Task) -> dict[str, Any]:
    """The settings of a request. tools: rows that name tools by tool_id."""
    found: dict[str, Any] = {"model": task.model(row.get("model"), MODEL)}
    if instructions:
        found["instructions"] = instructions
    if offered := [tool for each in tools for tool in _tools(rows, each.get("tool_id"))]:
        found["tools"] = offered
    options = loaded(row.get("options_json"))
    if isinstance(options, Mapping):
        numbers = {name: value for name, value in options.items() if type(value) in (int, float)}
        found |= {_OPTIONS[name]: value for name, value in numbers.items() if name in _OPTIONS}
    for each in rows.where("schemas", "id", row["schema_id"]) if row.get("schema_id") else ():
        schema = loaded(each.get("content"))
        if isinstance(schema, Mapping):
            found["text"] = {"format": {"type": "json_schema", "name": "output", "schema": schema}}
    return found


def figures(row: Row, settings: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """The members of an exchange that its row says: who answered, when, and what it took."""
    created_at = moment(row.get("datetime_utc")) or task.now
    reported = _reported(row)
    return {
        "created_at": created_at,
        "completed_at": _completed_at(created_at, row.get("duration_ms")),
        "requested_model": settings["model"],
        "model": items.column(row.get("resolved_model")) or settings["model"],
        "settings": jsontext.dumps(settings),
        "usage": usages.normalise(reported),
        "reported_usage": reported,
        "upstream": UPSTREAM,
        "upstream_response_id": items.column(row.get("id")),
    }


def attachment(row: Row) -> Part:
    """A file that was shown to the model: by address, as it is, or by the name that it had."""
    kind = row.get("type")
    is_picture = isinstance(kind, str) and kind.startswith("image/")
    address, content, path = row.get("url"), row.get("content"), row.get("path")
    if isinstance(content, bytes) and content:
        address = f"data:{kind or 'application/octet-stream'};base64,{base64.b64encode(content).decode()}"
        if not is_picture:
            return {"type": "input_file", "filename": str(row.get("id")), "file_data": address}
    if isinstance(address, str) and address:
        return _picture(image_url=address) if is_picture else {"type": "input_file", "file_url": address}
    name = str(path or row.get("id"))
    return _picture(file_id=name) if is_picture else {"type": "input_file", "file_id": name}


def text_parts(texts: Sequence[Any]) -> list[Part]:
    """Those of them that say something, as parts of a question."""
    return [told(text, output=False) for text in texts if isinstance(text, str) and text]


def text(row: Row, column: str) -> str:
    """The text of a column; none where there is something else."""
    found = row.get(column)
    return found if isinstance(found, str) else ""


def loaded(text: Any) -> Any:
    """The JSON of a column; None when there is none, or it is not JSON."""
    if not isinstance(text, str):
        return None
    try:
        return parsed(text.strip())[0]
    except Bad:
        return None


def _picture(**where: str) -> Part:
    return {"type": "input_image", **where, "detail": "auto"}


def _tools(rows: Rows, tool_id: Any) -> Iterator[Part]:
    for each in rows.where("tools", "id", tool_id):
        schema = loaded(each.get("input_schema"))
        described = {"description": each["description"]} if isinstance(each.get("description"), str) else {}
        parameters = schema if isinstance(schema, Mapping) else {}
        yield {"type": "function", "name": str(each.get("name")), **described, "parameters": parameters}


def _reported(row: Row) -> dict[str, Any] | None:
    counted = {name: row[name] for name in ("input_tokens", "output_tokens") if type(row.get(name)) is int}
    details = loaded(row.get("token_details"))
    if not counted:
        return None
    return {**details, **counted} if isinstance(details, Mapping) else counted


def _completed_at(created_at: datetime, duration_ms: Any) -> datetime:
    if type(duration_ms) not in (int, float) or not 0 <= duration_ms <= _LONGEST_MS:
        return created_at
    return created_at + timedelta(milliseconds=duration_ms)
