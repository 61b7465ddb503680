"""The rows of erasures, and which exchanges they are about."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, func, select, update

from convstore import ids
from convstore.domain import jsontext
from convstore.domain.erasing import Erased
from convstore.domain.erasure import Erasure, Wanted
from convstore.storage import descent, direct, listing, tables
from convstore.storage.database import Database
from convstore.storage.rows import packed
from convstore.storage.scope import Scope

_r = tables.erasures
_e = tables.exchanges
_i = tables.items
_c = tables.conversations

# Rows that are read at a time, and ids in one statement.
_PAGE = 2_000
_AT_ONCE = 500
_UNFINISHED = ("queued", "in_progress")


def add(scope: Scope, erasure: Erasure) -> None:
    """Put an erasure on record."""
    scope.connection.execute(
        _r.insert().values(
            project_id=scope.project_id,
            id=erasure.id,
            job_id=erasure.job_id,
            api_key_id=erasure.api_key_id,
            by=erasure.by,
            selector=erasure.wanted.dump(),
            selector_salt=erasure.salt,
            selector_digest=erasure.digest,
            copies=erasure.copies,
            purge=erasure.purge,
            status=erasure.status,
            created_at=erasure.created_at,
        )
    )


def get(scope: Scope, erasure_id: str) -> Erasure | None:
    """The erasure with this id."""
    row = scope.connection.execute(_mine(scope).where(_r.c.id == erasure_id)).fetchone()
    return _erasure(row) if row is not None else None


def listed(
    scope: Scope, limit: int, *, newest_first: bool, after: str | None = None, before: str | None = None
) -> list[Erasure]:
    """Erasures in order of age; with *before* alone the last ones in front of it."""
    query = _mine(scope)
    rows = listing.page(scope, query, _r.c.id, limit, newest_first=newest_first, after=after, before=before)
    return [_erasure(row) for row in rows]


def note(scope: Scope, erasure_id: str, done: Erased) -> None:
    """Add to what was done, in the transaction of a batch."""
    query = select(_r.c.counts).where(_r.c.project_id == scope.project_id, _r.c.id == erasure_id).with_for_update()
    text = scope.connection.execute(query).scalar()
    if text is not None:
        change(scope, erasure_id, counts=jsontext.dumps((Erased(**jsontext.loads(text)) + done).as_dict()).decode())


def change(scope: Scope, erasure_id: str, **values: Any) -> None:
    """Give columns other values."""
    where = (_r.c.project_id == scope.project_id, _r.c.id == erasure_id)
    scope.connection.execute(update(_r).where(*where).values(**values))


def unpurged(scope: Scope) -> list[str]:
    """Those that are done but for the traces in the file."""
    query = select(_r.c.id).where(_r.c.project_id == scope.project_id, _r.c.status == "completed")
    return [row.id for row in scope.connection.execute(query.where(_r.c.purged_at.is_(None)))]


def undescribe(scope: Scope, conversation_id: str) -> None:
    """Take a conversation's title and metadata away: it was erased itself."""
    where = (_c.c.project_id == scope.project_id, _c.c.id == conversation_id)
    scope.connection.execute(update(_c).where(*where).values(title=None, metadata=None))


# -- which exchanges ------------------------------------------------------------------------------------------


def has(scope: Scope, wanted: Wanted) -> bool:
    """Whether the conversation or the response is there that is named; be it hidden or not."""
    table = {"conversation_id": _c, "response_id": _e}.get(wanted.by)
    if table is None:
        return True
    query = select(table.c.id).where(table.c.project_id == scope.project_id, table.c.id == wanted.value)
    return scope.connection.execute(query).fetchone() is not None


def chosen(database: Database, scope: Scope, wanted: Wanted) -> list[str]:
    """The exchanges that are meant and not erased, in order of age; copies of theirs as well, if they are wanted."""
    if wanted.by == "response_id":
        found = _below(database, scope, str(wanted.value))
    elif wanted.by == "conversation_id":
        found = _pages(scope, _in_conversation(scope, str(wanted.value)))
    else:
        found = _pages(scope, select(_e.c.id, _e.c.metadata).where(*_says(wanted)), wanted)
    meant = set(found)
    return sorted(meant | _copies(scope, meant)) if wanted.copies and meant else sorted(meant)


def _says(wanted: Wanted) -> tuple[Any, ...]:
    if wanted.by == "metadata":
        return (_e.c.metadata.is_not(None),)
    return (_e.c[wanted.by] == wanted.value,)


def _in_conversation(scope: Scope, conversation_id: str) -> Any:
    head = _e.alias("head")
    lanes = select(head.c.id).where(
        head.c.project_id == scope.project_id, head.c.conversation_id == conversation_id, head.c.lane == head.c.id
    )
    return select(_e.c.id, _e.c.metadata).where(_e.c.lane.in_(lanes))


