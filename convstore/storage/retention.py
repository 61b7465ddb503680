"""What retention looks at, and the figures it removes. No body is read here: only how long they are.

Ids of exchanges tell when they were made, so what is old enough is a range of the primary key. An exchange that says it
is younger than that (`created_at`) is taken at its word, and so is one that an import brought here later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, delete, exists, func, literal_column, null, or_, select, update

from convstore import ids
from convstore.domain import jsontext
from convstore.domain.erasing import What
from convstore.domain.retention import Member
from convstore.storage import holds, tables
from convstore.storage.erasing import UNFINISHED
from convstore.storage.scope import Scope
from convstore.storage.types import from_micros, micros

_e = tables.exchanges
_i = tables.items
_p = tables.payloads
_t = tables.erased
_l = tables.ledger
_s = tables.conversation_costs
_d = tables.doubtful


@dataclass(frozen=True, slots=True)
class Candidate:
    """An exchange that is old enough for some rule, and where it belongs."""

    id: str
    conversation_id: str


@dataclass(frozen=True, slots=True)
class Size:
    """items: of an exchange; bytes: of their bodies as they are stored, shared ones among them."""

    items: int
    bytes: int


def candidates(
    scope: Scope, limit: int, *, content: datetime | None, figures: datetime | None, after: str | None = None
) -> list[Candidate]:
    """Exchanges from before these moments, newest first, behind the one with the id *after*.

    content: those whose content is there still; figures: whichever.
    """
    both = [(content, _e.c.erased_at.is_(None)), (figures, _e.c.erased_at.is_not(None))]
    wanted = [and_(_e.c.id < _first_of(limit_), state) for limit_, state in both if limit_ is not None]
    if not wanted:
        return []
    last = max(_first_of(each) for each in (content, figures) if each is not None)
    query = select(_e.c.id, _e.c.conversation_id).where(_e.c.project_id == scope.project_id, or_(*wanted))
    query = query.where(_e.c.id < (min(last, after) if after is not None else last))
    rows = scope.connection.execute(query.order_by(_e.c.id.desc()).limit(limit))
    return [Candidate(row.id, row.conversation_id) for row in rows]


def conversations(scope: Scope, conversation_ids: Sequence[str], *, metadata: bool) -> dict[str, list[Member]]:
    """The exchanges of conversations, a page of them at most, as rules see them. One statement."""
    opens = _e.alias("opens")
    columns = "id parent_id status created_at imported_at requested_model model deleted_at erased_at".split()
    erased = and_(_t.c.project_id == _e.c.project_id, _t.c.exchange_id == _e.c.id, _t.c.what == str(What.CONTENT))
    query = (
        select(
            opens.c.conversation_id,
            *(_e.c[name] for name in columns),
            (_e.c.metadata if metadata else null()).label("carried"),
            _t.c.erasure_id,
        )
        .select_from(opens.join(_e, _e.c.lane == opens.c.id).outerjoin(_t, erased))
        # Asked of the exchanges alone: SQLite would look for the lanes among all of the project's.
        .where(_e.c.project_id == scope.project_id, opens.c.conversation_id.in_(conversation_ids))
        .where(literal_column("opens.lane = opens.id"))
    )
    found: dict[str, list[Member]] = {own: [] for own in conversation_ids}
    for row in scope.connection.execute(query):
        found[row.conversation_id].append(_member(row))
    return found


def sizes(scope: Scope, exchange_ids: Sequence[str]) -> dict[str, Size]:
    """How much is said in exchanges, a page of them at most. One statement."""
    if not exchange_ids:
        return {}
    source = _e.join(_i, and_(_i.c.lane == _e.c.lane, _i.c.depth == _e.c.depth)).outerjoin(
        _p, and_(_p.c.project_id == _e.c.project_id, _p.c.hash == _i.c.payload_hash)
    )
    length = func.coalesce(func.length(_i.c.body), func.length(_p.c.body), 0)
    query = select(_e.c.id, func.count().label("items"), func.sum(length).label("bytes")).select_from(source)
    query = query.where(_e.c.project_id == scope.project_id, _e.c.id.in_(exchange_ids)).group_by(_e.c.id)
    return {row.id: Size(row.items, int(row.bytes)) for row in scope.connection.execute(query)}


def hide(scope: Scope, exchange_ids: Sequence[str], now: datetime) -> int:
    """Hide exchanges that are to be removed, but for what is held or being answered: nobody can continue them."""
    kept = holds.held(scope, exchange_ids)
    wanted = [own for own in exchange_ids if own not in kept]
    if not wanted:
        return 0
    query = update(_e).where(_e.c.project_id == scope.project_id, _e.c.id.in_(wanted))
    query = query.where(_e.c.deleted_at.is_(None), _e.c.status.not_in(UNFINISHED))
    return scope.connection.execute(query.values(deleted_at=now)).rowcount


def forget_figures(scope: Scope, exchange_ids: Sequence[str]) -> int:
    """Remove the ledger's entries of exchanges that are gone, and take them out of what their conversations cost.

    The sums by day and by quarter of an hour stay: they name nobody, budgets are held to them, and so are bills.
    """
    there = exists().where(_e.c.project_id == _l.c.project_id, _e.c.id == _l.c.exchange_id)
    own = and_(_l.c.project_id == scope.project_id, _l.c.exchange_id.in_(exchange_ids), ~there)
    key = (_l.c.conversation_id, _l.c.basis, func.coalesce(_l.c.reason, ""), func.coalesce(_l.c.currency, ""))
    names = [column.name for column in _s.columns if not column.primary_key and column.name != "exchanges"]
    sums = [func.coalesce(func.sum(_l.c[name]), 0) for name in names]
    query = select(*key, func.count(), *sums).where(own).group_by(*key)
    found = [tuple(row) for row in scope.connection.execute(query.order_by(*key))]
    for conversation, basis, reason, currency, *amounts in found:
        less = {name: _s.c[name] - int(amount) for name, amount in zip(("exchanges", *names), amounts, strict=True)}
        sum_of = (_s.c.conversation_id == conversation, _s.c.basis == basis)
        where = (*sum_of, _s.c.reason == reason, _s.c.currency == currency)
        scope.connection.execute(update(_s).where(_s.c.project_id == scope.project_id, *where).values(**less))
    touched = sorted({row[0] for row in found})
    if touched:
        empty = and_(_s.c.project_id == scope.project_id, _s.c.conversation_id.in_(touched), _s.c.exchanges <= 0)
        scope.connection.execute(delete(_s).where(empty))
    return scope.connection.execute(delete(_l).where(own)).rowcount


def left_over(scope: Scope) -> list[str]:
    """Rules, forgotten ones among them, by which shared bodies were left that may be nobody's (payloads.py)."""
    query = select(_d.c.erasure_id).where(_d.c.project_id == scope.project_id)
    rows = scope.connection.execute(query.where(_d.c.erasure_id.startswith(f"{ids.RULE}_")).distinct())
    return sorted(row.erasure_id for row in rows)


def _first_of(moment: datetime) -> str:
    """The least id that an exchange of this moment can have."""
    return f"{ids.EXCHANGE}_{max(0, micros(moment)) // 1_000:012x}{0:020x}"


def _moment_of(exchange_id: str) -> datetime:
    return from_micros(int(exchange_id[len(ids.EXCHANGE) + 1 :][:12], 16) * 1_000)


def _member(row: Any) -> Member:
    return Member(
        id=row.id,
        at=max(row.created_at, row.imported_at or row.created_at, _moment_of(row.id)),
        parent_id=row.parent_id,
        models=[name for name in (row.requested_model, row.model) if name is not None],
        metadata=jsontext.loads(row.carried) if row.carried else {},
        is_open=row.status in UNFINISHED,
        is_erased=row.erased_at is not None,
        erased_by=row.erasure_id,
        hidden_at=row.deleted_at,
    )
