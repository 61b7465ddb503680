"""The hot path: a turn's two reads and its two writes.

    parent()   the exchange to continue, and whether it can be       1 statement
    context()  the items in front of the model                       1 statement, whatever the depth
    begin()    the request, before the upstream is called            1 transaction
    end()      the answer, before the client sees its end            1 transaction

Nothing here costs more as the tables grow.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from convstore import ids
from convstore.domain import fingerprints, jsontext, preview, usage
from convstore.domain.audit import Commits
from convstore.domain.context import ContextItem, remaining
from convstore.domain.exchange import Beginning, Ending, Place
from convstore.domain.fingerprints import Thread
from convstore.errors import ContentShredded, ThreadDamaged
from convstore.storage import ledger, searches, tables
from convstore.storage.database import Database
from convstore.storage.direct import Clash, Cursor
from convstore.storage.rows import Side, fingerprint_rows, item_rows, packed, payload_rows, transact
from convstore.storage.seals import Committed
from convstore.storage.statements import MOST_PARAMETERS, Delete, Insert, Update, Write
from convstore.storage.types import micros

_EXCHANGE_COLUMNS = tuple(
    "id project_id conversation_id parent_id lane depth input_count status origin origin_id stored "
    "requested_model settings_hash metadata user safety_identifier extras api_key_id request_id created_at "
    "linked sent_count sent_digest sent_hash background question context_sha256 context_cut".split()
)
_ENDING_COLUMNS = tuple(
    "status model upstream upstream_response_id reply_hash error incomplete_reason attempts input_tokens "
    "cached_tokens cache_write_tokens output_tokens reasoning_tokens total_tokens usage first_event_at "
    "completed_at fingerprint last_event answer".split()
)
RUNNING_COLUMNS = ("exchange_id", "project_id", "process_id")


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
    thread: Thread | None = None
    settings_hash: bytes | None = None


def parent(cursor: Cursor, project_id: str, exchange_id: str, *, hidden: bool = False) -> Parent | None:
    """The exchange with this id, when it is there, stored and not deleted; hidden: whether it is either or not.

    Raises ThreadDamaged.
    """
    own = ids.pack(ids.EXCHANGE, exchange_id)
    if own is None:
        return None
    row = cursor.execute(
        _PARENT if hidden else _PARENT + _TO_CONTINUE, (own, packed(ids.PROJECT, project_id))
    ).fetchone()
    if row is None:
        return None
    (*told, fingerprint, settings_hash, continued, fork, opened_at) = row
    conversation, lane, depth, status, upstream, upstream_response_id = told
    if (fork is None) != (opened_at == 0):
        raise ThreadDamaged(exchange_id)
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
        thread=thread_of(cursor, project_id, fingerprint),
        settings_hash=bytes(settings_hash),
    )


def thread_of(cursor: Cursor, project_id: str, stored: bytes | None) -> Thread | None:
    """The fingerprint of a thread; None when there is none, or none any more."""
    if not stored:
        return None
    try:
        return fingerprints.unpack(cursor.vault.opened(cursor.execute, project_id, bytes(stored)))
    except ContentShredded:
        return None


_PARENT = (
    "SELECT e.conversation_id, e.lane, e.depth, e.status, e.upstream, e.upstream_response_id, e.fingerprint,"
    " e.settings_hash,"
    " EXISTS (SELECT 1 FROM exchanges n WHERE n.lane = e.lane AND n.depth = e.depth + 1), h.parent_id, h.depth"
    " FROM exchanges e JOIN exchanges h ON h.project_id = e.project_id AND h.id = e.lane"
    " WHERE e.id = ? AND e.project_id = ?"
)
_TO_CONTINUE = " AND e.stored AND e.deleted_at IS NULL"
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
    # Ever nearer to the root: whatever somebody did to the table by hand, the way ends.
    " JOIN exchanges f ON f.id = h.parent_id AND f.project_id = h.project_id AND f.depth = h.depth - 1) "
)
_MANY_LANES = (
    f"{_PATH}SELECT {_ITEM_FIELDS} FROM path JOIN items i ON i.lane = path.lane AND i.depth <= path.depth"
    " ORDER BY i.depth, i.position"
)
_ON_PATH = (
    f"{_PATH}SELECT e.id FROM exchanges e JOIN path ON path.lane = e.lane AND e.depth <= path.depth"
    " WHERE e.project_id = ? AND e.id IN ({})"
)


def context(cursor: Cursor, project_id: str, tip: Parent) -> list[ContextItem]:
    """The items of the thread that ends with *tip*, oldest first: one range scan for each lane on the way.

    Raises ContentShredded, ContentUnreadable.
    """
    project = packed(ids.PROJECT, project_id)
    if tip.single_lane:
        done = cursor.execute(_ONE_LANE, (project, packed(ids.EXCHANGE, tip.lane), tip.depth))
    else:
        # The marks stand in the order of the text: the path's, then the subquery's.
        done = cursor.execute(_MANY_LANES, (packed(ids.EXCHANGE, tip.id), project, project, project))
    return remaining(
        [
            ContextItem._make(row)
            if row[-1][:1] == b"{"
            else ContextItem._make((*row[:-1], cursor.vault.body(cursor.execute, project_id, row[-1])))
            for row in done.fetchall()
        ]
    )


def on_thread(cursor: Cursor, project_id: str, tip: Parent, exchange_ids: Sequence[str]) -> set[str]:
    """Which of these exchanges lie between the root and *tip*.

    One statement for every 30,000 of them, none for none.
    """
    project = packed(ids.PROJECT, project_id)
    path = (packed(ids.EXCHANGE, tip.id), project, project)
    wanted = [packed(ids.EXCHANGE, each) for each in exchange_ids]
    found: set[str] = set()
    for start in range(0, len(wanted), MOST_PARAMETERS):
        some = wanted[start : start + MOST_PARAMETERS]
        done = cursor.execute(_ON_PATH.format(", ".join("?" * len(some))), (*path, project, *some))
        found |= {ids.unpack(ids.EXCHANGE, bytes(row[0])) for row in done.fetchall()}
    return found


class KeyTaken(Exception):
    """Another request with this idempotency key was first."""


class NameTaken(Exception):
    """The project has a branch of the name that the exchange was to get."""


class ConversationTaken(Exception):
    """Another exchange is appending to the conversation, or has done so since its tip was read."""


class LaneTaken(Exception):
    """Another child of the same parent was first; this one needs a lane of its own."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A client's Idempotency-Key and the SHA-256 of the body it came with."""

    key: str
    body_sha256: bytes