def _pages(scope: Scope, query: Any, wanted: Wanted | None = None) -> Iterator[str]:
    pairs = wanted.value if wanted is not None and isinstance(wanted.value, Mapping) else {}
    query = query.where(_e.c.project_id == scope.project_id, _e.c.erased_at.is_(None)).order_by(_e.c.id).limit(_PAGE)
    after: str | None = None
    while True:
        page = scope.connection.execute(query if after is None else query.where(_e.c.id > after)).fetchall()
        for row in page:
            given = jsontext.loads(row.metadata) if pairs and row.metadata else {}
            if all(given.get(name) == value for name, value in pairs.items()):
                yield row.id
        if len(page) < _PAGE:
            return
        after = page[-1].id


def _below(database: Database, scope: Scope, exchange_id: str) -> Iterator[str]:
    """An exchange, and all that continue it."""
    own = (_e.c.project_id == scope.project_id, _e.c.id == exchange_id)
    row = scope.connection.execute(select(_e.c.conversation_id, _e.c.lane, _e.c.depth).where(*own)).fetchone()
    if row is None:
        return
    place = (packed(ids.EXCHANGE, row.lane) or b"", row.depth)
    with direct.within(database, scope.connection) as cursor:
        lanes = descent.below(cursor, _project(scope), packed(ids.CONVERSATION, row.conversation_id) or b"", [place])
    lanes[place[0]] = min(lanes.get(place[0], row.depth), row.depth)
    for lane, depth in lanes.items():
        where = (_e.c.lane == ids.unpack(ids.EXCHANGE, lane), _e.c.depth >= depth)
        yield from _pages(scope, select(_e.c.id, _e.c.metadata).where(*where))


def _copies(scope: Scope, meant: set[str]) -> set[str]:
    """Branches and replays of exchanges, and those of these. Each was asked with the same words."""
    query = select(_e.c.id, _e.c.origin_id, _e.c.erased_at).where(
        _e.c.project_id == scope.project_id, _e.c.origin_id.is_not(None)
    )
    # A copy is younger than what it is of.
    found, known = set[str](), set(meant)
    for row in scope.connection.execute(query.order_by(_e.c.id)):
        if row.origin_id in known:
            known.add(row.id)
            if row.erased_at is None:
                found.add(row.id)
    return found - meant


# -- before ---------------------------------------------------------------------------------------------------


def measured(scope: Scope, exchange_ids: Sequence[str]) -> dict[str, int]:
    """What an erasure of these would be about."""
    figures = {"exchanges": len(exchange_ids), "items": 0, "bytes": 0, "in_progress": 0}
    conversations: set[str] = set()
    for some in _parts(exchange_ids):
        own = (_e.c.project_id == scope.project_id, _e.c.id.in_(some))
        placed = _e.join(_i, (_i.c.lane == _e.c.lane) & (_i.c.depth == _e.c.depth))
        sums = select(func.count(), func.coalesce(func.sum(func.length(_i.c.body)), 0)).select_from(placed).where(*own)
        count, size = scope.connection.execute(sums).one()
        figures["items"] += int(count)
        figures["bytes"] += int(size)
        for row in scope.connection.execute(select(_e.c.conversation_id, _e.c.status).where(*own)):
            conversations.add(row.conversation_id)
            figures["in_progress"] += row.status in _UNFINISHED
    return {**figures, "conversations": len(conversations)}


def descendants(database: Database, scope: Scope, exchange_ids: Sequence[str]) -> int:
    """How many exchanges that stay continue these."""
    places: dict[str, list[tuple[bytes, int]]] = {}
    for some in _parts(exchange_ids):
        query = select(_e.c.conversation_id, _e.c.lane, _e.c.depth)
        for row in scope.connection.execute(query.where(_e.c.project_id == scope.project_id, _e.c.id.in_(some))):
            lane = packed(ids.EXCHANGE, row.lane) or b""
            places.setdefault(row.conversation_id, []).append((lane, row.depth))
    gone, below = set(exchange_ids), set[str]()
    for conversation_id, own in places.items():
        with direct.within(database, scope.connection) as cursor:
            home = packed(ids.CONVERSATION, conversation_id) or b""
            lanes = descent.below(cursor, _project(scope), home, own)
        for lane, depth in lanes.items():
            where = (_e.c.lane == ids.unpack(ids.EXCHANGE, lane), _e.c.depth >= depth)
            below.update(_pages(scope, select(_e.c.id, _e.c.metadata).where(*where)))
    return len(below - gone)


def _parts(exchange_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(exchange_ids), _AT_ONCE):
        yield exchange_ids[start : start + _AT_ONCE]


def _project(scope: Scope) -> bytes:
    return packed(ids.PROJECT, scope.project_id) or b""


def _mine(scope: Scope) -> Any:
    return select(_r).where(_r.c.project_id == scope.project_id)


def _erasure(row: Row[Any]) -> Erasure:
    return Erasure(
        id=row.id,
        by=row.by,
        value=jsontext.loads(row.selector) if row.selector is not None else None,
        salt=bytes(row.selector_salt),
        digest=bytes(row.selector_digest),
        copies=row.copies,
        purge=row.purge,
        status=row.status,
        created_at=row.created_at,
        job_id=row.job_id,
        api_key_id=row.api_key_id,
        counts=jsontext.loads(row.counts),
        finished_at=row.finished_at,
        purged_at=row.purged_at,
    )
