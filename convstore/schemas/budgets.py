"""The body of a new budget."""

from typing import Any

from marshmallow import INCLUDE, Schema

from convstore.domain.budget import Period, Wanted
from convstore.schemas import problems
from convstore.schemas.bodies import read_closed
from convstore.schemas.fields import Amount, Boolean, Text, Word


class CreateBudget(Schema):
    """`POST /v1/budgets`."""

    class Meta:
        unknown = INCLUDE

    name = Text(longest=100, shortest=1, metadata={"description": "What it is called; stands in errors and headers."})
    amount = Amount(places=6, most=10**12, metadata={"description": "How much may be spent."})
    currency = Text(longest=16, metadata={"description": "In which currency; what is billed in others does not count."})
    period = Word(*Period, metadata={"description": "In a calendar day, in a calendar month, or altogether."})
    hard = Boolean(metadata={"description": "true, unless told: refuse calls; false: only tell of them."})
    api_key_id = Text(longest=64, metadata={"description": "Only what this key spends."})
    conversation_id = Text(longest=64, metadata={"description": "Only what this conversation costs."})


def wanted_budget(body: bytes) -> Wanted:
    """The budget that a body wants. Raises InvalidRequest, UnsupportedParameter."""
    members = read_closed(CreateBudget, body)
    loaded: dict[str, Any] = CreateBudget().load({name: raw.value for name, raw in members.items()})
    given = {name: value for name, value in loaded.items() if value is not None}
    for name in ("name", "amount", "currency", "period"):
        if name not in given:
            raise problems.missing(name)
    return Wanted(**{**given, "period": Period(given["period"])})