def begin(
    database: Database,
    project_id: str,
    beginning: Beginning,
    process: bytes,
    key: IdempotencyKey | None = None,
    besides: Sequence[Write] = (),
) -> None:
    """Put a request on disk, with what belongs to it (*besides*).

    Raises KeyTaken, LaneTaken, NameTaken, ConversationTaken, StorageUnavailable; then nothing was kept. One that
    appends to a conversation keeps others from doing so until it has ended.
    """
    try:
        with database.memory.trusting():
            writes = [*beginning_rows(database, project_id, beginning, process, key), *besides]
            if not transact(database, writes, request(project_id, beginning)):
                raise ConversationTaken
    except Clash as clash:
        raise named(clash) from clash


def end(database: Database, project_id: str, place: Place, ending: Ending, *, journalled: bool = False) -> bool:
    """Put an answer on disk. False when the exchange had been ended already. May be called again after a failure."""
    with database.memory.trusting():
        return transact(
            database, ending_rows(database, project_id, place, ending, journalled), answer(project_id, place, ending)
        )


def request(project_id: str, beginning: Beginning) -> Committed:
    """What the audit log says of a request."""
    return Committed(Commits.REQUEST, project_id, beginning.id, beginning.api_key_id, beginning.request_id)


def answer(project_id: str, place: Place, ending: Ending) -> Committed:
    """What the audit log says of an answer."""
    return Committed(Commits.ANSWER, project_id, place.id, place.api_key_id, place.request_id, ending.status)


# -- the rows -------------------------------------------------------------------------------------------------


def named(clash: Clash) -> Exception:
    """What a clash in the rows of a beginning means: KeyTaken, LaneTaken, NameTaken, or nothing that is expected."""
    if "idempotency_keys" in clash.constraint:
        return KeyTaken()
    if "branches" in clash.constraint:
        return NameTaken()
    return LaneTaken() if "lane" in clash.constraint else clash


