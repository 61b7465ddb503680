"""Prices by the price library's data (genai-prices): of public providers, in USD, by their URL and model.

Finding a model takes a tenth of a millisecond, so what was found is remembered; what applies depends on the moment
(prices change, and some are lower at night), so that is looked at each time.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from convstore.domain.pricing.rule import LongContext, Rates, Rule

SOURCE = "genai-prices"
CURRENCY = "USD"
_KINDS = {
    "input_mtok": "input",
    "cache_read_mtok": "cached_input",
    "cache_write_mtok": "cache_write",
    "output_mtok": "output",
    "output_reasoning_mtok": "reasoning",
    "web_searches_kcount": "web_search",
    "storage_searches_kcount": "file_search",
    "code_executions_kcount": "code_execution",
    "requests_kcount": "request",
}


def rule(upstream_url: str, model: str, service_tier: str | None, at: datetime) -> Rule | None:
    """The price of a model at the provider behind a URL, at that moment; None when the library knows none."""
    return _priced(_found(upstream_url, model), service_tier, at)


def rule_at(provider: str | None, model: str, service_tier: str | None, at: datetime) -> Rule | None:
    """The same at the provider that the library calls so; without one, at the one whose model it most likely is."""
    return _priced(_found_at(provider, model), service_tier, at)


def _priced(found: tuple[str, Any] | None, service_tier: str | None, at: datetime) -> Rule | None:
    if found is None:
        return None
    provider, known = found
    prices = known.get_prices(at)
    if service_tier and known.price_variants:
        special = known.get_prices(at, {"service_tier": service_tier})
        if special != prices:
            return _rule(provider, known.id, special, service_tier)
    return _remembered(provider, known.id, _Same(prices))


def preload(upstream_urls: Iterable[str]) -> None:
    """Load the data now, if any of these may be in it: half a second and some MiB that no turn then waits for."""
    if not all(_is_local(url) for url in upstream_urls):
        _snapshot()


@lru_cache(maxsize=1)
def _snapshot() -> Any:
    from genai_prices.data_snapshot import get_snapshot

    return get_snapshot()


@lru_cache(maxsize=4096)
def _found(upstream_url: str, model: str) -> tuple[str, Any] | None:
    if _is_local(upstream_url):
        return None
    try:
        provider, known = _snapshot().find_provider_model(model, None, None, upstream_url)
    except LookupError:
        return None
    return provider.id, known


@lru_cache(maxsize=1024)
def _found_at(provider: str | None, model: str) -> tuple[str, Any] | None:
    try:
        found, known = _snapshot().find_provider_model(model, None, provider, None)
    except LookupError:
        return None
    return found.id, known


def _is_local(url: str) -> bool:
    """Whether a URL is of this machine: nobody the library knows lives there, so it need not be loaded."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Same:
    """Prices of the library by their identity: they live as long as its data, and cannot be hashed."""

    def __init__(self, prices: Any) -> None:
        self.prices = prices

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.prices is self.prices

    def __hash__(self) -> int:
        return id(self.prices)


@lru_cache(maxsize=4096)
def _remembered(provider: str, model: str, same: _Same) -> Rule:
    return _rule(provider, model, same.prices, None)


def _rule(provider: str, model: str, prices: Any, service_tier: str | None) -> Rule:
    from importlib.metadata import version

    given = {kind: value for name, kind in _KINDS.items() if (value := getattr(prices, name)) is not None}
    return Rule(
        source=SOURCE,
        version=version("genai-prices"),
        model=f"{provider}/{model}",
        currency=CURRENCY,
        rates={kind: _base(value) for kind, value in given.items()},
        service_tier=service_tier,
        long_context=tuple(_long_context(given)),
    )


def _base(value: Any) -> Decimal:
    return value if isinstance(value, Decimal) else value.base


def _long_context(given: dict[str, Any]) -> Iterator[LongContext]:
    """The rates from each size on at which any of them changes."""
    tiered = {kind: value.tiers for kind, value in given.items() if not isinstance(value, Decimal)}
    for start in sorted({tier.start for tiers in tiered.values() for tier in tiers}):
        rates: Rates = {
            kind: max((tier for tier in tiers if tier.start <= start), key=lambda tier: tier.start).price
            for kind, tiers in tiered.items()
            if any(tier.start <= start for tier in tiers)
        }
        yield LongContext(start, rates)
