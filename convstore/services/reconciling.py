"""Reconciliation: a provider's bill against the ledger, day by day and model by model."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

from convstore.domain import billing, reconciliation
from convstore.domain.billing import Reading
from convstore.domain.reconciliation import Doubtful, Ours
from convstore.services.deps import Deps
from convstore.storage import reconciliation as stored


def reconcile(deps: Deps, project_id: str, text: str, reading: Reading, upstream: str | None = None) -> dict[str, Any]:
    """The API's form of what differs between a bill and our figures for its days. Raises BillUnreadable.

    upstream: only what was asked of this one; the days are those of the reading's time zone.
    """
    bill = billing.read(text, reading)
    first, last = bill.days
    zone = reading.zone
    since = datetime.combine(first, time(), zone).astimezone(UTC)
    until = datetime.combine(last + timedelta(days=1), time(), zone).astimezone(UTC)
    with deps.database.reading(project_id) as scope:
        ours = [
            Ours(at.astimezone(zone).date(), model, requested, currency, used)
            for at, model, requested, currency, used in stored.sums(scope, since, until, upstream)
        ]
        doubtful = (
            Doubtful(exchange_id, at.astimezone(zone).date(), model, requested, cause)
            for exchange_id, at, model, requested, cause in stored.doubtful(scope, since, until, upstream)
        )
        found = reconciliation.compare(bill, ours, doubtful)
    return {
        "object": "cost.reconciliation",
        "format": bill.format,
        "timezone": str(zone),
        "from": first.isoformat(),
        "to": last.isoformat(),
        "upstream": upstream,
        "data": [each.as_json() for each in found],
        "totals": reconciliation.totals(found),
    }
