"""Budgets: how much a project, one of its keys, or a conversation may cost in a day, in a month, or altogether."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum


class Period(StrEnum):
    """What is added up: the calendar day, the calendar month, or everything."""

    DAY = "day"
    MONTH = "month"
    TOTAL = "total"

    def begins(self, today: date) -> date | None:
        """The first day that counts; None when all do."""
        if self is Period.TOTAL:
            return None
        return today.replace(day=1) if self is Period.MONTH else today


@dataclass(frozen=True, slots=True)
class Budget:
    """So much, in one currency: what was billed in others does not count.

    api_key_id, conversation_id: of one key or one conversation, else of the whole project. hard: calls beyond it are
    refused; else they are only told of.
    """

    id: str
    name: str
    period: Period
    currency: str
    amount: Decimal
    hard: bool
    created_at: datetime
    api_key_id: str | None = None
    conversation_id: str | None = None

    def is_about(self, api_key_id: str | None, conversation_id: str | None) -> bool:
        """Whether what this key spends in this conversation counts."""
        return self.api_key_id in (None, api_key_id) and self.conversation_id in (None, conversation_id)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A budget that somebody wants."""

    name: str
    period: Period
    currency: str
    amount: Decimal
    hard: bool = True
    api_key_id: str | None = None
    conversation_id: str | None = None
