"""The rows of items, payloads and fingerprints, and writing them: what turns and conversations have in common."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from convstore import ids
from convstore.domain import jsontext
from convstore.domain.audit import Entry
from convstore.domain.calls import Call
from convstore.domain.fingerprints import Thread
from convstore.domain.items import SEALED, Item
from convstore.storage import sealed, tables
from convstore.storage.database import Database
from convstore.storage.direct import Clash, Cursor, writing
from convstore.storage.seals import Committed, Seal
from convstore.storage.statements import Insert, Write, each, execute
from convstore.storage.strands import Strands, settle
from convstore.storage.types import deflate

# A body from this size on is kept once per project, however often it is sent: images, files, long documents.
SHARED_FROM = 8192

_ITEM_COLUMNS = tuple("lane depth position output type item_id role call_id name sealed_by payload_hash body".split())
_PAYLOAD_COLUMNS = ("project_id", "hash", "body")


@dataclass(frozen=True, slots=True)
class Side:
    """Where items go: after how many others of their exchange, on which side, and whose they are."""

    lane: bytes | None
    depth: int
    offset: int
    output: bool = False
    upstream: str | None = None


def item_rows(side: Side, items: Sequence[Item], shared: dict[bytes, bytes]) -> list[Write]:
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


def payload_rows(database: Database, project_id: str, shared: dict[bytes, bytes]) -> list[Write]:
    """The rows of the payloads that this process has not seen stored yet, as far as it may trust that.

    What is there already is locked: nobody erases it before the transaction is over. In one order, so that two who lock
    the same do not wait for each other.
    """
    project = packed(ids.PROJECT, project_id) or b""
    if database.vault.seals:
        # What is sealed is known by another digest, which the transaction works out.
        return _payloads(project, shared)
    trust = database.memory.trust()
    known = {hash_ for hash_ in shared if database.memory.holds(trust, (project, hash_))}
    if trust is not None and known:
        left_out = {hash_: shared[hash_] for hash_ in known}
        trust.again.append(partial(_write_again, database, project, left_out))
    return _payloads(project, {hash_: body for hash_, body in shared.items() if hash_ not in known})


def _payloads(project: bytes, shared: dict[bytes, bytes]) -> list[Write]:
    rows: list[tuple[Any, ...]] = [(project, hash_, deflate(shared[hash_])) for hash_ in sorted(shared)]
    return [Insert(tables.payloads, _PAYLOAD_COLUMNS, rows, keeps="hash")] if rows else []


def _write_again(database: Database, project: bytes, shared: dict[bytes, bytes]) -> None:
    with writing(database) as cursor:
        execute(cursor, _payloads(project, shared))


def fingerprint_rows(thread: Thread, exchange: bytes | None) -> list[Write]:
    """The rows by which a history sent whole finds this exchange."""
    rows = [(fingerprint, exchange) for fingerprint in thread.each()]
    return [Insert(tables.fingerprints, ("fingerprint", "exchange_id"), rows, if_updated=True)]


def transact(
    database: Database, writes: Sequence[Write], what: Committed | str | None = None, *, project_id: str | None = None
) -> bool:
    """All of them or none; False when the first is an Update that found no row.

    what: the side of an exchange that is put on disk, or the project whose call this is: with it goes the entry of the
    audit log. project_id: whose writes they are, when that does not say it.
    """
    seals: list[Seal] = []
    try:
        with writing(database) as cursor:
            cursor.seals = seals
            writes = _whole(database, cursor, writes, what, project_id)
            done = execute(cursor, writes)
    except Clash:
        settle(seals, kept=False)
        raise
    settle(seals, kept=done)
    if done and cursor.sealer is not None:
        database.vault.kept(cursor.sealer)
    for write in writes if done else ():
        if isinstance(write, Insert) and write.table is tables.payloads:
            # Only now: what a transaction that failed wrote is not there.
            database.memory.remember((row[0], row[1]) for row in write.rows)
    return done


def transact_entry(database: Database, strands: Strands, project: bytes, entry: Entry, call: Call) -> None:
    """An entry of the audit log that nothing else goes with."""
    seals: list[Seal] = []
    try:
        with writing(database) as cursor:
            cursor.seals = seals
            execute(cursor, [strands.insertion(cursor, project, entry, call=call)])
    except Clash:
        settle(seals, kept=False)
        raise
    settle(seals, kept=True)


def each_recorded(database: Database, cursor: Cursor, writes: Sequence[Write], what: Committed) -> bool:
    """The same in a transaction that somebody else ends."""
    done = each(cursor, _whole(database, cursor, writes, what))
    if not done:
        settle(cursor.seals, kept=False)
        cursor.seals.clear()
    return done


def as_stored(database: Database, cursor: Cursor, project_id: str, writes: Sequence[Write]) -> Sequence[Write]:
    """Writes as they go to disk, without an entry."""
    return _whole(database, cursor, writes, None, project_id)


def _whole(
    database: Database,
    cursor: Cursor,
    writes: Sequence[Write],
    what: Committed | str | None,
    project_id: str | None = None,
) -> Sequence[Write]:
    """The writes as they go to disk, with the entry of what they are."""
    if not database.vault.seals:
        return [*writes, *_entries(database, cursor, writes, what)]
    own = project_id or (what.project_id if isinstance(what, Committed) else what)
    assert own is not None
    sealer = database.vault.sealer(cursor.execute, packed(ids.PROJECT, own) or b"")
    # The log commits to what was said, and to digests as they are stored: these stay whatever the keys become.
    cursor.sealer = sealer
    marked = list(_unknown(database, own, sealed.marked(sealer, writes)))
    return [*sealed.sealed(sealer, marked), *_entries(database, cursor, marked, what)]


def _unknown(database: Database, project_id: str, writes: Sequence[Write]) -> Iterator[Write]:
    """The writes without the sealed payloads that this process has seen stored, as far as it may trust that."""
    trust = database.memory.trust()
    for write in writes:
        if not isinstance(write, Insert) or write.table is not tables.payloads:
            yield write
            continue
        known = [row for row in write.rows if database.memory.holds(trust, (row[0], row[1]))]
        if trust is not None and known:
            trust.again.append(partial(_seal_again, database, project_id, replace(write, rows=known)))
        rest = sorted((row for row in write.rows if row not in known), key=lambda row: bytes(row[1]))
        if rest:
            yield replace(write, rows=rest)


def _seal_again(database: Database, project_id: str, write: Insert) -> None:
    with writing(database) as cursor:
        sealer = database.vault.sealer(cursor.execute, packed(ids.PROJECT, project_id) or b"")
        execute(cursor, sealed.sealed(sealer, [write]))


def _entries(
    database: Database, cursor: Cursor, writes: Sequence[Write], what: Committed | str | None
) -> Sequence[Write]:
    if database.recorder is None or what is None:
        return ()
    if isinstance(what, str):
        return database.recorder.calling(cursor, what)
    return [database.recorder.committing(cursor, writes, what)]


def packed(prefix: str, text: str | None) -> bytes | None:
    """The stored form of an id that may be missing."""
    return None if text is None else ids.pack(prefix, text)
