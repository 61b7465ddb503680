"""What an exchange that ends has cost: its entry for the ledger.

The price is the one in force when the request came: the book's, or else the price library's. Where the provider
reported no usage and may bill all the same, tokens are estimated, and the entry says so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from convstore.domain import jsontext, ledger
from convstore.domain.exchange import Beginning, Ending, Exchange
from convstore.domain.items import column
from convstore.domain.ledger import Entry
from convstore.domain.pricing import cost
from convstore.domain.pricing.cost import NOT_BILLED, Basis, Reason
from convstore.services.deps import Deps
from convstore.storage import exchanges

# Tiers that are none: the usual price.
_USUAL = (None, "auto", "default")


@dataclass(frozen=True, slots=True)
class Billed:
    """Who may bill for an exchange. upstream: its name, None when nobody was asked; model: what it calls the model.

    shown: gives the bodies of the items that the model was shown; called only where tokens must be estimated.
    """

    project_id: str
    upstream: str | None
    model: str
    shown: Callable[[], Sequence[bytes]] = tuple


def with_entry(deps: Deps, billed: Billed, begun: Beginning | Exchange, ending: Ending) -> Ending:
    """The ending with its entry for the ledger. Raises StorageUnavailable where no price book was ever read."""
    usage, basis = ending.usage, Basis.REPORTED
    if usage is None and billed.upstream is not None:
        usage = ledger.estimated(billed.shown(), jsontext.loads(begun.settings), ending.output)
        basis = Basis.ESTIMATED
    tier = _service_tier(begun, ending)
    calls = cost.calls_in(ending.output)
    charged = NOT_BILLED
    if usage is not None and not cost.is_credible(usage):
        charged = cost.unknown(Reason.INCREDIBLE_USAGE)
    elif usage is not None:
        names = [name for name in (ending.model, billed.model, begun.requested_model) if name]
        rule = deps.prices.rule(billed.project_id, billed.upstream or "", names, tier, begun.created_at)
        charged = cost.of(usage, calls, rule, basis=basis) if rule else cost.unknown(Reason.NO_PRICE)
    entry = Entry(
        exchange_id=begun.id,
        conversation_id=begun.conversation_id,
        created_at=begun.created_at,
        day=begun.created_at.astimezone(deps.timezone).date(),
        api_key_id=begun.api_key_id,
        user=begun.user,
        requested_model=begun.requested_model,
        model=ending.model or (billed.model if billed.upstream else None),
        upstream=billed.upstream,
        origin=begun.origin,
        status=ending.status,
        usage=usage,
        cost=charged,
        service_tier=tier,
        calls=calls,
    )
    return replace(ending, entry=entry)


def nobody(project_id: str) -> Billed:
    """Of an exchange that reached no provider."""
    return Billed(project_id, None, "")


def somebody(deps: Deps, project_id: str, exchange: Exchange, upstream: str | None = None) -> Billed:
    """Of an exchange that a process had begun which is no more."""
    serving = deps.upstreams.asked(upstream, exchange.requested_model)
    name, model = serving if serving else (upstream or "", exchange.requested_model)

    def shown() -> Sequence[bytes]:
        with deps.database.reading(project_id) as scope:
            placed = exchanges.remaining(exchanges.thread(scope, exchange.id))
        return [each.item.body for each in placed if each.exchange_id != exchange.id or not each.output]

    return Billed(project_id, name, model, shown)


def _service_tier(begun: Beginning | Exchange, ending: Ending) -> str | None:
    """The tier that the provider says it served, or else the one that was asked for; None for the usual one."""
    for text in (ending.reply, begun.settings):
        # Most have none: looked for before anything is parsed.
        tier = jsontext.loads(text).get("service_tier") if b'"service_tier"' in text else None
        if isinstance(tier, str):
            # A provider may say anything, and a column does not take everything.
            return None if tier in _USUAL else column(tier, 32)
    return None
