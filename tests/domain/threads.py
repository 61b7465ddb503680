"""Threads for the tests of comparisons, said in a word.

side = thread(turn("Hello?", "Hi."), turn([user("x")], [call("add", x=1)], temperature=0.2))
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from convstore import ids
from convstore.domain.comparison import Side, Turn
from convstore.domain.exchange import Exchange
from convstore.domain.items import Item
from convstore.domain.usage import Usage

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def item(kind: str, /, **members: Any) -> Item:
    body = json.dumps({"type": kind, **members}).encode()
    return Item(kind, body, **{name: members[name] for name in ("role", "name", "call_id") if name in members})


def user(text: Any) -> Item:
    return item("message", role="user", content=text)


def said(text: str, **members: Any) -> Item:
    parts = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    return item("message", role="assistant", status="completed", content=parts, **members)


def call(name: str, /, call_id: str = "call_1", **arguments: Any) -> Item:
    return item("function_call", name=name, call_id=call_id, arguments=json.dumps(arguments))


def turn(
    asked: str | Sequence[Item] = "Hello?",
    answered: str | Sequence[Item] = "Hi.",
    *,
    origin_id: str | None = None,
    origin: str | None = None,
    tokens: int | None = None,
    seconds: float | None = None,
    status: str = "completed",
    answered_by: str | None = None,
    **settings: Any,
) -> Turn:
    """A turn whose model took so many tokens each way, and so many seconds."""
    own = ids.new(ids.EXCHANGE)
    given = [user(asked)] if isinstance(asked, str) else list(asked)
    output = [said(answered)] if isinstance(answered, str) else list(answered)
    exchange = Exchange(
        id=own,
        conversation_id=ids.new(ids.CONVERSATION),
        parent_id=None,
        lane=own,
        depth=0,
        input_count=len(given),
        status=status,
        origin=origin or ("replay" if origin_id else "create"),
        stored=True,
        requested_model="gpt-5.4",
        settings=json.dumps({"model": "gpt-5.4", **settings}).encode(),
        metadata=None,
        user=None,
        safety_identifier=None,
        extras=None,
        created_at=NOON,
        model=answered_by,
        usage=Usage(tokens, 0, 0, tokens, 0, 2 * tokens) if tokens is not None else None,
        completed_at=NOON + timedelta(seconds=seconds) if seconds is not None else None,
        origin_id=origin_id,
    )
    placed = [(ids.item(each.type, own, number), each) for number, each in enumerate([*given, *output])]
    return Turn(exchange, placed[: len(given)], placed[len(given) :])


def thread(*turns: Turn) -> Side:
    tip = turns[-1].exchange if turns else turn().exchange
    return Side(tip.id, tip.conversation_id, turns)
