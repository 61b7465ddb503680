"""Reading exchanges and their items back, and deleting them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, or_, select, text, tuple_, update

from convstore import ids
from convstore.domain import jsontext, usage
from convstore.domain.exchange import ADDED, Exchange
from convstore.domain.items import REMOVAL, Item, shown_id
from convstore.errors import ContentShredded
from convstore.storage import paths, tables
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
_OUTLINE = tuple(_i.c[name] for name in "lane depth position output type item_id role call_id name sealed_by".split())

# Stands for an error whose text was shredded: that there was one is a fact of the exchange.
SHREDDED = {"code": ContentShredded.code, "message": "What it was is shredded."}

# In the words of the partial index on item_id: SQLite compares texts to see that it may be used.
_OWN = text("NOT items.output")


@dataclass(frozen=True, slots=True)
class Placed:
    """An item and where it stands: which exchange's, at which depth of its thread, after how many others there.

    sealed_by: the upstream that alone can read it.
    """

    exchange_id: str
    position: int
    output: bool
    item: Item
    lane: str
    depth: int
    sealed_by: str | None = None

    @property
    def shown_id(self) -> str:
        """The id that clients know it under."""
        return shown_id(self.item, self.exchange_id, self.position, output=self.output)


def get(scope: Scope, exchange_id: str, *, hidden: bool = False) -> Exchange | None:
    """The exchange with this id. hidden: also one that is deleted, was not to be stored, or has no response."""
    query = _EXCHANGE.where(_e.c.id == exchange_id, _e.c.project_id == scope.project_id)
    if not hidden:
        query = query.where(is_response())
    row = scope.connection.execute(query).fetchone()
    return of_row(scope, row, row.settings, row.reply) if row is not None else None


def status(scope: Scope, exchange_id: str) -> str | None:
    """How an exchange stands; None when there is none with this id."""
    query = select(_e.c.status).where(_e.c.id == exchange_id, _e.c.project_id == scope.project_id)
    return scope.connection.execute(query).scalar()


def shown(scope: Scope, exchange_id: str) -> tuple[bytes | None, int] | None:
    """The digest of what the model was shown, and how many items of the thread had no room in its window."""
    query = select(_e.c.context_sha256, _e.c.context_cut)
    row = scope.connection.execute(query.where(_e.c.id == exchange_id, _e.c.project_id == scope.project_id)).fetchone()
    return (scope.bytes(row.context_sha256), row.context_cut or 0) if row is not None else None


def output(scope: Scope, exchange: Exchange) -> list[Item]:
    """The output items of an exchange, in order."""
    query = _items(scope).where(_i.c.lane == exchange.lane, _i.c.depth == exchange.depth, _i.c.output)
    return [_item(row, _body(scope, row)) for row in scope.connection.execute(query.order_by(_i.c.position))]


def own_input(scope: Scope, exchange: Exchange) -> list[Placed]:
    """The items the request itself brought, in order."""
    query = _items(scope).where(_i.c.lane == exchange.lane, _i.c.depth == exchange.depth, ~_i.c.output)
    rows = scope.connection.execute(query.order_by(_i.c.position))
    return [
        Placed(exchange.id, row.position, False, _item(row, _body(scope, row)), exchange.lane, exchange.depth)
        for row in rows
    ]


def history(scope: Scope, exchange: Exchange) -> list[Placed]:
    """The items of the exchange's ancestors that were still there, oldest first. One statement."""
    return remaining(thread(scope, exchange.parent_id)) if exchange.parent_id else []


def remaining(placed: Sequence[Placed]) -> list[Placed]:
    """A thread without the items that were taken out of it later on."""
    # An upstream may say whatever it likes: only what stands among the inputs is ours.
    removed = {each.item.call_id for each in placed if each.item.type == REMOVAL and not each.output}
    return [
        each
        for each in placed
        if (each.item.type != REMOVAL or each.output)
        and (not removed or f"{each.depth}.{each.position}" not in removed)
    ]


def thread(scope: Scope, tip_id: str, *, bodies: bool = True, first: int = 0, last: int | None = None) -> list[Placed]:
    """The items from the root to the exchange with this id, its own among them; and removals. One statement.

    bodies: read them too; without, every body is empty. first and last: only of exchanges of these depths.
    """
    path = paths.to(scope, tip_id)
    owner = _e.alias("owner")
    source = path.join(_i, and_(_i.c.lane == path.c.lane, _i.c.depth <= path.c.depth)).join(
        owner, and_(owner.c.lane == _i.c.lane, owner.c.depth == _i.c.depth)
    )
    columns: tuple[Any, ...] = _OUTLINE
    if bodies:
        columns = (_i, _shared.c.body.label("shared_body"))
        source = source.outerjoin(_shared, _is_shared(scope))
    query: Select[Any] = select(*columns, owner.c.id.label("exchange_id")).select_from(source)
    if first > 0:
        query = query.where(_i.c.depth >= first)
    if last is not None:
        query = query.where(_i.c.depth <= last)
    rows = scope.connection.execute(query.order_by(_i.c.depth, _i.c.position))
    return [
        Placed(
            row.exchange_id,
            row.position,
            row.output,
            _item(row, _body(scope, row) if bodies else b""),
            row.lane,
            row.depth,
            row.sealed_by,
        )
        for row in rows
    ]


