"""The hot path: a turn's two reads and its two writes.

    parent()   the exchange to continue, and whether it can be       1 statement
    context()  the items in front of the model                       1 statement, whatever the depth
    begin()    the request, before the upstream is called            1 transaction
    end()      the answer, before the client sees its end            1 transaction

Nothing here costs more as the tables grow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from convstore import ids
from convstore.domain import jsontext, usage
from convstore.domain.context import ContextItem
from convstore.domain.exchange import Beginning, Ending, Place
from convstore.domain.items import SEALED, Item
from convstore.storage import tables
from convstore.storage.database import Database
from convstore.storage.direct import Clash, Cursor, writing
from convstore.storage.statements import Delete, Insert, Update, Write, execute
from convstore.storage.types import deflate, inflate, micros

# A body from this size on is kept once per project, however often it is sent: images, files, long documents.
SHARED_FROM = 8192

_EXCHANGE_COLUMNS = tuple(
    "id project_id conversation_id parent_id lane depth input_count status origin origin_id stored "
    "requested_model settings_hash metadata user safety_identifier extras api_key_id request_id created_at".split()
)
_ENDING_COLUMNS = tuple(
    "status model upstream upstream_response_id reply_hash error incomplete_reason attempts input_tokens "
    "cached_tokens cache_write_tokens output_tokens reasoning_tokens total_tokens usage first_event_at "
    "completed_at".split()
)
_ITEM_COLUMNS = tuple("lane depth position output type item_id role call_id name sealed_by payload_hash body".split())
_PAYLOAD_COLUMNS = ("project_id", "hash", "body")


@dataclass(frozen=True, slots=True)
class Parent:
    """The exchange a request continues. single_lane: no fork lies between it and the root."""

    id: str
    conversation_id: str
    lane: str
    depth: int
    status: str
    continued: bool
    single_lane: bool
    upstream: str | None
    upstream_response_id: str | None


def parent(cursor: Cursor, project_id: str, exchange_id: str) -> Parent | None:
    """The exchange with this id, when it is there, stored and not deleted."""
    packed = ids.pack(ids.EXCHANGE, exchange_id)
    if packed is None:
        return None
    row = cursor.execute(_PARENT, (packed, _packed(ids.PROJECT, project_id))).fetchone()
    if row is None:
        return None
    conversation, lane, depth, status, upstream, upstream_response_id, continued, fork = row
    return Parent(
        id=exchange_id,
        conversation_id=ids.unpack(ids.CONVERSATION, bytes(conversation)),
        lane=ids.unpack(ids.EXCHANGE, bytes(lane)),
        depth=depth,
        status=status,
        continued=bool(continued),
        single_lane=fork is None,
        upstream=upstream,
        upstream_response_id=upstream_response_id,
    )


_PARENT = (
    "SELECT e.conversation_id, e.lane, e.depth, e.status, e.upstream, e.upstream_response_id,"
    " EXISTS (SELECT 1 FROM exchanges n WHERE n.lane = e.lane AND n.depth = e.depth + 1), h.parent_id"
    " FROM exchanges e JOIN exchanges h ON h.project_id = e.project_id AND h.id = e.lane"
    " WHERE e.id = ? AND e.project_id = ? AND e.stored AND e.deleted_at IS NULL"
)
# A join with payloads could make a planner read all of them; a subquery is asked for big bodies only.
_ITEM_FIELDS = (
    "i.depth, i.output, i.type, i.item_id, i.call_id, i.sealed_by,"
    " COALESCE(i.body, (SELECT p.body FROM payloads p WHERE p.project_id = ? AND p.hash = i.payload_hash))"
)
_ONE_LANE = f"SELECT {_ITEM_FIELDS} FROM items i WHERE i.lane = ? AND i.depth <= ? ORDER BY i.depth, i.position"
# The lanes from an exchange to the root, each with the depth at which the path leaves it.
_PATH = (
    "WITH RECURSIVE path(lane, depth) AS ("
    " SELECT lane, depth FROM exchanges WHERE id = ? AND project_id = ?"
    " UNION ALL"
    " SELECT f.lane, f.depth FROM path"
    " JOIN exchanges h ON h.id = path.lane AND h.project_id = ?"
    " JOIN exchanges f ON f.id = h.parent_id AND f.project_id = h.project_id) "
)
_MANY_LANES = (
    f"{_PATH}SELECT {_ITEM_FIELDS} FROM path JOIN items i ON i.lane = path.lane AND i.depth <= path.depth"
    " ORDER BY i.depth, i.position"
)
_ON_PATH = f"{_PATH}SELECT 1 FROM path JOIN exchanges e ON e.lane = path.lane AND e.depth <= path.depth WHERE e.id = ?"


def context(cursor: Cursor, project_id: str, tip: Parent) -> list[ContextItem]:
    """The items of the thread that ends with *tip*, oldest first: one range scan for each lane on the way."""
    project = _packed(ids.PROJECT, project_id)
    if tip.single_lane:
        done = cursor.execute(_ONE_LANE, (project, _packed(ids.EXCHANGE, tip.lane), tip.depth))
    else:
        # The marks stand in the order of the text: the path's, then the subquery's.
        done = cursor.execute(_MANY_LANES, (_packed(ids.EXCHANGE, tip.id), project, project, project))
    return [
        ContextItem._make(row) if row[-1][:1] == b"{" else ContextItem._make((*row[:-1], inflate(row[-1])))
        for row in done.fetchall()
    ]


def on_thread(cursor: Cursor, project_id: str, tip: Parent, exchange_id: str) -> bool:
    """Whether an exchange lies between the root and *tip*."""
    project = _packed(ids.PROJECT, project_id)
    values = (_packed(ids.EXCHANGE, tip.id), project, project, _packed(ids.EXCHANGE, exchange_id))
    return cursor.execute(_ON_PATH, values).fetchone() is not None


class KeyTaken(Exception):
    """Another request with this idempotency key was first."""


class LaneTaken(Exception):
    """Another child of the same parent was first; this one needs a lane of its own."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A client's Idempotency-Key and the SHA-256 of the body it came with."""

    key: str
    body_sha256: bytes


