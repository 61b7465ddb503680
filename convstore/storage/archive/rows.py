"""The rows of an exchange that is put back: all of them at once, as a turn and its answer leave them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from convstore import ids
from convstore.domain import finding, jsontext, preview, usage
from convstore.domain.archive import Archived, Kept
from convstore.domain.exchange import ADDED, NOTHING
from convstore.domain.fingerprints import Thread
from convstore.storage import ledger, tables
from convstore.storage.database import Database
from convstore.storage.rows import Side, fingerprint_rows, item_rows, packed
from convstore.storage.statements import Insert, Write
from convstore.storage.turns import as_json
from convstore.storage.types import micros

_COLUMNS = tuple(column.name for column in tables.exchanges.columns)
_SEALED_BY = tuple(column.name for column in tables.items.columns).index("sealed_by")
_SEARCHES = ("project_id", "exchange_id", "words")


@dataclass(frozen=True, slots=True)
class Coming:
    """An exchange and where it is going to lie. thread: what it is recognised by when it is sent whole."""

    archived: Archived
    lane: str
    depth: int
    settings: bytes
    thread: Thread | None = None


def of_exchange(
    project_id: str, coming: Coming, imported_at: int, shared: dict[bytes, bytes]
) -> tuple[Insert, list[Insert], list[Insert]]:
    """The rows of the exchange, of its input, and of its output; what is stored apart goes to *shared*."""
    archived, settings = coming.archived, jsontext.digest(coming.settings)
    shared[settings] = coming.settings
    reply = _apart(archived.reply if archived.reply != NOTHING else None, shared)
    sent = archived.sent
    values: dict[str, Any] = {
        "project_id": packed(ids.PROJECT, project_id),
        "id": packed(ids.EXCHANGE, archived.id),
        "conversation_id": packed(ids.CONVERSATION, archived.conversation_id),
        "parent_id": packed(ids.EXCHANGE, archived.parent_id),
        "lane": packed(ids.EXCHANGE, coming.lane),
        "depth": coming.depth,
        "input_count": len(archived.input),
        "origin_id": packed(ids.EXCHANGE, archived.origin_id),
        "stored": True,
        "settings_hash": settings,
        "metadata": _text(archived.metadata),
        "extras": _text(archived.extras),
        "api_key_id": packed(ids.KEY, archived.api_key_id),
        "request_id": packed(ids.REQUEST, archived.request_id),
        "question": preview.of_question([each.item for each in archived.input]),
        "answer": preview.of_answer([each.item for each in archived.output]),
        "sent_count": sent.count if sent else None,
        "sent_digest": sent.digest if sent else None,
        "sent_hash": _apart(sent.forms if sent else None, shared),
        "reply_hash": reply,
        "error": as_json(archived.error),
        "attempts": as_json(archived.attempts),
        **dict(zip(usage.COLUMNS, usage.columns(archived.usage), strict=True)),
        "usage": as_json(archived.reported_usage),
        "fingerprint": coming.thread.pack() if coming.thread else None,
        "imported_at": imported_at,
    }
    times = ("created_at", "first_event_at", "completed_at", "deleted_at", "erased_at")
    values |= {name: _micros(getattr(archived, name)) for name in times}
    row = [values[name] if name in values else getattr(archived, name) for name in _COLUMNS]
    lane = packed(ids.EXCHANGE, coming.lane)
    into = _items(Side(lane, coming.depth, 0), archived.input, shared)
    out = _items(Side(lane, coming.depth, len(archived.input), output=True), archived.output, shared)
    return Insert(tables.exchanges, _COLUMNS, [row]), into, out


def besides(database: Database, project_id: str, coming: Coming) -> list[Write]:
    """What it is found and recognised by, and its entry in the ledger with what that adds to the sums.

    Budgets hold what is spent through this store: what was spent elsewhere is not added to that.
    """
    archived, own = coming.archived, packed(ids.EXCHANGE, coming.archived.id)
    writes: list[Write] = []
    if archived.origin != ADDED:
        row = (packed(ids.PROJECT, project_id), own, _terms(database, project_id, coming))
        writes.append(Insert(tables.searches, _SEARCHES, [row]))
    if coming.thread:
        writes += fingerprint_rows(coming.thread, own)
    if archived.entry:
        writes += ledger.rows(database, project_id, archived.entry)
    return [write for write in writes if isinstance(write, Insert) and write.table is not tables.spending]


def merged(writes: Iterable[Write]) -> list[Write]:
    """The same in fewer: rows of one table together, what is added to one row added up. None waits for an Update."""
    found: dict[Any, list[Any]] = {}
    for write in writes:
        assert isinstance(write, Insert)
        found.setdefault((write.table, write.columns, write.adds, write.keeps), []).extend(write.rows)
    made: list[Write] = []
    for (table, columns, adds, keeps), rows in found.items():
        made.append(Insert(table, columns, _summed(columns, adds, rows) if adds else rows, adds=adds, keeps=keeps))
    return made


def _summed(columns: tuple[str, ...], adds: tuple[str, ...], rows: Sequence[Any]) -> list[Any]:
    """Rows that are alike but for what is added, as one; in one order, so that writers do not wait in a ring."""
    sums: dict[tuple[Any, ...], list[int]] = {}
    plain = [at for at, name in enumerate(columns) if name not in adds]
    added = [columns.index(name) for name in adds]
    for row in rows:
        own = sums.setdefault(tuple(row[at] for at in plain), [0] * len(added))
        for place, at in enumerate(added):
            own[place] += row[at]
    found = []
    for alike, amounts in sorted(sums.items(), key=repr):
        values = dict(zip(plain, alike, strict=True)) | dict(zip(added, amounts, strict=True))
        found.append([values[at] for at in range(len(columns))])
    return found


def _terms(database: Database, project_id: str, coming: Coming) -> str:
    """What it is found by, question and answer in one. Its parent's instructions are found there."""
    archived = replace(coming.archived, depth=coming.depth)
    words = not database.vault.seals
    asked, said = ([each.item for each in side] for side in (archived.input, archived.output))
    settings = None if archived.repeats_settings else coming.settings
    question = finding.of_question(project_id, archived, asked, settings, archived.api_key_id, words=words)
    cost = archived.entry.cost if archived.entry else None
    return f"{question} {finding.of_answer(archived, said, archived.created_at, cost, words=words)}"


def _items(side: Side, kept: Sequence[Kept], shared: dict[bytes, bytes]) -> list[Insert]:
    """The rows of a side. Who sealed an item is known, whoever answers here."""
    found = []
    for write in item_rows(side, [each.item for each in kept], shared):
        assert isinstance(write, Insert)
        rows = [
            [*row[:_SEALED_BY], each.sealed_by, *row[_SEALED_BY + 1 :]]
            for row, each in zip(write.rows, kept, strict=True)
        ]
        found.append(Insert(write.table, write.columns, rows))
    return found


def _apart(body: bytes | None, shared: dict[bytes, bytes]) -> bytes | None:
    if body is None:
        return None
    own = jsontext.digest(body)
    shared[own] = body
    return own


def _text(json: bytes | None) -> str | None:
    return None if json is None else json.decode()


def _micros(moment: Any) -> int | None:
    return None if moment is None else micros(moment)
