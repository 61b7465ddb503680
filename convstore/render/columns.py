"""The columns of a table of exchanges, in one place: what each is called, what kind of value it holds, where from.

One row an exchange, figures for the most part; of what was said only the first lines. What is not known, or was never
counted, is None. Of what was deleted or erased nothing is told that anybody wrote.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from convstore.domain import jsontext, usage
from convstore.domain.archive import Archived, ArchivedConversation
from convstore.domain.exchange import ADDED
from convstore.render import blocks

_MS = timedelta(milliseconds=1)
Value = str | int | bool | datetime | Decimal | None


class Kind(StrEnum):
    """What a column holds: text, a whole number, a moment in UTC, an amount of money, or whether something is so."""

    TEXT = "text"
    NUMBER = "number"
    MOMENT = "moment"
    AMOUNT = "amount"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Row:
    """An exchange, and the conversation that it is of, with what lists call that."""

    found: Archived
    conversation: ArchivedConversation | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: Kind
    of: Callable[[Row], Value]


def row(found: Archived, conversation: ArchivedConversation | None, title: str | None) -> list[Value]:
    """The values of an exchange, in the order of COLUMNS."""
    of = Row(found, conversation, title)
    return [column.of(of) for column in COLUMNS]


def _title(row: Row) -> Value:
    is_deleted = row.conversation is not None and row.conversation.deleted_at is not None
    return None if is_deleted else row.title


def _elapsed(row: Row, end: datetime | None) -> Value:
    if end is None or row.found.origin == ADDED:
        return None
    return round((end - row.found.created_at) / _MS)


def _tokens(place: int) -> Callable[[Row], Value]:
    return lambda row: usage.columns(row.found.usage)[place]


def _of_entry(name: str) -> Callable[[Row], Value]:
    return lambda row: getattr(row.found.entry, name) if row.found.entry else None


def _of_cost(name: str) -> Callable[[Row], Value]:
    return lambda row: getattr(row.found.entry.cost, name) if row.found.entry else None


def _words(name: str) -> Callable[[Row], Value]:
    of = _of_cost(name)
    return lambda row: None if of(row) is None else str(of(row))


def _of(name: str) -> Callable[[Row], Value]:
    return lambda row: getattr(row.found, name)


def _calls(row: Row) -> Value:
    calls: Mapping[str, int] = row.found.entry.calls if row.found.entry else {}
    return jsontext.dumps(dict(calls)).decode() if calls else None


def _error(row: Row) -> Value:
    code = (row.found.error or {}).get("code")
    return str(code) if code is not None else ("error" if row.found.error else None)


def _metadata(row: Row) -> Value:
    given = row.found.metadata
    return None if given is None or blocks.is_gone(row.found) else given.decode("utf-8", "replace")


COLUMNS = (
    Column("id", Kind.TEXT, _of("id")),
    Column("conversation_id", Kind.TEXT, _of("conversation_id")),
    Column("conversation_title", Kind.TEXT, _title),
    Column("parent_id", Kind.TEXT, _of("parent_id")),
    Column("depth", Kind.NUMBER, _of("depth")),
    Column("status", Kind.TEXT, _of("status")),
    Column("origin", Kind.TEXT, _of("origin")),
    Column("origin_id", Kind.TEXT, _of("origin_id")),
    Column("created_at", Kind.MOMENT, _of("created_at")),
    Column("first_event_at", Kind.MOMENT, _of("first_event_at")),
    Column("completed_at", Kind.MOMENT, _of("completed_at")),
    Column("latency_ms", Kind.NUMBER, lambda row: _elapsed(row, row.found.completed_at)),
    Column("first_event_ms", Kind.NUMBER, lambda row: _elapsed(row, row.found.first_event_at)),
    Column("requested_model", Kind.TEXT, _of("requested_model")),
    Column("model", Kind.TEXT, _of("model")),
    Column("upstream", Kind.TEXT, _of("upstream")),
    Column("user", Kind.TEXT, _of("user")),
    Column("safety_identifier", Kind.TEXT, _of("safety_identifier")),
    Column("key_id", Kind.TEXT, _of("api_key_id")),
    Column("service_tier", Kind.TEXT, _of_entry("service_tier")),
    *(Column(name, Kind.NUMBER, _tokens(place)) for place, name in enumerate(usage.COLUMNS)),
    Column("calls", Kind.TEXT, _calls),
    Column("cost", Kind.AMOUNT, _of_cost("amount")),
    Column("currency", Kind.TEXT, _of_cost("currency")),
    Column("cost_basis", Kind.TEXT, _words("basis")),
    Column("cost_reason", Kind.TEXT, _words("reason")),
    Column("error_code", Kind.TEXT, _error),
    Column("incomplete_reason", Kind.TEXT, _of("incomplete_reason")),
    Column("deleted", Kind.FLAG, lambda row: row.found.deleted_at is not None),
    Column("erased", Kind.FLAG, lambda row: row.found.erased_at is not None),
    Column("metadata", Kind.TEXT, _metadata),
    Column("question", Kind.TEXT, lambda row: blocks.question(row.found)),
    Column("answer", Kind.TEXT, lambda row: blocks.answer(row.found)),
)