def with_bodies(scope: Scope, placed: Sequence[Placed]) -> list[Placed]:
    """The same items with their bodies. One statement, a range scan for each lane: made for neighbours on a thread."""
    lanes: dict[str, list[tuple[int, int]]] = {}
    for each in placed:
        lanes.setdefault(each.lane, []).append((each.depth, each.position))
    if not lanes:
        return []
    query = _items(scope).where(or_(*(_between(lane, min(at), max(at)) for lane, at in lanes.items())))
    found = {
        (row.lane, row.depth, row.position): _item(row, _body(scope, row)) for row in scope.connection.execute(query)
    }
    return [replace(each, item=found[each.lane, each.depth, each.position]) for each in placed]


def items_of(scope: Scope, places: Mapping[tuple[str, int], str]) -> dict[str, list[Placed]]:
    """The items of the exchanges at these places (lane, depth), by exchange, in order. For a page of them."""
    found: dict[str, list[Placed]] = {exchange_id: [] for exchange_id in places.values()}
    if not places:
        return found
    query = _items(scope).where(or_(*(and_(_i.c.lane == lane, _i.c.depth == depth) for lane, depth in places)))
    for row in scope.connection.execute(query.order_by(_i.c.lane, _i.c.depth, _i.c.position)):
        own = places[row.lane, row.depth]
        found[own].append(Placed(own, row.position, row.output, _item(row, _body(scope, row)), row.lane, row.depth))
    return found


def delete(scope: Scope, exchange_id: str, now: datetime) -> bool:
    """Hide an exchange: it is found no more, its descendants keep their history. False when it was not there."""
    done = scope.connection.execute(
        update(_e)
        .where(_e.c.id == exchange_id, _e.c.project_id == scope.project_id, is_response())
        .values(deleted_at=now)
    )
    return done.rowcount > 0


def find_item(scope: Scope, item_id: str) -> Item | None:
    """A stored item by the id a client knows it under."""
    home = ids.item_home(item_id)
    query = _items(scope).join(_e, and_(_e.c.lane == _i.c.lane, _e.c.depth == _i.c.depth))
    query = query.where(_e.c.project_id == scope.project_id, _e.c.stored, _e.c.deleted_at.is_(None))
    query = query.where(_i.c.type != REMOVAL)
    if home is not None:
        query = query.where(_e.c.id == home[0], _i.c.position == home[1])
    else:
        query = query.where(_i.c.item_id == item_id, _OWN).order_by(_e.c.id.desc()).limit(1)
    row = scope.connection.execute(query).fetchone()
    return _item(row, _body(scope, row)) if row is not None else None


def of_row(scope: Scope, row: Row[Any], settings: bytes | None, reply: bytes | None = None) -> Exchange:
    """The exchange of a row of the table, and its payloads. Of one that was shredded, what is no content is there."""
    columns = row._mapping
    plain = (
        "id conversation_id parent_id lane depth input_count status origin stored requested_model user "
        "safety_identifier created_at model upstream upstream_response_id incomplete_reason completed_at linked "
        "background last_event origin_id first_event_at api_key_id request_id erased_at"
    )
    return Exchange(
        **{name: columns[name] for name in plain.split()},
        settings=_left(scope, settings),
        reply=_left(scope, reply),
        metadata=_bytes(columns["metadata"]),
        extras=_bytes(scope.line(columns["extras"])),
        error=_loaded(scope.line(columns["error"])) or (SHREDDED if columns["error"] else None),
        attempts=_loaded(scope.line(columns["attempts"])) or (),
        usage=usage.of_columns(*(columns[name] for name in usage.COLUMNS)),
    )


def _items(scope: Scope) -> Any:
    return _ITEM.select_from(_i).outerjoin(_shared, _is_shared(scope))


def _between(lane: str, first: tuple[int, int], last: tuple[int, int]) -> ColumnElement[bool]:
    """From one place of a lane to another, as (depth, position)."""
    place = tuple_(_i.c.depth, _i.c.position)
    return and_(_i.c.lane == lane, place >= tuple_(*first), place <= tuple_(*last))


def _is_shared(scope: Scope) -> ColumnElement[bool]:
    return and_(_shared.c.project_id == scope.project_id, _shared.c.hash == _i.c.payload_hash)


def is_response() -> ColumnElement[bool]:
    """An exchange that clients can ask for."""
    return and_(_e.c.stored, _e.c.deleted_at.is_(None), _e.c.origin != ADDED)


def _body(scope: Scope, row: Row[Any]) -> bytes:
    body: bytes = row.body if row.body is not None else row.shared_body
    return scope.body(body) if body else body


def _left(scope: Scope, payload: bytes | None) -> bytes:
    """What is left of a payload: nothing, when it was shredded. Its items say so to whoever wants content."""
    try:
        return scope.body(payload) if payload else b"{}"
    except ContentShredded:
        return b"{}"


def _item(row: Row[Any], body: bytes) -> Item:
    return Item(row.type, body, item_id=row.item_id, role=row.role, call_id=row.call_id, name=row.name)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _loaded(text: str | None) -> Any:
    return None if text is None else jsontext.loads(text)
