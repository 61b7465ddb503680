"""Reading exchanges and their items back, and deleting them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, select, text, update

from convstore import ids
from convstore.domain import jsontext, usage
from convstore.domain.exchange import Exchange
from convstore.domain.items import Item
from convstore.storage import tables
from convstore.storage.scope import Scope

_e = tables.exchanges
_i = tables.items
_settings = tables.payloads.alias("settings")
_reply = tables.payloads.alias("reply")
_shared = tables.payloads.alias("shared")

_FROM = _e.outerjoin(
    _settings, and_(_settings.c.project_id == _e.c.project_id, _settings.c.hash == _e.c.settings_hash)
).outerjoin(_reply, and_(_reply.c.project_id == _e.c.project_id, _reply.c.hash == _e.c.reply_hash))

_EXCHANGE = select(_e, _settings.c.body.label("settings"), _reply.c.body.label("reply")).select_from(_FROM)

_ITEM = select(_i, _shared.c.body.label("shared_body"))

# In the words of the partial index on item_id: SQLite compares texts to see that it may be used.
_OWN = text("NOT items.output")


@dataclass(frozen=True, slots=True)
class Placed:
    """An item and where it stands."""

    exchange_id: str
    position: int
    output: bool
    item: Item


def get(scope: Scope, exchange_id: str, *, hidden: bool = False) -> Exchange | None:
    """The exchange with this id. hidden: also one that is deleted or was not to be stored."""
    query = _EXCHANGE.where(_e.c.id == exchange_id, _e.c.project_id == scope.project_id)
    if not hidden:
        query = query.where(_e.c.stored, _e.c.deleted_at.is_(None))
    row = scope.connection.execute(query).fetchone()
    return _exchange(row) if row is not None else None


def output(scope: Scope, exchange: Exchange) -> list[Item]:
    """The output items of an exchange, in order."""
    query = _items(scope).where(_i.c.lane == exchange.lane, _i.c.depth == exchange.depth, _i.c.output)
    return [_item(row) for row in scope.connection.execute(query.order_by(_i.c.position))]


def own_input(scope: Scope, exchange: Exchange) -> list[Placed]:
    """The items the request itself brought, in order."""
    query = _items(scope).where(_i.c.lane == exchange.lane, _i.c.depth == exchange.depth, ~_i.c.output)
    rows = scope.connection.execute(query.order_by(_i.c.position))
    return [Placed(exchange.id, row.position, False, _item(row)) for row in rows]


def history(scope: Scope, exchange: Exchange) -> list[Placed]:
    """The items of the exchange's ancestors, oldest first. One statement."""
    path = (
        select(_e.c.lane, _e.c.depth)
        .where(_e.c.id == exchange.parent_id, _e.c.project_id == scope.project_id)
        .cte("path", recursive=True)
    )
    head, fork = _e.alias("head"), _e.alias("fork")
    path = path.union_all(
        select(fork.c.lane, fork.c.depth).select_from(
            path.join(head, and_(head.c.project_id == scope.project_id, head.c.id == path.c.lane)).join(
                fork, and_(fork.c.project_id == scope.project_id, fork.c.id == head.c.parent_id)
            )
        )
    )
    owner = _e.alias("owner")
    query = (
        select(_i, _shared.c.body.label("shared_body"), owner.c.id.label("exchange_id"))
        .select_from(
            path.join(_i, and_(_i.c.lane == path.c.lane, _i.c.depth <= path.c.depth))
            .join(owner, and_(owner.c.lane == _i.c.lane, owner.c.depth == _i.c.depth))
            .outerjoin(_shared, and_(_shared.c.project_id == scope.project_id, _shared.c.hash == _i.c.payload_hash))
        )
        .order_by(_i.c.depth, _i.c.position)
    )
    rows = scope.connection.execute(query)
    return [Placed(row.exchange_id, row.position, row.output, _item(row)) for row in rows]


def delete(scope: Scope, exchange_id: str, now: datetime) -> bool:
    """Hide an exchange: it is found no more, its descendants keep their history. False when it was not there."""
    done = scope.connection.execute(
        update(_e)
        .where(_e.c.id == exchange_id, _e.c.project_id == scope.project_id)
        .where(_e.c.stored, _e.c.deleted_at.is_(None))
        .values(deleted_at=now)
    )
    return done.rowcount > 0


def find_item(scope: Scope, item_id: str) -> Item | None:
    """A stored item by the id a client knows it under."""
    home = ids.item_home(item_id)
    query = _items(scope).join(_e, and_(_e.c.lane == _i.c.lane, _e.c.depth == _i.c.depth))
    query = query.where(_e.c.project_id == scope.project_id, _e.c.stored, _e.c.deleted_at.is_(None))
    if home is not None:
        query = query.where(_e.c.id == home[0], _i.c.position == home[1])
    else:
        query = query.where(_i.c.item_id == item_id, _OWN).order_by(_e.c.id.desc()).limit(1)
    row = scope.connection.execute(query).fetchone()
    return _item(row) if row is not None else None


def _items(scope: Scope) -> Any:
    on = and_(_shared.c.project_id == scope.project_id, _shared.c.hash == _i.c.payload_hash)
    return _ITEM.select_from(_i).outerjoin(_shared, on)


def _item(row: Row[Any]) -> Item:
    body = row.body if row.body is not None else row.shared_body
    return Item(row.type, body, item_id=row.item_id, role=row.role, call_id=row.call_id, name=row.name)


def _exchange(row: Row[Any]) -> Exchange:
    columns = row._mapping
    counts: Sequence[int | None] = [
        columns[name]
        for name in (
            "input_tokens",
            "cached_tokens",
            "cache_write_tokens",
            "output_tokens",
            "reasoning_tokens",
            "total_tokens",
        )
    ]
    plain = (
        "id conversation_id parent_id lane depth input_count status origin stored requested_model user "
        "safety_identifier created_at model upstream upstream_response_id incomplete_reason completed_at"
    )
    return Exchange(
        **{name: columns[name] for name in plain.split()},
        settings=columns["settings"] or b"{}",
        reply=columns["reply"] or b"{}",
        metadata=_bytes(columns["metadata"]),
        extras=_bytes(columns["extras"]),
        error=_loaded(columns["error"]),
        attempts=_loaded(columns["attempts"]) or (),
        usage=usage.of_columns(*counts),
    )


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _loaded(text: str | None) -> Any:
    return None if text is None else jsontext.loads(text)
