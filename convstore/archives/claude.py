"""Claude's account export: conversations.json, a list of conversations, each with its messages.

A message of a human is a question, one of the assistant an answer. Newer exports say which message each one follows, so
that edited questions and second answers are branches; in older ones each follows the one before it. Which model
answered is hardly ever said, and what it took never.
Source: exports of 2024 to 2026, and public viewers of them; there is no specification.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from convstore.archives import claude_blocks, conversations
from convstore.archives.conversations import Conversation, broken
from convstore.archives.elements import elements
from convstore.archives.moments import first, moment
from convstore.archives.streams import Stream
from convstore.archives.task import Task
from convstore.archives.turns import Message
from convstore.domain import jsontext
from convstore.domain.archive import Record

UPSTREAM = "import:claude"
MODEL = "claude"
_FOLLOWS = "parent_message_uuid"
# stop_reason → the API's reason.
_CUT = {"max_tokens": conversations.CUT_SHORT, "user_canceled": "interrupted"}


def records(file: Stream, task: Task) -> Iterator[Record]:
    """What the file holds. Raises Unreadable."""
    for number, given in elements(file, task.limits.longest, task.inside):
        place = f"{task.inside}conversation {number}"
        if not isinstance(given, Mapping) or not isinstance(given.get("chat_messages"), list):
            yield broken(place, "no_messages", "it is not a conversation: it has no chat_messages")
            continue
        named = _named(given["chat_messages"])
        messages = {key: found for key, each in named.items() if (found := _message(key, each))}
        yield from conversations.records(place, _conversation(given, named, task), messages, _parents(named))


def _conversation(given: Mapping[str, Any], named: Mapping[str, Any], task: Task) -> Conversation:
    key = given.get("uuid")
    return Conversation(
        names=task.names,
        # One without an id is known by its messages.
        key=key if isinstance(key, str) else jsontext.digest(jsontext.dumps(list(named))).hex(),
        upstream=UPSTREAM,
        model=task.model(given.get("model"), MODEL),
        now=task.now,
        title=given.get("name"),
        moment=first(given.get("created_at"), given.get("updated_at")),
    )


def _named(messages: Sequence[Any]) -> dict[str, Mapping[str, Any]]:
    """The messages by their ids; one without an id, or with another's, goes by its place."""
    found: dict[str, Mapping[str, Any]] = {}
    for place, each in enumerate(messages):
        if isinstance(each, Mapping):
            key = each.get("uuid")
            found[key if isinstance(key, str) and key not in found else f"#{place}"] = each
    return found


def _parents(named: Mapping[str, Mapping[str, Any]]) -> dict[str, str | None]:
    """The message that each one follows. Roots name one that does not exist, all of them the same."""
    if any(isinstance(each.get(_FOLLOWS), str) for each in named.values()):
        return {key: each[_FOLLOWS] if isinstance(each.get(_FOLLOWS), str) else None for key, each in named.items()}
    keys = list(named)
    return dict(zip(keys, [None, *keys], strict=False))


def _message(key: str, given: Mapping[str, Any]) -> Message | None:
    is_answer = given.get("sender") == "assistant"
    said = claude_blocks.pieces_of(given, output=is_answer)
    if not said:
        return None
    model, stopped = given.get("model"), given.get("stop_reason")
    return Message(
        id=key,
        is_answer=is_answer,
        pieces=said,
        moment=moment(given.get("created_at")),
        model=model if isinstance(model, str) else None,
        cut=_CUT.get(stopped) if isinstance(stopped, str) else None,
    )
