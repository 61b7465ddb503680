"""Conversations: what is known of them, their tips, and what is added to them by hand.

What is added by hand is an exchange that has ended as it begins, without a response. It becomes the tip of its
conversation in the statement that writes it, if the tip is still the one it was made for and nobody is answering.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, cast, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import JSONB

from convstore import ids
from convstore.domain import preview
from convstore.domain.conversation import Conversation
from convstore.domain.exchange import Beginning
from convstore.domain.fingerprints import Thread
from convstore.storage import listing, tables, turns
from convstore.storage.database import Database
from convstore.storage.direct import Clash, Cursor
from convstore.storage.rows import Side, fingerprint_rows, item_rows, packed, payload_rows, transact
from convstore.storage.scope import Scope
from convstore.storage.statements import Insert, Update, Write
from convstore.storage.turns import ConversationTaken, LaneTaken
from convstore.storage.types import micros

_c = tables.conversations
_e = tables.exchanges

_ADDED_COLUMNS = tuple(
    "id project_id conversation_id parent_id lane depth input_count status origin stored requested_model "
    "settings_hash api_key_id request_id created_at completed_at linked fingerprint question".split()
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which conversations of a list: begun in this time, with these words in the title, with these metadata."""

    since: datetime | None = None
    until: datetime | None = None
    title: str | None = None
    metadata: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Tip:
    """Where a conversation goes on.

    exchange_id: the exchange to continue; None when there is none yet. moved_to: the tip that is on record, None as
    long as nothing was appended by the Conversations API. writer_id: the exchange that is appending now.
    """

    exchange_id: str | None
    moved_to: str | None
    writer_id: str | None


def get(scope: Scope, conversation_id: str) -> Conversation | None:
    """The conversation with this id, unless it is deleted."""
    query = select(_c.c.created_at, _c.c.metadata).where(_is_there(scope, conversation_id))
    row = scope.connection.execute(query).fetchone()
    if row is None:
        return None
    return Conversation(conversation_id, row.created_at, row.metadata.encode() if row.metadata else b"{}")


def title(scope: Scope, conversation_id: str) -> str | None:
    """What it is called: as somebody named it, or the first line of its first question."""
    query = select(shown_title()).where(_is_there(scope, conversation_id))
    return scope.line(scope.connection.execute(query).scalar())


def titles(scope: Scope, conversation_ids: Sequence[str]) -> dict[str, str | None]:
    """The same of several, by id."""
    query = select(_c.c.id, shown_title()).where(
        _c.c.project_id == scope.project_id, _c.c.id.in_(conversation_ids), _c.c.deleted_at.is_(None)
    )
    return {row.id: scope.line(row.title) for row in scope.connection.execute(query).fetchall()}


def listed(
    scope: Scope,
    limit: int,
    *,
    newest_first: bool = True,
    after: str | None = None,
    before: str | None = None,
    wanted: Wanted | None = None,
) -> list[tuple[Conversation, str | None]]:
    """Conversations with their titles, in order of age.

    Of those behind *after* and before *before* the first, or the last when only *before* is given.
    """
    query = select(_c.c.id, _c.c.created_at, _c.c.metadata, shown_title()).where(
        _c.c.project_id == scope.project_id, _c.c.deleted_at.is_(None)
    )
    for condition in _conditions(scope, wanted or Wanted()):
        query = query.where(condition)
    rows = listing.page(scope, query, _c.c.id, limit, newest_first=newest_first, after=after, before=before)
    return [
        (Conversation(row.id, row.created_at, row.metadata.encode() if row.metadata else b"{}"), scope.line(row.title))
        for row in rows
    ]


def shown_title() -> Any:
    """What a conversation is called, for queries of them: as somebody named it, or its first question; as stored."""
    first = (
        select(_e.c.question)
        .where(_e.c.conversation_id == _c.c.id, literal_column("exchanges.lane = exchanges.id"))
        .where(_e.c.depth == 0, _e.c.deleted_at.is_(None))
        .order_by(_e.c.id)
        .limit(1)
        .scalar_subquery()
    )
    return func.coalesce(_c.c.title, first).label("title")


def _conditions(scope: Scope, wanted: Wanted) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.since is not None:
        found.append(_c.c.created_at >= wanted.since)
    if wanted.until is not None:
        found.append(_c.c.created_at < wanted.until)
    if wanted.title is not None:
        found.append(func.lower(shown_title()).contains(wanted.title.lower(), autoescape=True))
    for name, value in wanted.metadata:
        found.append(_member(scope, name) == value)
    return found


def _member(scope: Scope, name: str) -> Any:
    """A member of the metadata, as text."""
    if scope.connection.dialect.name == "postgresql":
        return cast(_c.c.metadata, JSONB)[name].astext
    return func.json_extract(_c.c.metadata, f"$.{json.dumps(name)}")


def describe(scope: Scope, conversation_id: str, metadata: bytes | None, title: str | None = None) -> bool:
    """Replace its metadata, its title, or both; an empty title is none. False when there is no such conversation."""
    values: dict[str, Any] = {}
    if metadata is not None:
        values["metadata"] = metadata.decode()
    if title is not None:
        values["title"] = scope.sealed(title) if title else None
    change = update(_c).where(_is_there(scope, conversation_id)).values(**values)
    return scope.connection.execute(change).rowcount > 0


