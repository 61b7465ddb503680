"""What an answer costs, in USD, by the price library's data; None where it knows no price."""

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from convstore.domain.usage import Usage


@dataclass(frozen=True, slots=True)
class Priced:
    """A model as an upstream names it, and where it is asked."""

    model: str
    upstream_url: str


def cost(of: Priced, usage: Usage) -> Decimal | None:
    """The price of these tokens, cached ones at their own price."""
    found = _found(of)
    if found is None:
        return None
    from genai_prices import Usage as Counted

    provider, model = found
    counted = Counted(
        input_tokens=usage.input,
        cache_read_tokens=usage.cached,
        cache_write_tokens=usage.cache_write,
        output_tokens=usage.output,
    )
    from genai_prices import calc_price

    try:
        return calc_price(counted, model, provider_id=provider).total_price
    except (LookupError, ValueError):
        return None


@lru_cache(maxsize=1024)
def _found(of: Priced) -> tuple[Any, Any] | None:
    # Half a second and 20 MiB, once, and only where a price is asked for.
    from genai_prices.data_snapshot import get_snapshot

    try:
        provider, model = get_snapshot().find_provider_model(of.model, None, None, of.upstream_url)
    except LookupError:
        return None
    return provider.id, model.id
