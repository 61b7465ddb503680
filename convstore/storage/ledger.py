"""The ledger: writing an exchange's entry with its end, and reading one back. Reports are in costs.py.

With the entry go sums: by day and key, because a budget is looked at before every call; by conversation, and by the
quarter of an hour and what else exchanges have in common, because a report of a million of them must not read each.
See docs/decisions/0012-costs.md.
"""

import random
from functools import lru_cache
from typing import Any

from sqlalchemy import select

from convstore import ids
from convstore.domain import jsontext, money
from convstore.domain.ledger import Entry
from convstore.domain.pricing import cost
from convstore.domain.pricing.cost import Cost, Reason
from convstore.domain.usage import columns as usage_columns
from convstore.storage import tables
from convstore.storage.database import Database
from convstore.storage.rows import packed
from convstore.storage.scope import Scope
from convstore.storage.statements import Insert, Write
from convstore.storage.types import micros

_l = tables.ledger

# The calls that are billed, and the columns their numbers are kept in.
CALLS = {"web_search": "web_searches", "file_search": "file_searches", "code_execution": "code_executions"}
_COLUMNS = tuple(column.name for column in _l.columns)
_SUMS = ("exchanges", "millionths", "rest")
_SPENDING = ("project_id", "day", "api_key_id", "currency", "slot", *_SUMS)
# The columns that a cost is read from.
COST = tuple(_l.c[name] for name in ("basis", "reason", "currency", "millionths", "rest", "detail"))
# The same but for its lines.
AMOUNT = ("basis", "reason", "currency", "millionths", "rest")
# Rows of spending that the turns of one key take turns on, where writers wait for one another's commits.
SLOTS = 8
NO_KEY = bytes(16)
QUARTER_US = 15 * 60 * 10**6

_ADDED = tuple(column.name for column in tables.conversation_costs.columns if not column.primary_key)
_OF_CONVERSATION = tuple(column.name for column in tables.conversation_costs.columns)
_OF_QUARTER = tuple(column.name for column in tables.quarter_costs.columns)


def rows(database: Database, project_id: str, entry: Entry) -> list[Write]:
    """The entry of an exchange that ends, when it does, and what it adds to the sums."""
    project, key, amount = packed(ids.PROJECT, project_id), packed(ids.KEY, entry.api_key_id), entry.cost.amount
    tokens = usage_columns(entry.usage if entry.cost.reason != Reason.INCREDIBLE_USAGE else None)
    split = money.split(amount) if amount is not None else (None, None)
    conversation, created_at = packed(ids.CONVERSATION, entry.conversation_id), micros(entry.created_at)
    basis, reason = str(entry.cost.basis), str(entry.cost.reason) if entry.cost.reason else None
    currency = entry.cost.currency
    row = (
        project,
        packed(ids.EXCHANGE, entry.exchange_id),
        conversation,
        created_at,
        key,
        entry.user,
        entry.requested_model,
        entry.model,
        entry.upstream,
        entry.origin,
        entry.status,
        entry.service_tier,
        *tokens,
        *(entry.calls.get(kind) for kind in CALLS),
        basis,
        reason,
        currency,
        *split,
        entry.cost.pack() or None,
    )
    writes: list[Write] = [Insert(tables.ledger, _COLUMNS, [row], if_updated=True)]
    slot = 0 if database.is_sqlite else random.randrange(SLOTS)  # noqa: S311 -- spreads writers, hides nothing
    # Every turn comes to these in the same order, and to one row of each: none waits for another in a ring.
    if amount and currency:
        spent = (project, entry.day.toordinal(), key or NO_KEY, currency, slot, 1, *split)
        writes.append(Insert(tables.spending, _SPENDING, [spent], if_updated=True, adds=_SUMS))
    sums = (1, *(count or 0 for count in tokens), *(count or 0 for count in split))
    asked = (key, entry.requested_model, entry.model, entry.upstream, str(entry.origin), entry.status)
    alike = (*asked, entry.service_tier, basis, reason, currency)
    at = (project, created_at // QUARTER_US, digest(alike), slot, *alike, *sums)
    writes.append(Insert(tables.quarter_costs, _OF_QUARTER, [at], if_updated=True, adds=_ADDED))
    of = (project, conversation, basis, reason or "", currency or "", *sums)
    writes.append(Insert(tables.conversation_costs, _OF_CONVERSATION, [of], if_updated=True, adds=_ADDED))
    return writes


@lru_cache(maxsize=4096)
def digest(alike: tuple[bytes | str | None, ...]) -> bytes:
    """16 bytes that stand for what exchanges have in common. The migration that fills the table does the same."""
    return jsontext.digest(repr(alike).encode("utf-8", "surrogatepass"))


def cost_of(scope: Scope, exchange_id: str) -> Cost | None:
    """What an exchange cost; None while it has not ended."""
    query = select(*COST)
    query = query.where(_l.c.project_id == scope.project_id, _l.c.exchange_id == exchange_id)
    row = scope.connection.execute(query).fetchone()
    return read(row) if row is not None else None


def of_columns(
    basis: str | None,
    reason: str | None,
    currency: str | None,
    millionths: int | None,
    rest: int | None,
    detail: str | None = None,
) -> Cost | None:
    """The cost in the columns of COST; None where there is no entry. detail: left out, its lines are not known."""
    if basis is None:
        return None
    amount = money.joined(millionths, rest or 0) if millionths is not None else None
    return cost.unpack(detail or "", basis, reason, amount, currency)


def read(row: Any) -> Cost:
    """The cost in a row of the ledger."""
    amount = money.joined(row.millionths, row.rest) if row.millionths is not None else None
    return cost.unpack(row.detail or "", row.basis, row.reason, amount, row.currency)