def beginning_rows(
    database: Database, project_id: str, beginning: Beginning, process: bytes, key: IdempotencyKey | None
) -> list[Write]:
    """A request on disk. One for the background waits, and is no process's yet."""
    project = packed(ids.PROJECT, project_id)
    exchange = packed(ids.EXCHANGE, beginning.id)
    lane = packed(ids.EXCHANGE, beginning.lane)
    conversation = packed(ids.CONVERSATION, beginning.conversation_id)
    created_at = micros(beginning.created_at)
    sent = beginning.sent
    writes: list[Write] = []
    if key is not None:
        writes.append(
            Insert(
                tables.idempotency_keys,
                ("project_id", "key", "body_sha256", "exchange_id", "created_at"),
                [(project, key.key, key.body_sha256, exchange, created_at)],
            )
        )
    if beginning.appends:
        where = ("project_id", "id", "writer_id", "tip_id", "deleted_at")
        values = (exchange, project, conversation, None, packed(ids.EXCHANGE, beginning.tip_id), None)
        writes.insert(0, Update(tables.conversations, ("writer_id",), where, values))
    elif beginning.parent_id is None and beginning.linked is None and beginning.origin_id is None:
        columns = ("project_id", "id", "created_at")
        writes.append(Insert(tables.conversations, columns, [(project, conversation, created_at)]))
    row = (
        exchange,
        project,
        conversation,
        packed(ids.EXCHANGE, beginning.parent_id),
        lane,
        beginning.depth,
        len(beginning.items),
        "queued" if beginning.background else "in_progress",
        beginning.origin,
        packed(ids.EXCHANGE, beginning.origin_id),
        beginning.stored,
        beginning.requested_model,
        beginning.settings_hash,
        _text(beginning.metadata),
        beginning.user,
        beginning.safety_identifier,
        _text(beginning.extras),
        packed(ids.KEY, beginning.api_key_id),
        packed(ids.REQUEST, beginning.request_id),
        created_at,
        str(beginning.linked) if beginning.linked else None,
        sent.count if sent else None,
        sent.digest if sent else None,
        jsontext.digest(sent.forms) if sent and sent.forms else None,
        str(beginning.background) if beginning.background else None,
        preview.of_question(beginning.items),
        beginning.context_sha256,
        beginning.context_cut,
    )
    writes.append(Insert(tables.exchanges, _EXCHANGE_COLUMNS, [row]))
    if not beginning.background:
        writes.append(Insert(tables.running, RUNNING_COLUMNS, [(exchange, project, process)]))
    shared = {beginning.settings_hash: beginning.settings}
    if sent and sent.forms:
        shared[jsontext.digest(sent.forms)] = sent.forms
    writes += item_rows(Side(lane, beginning.depth, 0), beginning.items, shared)
    writes += payload_rows(database, project_id, shared)
    if beginning.stored:
        writes += searches.of_question(database, project_id, beginning)
    if beginning.appends:
        return [replace(write, if_updated=True) if isinstance(write, Insert) else write for write in writes]
    return writes


def ending_rows(
    database: Database,
    project_id: str,
    place: Place,
    ending: Ending,
    journalled: bool,
    before: str = "in_progress",
) -> list[Write]:
    """An answer on disk, when the exchange's status is *before*: that is for the first of the writes to say."""
    exchange = packed(ids.EXCHANGE, place.id)
    reply_hash = jsontext.digest(ending.reply) if ending.reply != b"{}" else None
    values = (
        ending.status,
        ending.model,
        ending.upstream,
        ending.upstream_response_id,
        reply_hash,
        as_json(ending.error),
        ending.incomplete_reason,
        as_json(ending.attempts),
        *usage.columns(ending.usage),
        as_json(ending.reported_usage),
        micros(ending.first_event_at) if ending.first_event_at else None,
        micros(ending.completed_at),
        ending.thread.pack() if ending.thread else None,
        ending.last_event,
        preview.of_answer(ending.output),
        packed(ids.PROJECT, project_id),
        exchange,
        before,
    )
    writes: list[Write] = [Update(tables.exchanges, _ENDING_COLUMNS, ("project_id", "id", "status"), values)]
    shared = {reply_hash: ending.reply} if reply_hash else {}
    lane = packed(ids.EXCHANGE, place.lane)
    writes += item_rows(Side(lane, place.depth, place.offset, True, ending.upstream), ending.output, shared)
    writes += payload_rows(database, project_id, shared)
    if place.asked_at:
        writes += searches.of_answer(database, project_id, place.id, ending, place.asked_at)
    if ending.thread:
        writes += fingerprint_rows(ending.thread, exchange)
    if ending.entry:
        writes += ledger.rows(database, project_id, ending.entry)
    if place.conversation_id:
        writes.append(_left(project_id, place, exchange, moves=ending.is_kept))
    writes.append(Delete(tables.running, ("exchange_id",), (exchange,)))
    if journalled:
        writes.append(Delete(tables.journal, ("exchange_id",), (exchange,)))
    return writes


def _left(project_id: str, place: Place, exchange: bytes | None, *, moves: bool) -> Update:
    """Let others write to the conversation again; its tip moves when there is something to go on from."""
    columns, values = (("tip_id",), (exchange,)) if moves else ((), ())
    where = (packed(ids.PROJECT, project_id), packed(ids.CONVERSATION, place.conversation_id), exchange)
    conditions = ("project_id", "id", "writer_id")
    return Update(tables.conversations, columns, conditions, (*values, *where), emptied=("writer_id",))


def _text(json: bytes | None) -> str | None:
    return None if json is None else json.decode()


def as_json(value: Any) -> str | None:
    return None if value is None or value == () else jsontext.dumps(value).decode()
