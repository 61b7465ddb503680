"""The ledger: one entry for every exchange that has ended: who asked whom, what it took, and what it cost.

An entry is written with the answer and never changed. It says again what reports group by, so that a report reads
nothing else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from convstore.domain import windows
from convstore.domain.items import Item
from convstore.domain.pricing.cost import Cost
from convstore.domain.usage import Usage

# Errors of an attempt that never reached the provider.
_UNREACHED = frozenset({"upstream_unreachable", "breaker_open"})


@dataclass(frozen=True, slots=True)
class Entry:
    """What an exchange took. usage: as reported, or our estimate when the cost's basis says so.

    day: the day of the request in the installation's time zone, which budgets go by.
    """

    exchange_id: str
    conversation_id: str
    created_at: datetime
    day: date
    api_key_id: str | None
    user: str | None
    requested_model: str
    model: str | None
    upstream: str | None
    origin: str
    status: str
    usage: Usage | None
    cost: Cost
    service_tier: str | None = None
    calls: Mapping[str, int] = field(default_factory=dict)


def may_be_billed(attempts: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a provider that reported no usage may bill for the last of these attempts.

    Not for one that it refused, nor for one that did not reach it.
    """
    if not attempts:
        return False
    last = attempts[-1]
    return int(last.get("status") or 200) < 300 and last.get("error") not in _UNREACHED


def estimated(shown: Sequence[bytes], settings: Mapping[str, Any], output: Sequence[Item]) -> Usage:
    """The tokens of an answer whose provider reported none: of what it was shown, and of what had arrived."""
    into = windows.of_texts(settings.get("instructions"), settings.get("tools"))
    into += sum(map(windows.of_item, shown))
    out = sum(windows.of_item(item.body) for item in output)
    return Usage(into, 0, 0, out, 0, into + out)
