"""Exchanges read whole: rows, settings and items of a page in a few statements.

Bodies that are shared (8 KiB and more) are read for one exchange at a time, when its turn comes: a page holds no more
than small ones. What was shredded is given as what was erased is: markers in its place.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import and_, select

from convstore import ids
from convstore.domain import erasing, jsontext, usage
from convstore.domain.archive import Archived, Kept
from convstore.domain.exchange import NOTHING, Sent
from convstore.domain.items import Item
from convstore.domain.ledger import Entry
from convstore.errors import ContentShredded, ContentUnreadable
from convstore.storage import ledger, tables
from convstore.storage.archive.places import Place
from convstore.storage.exchanges import SHREDDED
from convstore.storage.scope import Scope
from convstore.storage.types import inflate

_e = tables.exchanges
_l = tables.ledger
_p = tables.payloads
_above = _e.alias("above")

_PLAIN = tuple(
    "id conversation_id parent_id lane depth status origin origin_id requested_model user safety_identifier "
    "api_key_id request_id created_at linked background context_cut model upstream upstream_response_id "
    "incomplete_reason first_event_at completed_at deleted_at erased_at last_event".split()
)
_ENTRY = tuple(column for column in _l.columns if column.name not in ("project_id", "exchange_id"))
_OF_ENTRY = tuple(column.name for column in _ENTRY)
_PLAIN_OF_ENTRY = tuple(
    "conversation_id created_at api_key_id user requested_model model upstream origin status service_tier".split()
)
_QUERY = select(
    _e,
    (_above.c.settings_hash == _e.c.settings_hash).label("repeats"),
    *(column.label(f"of_{column.name}") for column in _ENTRY),
).select_from(
    _e.outerjoin(_l, and_(_l.c.project_id == _e.c.project_id, _l.c.exchange_id == _e.c.id)).outerjoin(
        _above, and_(_above.c.project_id == _e.c.project_id, _above.c.id == _e.c.parent_id)
    )
)
# What of a row is a payload, by the column of its digest. How a history was sent may have been erased (erasing.py).
_PAYLOADS = ("settings_hash", "reply_hash")
_MAY_BE_GONE = "sent_hash"


def read(scope: Scope, places: Sequence[Place]) -> Iterator[Archived | None]:
    """The exchanges at these places, in this order; None of those that are gone. For a page, some of it perhaps twice.

    Raises ContentUnreadable.
    """
    rows = _rows(scope, places)
    needed = {row._mapping[name] for row in rows.values() for name in _PAYLOADS}
    payloads = _payloads(scope, needed, {row._mapping[_MAY_BE_GONE] for row in rows.values()})
    items = _items(scope, places)
    for place in places:
        row, own = rows.get(ids.unpack(ids.EXCHANGE, place.id)), items.get((place.lane, place.depth), ())
        yield None if row is None else _archived(scope, row, payloads, own)


def _rows(scope: Scope, places: Sequence[Place]) -> dict[str, Any]:
    wanted = [ids.unpack(ids.EXCHANGE, place.id) for place in places]
    query = _QUERY.where(_e.c.project_id == scope.project_id, _e.c.id.in_(wanted))
    return {row.id: row for row in scope.connection.execute(query)}


def _payloads(
    scope: Scope, needed: Iterable[bytes | None], others: Iterable[bytes | None] = ()
) -> dict[bytes, bytes | None]:
    """Bodies that are stored apart, by digest; None of those that were shredded, and of others that are gone.

    Raises ContentUnreadable.
    """
    must = {bytes(each) for each in needed if each is not None}
    wanted = sorted({*must, *(bytes(each) for each in others if each is not None)})
    if not wanted:
        return {}
    query = select(_p.c.hash, _p.c.body).where(_p.c.project_id == scope.project_id, _p.c.hash.in_(wanted))
    found: dict[bytes, bytes | None] = dict.fromkeys(set(wanted) - must)
    for row in scope.connection.execute(query).fetchall():
        try:
            found[bytes(row.hash)] = scope.body(row.body)
        except ContentShredded:
            found[bytes(row.hash)] = None
    if not must <= found.keys():
        # A marker in its place would look as if somebody had wanted it gone.
        raise ContentUnreadable
    return found


def _items(scope: Scope, places: Sequence[Place]) -> dict[tuple[bytes, int], list[Any]]:
    """The rows of the items at places, with small bodies: by place, in order. One statement."""
    mark = "(?, ?)" if scope.connection.dialect.name == "sqlite" else "(?::bytea, ?::integer)"
    # One that is wanted twice, by threads that share it, would have its items twice.
    distinct = dict.fromkeys((place.lane, place.depth) for place in places)
    wanted = ", ".join([mark] * len(distinct))
    values = tuple(value for place in distinct for value in place)
    found: dict[tuple[bytes, int], list[Any]] = {}
    rows = scope.ask(f"WITH wanted(lane, depth) AS (VALUES {wanted}) {_ITEMS}", values).fetchall() if places else ()
    for row in rows:
        found.setdefault((bytes(row[0]), row[1]), []).append(row)
    return found


def _archived(scope: Scope, row: Any, payloads: Mapping[bytes, bytes | None], items: Sequence[Any]) -> Archived:
    columns = row._mapping
    big = _payloads(scope, (item[-2] for item in items))
    sides: tuple[list[Kept], list[Kept]] = ([], [])
    lost = False
    for item in items:
        kept, is_lost = _kept(scope, item, big)
        sides[bool(item[2])].append(kept)
        lost = lost or is_lost
    erased_at = row.erased_at or ((row.completed_at or row.created_at) if lost else None)
    return Archived(
        **{**{name: columns[name] for name in _PLAIN}, "erased_at": erased_at},
        input=sides[0],
        output=sides[1],
        settings=payloads[bytes(row.settings_hash)] or erasing.settings(row.requested_model),
        repeats_settings=bool(row.repeats),
        metadata=_text(columns["metadata"]),
        extras=_text(scope.line(row.extras)),
        context_sha256=_digest(scope, row.context_sha256),
        sent=_sent(scope, row, payloads),
        reply=(payloads[bytes(row.reply_hash)] if row.reply_hash else None) or NOTHING,
        error=_loaded(scope.line(row.error)) or (SHREDDED if row.error else None),
        attempts=_loaded(scope.line(row.attempts)) or (),
        usage=usage.of_columns(*(columns[name] for name in usage.COLUMNS)),
        reported_usage=_loaded(columns["usage"]),
        entry=_entry(row),
    )


def _kept(scope: Scope, row: Any, big: Mapping[bytes, bytes | None]) -> tuple[Kept, bool]:
    """An item, and whether what stands for it is a marker, because nobody can read it any more."""
    _, _, output, kind, item_id, role, call_id, name, sealed_by, reference, stored = row
    try:
        body = big.get(bytes(reference)) if reference is not None else inflate(scope.body(bytes(stored)))
    except ContentShredded:
        body = None
    if body is not None:
        return Kept(Item(kind, body, item_id=item_id, role=role, call_id=call_id, name=name), sealed_by), False
    left = erasing.marker(Item(kind, b"", role=role, call_id=call_id, name=name), output=bool(output))
    return Kept(left, erasing.SEALED_BY if sealed_by else None), True


def _sent(scope: Scope, row: Any, payloads: Mapping[bytes, bytes | None]) -> Sent | None:
    """How a whole history was sent; None where that can be told no more."""
    digest = _digest(scope, row.sent_digest)
    forms = payloads[bytes(row.sent_hash)] if row.sent_hash is not None else None
    if digest is None or (forms is None and row.sent_hash is not None):
        return None
    return Sent(row.sent_count, digest, forms)


def _entry(row: Any) -> Entry | None:
    # They are the last of a row.
    columns = dict(zip(_OF_ENTRY, row[-len(_OF_ENTRY) :], strict=True))
    cost = ledger.of_columns(*(columns[column.name] for column in ledger.COST))
    if cost is None:
        return None
    return Entry(
        exchange_id=row.id,
        **{name: columns[name] for name in _PLAIN_OF_ENTRY},
        # The ledger keeps no day: whoever puts the entry back knows his own.
        day=columns["created_at"].date(),
        usage=usage.of_columns(*(columns[name] for name in usage.COLUMNS)),
        cost=cost,
        calls={kind: columns[name] for kind, name in ledger.CALLS.items() if columns[name]},
    )


def _digest(scope: Scope, stored: bytes | None) -> bytes | None:
    try:
        return scope.bytes(stored)
    except ContentShredded:
        return None


def _text(stored: str | None) -> bytes | None:
    return None if stored is None else stored.encode()


def _loaded(stored: str | None) -> Any:
    return None if stored is None else jsontext.loads(stored)


_ITEMS = (
    "SELECT i.lane, i.depth, i.output, i.type, i.item_id, i.role, i.call_id, i.name, i.sealed_by, i.payload_hash,"
    " i.body FROM wanted CROSS JOIN items i WHERE i.lane = wanted.lane AND i.depth = wanted.depth"
    " ORDER BY i.lane, i.depth, i.position"
)
