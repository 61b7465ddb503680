"""The price book's rows: a project's, and the installation's, which are nobody's and everybody's."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, or_, select, text, update

from convstore.domain import jsontext, money
from convstore.domain.pricing.book import Price
from convstore.domain.pricing.rule import LongContext, Rates
from convstore.storage import tables
from convstore.storage.database import Database
from convstore.storage.scope import Scope

_p = tables.prices


def of_set(scope: Scope, price_set: str | None = None) -> list[Price]:
    """The installation's prices and the project's, oldest first: those in force, or those of a set."""
    query = select(_p).where(or_(_p.c.project_id == scope.project_id, _p.c.project_id.is_(None)))
    query = query.where(_p.c.price_set.is_(None) if price_set is None else _p.c.price_set == price_set)
    return [_price(row) for row in scope.connection.execute(query.order_by(_p.c.id))]


def lock(connection: Connection, database: Database) -> None:
    """Let nobody else name prices until the transaction is over: two that overlap must not both find room."""
    if not database.is_sqlite:
        connection.execute(text("LOCK TABLE prices IN SHARE ROW EXCLUSIVE MODE"))


def like(connection: Connection, price: Price) -> list[Price]:
    """The prices of the same owner and set for the same model."""
    query = select(_p).where(_p.c.model == price.model)
    for column, value in ((_p.c.project_id, price.project_id), (_p.c.price_set, price.price_set)):
        query = query.where(column.is_(None) if value is None else column == value)
    return [_price(row) for row in connection.execute(query.order_by(_p.c.id))]


def add(connection: Connection, price: Price) -> None:
    """Put a price in the book."""
    plain = "id project_id price_set upstream model service_tier currency effective_from effective_to created_at"
    row = {name: getattr(price, name) for name in plain.split()}
    connection.execute(insert(_p).values(**row, rates=_stored(price)))


def end(connection: Connection, price: Price) -> None:
    """Give a price its end."""
    connection.execute(update(_p).where(_p.c.id == price.id).values(effective_to=price.effective_to))


def remove(connection: Connection, project_id: str | None, price_id: str) -> bool:
    """Take a price of this owner out of the book. False when it has none with this id."""
    owner = _p.c.project_id.is_(None) if project_id is None else _p.c.project_id == project_id
    return connection.execute(delete(_p).where(_p.c.id == price_id, owner)).rowcount > 0


def _stored(price: Price) -> str:
    tiers = [{"above": each.above, **_written(each.rates)} for each in price.long_context]
    return jsontext.dumps({**_written(price.rates), **({"long_context": tiers} if tiers else {})}).decode()


def _written(rates: Rates) -> dict[str, str]:
    return {kind: money.plain(rate) for kind, rate in rates.items()}


def _price(row: Row[Any]) -> Price:
    given: dict[str, Any] = jsontext.loads(row.rates)
    tiers = [LongContext(tier.pop("above"), _read(tier)) for tier in given.pop("long_context", ())]
    return Price(
        id=row.id,
        project_id=row.project_id,
        upstream=row.upstream,
        model=row.model,
        service_tier=row.service_tier,
        currency=row.currency,
        rates=_read(given),
        effective_from=row.effective_from,
        created_at=row.created_at,
        effective_to=row.effective_to,
        long_context=tuple(tiers),
        price_set=row.price_set,
    )


def _read(rates: Mapping[str, str]) -> Rates:
    return {kind: Decimal(rate) for kind, rate in rates.items()}