def delete(scope: Scope, conversation_id: str, now: datetime) -> bool:
    """Hide it; its exchanges stay. False when it was not there."""
    change = update(_c).where(_is_there(scope, conversation_id)).values(deleted_at=now)
    return scope.connection.execute(change).rowcount > 0


def tip(cursor: Cursor, project_id: str, conversation_id: str) -> Tip | None:
    """The tip of a conversation; None when there is no such conversation. One statement."""
    conversation = ids.pack(ids.CONVERSATION, conversation_id)
    if conversation is None:
        return None
    row = cursor.execute(_TIP, (ids.pack(ids.PROJECT, project_id), conversation)).fetchone()
    if row is None:
        return None
    moved_to, writer, newest = (ids.unpack(ids.EXCHANGE, bytes(each)) if each else None for each in row)
    return Tip(moved_to or newest, moved_to, writer)


def create(
    database: Database, project_id: str, made: Conversation, first: Beginning | None, thread: Thread | None = None
) -> None:
    """Put a conversation on disk, with its first items if it has any. thread: their fingerprint."""
    columns = ("project_id", "id", "metadata", "tip_id", "created_at")
    row = (
        packed(ids.PROJECT, project_id),
        packed(ids.CONVERSATION, made.id),
        made.metadata.decode(),
        packed(ids.EXCHANGE, first.id) if first else None,
        micros(made.created_at),
    )
    with database.memory.trusting():
        added = _added(database, project_id, first, thread, if_updated=False) if first else []
        writes = [Insert(_c, columns, [row]), *added]
        transact(database, writes, turns.request(project_id, first) if first else project_id)


def append(database: Database, project_id: str, addition: Beginning, thread: Thread | None) -> None:
    """Put items on disk as the new tip of their conversation. thread: its fingerprint with them.

    Raises ConversationTaken, LaneTaken, StorageUnavailable; then nothing was kept.
    """
    where = ("project_id", "id", "writer_id", "tip_id", "deleted_at")
    values = (
        packed(ids.EXCHANGE, addition.id),
        packed(ids.PROJECT, project_id),
        packed(ids.CONVERSATION, addition.conversation_id),
        None,
        packed(ids.EXCHANGE, addition.tip_id),
        None,
    )
    moved = Update(_c, ("tip_id",), where, values)
    try:
        with database.memory.trusting():
            writes = [moved, *_added(database, project_id, addition, thread, if_updated=True)]
            if not transact(database, writes, turns.request(project_id, addition)):
                raise ConversationTaken
    except Clash as clash:
        if "lane" in clash.constraint:
            raise LaneTaken from clash
        raise


def _added(
    database: Database, project_id: str, addition: Beginning, thread: Thread | None, *, if_updated: bool
) -> list[Write]:
    """The rows of an exchange without a response."""
    exchange, lane = packed(ids.EXCHANGE, addition.id), packed(ids.EXCHANGE, addition.lane)
    created_at = micros(addition.created_at)
    row: tuple[Any, ...] = (
        exchange,
        packed(ids.PROJECT, project_id),
        packed(ids.CONVERSATION, addition.conversation_id),
        packed(ids.EXCHANGE, addition.parent_id),
        lane,
        addition.depth,
        len(addition.items),
        "completed",
        addition.origin,
        addition.stored,
        addition.requested_model,
        addition.settings_hash,
        packed(ids.KEY, addition.api_key_id),
        packed(ids.REQUEST, addition.request_id),
        created_at,
        created_at,
        str(addition.linked) if addition.linked else None,
        thread.pack() if thread else None,
        preview.of_question(addition.items),
    )
    shared = {addition.settings_hash: addition.settings}
    writes: list[Write] = [Insert(tables.exchanges, _ADDED_COLUMNS, [row])]
    writes += item_rows(Side(lane, addition.depth, 0), addition.items, shared)
    writes += payload_rows(database, project_id, shared)
    if thread:
        writes += fingerprint_rows(thread, exchange)
    return [replace(write, if_updated=if_updated) if isinstance(write, Insert) else write for write in writes]


def _is_there(scope: Scope, conversation_id: str) -> ColumnElement[bool]:
    return and_(_c.c.project_id == scope.project_id, _c.c.id == conversation_id, _c.c.deleted_at.is_(None))


# A tree that grew by previous_response_id has no tip on record: it goes on from its newest answer.
_TIP = (
    "SELECT c.tip_id, c.writer_id, CASE WHEN c.tip_id IS NULL THEN ("
    " SELECT e.id FROM exchanges h JOIN exchanges e ON e.lane = h.id AND e.project_id = h.project_id"
    " WHERE h.conversation_id = c.id AND h.lane = h.id AND h.project_id = c.project_id AND e.stored"
    " AND e.deleted_at IS NULL AND e.status IN ('completed', 'incomplete') AND e.error IS NULL"
    " ORDER BY e.id DESC LIMIT 1) END"
    " FROM conversations c WHERE c.project_id = ? AND c.id = ? AND c.deleted_at IS NULL"
)