def begin(
    database: Database, project_id: str, beginning: Beginning, process: bytes, key: IdempotencyKey | None = None
) -> None:
    """Put a request on disk. Raises KeyTaken, LaneTaken, StorageUnavailable; then nothing of it was kept."""
    try:
        _transact(database, _beginning(database, project_id, beginning, process, key))
    except Clash as clash:
        if "idempotency_keys" in clash.constraint:
            raise KeyTaken from clash
        if "lane" in clash.constraint:
            raise LaneTaken from clash
        raise


def end(database: Database, project_id: str, place: Place, ending: Ending, *, journalled: bool = False) -> bool:
    """Put an answer on disk. False when the exchange had been ended already. May be called again after a failure."""
    return _transact(database, _ending(database, project_id, place, ending, journalled))


# -- the rows -------------------------------------------------------------------------------------------------


def _beginning(
    database: Database, project_id: str, beginning: Beginning, process: bytes, key: IdempotencyKey | None
) -> list[Write]:
    project = _packed(ids.PROJECT, project_id)
    exchange = _packed(ids.EXCHANGE, beginning.id)
    lane = _packed(ids.EXCHANGE, beginning.lane)
    conversation = _packed(ids.CONVERSATION, beginning.conversation_id)
    created_at = micros(beginning.created_at)
    writes: list[Write] = []
    if key is not None:
        writes.append(
            Insert(
                tables.idempotency_keys,
                ("project_id", "key", "body_sha256", "exchange_id", "created_at"),
                [(project, key.key, key.body_sha256, exchange, created_at)],
            )
        )
    if beginning.parent_id is None:
        columns = ("project_id", "id", "created_at")
        writes.append(Insert(tables.conversations, columns, [(project, conversation, created_at)]))
    row = (
        exchange,
        project,
        conversation,
        _packed(ids.EXCHANGE, beginning.parent_id),
        lane,
        beginning.depth,
        len(beginning.items),
        "in_progress",
        beginning.origin,
        _packed(ids.EXCHANGE, beginning.origin_id),
        beginning.stored,
        beginning.requested_model,
        beginning.settings_hash,
        _text(beginning.metadata),
        beginning.user,
        beginning.safety_identifier,
        _text(beginning.extras),
        _packed(ids.KEY, beginning.api_key_id),
        _packed(ids.REQUEST, beginning.request_id),
        created_at,
    )
    writes.append(Insert(tables.exchanges, _EXCHANGE_COLUMNS, [row]))
    writes.append(Insert(tables.running, ("exchange_id", "project_id", "process_id"), [(exchange, project, process)]))
    shared = {beginning.settings_hash: beginning.settings}
    writes += _items(_Side(lane, beginning.depth, 0), beginning.items, shared)
    return writes + _payloads(database, project_id, shared)


