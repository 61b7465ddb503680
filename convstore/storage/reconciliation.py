"""What a provider's bill is compared with: sums of the ledger, and the exchanges that may explain a difference."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Integer, and_, case, func, literal_column, or_, select, text

from convstore.domain import money
from convstore.domain.billing import Used
from convstore.domain.reconciliation import Cause
from convstore.storage import tables
from convstore.storage.ledger import QUARTER_US
from convstore.storage.scope import Scope
from convstore.storage.types import from_micros

_l = tables.ledger
_e = tables.exchanges

_BILLED = _l.c.basis != "not_billed"
# Attempts are kept where there was more than one, or one that failed.
_retried = and_(_e.c.attempts.is_not(None), _e.c.attempts != "[]")
Group = tuple[datetime, str | None, str, str | None, Used]


def sums(scope: Scope, since: datetime, until: datetime, upstream: str | None) -> Iterator[Group]:
    """(quarter of an hour, model, requested model, currency, figures) of what a provider may have billed."""
    # In the units of the column: SQLAlchemy's type would make moments of the numbers.
    quarter = literal_column(f"ledger.created_at / {QUARTER_US}", Integer).label("quarter")
    tokens = [func.sum(_l.c[name]).label(name) for name in _TOKENS]
    amounts = [func.sum(_l.c[name]).label(name) for name in ("millionths", "rest")]
    columns = (_l.c.model, _l.c.requested_model, _l.c.currency)
    query = select(quarter, *columns, func.count().label("requests"), *tokens, *amounts)
    query = query.where(*_within(scope, since, until, upstream)).group_by(text("1"), *columns)
    for row in scope.connection.execute(query):
        used = {name: Decimal(row._mapping[name] or 0) for name in ("requests", *_TOKENS)}
        if row.currency is not None:
            used["amount"] = money.joined(row.millionths, row.rest)
        yield from_micros(int(row.quarter) * QUARTER_US), row.model, row.requested_model, row.currency, used


def doubtful(
    scope: Scope, since: datetime, until: datetime, upstream: str | None
) -> Iterator[tuple[str, datetime, str | None, str, Cause]]:
    """(exchange, when, model, requested model, cause) of what a provider may think otherwise of, oldest first."""
    estimated = _l.c.basis == "estimated"
    cause = case(
        (and_(estimated, _l.c.status == "completed"), str(Cause.MISSING_USAGE)),
        (estimated, str(Cause.CUT_STREAM)),
        (_retried, str(Cause.RETRIED)),
        else_=str(Cause.UNKNOWN_PRICE),
    ).label("cause")
    source = _l.join(_e, and_(_e.c.project_id == _l.c.project_id, _e.c.id == _l.c.exchange_id))
    query = select(_l.c.exchange_id, _l.c.created_at, _l.c.model, _l.c.requested_model, cause).select_from(source)
    query = query.where(*_within(scope, since, until, upstream))
    query = query.where(or_(_l.c.basis.in_(("estimated", "unknown")), _retried))
    for row in scope.connection.execute(query.order_by(_l.c.exchange_id)):
        yield row.exchange_id, row.created_at, row.model, row.requested_model, Cause(row.cause)


_TOKENS = ("input_tokens", "cached_tokens", "output_tokens", "total_tokens")


def _within(scope: Scope, since: datetime, until: datetime, upstream: str | None) -> list[ColumnElement[bool]]:
    found: list[Any] = [_l.c.project_id == scope.project_id, _l.c.created_at >= since, _l.c.created_at < until, _BILLED]
    if upstream is not None:
        found.append(_l.c.upstream == upstream)
    return found
