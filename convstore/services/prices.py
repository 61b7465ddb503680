"""The price book: prices named, listed, forgotten; and which of them applies."""

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from convstore import ids
from convstore.domain import calls, currencies, jsontext, money
from convstore.domain.pricing.book import Price, Sought, Wanted
from convstore.domain.pricing.rule import Rates, Rule
from convstore.errors import InvalidRequest, PriceNotFound, PricesOverlap, UnknownCurrency
from convstore.services import paging
from convstore.services.deps import Deps
from convstore.services.paging import Listing, Page
from convstore.storage import prices


def create(deps: Deps, project_id: str | None, wanted: Sequence[Wanted]) -> list[Price]:
    """Name prices, all or none of them. project_id: None for every project's. Raises InvalidRequest, PricesOverlap.

    They hold for requests from their moment on; what was stored before keeps its cost.
    """
    several = len(wanted) > 1
    made = [_made(deps, project_id, each, f"[{number}]." if several else "") for number, each in enumerate(wanted)]
    calls.about(" ".join(each.id for each in made))
    with deps.database.transaction(records=True) as connection:
        prices.lock(connection, deps.database)
        for number, (each, asked) in enumerate(zip(made, wanted, strict=True)):
            for ended in _ended(prices.like(connection, each), each, asked, f"[{number}]." if several else ""):
                prices.end(connection, ended)
            prices.add(connection, each)
    deps.prices.books.forget(project_id)
    return made


def listed(
    deps: Deps, project_id: str, page: Page, *, price_set: str | None = None, model: str | None = None
) -> Listing:
    """A page of the project's prices and the installation's, oldest first: those in force, or those of a set."""
    with deps.database.reading(project_id) as scope:
        found = [each for each in prices.of_set(scope, price_set) if model is None or fnmatchcase(model, each.model)]
    chosen, has_more = paging.cut([(each.id, jsontext.dumps(as_dict(each))) for each in found], page)
    return Listing(chosen, has_more)


def delete(deps: Deps, project_id: str | None, price_id: str) -> None:
    """Forget a price of the project's, or of the installation's. Raises PriceNotFound."""
    with deps.database.transaction(records=True) as connection:
        if not prices.remove(connection, project_id, price_id):
            raise PriceNotFound(price_id)
    deps.prices.books.forget(project_id)


def find(deps: Deps, project_id: str, sought: Sought) -> bytes:
    """The JSON of the price that applies to a model: the book's, or the price library's. Raises InvalidRequest."""
    serving = deps.upstreams.asked(sought.upstream, sought.model)
    if sought.upstream is not None and (serving is None or serving[0] != sought.upstream):
        raise InvalidRequest(f"No upstream has the name '{sought.upstream}'.", param="upstream", code="invalid_value")
    upstream, called = serving if serving is not None else ("", sought.model)
    at = sought.at or deps.clock()
    rule = deps.prices.rule(project_id, upstream, (called, sought.model), sought.service_tier, at)
    found = {"model": sought.model, "upstream": upstream or None, "price": _rule(rule) if rule else None}
    return jsontext.dumps({"object": "price.found", **found})


def as_dict(price: Price) -> dict[str, Any]:
    """The API's form."""
    return {
        "id": price.id,
        "object": "price",
        "scope": "project" if price.project_id else "installation",
        "price_set": price.price_set,
        "model": price.model,
        "upstream": price.upstream,
        "service_tier": price.service_tier,
        "currency": price.currency,
        **_rates(price.rates),
        "long_context": [{"above": tier.above, **_rates(tier.rates)} for tier in price.long_context],
        "effective_from": price.effective_from.isoformat(),
        "effective_to": price.effective_to.isoformat() if price.effective_to else None,
        "created_at": int(price.created_at.timestamp()),
    }


def _made(deps: Deps, project_id: str | None, wanted: Wanted, where: str) -> Price:
    now = deps.clock()
    if not currencies.is_known(wanted.currency, deps.currencies):
        raise UnknownCurrency(wanted.currency, f"{where}currency")
    begins = wanted.effective_from or now
    if wanted.effective_to is not None and wanted.effective_to <= begins:
        raise InvalidRequest(
            f"Invalid '{where}effective_to': it is not after 'effective_from'.",
            param=f"{where}effective_to",
            code="invalid_value",
        )
    return Price(
        id=ids.new(ids.PRICE),
        project_id=project_id,
        upstream=wanted.upstream,
        model=wanted.model,
        service_tier=wanted.service_tier,
        currency=wanted.currency,
        rates=wanted.rates,
        effective_from=begins,
        created_at=now,
        effective_to=wanted.effective_to,
        long_context=wanted.long_context,
        price_set=wanted.price_set,
    )


def _ended(others: Sequence[Price], made: Price, wanted: Wanted, where: str) -> list[Price]:
    """Those that a new price replaces, with their ends. Raises PricesOverlap."""
    ended = []
    for other in others:
        if not made.collides(other):
            continue
        if not wanted.replace or other.effective_from >= made.effective_from or made.effective_to is not None:
            until = f"until {other.effective_to.isoformat()}" if other.effective_to else "for ever"
            raise PricesOverlap(
                f"The price '{other.id}' for '{other.model}' holds from {other.effective_from.isoformat()} {until}. "
                "Delete it, choose other dates, or end it where the new one begins, with replace=true.",
                param=f"{where}effective_from",
            )
        ended.append(replace(other, effective_to=made.effective_from))
    return ended


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "source": rule.source,
        "version": rule.version,
        "model": rule.model,
        "service_tier": rule.service_tier,
        "currency": rule.currency,
        **_rates(rule.rates),
        "long_context": [{"above": tier.above, **_rates(tier.rates)} for tier in rule.long_context],
    }


def _rates(rates: Rates) -> dict[str, str]:
    return {kind: money.plain(rate) for kind, rate in rates.items()}
