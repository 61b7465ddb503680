"""Budgets: made, looked at, forgotten; and asked before every call whether there is something left.

What has been spent is read at each call, from sums that every answer adds to in the transaction that puts it on disk.
So a hard budget is exceeded by the calls that were running when it was reached, and by no other. That there are budgets
at all is believed for a moment (believed.py): a new one bites from then on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from convstore import ids
from convstore.domain import calls, currencies, jsontext, money
from convstore.domain.budget import Budget, Wanted
from convstore.errors import BudgetExhausted, BudgetNotFound, BudgetTaken, InvalidRequest, UnknownCurrency
from convstore.services.deps import Deps
from convstore.storage import budgets, conversations
from convstore.storage.budgets import BudgetNameTaken
from convstore.storage.scope import Scope
from convstore.telemetry import metrics

# Names the soft budgets that are exceeded, on the answers to calls that go on all the same.
EXCEEDED = "x-convstore-budget-exceeded"


@dataclass(frozen=True, slots=True)
class Standing:
    """A budget, and what has been spent of it in the period that is running."""

    budget: Budget
    spent: Decimal

    @property
    def is_exceeded(self) -> bool:
        return self.spent >= self.budget.amount


def create(deps: Deps, project_id: str, wanted: Wanted) -> Standing:
    """A new budget. Raises BudgetTaken, InvalidRequest, UnknownCurrency."""
    if not currencies.is_known(wanted.currency, deps.currencies):
        raise UnknownCurrency(wanted.currency)
    made = Budget(
        id=ids.new(ids.BUDGET),
        name=wanted.name,
        period=wanted.period,
        currency=wanted.currency,
        amount=wanted.amount,
        hard=wanted.hard,
        created_at=deps.clock(),
        api_key_id=wanted.api_key_id,
        conversation_id=wanted.conversation_id,
    )
    calls.about(made.id)
    try:
        with deps.database.writing(project_id) as scope:
            _must_exist(scope, wanted)
            budgets.add(scope, made)
            standing = _standing(deps, scope, made)
    except BudgetNameTaken as error:
        raise BudgetTaken(wanted.name) from error
    deps.budgets.forget(project_id)
    return standing


def get(deps: Deps, project_id: str, budget_id: str) -> Standing:
    """The budget with this id, and how it stands. Raises BudgetNotFound."""
    with deps.database.reading(project_id) as scope:
        found = budgets.get(scope, budget_id)
        if found is None:
            raise BudgetNotFound(budget_id)
        return _standing(deps, scope, found)


def listed(deps: Deps, project_id: str) -> list[Standing]:
    """The project's budgets and how they stand, oldest first."""
    with deps.database.reading(project_id) as scope:
        return [_standing(deps, scope, each) for each in budgets.all_of(scope)]


def delete(deps: Deps, project_id: str, budget_id: str) -> None:
    """Forget a budget. Raises BudgetNotFound."""
    with deps.database.writing(project_id) as scope:
        if not budgets.remove(scope, budget_id):
            raise BudgetNotFound(budget_id)
    deps.budgets.forget(project_id)


def admit(deps: Deps, project_id: str, api_key_id: str | None, conversation_id: str | None) -> Mapping[str, str]:
    """Let a call go on; headers that say which soft budgets are exceeded.

    Raises BudgetExhausted where a hard one is.
    """
    about = [each for each in deps.budgets.of(project_id) if each.is_about(api_key_id, conversation_id)]
    if not about:
        return {}
    with deps.database.reading(project_id) as scope:
        exceeded = [each for each in (_standing(deps, scope, budget) for budget in about) if each.is_exceeded]
    for each in exceeded:
        metrics.budget_exceeded("hard" if each.budget.hard else "soft").inc()
    for each in exceeded:
        if each.budget.hard:
            raise BudgetExhausted(each.budget.name, f"{money.plain(each.budget.amount)} {each.budget.currency}")
    # Names may hold what no header can.
    return {EXCEEDED: ", ".join(quote(each.budget.name, safe=" ") for each in exceeded)} if exceeded else {}


def written(standings: Sequence[Standing]) -> list[dict[str, Any]]:
    """The API's form."""
    return [_written(each) for each in standings]


def as_json(standing: Standing) -> bytes:
    """The JSON of one."""
    return jsontext.dumps(_written(standing))


def _written(standing: Standing) -> dict[str, Any]:
    budget = standing.budget
    left = budget.amount - standing.spent
    return {
        "id": budget.id,
        "object": "budget",
        "name": budget.name,
        "period": str(budget.period),
        "currency": budget.currency,
        "amount": money.plain(budget.amount),
        "hard": budget.hard,
        "api_key_id": budget.api_key_id,
        "conversation_id": budget.conversation_id,
        "spent": money.plain(standing.spent),
        "left": money.plain(max(left, Decimal(0))),
        "exceeded": standing.is_exceeded,
        "created_at": int(budget.created_at.timestamp()),
    }


def _standing(deps: Deps, scope: Scope, budget: Budget) -> Standing:
    since = budget.period.begins(deps.clock().astimezone(deps.timezone).date())
    if budget.conversation_id is None:
        return Standing(budget, budgets.spent(scope, budget.currency, since, budget.api_key_id))
    moment = datetime.combine(since, time(), deps.timezone) if since else None
    return Standing(budget, budgets.spent_in(scope, budget.conversation_id, budget.currency, moment, budget.api_key_id))


def _must_exist(scope: Scope, wanted: Wanted) -> None:
    if wanted.api_key_id is not None and not budgets.has_key(scope, wanted.api_key_id):
        raise InvalidRequest(f"No API key with id '{wanted.api_key_id}'.", param="api_key_id", code="invalid_value")
    if wanted.conversation_id is not None and conversations.get(scope, wanted.conversation_id) is None:
        message = f"Conversation with id '{wanted.conversation_id}' not found."
        raise InvalidRequest(message, param="conversation_id", code="invalid_value")
