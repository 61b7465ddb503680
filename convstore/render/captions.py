"""What stands over an exchange in Markdown: by whom, when, how it ended, what it took, on one line."""

from collections.abc import Iterator
from datetime import UTC, datetime

from convstore.domain import money
from convstore.domain.archive import Archived
from convstore.domain.exchange import ADDED
from convstore.domain.ledger import Entry
from convstore.domain.pricing.cost import Basis
from convstore.domain.usage import Usage
from convstore.render.quoting import code


def figures(found: Archived) -> str:
    """The line, as Markdown."""
    return " · ".join(_words(found))


def moment(at: datetime | None) -> str:
    """A moment to the second, in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at else "–"


def _words(found: Archived) -> Iterator[str]:
    if found.origin == ADDED:
        yield f"added or taken out by hand · {moment(found.created_at)}"
        return
    model = found.model or found.requested_model
    yield code(model)
    yield moment(found.created_at)
    yield _status(found)
    if found.origin_id is not None:
        yield f"{code(found.origin)} of {code(found.origin_id)}"
    if found.completed_at is not None:
        yield f"{(found.completed_at - found.created_at).total_seconds():.1f} s"
    yield _tokens(found.usage)
    yield _cost(found.entry)


def _status(found: Archived) -> str:
    status = found.status.replace("_", " ")
    return f"{status} ({code(found.incomplete_reason)})" if found.incomplete_reason else status


def _tokens(usage: Usage | None) -> str:
    if usage is None:
        return "tokens unknown"
    cached = f" ({usage.cached:,} cached)" if usage.cached else ""
    thought = f" ({usage.reasoning:,} reasoning)" if usage.reasoning else ""
    return f"{usage.input:,}{cached} tokens in, {usage.output:,}{thought} out"


def _cost(entry: Entry | None) -> str:
    if entry is None or entry.cost.basis is Basis.UNKNOWN:
        reason = entry.cost.reason if entry else None
        return f"cost unknown ({code(str(reason))})" if reason else "cost unknown"
    if entry.cost.basis is Basis.NOT_BILLED or entry.cost.amount is None:
        return "not billed"
    amount = f"{money.plain(entry.cost.amount)} {code(entry.cost.currency or '')}"
    return f"{amount} (estimated)" if entry.cost.basis is Basis.ESTIMATED else amount
