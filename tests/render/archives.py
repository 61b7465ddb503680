"""Archived exchanges for the tests of exports, said in a word, and what a document makes of them.

first = exchange("Hello?", "Hi.")
written(Csv(), conversation("Weather"), [first, exchange("And?", parent=first)])
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from convstore import ids
from convstore.domain import jsontext
from convstore.domain.archive import Archived, ArchivedBranch, ArchivedConversation, Document, Kept
from convstore.domain.items import Item
from convstore.domain.ledger import Entry
from convstore.domain.pricing.cost import Basis, Cost, Reason
from convstore.domain.usage import Usage
from tests.domain.threads import NOON, said, user

HOME = "conv_" + "0" * 32


def conversation(title: str | None = None, own: str = HOME, **more: Any) -> ArchivedConversation:
    return ArchivedConversation(own, NOON, title, **more)


def branch(name: str, tip: Archived) -> ArchivedBranch:
    return ArchivedBranch(name, tip.conversation_id, tip.id, NOON, NOON)


def priced(amount: str | None, currency: str = "USD", usage: Usage | None = None, **more: Any) -> Entry:
    """An entry of a known cost; of an unknown one without an amount."""
    cost = Cost(Basis.REPORTED, Decimal(amount), currency) if amount else Cost(Basis.UNKNOWN, reason=Reason.NO_PRICE)
    return Entry(
        "", HOME, NOON, NOON.date(), None, None, "gpt-5.4", None, None, "create", "completed", usage, cost, **more
    )


def exchange(
    asked: str | Sequence[Item] = "Hello?",
    answered: str | Sequence[Item] = "Hi.",
    *,
    parent: Archived | None = None,
    forks: bool = False,
    cost: str | None = None,
    currency: str = "USD",
    **more: Any,
) -> Archived:
    """An exchange behind its parent, in its lane; in one of its own when it forks. With a cost it is counted."""
    own = more.pop("id", None) or ids.new(ids.EXCHANGE)
    usage = Usage(100, 20, 0, 30, 10, 130) if cost else None
    asked_items = [user(asked)] if isinstance(asked, str) else asked
    answer_items = [said(answered)] if isinstance(answered, str) else answered
    given: dict[str, Any] = {
        "conversation_id": parent.conversation_id if parent else HOME,
        "created_at": NOON + timedelta(minutes=parent.depth + 1 if parent else 0),
        "requested_model": "gpt-5.4",
        "parent_id": parent.id if parent else None,
        "origin": "create",
        "input": [Kept(item) for item in asked_items],
        "output": [Kept(item) for item in answer_items],
        "usage": usage,
        "entry": priced(cost if cost != "?" else None, currency, usage) if cost else None,
        "lane": own if forks or parent is None else parent.lane,
        "depth": parent.depth + 1 if parent else 0,
    }
    return replace(
        Archived(own, **{name: given[name] for name in ("conversation_id", "created_at", "requested_model")}),
        **{**given, **more},
    )


def settings(**members: Any) -> bytes:
    return jsontext.dumps(members)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def written(
    document: Document,
    found: ArchivedConversation,
    exchanges: Iterable[Archived],
    branches: Sequence[ArchivedBranch] = (),
    title: str | None = None,
) -> bytes:
    """The whole file of one conversation."""
    return wholly(document, [(found, title or found.title, branches, exchanges)])


def wholly(
    document: Document,
    conversations: Iterable[tuple[ArchivedConversation, str | None, Sequence[ArchivedBranch], Iterable[Archived]]],
) -> bytes:
    """The whole file of several."""
    parts = [document.begin()]
    for found, title, branches, exchanges in conversations:
        parts.append(document.conversation(found, title, branches))
        parts += map(document.exchange, exchanges)
        parts.append(document.conversation_end())
    return b"".join([*parts, document.end()])
