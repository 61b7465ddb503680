"""Which exchanges leave, and in which order: conversations by age, in each of them parents before their children.

Keys alone are read, so that a conversation of any size is walked in little memory. What clients asked not to store, and
what is still being answered, stays here.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import and_, func, select

from convstore import ids
from convstore.domain.archive import ArchivedBranch, ArchivedConversation
from convstore.storage import conversations, paths, tables
from convstore.storage.erasing import UNFINISHED
from convstore.storage.rows import packed
from convstore.storage.scope import Scope

_c = tables.conversations
_e = tables.exchanges
_b = tables.branches
# Keys read at a time: of the biggest conversation each page puts all in order again.
KEYS = 10_000


# Where a page of keys ends, for the next one to go on from.
After = tuple[Any, ...]


class Place(NamedTuple):
    """An exchange and where it lies."""

    conversation_id: bytes
    id: bytes
    lane: bytes
    depth: int
    parent: bytes | None


class Listed(NamedTuple):
    """A conversation and what lists call it."""

    conversation: ArchivedConversation
    title: str | None


def all_conversations(scope: Scope, limit: int, after: str | None = None) -> list[Listed]:
    """The oldest conversations behind the one with the id *after*, deleted ones among them."""
    query = _conversations(scope)
    if after is not None:
        query = query.where(_c.c.id > after)
    return _listed(scope, query.order_by(_c.c.id).limit(limit))


def these_conversations(scope: Scope, conversation_ids: Sequence[str]) -> list[Listed]:
    """Those of these that are there, by age. For a page of them."""
    return _listed(scope, _conversations(scope).where(_c.c.id.in_(conversation_ids)).order_by(_c.c.id))


def of_conversations(
    scope: Scope, conversation_ids: Sequence[str], after: After | None = None, *, in_lanes: bool = False
) -> tuple[list[Place], After | None]:
    """The first exchanges of conversations, a page of those at most: by depth, or lane by lane.

    after: where the page before ended; so does this one, or None where nothing follows.
    """
    own = [packed(ids.CONVERSATION, each) for each in conversation_ids]
    sign = "+" if scope.connection.dialect.name == "sqlite" else ""
    sql = (_IN_LANES if in_lanes else _BY_DEPTH).format(own=", ".join("?" * len(own)), sign=sign)
    values = (packed(ids.PROJECT, scope.project_id), *own, *UNFINISHED, *(after or _BEGINNING), KEYS)
    rows = scope.ask(sql, values).fetchall() if own else []
    found = [_of_row(row) for row in rows]
    return found, tuple(rows[-1][5:]) if len(rows) == KEYS else None


def of_thread(scope: Scope, tip_id: str) -> list[Place]:
    """The exchanges from the root to one, itself among them: by depth. One statement."""
    path = paths.to(scope, tip_id)
    source = path.join(_e, and_(_e.c.lane == path.c.lane, _e.c.depth <= path.c.depth))
    query = select(*_KEY).select_from(source)
    query = query.where(_e.c.project_id == scope.project_id, _e.c.stored, _e.c.status.not_in(UNFINISHED))
    return [_place(row) for row in scope.connection.execute(query.order_by(_e.c.depth))]


def these(scope: Scope, exchange_ids: Sequence[str]) -> list[Place]:
    """Those of these that have ended, in the order given. For a page of them."""
    query = select(*_KEY).where(_e.c.project_id == scope.project_id, _e.c.id.in_(exchange_ids))
    rows = scope.connection.execute(query.where(_e.c.stored, _e.c.status.not_in(UNFINISHED)))
    found = {row.id: _place(row) for row in rows}
    return [found[own] for own in exchange_ids if own in found]


def branches(scope: Scope, conversation_ids: Sequence[str]) -> dict[str, list[ArchivedBranch]]:
    """The names in conversations, a page of them at most, by conversation, in the order of names."""
    found: dict[str, list[ArchivedBranch]] = {}
    query = select(_b).where(_b.c.project_id == scope.project_id, _b.c.conversation_id.in_(conversation_ids))
    for row in scope.connection.execute(query.order_by(_b.c.conversation_id, _b.c.name)):
        named = ArchivedBranch(row.name, row.conversation_id, row.tip_id, row.created_at, row.moved_at)
        found.setdefault(row.conversation_id, []).append(named)
    return found


def count(scope: Scope) -> int:
    """How many exchanges a project has that can leave; and those that are being answered."""
    query = select(func.count()).select_from(_e).where(_e.c.project_id == scope.project_id, _e.c.stored)
    return int(scope.connection.execute(query).scalar_one())


def _conversations(scope: Scope) -> Any:
    names = ("id", "created_at", "metadata", "tip_id", "deleted_at")
    named = (_c.c.title.label("named"), conversations.shown_title())
    return select(*(_c.c[name] for name in names), *named).where(_c.c.project_id == scope.project_id)


def _listed(scope: Scope, query: Any) -> list[Listed]:
    found = []
    for row in scope.connection.execute(query).fetchall():
        metadata = row.metadata.encode() if row.metadata is not None else None
        named = scope.line(row.named)
        own = ArchivedConversation(row.id, row.created_at, named, metadata, row.tip_id, row.deleted_at)
        found.append(Listed(own, scope.line(row.title)))
    return found


def _place(row: Any) -> Place:
    conversation, own = packed(ids.CONVERSATION, row.conversation_id), packed(ids.EXCHANGE, row.id)
    lane, parent = packed(ids.EXCHANGE, row.lane), packed(ids.EXCHANGE, row.parent_id)
    return Place(conversation or b"", own or b"", lane or b"", row.depth, parent)


def _of_row(row: Any) -> Place:
    conversation, own, lane, depth, parent = row[:5]
    return Place(bytes(conversation), bytes(own), bytes(lane), depth, bytes(parent) if parent is not None else None)


_KEY = (_e.c.conversation_id, _e.c.id, _e.c.lane, _e.c.depth, _e.c.parent_id)
_BEGINNING: After = (b"", -1, b"", -1)
# Left to itself, SQLite goes through the whole project for each page: CROSS JOIN makes it look for the heads of lanes
# first, and the sign in front of the project not by that. PostgreSQL has statistics, and knows no such sign of bytes.
_OF = (
    " FROM exchanges h CROSS JOIN exchanges e"
    " WHERE {sign}h.project_id = ? AND h.conversation_id IN ({own}) AND h.lane = h.id"
    " AND e.lane = h.id AND {sign}e.project_id = h.project_id"
    " AND e.stored AND e.status NOT IN (?, ?)"
)
_SHOWN = "SELECT h.conversation_id, e.id, e.lane, e.depth, e.parent_id,"
_BY_DEPTH = (
    f"{_SHOWN} h.conversation_id, e.depth, e.id, 0{_OF} AND (h.conversation_id, e.depth, e.id, 0) > (?, ?, ?, ?)"
    " ORDER BY h.conversation_id, e.depth, e.id LIMIT ?"
)
_IN_LANES = (
    f"{_SHOWN} h.conversation_id, h.depth, h.id, e.depth{_OF}"
    " AND (h.conversation_id, h.depth, h.id, e.depth) > (?, ?, ?, ?)"
    " ORDER BY h.conversation_id, h.depth, h.id, e.depth LIMIT ?"
)
