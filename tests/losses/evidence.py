"""What a test finds afterwards: in the store, and in the bytes a client got.

The stream is read by the letter of the API here, not by convstore's own reader.
"""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from convstore.domain.exchange import Exchange
from convstore.storage import everywhere, exchanges, tables
from convstore.storage.database import Database
from tests.local_upstream import wait_until

TERMINALS = ("response.completed", "response.incomplete", "response.failed", "error")


@dataclass(frozen=True)
class Record:
    """One exchange as it stands in the store, with its output items."""

    exchange: Exchange
    output: list[dict[str, Any]]

    @property
    def status(self) -> str:
        return self.exchange.status

    @property
    def error(self) -> dict[str, Any]:
        return dict(self.exchange.error or {})

    @property
    def attempts(self) -> list[dict[str, Any]]:
        """What was tried, without how long it took."""
        return [{name: value for name, value in each.items() if name != "ms"} for each in self.exchange.attempts]

    @property
    def text(self) -> str:
        """The text of all output messages."""
        parts = [part for item in self.output for part in item.get("content", [])]
        return "".join(part.get("text", "") for part in parts)


def latest(database: Database) -> Record:
    """The exchange that was begun last."""
    return _found(database, select(tables.exchanges.c.project_id, tables.exchanges.c.id))


def record(database: Database, response_id: str) -> Record:
    """The exchange with this id."""
    e = tables.exchanges.c
    return _found(database, select(e.project_id, e.id).where(e.id == response_id))


def finished(database: Database, response_id: str, seconds: float = 20.0) -> Record:
    """The exchange, once it is in progress no more."""

    def ended() -> Record | None:
        found = record(database, response_id)
        return found if found.status != "in_progress" else None

    return wait_until(ended, seconds)


def count(database: Database) -> int:
    """How many exchanges there are."""
    return _number(database, tables.exchanges)


def left_behind(database: Database) -> dict[str, int]:
    """What should not be there when nothing is running. Empty if all is well."""
    in_progress = tables.exchanges.c.status == "in_progress"
    numbers = {
        "in progress": _number(database, tables.exchanges, in_progress),
        "running": _number(database, tables.running),
        "journal": _number(database, tables.journal),
    }
    return {name: number for name, number in numbers.items() if number}


def journalled(database: Database) -> set[str]:
    """The exchanges of which something is in the journal."""
    with database.connection() as connection:
        return set(connection.execute(select(tables.journal.c.exchange_id).distinct()).scalars())


def journal_parts(database: Database) -> int:
    """How many rows the journal has."""
    return _number(database, tables.journal)


def journal_events(database: Database, exchange_id: str) -> list[int]:
    """The numbers of the events in the journal of an exchange, in the order they are read back."""
    with database.connection() as connection:
        parts = everywhere.journal(connection, exchange_id)
    return [json.loads(line[6:])["sequence_number"] for line in b"".join(parts).split(b"\n") if line[:6] == b"data: "]


def waiting(database: Database, kind: str = "Lock") -> int:
    """How many connections to this database wait: for a lock, or for a time to pass (PostgreSQL)."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    with database.connection() as connection:
        return int(connection.exec_driver_sql(f"{query} AND wait_event_type = '{kind}'").scalar_one())


def processes(database: Database) -> int:
    """How many processes have entered themselves and not left."""
    return _number(database, tables.processes)


def everything(database: Database) -> str:
    """All rows of all tables, as one text to search in."""
    with database.connection() as connection:
        rows = [row for table in tables.metadata.sorted_tables for row in connection.execute(select(table))]
    return "\n".join(str(tuple(row)) for row in rows)


def stream_events(data: bytes) -> list[dict[str, Any]]:
    """The events of a stream that keeps the API's rules: framing, numbers from 0, one terminal, at the end."""
    assert data.endswith(b"\n\n"), data[-200:]
    events = []
    for block in data.decode("utf-8").removesuffix("\n\n").split("\n\n"):
        name, body = block.split("\n")
        event = json.loads(body.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] in TERMINALS for event in events] == [False] * (len(events) - 1) + [True]
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    return events


def error_event(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The last event of a stream that broke: flat, with the API's members and no others."""
    last = events[-1]
    assert set(last) == {"type", "sequence_number", "code", "message", "param"}
    assert last["type"] == "error"
    assert last["param"] is None
    assert isinstance(last["code"], str)
    assert isinstance(last["message"], str)
    return last


def error_body(answered: Any) -> dict[str, Any]:
    """The error of a JSON answer in the API's envelope."""
    assert answered.headers["Content-Type"] == "application/json", answered.headers
    assert set(answered.json) == {"error"}
    error = dict(answered.json["error"])
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert isinstance(error["message"], str)
    return error


def _found(database: Database, query: Any) -> Record:
    with database.connection() as connection:
        row = connection.execute(query.order_by(tables.exchanges.c.id.desc()).limit(1)).one()
    with database.reading(row.project_id) as scope:
        exchange = exchanges.get(scope, row.id, hidden=True)
        assert exchange is not None
        return Record(exchange, [json.loads(item.body) for item in exchanges.output(scope, exchange)])


def _number(database: Database, table: Any, *conditions: Any) -> int:
    with database.connection() as connection:
        return int(connection.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one())