def _ending(database: Database, project_id: str, place: Place, ending: Ending, journalled: bool) -> list[Write]:
    exchange = _packed(ids.EXCHANGE, place.id)
    reply_hash = jsontext.digest(ending.reply) if ending.reply != b"{}" else None
    values = (
        ending.status,
        ending.model,
        ending.upstream,
        ending.upstream_response_id,
        reply_hash,
        _json(ending.error),
        ending.incomplete_reason,
        _json(ending.attempts),
        *usage.columns(ending.usage),
        _json(ending.reported_usage),
        micros(ending.first_event_at) if ending.first_event_at else None,
        micros(ending.completed_at),
        _packed(ids.PROJECT, project_id),
        exchange,
        "in_progress",
    )
    writes: list[Write] = [Update(tables.exchanges, _ENDING_COLUMNS, ("project_id", "id", "status"), values)]
    shared = {reply_hash: ending.reply} if reply_hash else {}
    lane = _packed(ids.EXCHANGE, place.lane)
    writes += _items(_Side(lane, place.depth, place.offset, True, ending.upstream), ending.output, shared)
    writes += _payloads(database, project_id, shared)
    writes.append(Delete(tables.running, ("exchange_id",), (exchange,)))
    if journalled:
        writes.append(Delete(tables.journal, ("exchange_id",), (exchange,)))
    return writes


@dataclass(frozen=True, slots=True)
class _Side:
    """Where items go: after how many others of their exchange, on which side, and whose they are."""

    lane: bytes | None
    depth: int
    offset: int
    output: bool = False
    upstream: str | None = None


def _items(side: _Side, items: Sequence[Item], shared: dict[bytes, bytes]) -> list[Write]:
    """The rows of items; big bodies go to *shared*, under their digests."""
    rows = []
    for position, item in enumerate(items, side.offset):
        reference = None
        if len(item.body) >= SHARED_FROM:
            reference = jsontext.digest(item.body)
            shared[reference] = item.body
        rows.append(
            (
                side.lane,
                side.depth,
                position,
                side.output,
                item.type,
                item.item_id,
                item.role,
                item.call_id,
                item.name,
                side.upstream if item.type in SEALED else None,
                reference,
                None if reference else deflate(item.body),
            )
        )
    return [Insert(tables.items, _ITEM_COLUMNS, rows, if_updated=side.output)] if rows else []


def _payloads(database: Database, project_id: str, shared: dict[bytes, bytes]) -> list[Write]:
    """The rows of the payloads that this process has not seen stored yet."""
    project = _packed(ids.PROJECT, project_id)
    rows: list[tuple[Any, ...]] = [
        (project, hash_, deflate(body)) for hash_, body in shared.items() if (project, hash_) not in database.stored
    ]
    return [Insert(tables.payloads, _PAYLOAD_COLUMNS, rows, ignore=True)] if rows else []


def _transact(database: Database, writes: Sequence[Write]) -> bool:
    with writing(database) as cursor:
        done = execute(cursor, writes)
    for write in writes:
        if isinstance(write, Insert) and write.table is tables.payloads:
            # Only now: what a transaction that failed wrote is not there.
            database.remember((row[0], row[1]) for row in write.rows)
    return done


def _packed(prefix: str, text: str | None) -> bytes | None:
    return None if text is None else ids.pack(prefix, text)


def _text(json: bytes | None) -> str | None:
    return None if json is None else json.decode()


def _json(value: Any) -> str | None:
    return None if value is None or value == () else jsontext.dumps(value).decode()
