"""Exchanges beside their parents, and what a tree that is to be put in order needs. Bodies are read in contents.py."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, and_, func, select

from convstore.errors import ContentShredded
from convstore.storage import tables
from convstore.storage.checkup import BATCH, Spot, chunks, following, own
from convstore.storage.scope import Scope

_e = tables.exchanges
_i = tables.items
_c = tables.conversations
_r = tables.running


class Standing(NamedTuple):
    """An exchange beside its parent, to be judged without looking further."""

    id: str
    parent_id: str | None
    lane: str
    depth: int
    conversation_id: str
    input_count: int
    parent_lane: str | None
    parent_depth: int | None
    parent_conversation: str | None
    # Whether an exchange continues the parent's lane; whether the conversation is on record; its input items.
    goes_on: bool
    has_conversation: bool
    inputs: int

    @property
    def is_orphan(self) -> bool:
        return self.parent_id is not None and self.parent_depth is None

    @property
    def fits(self) -> bool:
        """Whether nothing about it asks for a closer look."""
        return self.has_conversation and self.inputs == self.input_count and self.fits_parent

    @property
    def fits_parent(self) -> bool:
        """Whether all that is derived follows from its parent: if it does for all, it is right for all."""
        if self.parent_id is None:
            return self.lane == self.id and self.depth == 0
        return (
            self.depth == (self.parent_depth or 0) + 1
            and self.lane in (self.id, self.parent_lane)
            and self.conversation_id == self.parent_conversation
            and self.goes_on
        )


@dataclass(frozen=True, slots=True)
class Member:
    """An exchange of a tree that is to be put in order."""

    id: str
    parent_id: str | None
    lane: str
    depth: int
    conversation_id: str
    status: str
    input_count: int
    question: str | None
    answer: str | None
    fingerprint: bytes | None
    user: str | None
    safety_identifier: str | None
    created_at: datetime

    @property
    def spot(self) -> Spot:
        return self.lane, self.depth


def count(scope: Scope) -> int:
    """How many exchanges the project has."""
    return int(scope.connection.execute(own(scope, select(func.count()).select_from(_e))).scalar_one())


def standings(scope: Scope, after: str | None) -> list[Standing]:
    """The next exchanges, each beside its parent."""
    parent, next_ = _e.alias("parent"), _e.alias("next")
    goes_on = select(next_.c.id).where(next_.c.lane == parent.c.lane, next_.c.depth == parent.c.depth + 1)
    conversation = select(_c.c.id).where(_c.c.project_id == _e.c.project_id, _c.c.id == _e.c.conversation_id)
    inputs = select(func.count()).where(_i.c.lane == _e.c.lane, _i.c.depth == _e.c.depth, ~_i.c.output)
    query = select(
        *(_e.c[name] for name in "id parent_id lane depth conversation_id input_count".split()),
        parent.c.lane.label("parent_lane"),
        parent.c.depth.label("parent_depth"),
        parent.c.conversation_id.label("parent_conversation"),
        goes_on.exists().label("goes_on"),
        conversation.exists().label("has_conversation"),
        inputs.scalar_subquery().label("inputs"),
    ).select_from(_e.outerjoin(parent, and_(parent.c.project_id == _e.c.project_id, parent.c.id == _e.c.parent_id)))
    return [Standing(*row) for row in scope.connection.execute(following(scope, query, after))]


def links(scope: Scope, after: str | None, limit: int = 20 * BATCH) -> list[tuple[str, str | None]]:
    """The next exchanges and their parents, as ids."""
    query = following(scope, select(_e.c.id, _e.c.parent_id), after, limit)
    return [(row.id, row.parent_id) for row in scope.connection.execute(query)]


def ancestors(scope: Scope, exchange_id: str) -> dict[str, str | None]:
    """The way up from an exchange, its own parent first, as id → parent id. It ends in a ring as well."""
    up = (
        select(_e.c.id, _e.c.parent_id)
        .where(_e.c.project_id == scope.project_id, _e.c.id == exchange_id)
        .cte("up", recursive=True)
    )
    parent = _e.alias("parent")
    # UNION, not UNION ALL: what was seen before is not followed again.
    up = up.union(
        select(parent.c.id, parent.c.parent_id).where(
            parent.c.project_id == scope.project_id, parent.c.id == up.c.parent_id
        )
    )
    return {row.id: row.parent_id for row in scope.connection.execute(select(up))}


def members(scope: Scope, exchange_ids: Collection[str], *, lock: bool = False) -> list[Member]:
    """These exchanges, in the order of their ids. lock: inside a transaction, nobody changes them until its end."""
    columns = [_e.c[name] for name in Member.__slots__]
    found = []
    for some in chunks(sorted(exchange_ids)):
        query = own(scope, select(*columns)).where(_e.c.id.in_(some)).order_by(_e.c.id)
        rows = scope.connection.execute(query.with_for_update() if lock else query)
        found += [Member(**{**row._mapping, **_opened(scope, row)}) for row in rows.fetchall()]
    return found


def _opened(scope: Scope, row: Row[Any]) -> dict[str, Any]:
    """What of a member may be sealed."""
    lines = {name: scope.line(row._mapping[name]) for name in ("question", "answer")}
    try:
        return {**lines, "fingerprint": scope.bytes(row.fingerprint)}
    except ContentShredded:
        return {**lines, "fingerprint": None}


def lanes_with_items(scope: Scope, lanes: Collection[str]) -> set[str]:
    """Which of these lanes hold any item."""
    found: set[str] = set()
    for some in chunks(sorted(lanes)):
        found |= set(scope.connection.execute(select(_i.c.lane).where(_i.c.lane.in_(some)).distinct()).scalars())
    return found


def conversations(scope: Scope, conversation_ids: Collection[str]) -> dict[str, datetime]:
    """Which of these are on record, and since when."""
    query = select(_c.c.id, _c.c.created_at).where(_c.c.project_id == scope.project_id)
    found: dict[str, datetime] = {}
    for some in chunks(sorted(conversation_ids)):
        found |= {row.id: row.created_at for row in scope.connection.execute(query.where(_c.c.id.in_(some)))}
    return found


def held(scope: Scope, exchange_ids: Collection[str]) -> dict[str, bytes]:
    """Which of these exchanges a process is at, and which process."""
    query = select(_r.c.exchange_id, _r.c.process_id)
    found: dict[str, bytes] = {}
    for some in chunks(sorted(exchange_ids)):
        rows = scope.connection.execute(query.where(_r.c.exchange_id.in_(some)))
        found |= {row.exchange_id: bytes(row.process_id) for row in rows}
    return found
