"""The rows of budgets, and what has been spent of them."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, text
from sqlalchemy.exc import IntegrityError

from convstore import ids
from convstore.domain import money
from convstore.domain.budget import Budget, Period
from convstore.storage import tables
from convstore.storage.scope import Scope

_b = tables.budgets
_s = tables.spending
_e = tables.exchanges
_l = tables.ledger


class BudgetNameTaken(Exception):
    """The project has a budget of this name."""


def all_of(scope: Scope) -> list[Budget]:
    """The project's budgets, oldest first: there are few."""
    query = select(_b).where(_b.c.project_id == scope.project_id).order_by(_b.c.id)
    return [_budget(row) for row in scope.connection.execute(query)]


def get(scope: Scope, budget_id: str) -> Budget | None:
    """The budget with this id."""
    query = select(_b).where(_b.c.project_id == scope.project_id, _b.c.id == budget_id)
    row = scope.connection.execute(query).fetchone()
    return _budget(row) if row is not None else None


def add(scope: Scope, made: Budget) -> None:
    """Put a new budget on record. Raises BudgetNameTaken."""
    row = {
        "project_id": scope.project_id,
        "id": made.id,
        "name": made.name,
        "api_key_id": made.api_key_id,
        "conversation_id": made.conversation_id,
        "period": str(made.period),
        "currency": made.currency,
        "amount": money.plain(made.amount),
        "hard": made.hard,
        "created_at": made.created_at,
    }
    try:
        scope.connection.execute(insert(_b).values(**row))
    except IntegrityError as error:
        raise BudgetNameTaken from error


def remove(scope: Scope, budget_id: str) -> bool:
    """Forget a budget. False when there is none with this id."""
    query = delete(_b).where(_b.c.project_id == scope.project_id, _b.c.id == budget_id)
    return scope.connection.execute(query).rowcount > 0


def has_key(scope: Scope, key_id: str) -> bool:
    """Whether a key is the project's."""
    k = tables.api_keys
    query = select(k.c.id).where(k.c.project_id == scope.project_id, k.c.id == key_id)
    return scope.connection.execute(query).fetchone() is not None


def spent(scope: Scope, currency: str, since: date | None, api_key_id: str | None = None) -> Decimal:
    """What a project, or one of its keys, has spent in a currency from a day on: of the sums by day."""
    query = select(_s.c.millionths, _s.c.rest).where(_s.c.project_id == scope.project_id, _s.c.currency == currency)
    if since is not None:
        query = query.where(_s.c.day >= since.toordinal())
    if api_key_id is not None:
        query = query.where(_s.c.api_key_id == ids.pack(ids.KEY, api_key_id))
    return _joined(scope.connection.execute(query).fetchall())


def spent_in(
    scope: Scope, conversation_id: str, currency: str, since: datetime | None, api_key_id: str | None = None
) -> Decimal:
    """What a conversation has cost in a currency from a moment on: of the ledger's entries of its exchanges."""
    # By its lanes, which have an index; the ledger has none but its key.
    opens = _e.alias("opens")
    source = opens.join(_e, _e.c.lane == opens.c.id).join(
        _l, (_l.c.project_id == scope.project_id) & (_l.c.exchange_id == _e.c.id)
    )
    query = select(func.sum(_l.c.millionths).label("millionths"), func.sum(_l.c.rest).label("rest"))
    query = query.select_from(source).where(
        opens.c.conversation_id == conversation_id,
        text("opens.lane = opens.id"),
        opens.c.project_id == scope.project_id,
        _l.c.currency == currency,
    )
    if since is not None:
        query = query.where(_l.c.created_at >= since)
    if api_key_id is not None:
        query = query.where(_l.c.api_key_id == api_key_id)
    return _joined(scope.connection.execute(query).fetchall())


def _joined(rows: Sequence[Any]) -> Decimal:
    return money.joined(sum(row.millionths or 0 for row in rows), sum(row.rest or 0 for row in rows))


def _budget(row: Row[Any]) -> Budget:
    return Budget(
        id=row.id,
        name=row.name,
        period=Period(row.period),
        currency=row.currency,
        amount=Decimal(row.amount),
        hard=row.hard,
        created_at=row.created_at,
        api_key_id=row.api_key_id,
        conversation_id=row.conversation_id,
    )
