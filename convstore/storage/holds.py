"""The rows of legal holds, and what they keep.

`held` is for the transaction that erases. On PostgreSQL it takes the project's row for itself and others like it, and
`add` takes it alone: so a hold that was answered waits for what was being erased, and is seen by what is erased next.
SQLite has one writer.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, literal_column, or_, select, update

from convstore.domain import jsontext
from convstore.domain.hold import Hold, Wanted
from convstore.storage import listing, tables
from convstore.storage.scope import Scope

_h = tables.holds
_e = tables.exchanges
_c = tables.conversations
_p = tables.projects

# SQLite takes 32,766 parameters; a statement of this many is planned and parsed in no time.
MOST = 500


def add(scope: Scope, hold: Hold) -> None:
    """Put a new hold on record, in a transaction."""
    scope.connection.execute(select(_p.c.id).where(_p.c.id == scope.project_id).with_for_update())
    wanted = hold.wanted
    scope.connection.execute(
        _h.insert().values(
            project_id=scope.project_id,
            id=hold.id,
            name=wanted.name,
            reason=wanted.reason,
            conversation_id=wanted.conversation_id,
            response_id=wanted.response_id,
            user=wanted.user,
            safety_identifier=wanted.safety_identifier,
            metadata=jsontext.dumps(dict(wanted.metadata)).decode() if wanted.metadata is not None else None,
            created_at=hold.created_at,
            api_key_id=hold.api_key_id,
        )
    )


def get(scope: Scope, hold_id: str) -> Hold | None:
    """The hold with this id."""
    row = scope.connection.execute(_mine(scope).where(_h.c.id == hold_id)).fetchone()
    return _hold(row) if row is not None else None


def listed(
    scope: Scope,
    limit: int,
    *,
    newest_first: bool = True,
    after: str | None = None,
    before: str | None = None,
    released: bool | None = None,
) -> list[Hold]:
    """At most *limit* holds. after and before are ids, exclusive, in the direction of the list."""
    query = _mine(scope)
    if released is not None:
        query = query.where(_h.c.released_at.is_not(None) if released else _h.c.released_at.is_(None))
    rows = listing.page(scope, query, _h.c.id, limit, newest_first=newest_first, after=after, before=before)
    return [_hold(row) for row in rows]


def release(scope: Scope, hold_id: str, now: datetime, api_key_id: str | None) -> bool:
    """Let go of what a hold keeps. False when there was none to release."""
    query = update(_h).where(_h.c.project_id == scope.project_id, _h.c.id == hold_id, _h.c.released_at.is_(None))
    return scope.connection.execute(query.values(released_at=now, released_by=api_key_id)).rowcount > 0


def can_be_for(scope: Scope, wanted: Wanted) -> str | None:
    """The name of what is not there among what a hold names; hidden ones are."""
    for name, table in (("conversation_id", _c), ("response_id", _e)):
        own = getattr(wanted, name)
        if own is not None:
            query = select(table.c.id).where(table.c.project_id == scope.project_id, table.c.id == own)
            if scope.connection.execute(query).fetchone() is None:
                return name
    return None


def held(scope: Scope, exchange_ids: Collection[str]) -> set[str]:
    """Those of these exchanges that are kept, for the transaction that would erase them: see the module's head."""
    scope.connection.execute(select(_p.c.id).where(_p.c.id == scope.project_id).with_for_update(read=True))
    active = _active(scope)
    if not active:
        return set()
    homes: dict[str, str] = {}
    for some in _parts(exchange_ids):
        query = select(_e.c.id, _e.c.conversation_id).where(_e.c.project_id == scope.project_id, _e.c.id.in_(some))
        homes |= {row.id: row.conversation_id for row in scope.connection.execute(query)}
    kept = _of(scope, active, set(homes.values()))
    return {own for own, home in homes.items() if home in kept}


def conversations(scope: Scope, conversation_ids: Collection[str]) -> set[str]:
    """Those of these conversations that are kept, at this moment."""
    active = _active(scope)
    return _of(scope, active, set(conversation_ids)) if active else set()


def is_any(scope: Scope) -> bool:
    """Whether anything of the project is to be kept. In a transaction that has the project's row, it stays so."""
    return bool(_active(scope))


def _active(scope: Scope) -> list[Hold]:
    return [_hold(row) for row in scope.connection.execute(_mine(scope).where(_h.c.released_at.is_(None)))]


def _of(scope: Scope, active: Sequence[Hold], wanted: set[str]) -> set[str]:
    kept = wanted & {hold.wanted.conversation_id for hold in active if hold.wanted.conversation_id is not None}
    named = {hold.wanted.response_id for hold in active if hold.wanted.response_id is not None}
    for some in _parts(named):
        # Where it is now: a repair of the store may have moved it.
        query = select(_e.c.conversation_id).where(_e.c.project_id == scope.project_id, _e.c.id.in_(some))
        kept |= wanted & {row.conversation_id for row in scope.connection.execute(query)}
    by_person = [hold for hold in active if hold.is_by_person]
    if by_person:
        for some in _parts(wanted - kept):
            kept |= _by_person(scope, by_person, some)
    return kept


def _by_person(scope: Scope, active: Sequence[Hold], some: Sequence[str]) -> set[str]:
    """The conversations in which an exchange, or which themselves, are what these holds are for."""
    opens = _e.alias("opens")
    tells = []
    for name in ("user", "safety_identifier"):
        wanted = [getattr(hold.wanted, name) for hold in active if getattr(hold.wanted, name) is not None]
        tells += [_e.c[name].in_(wanted)] if wanted else []
    labels = [hold for hold in active if hold.wanted.metadata is not None]
    if labels:
        tells.append(_e.c.metadata.is_not(None))
    # A conversation is found by its lanes, an exchange by its own.
    query = (
        select(opens.c.conversation_id, _e.c.user, _e.c.safety_identifier, _e.c.metadata)
        .select_from(opens.join(_e, _e.c.lane == opens.c.id))
        # Asked of the exchanges alone: SQLite would look for the lanes among all of the project's.
        .where(_e.c.project_id == scope.project_id, opens.c.conversation_id.in_(some))
        .where(literal_column("opens.lane = opens.id"), or_(*tells))
    )
    kept: set[str] = set()
    for row in scope.connection.execute(query):
        carried = jsontext.loads(row.metadata) if row.metadata else {}
        if any(hold.is_for(row.user, row.safety_identifier, carried) for hold in active):
            kept.add(row.conversation_id)
    if labels:
        named = select(_c.c.id, _c.c.metadata).where(_c.c.project_id == scope.project_id, _c.c.id.in_(some))
        for own, carried in scope.connection.execute(named.where(_c.c.metadata.is_not(None))):
            if any(hold.is_for(None, None, jsontext.loads(carried)) for hold in labels):
                kept.add(own)
    return kept


def _parts(wanted: Collection[str]) -> Iterator[list[str]]:
    each = sorted(wanted)
    for start in range(0, len(each), MOST):
        yield each[start : start + MOST]


def _mine(scope: Scope) -> Any:
    return select(_h).where(_h.c.project_id == scope.project_id)


def _hold(row: Row[Any]) -> Hold:
    wanted = Wanted(
        name=row.name,
        reason=row.reason,
        conversation_id=row.conversation_id,
        response_id=row.response_id,
        user=row.user,
        safety_identifier=row.safety_identifier,
        metadata=jsontext.loads(row.metadata) if row.metadata is not None else None,
    )
    return Hold(row.id, wanted, row.created_at, row.api_key_id, row.released_at, row.released_by)
