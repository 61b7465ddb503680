"""A conversation of somebody else's, on its way to being one of ours."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from convstore.archives.forest import children_of
from convstore.archives.turns import Message, Tangled, Turn, turns
from convstore.domain import items, jsontext
from convstore.domain.archive import Archived, ArchivedConversation, Broken, Kept, Names, Record
from convstore.domain.items import Item

NO_ANSWER = {"code": "no_answer", "message": "The archive holds no answer to this."}
LONGEST_MODEL = 255
CUT_SHORT = "max_output_tokens"


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is known of it before its messages are. key: what names it where it comes from.

    moment: None when nobody says. now: when it is read, which stands for moments that nobody says.
    """

    names: Names
    key: str
    upstream: str
    model: str
    now: datetime
    title: str | None = None
    moment: datetime | None = None

    @property
    def id(self) -> str:
        return self.names.conversation(self.moment, self.key)

    def record(self, place: str) -> Record:
        """The conversation itself."""
        return Record(place, ArchivedConversation(self.id, self.moment or self.now, items.column(self.title)))


def records(
    place: str, conversation: Conversation, messages: Mapping[str, Message], parents: Mapping[str, str | None]
) -> Iterator[Record]:
    """The conversation and then its exchanges, each behind its parent; Broken when nothing is said in it.

    parents: of every message that the file has; those that are not in *messages* say nothing, and are passed over.
    """
    if not messages:
        yield broken(place, "empty", "nothing is said in this conversation", conversation.key)
        return
    yield conversation.record(place)
    known: list[_Known] = []
    try:
        for turn in turns(messages, children_of(parents, messages)):
            exchange = _exchange(conversation, turn, known[turn.parent] if turn.parent is not None else None)
            known.append(_Known(exchange.id, exchange.settings))
            yield Record(place, exchange)
    except Tangled:
        yield broken(place, "tangled", "its questions fork too often before they are answered", conversation.key)


def broken(place: str, reason: str, message: str, key: Any = None) -> Record:
    """What could not be read. key: what names it where it comes from."""
    return Record(place, Broken(reason, message, items.column(key)))


def kept(found: Sequence[Item], upstream: str) -> tuple[Kept, ...]:
    """Items as they are put away: thoughts are nothing that another upstream would take."""
    return tuple(Kept(item, upstream if item.type in items.SEALED else None) for item in found)


class _Known(NamedTuple):
    """What children ask of an exchange."""

    id: str
    settings: bytes


def _exchange(conversation: Conversation, turn: Turn, parent: _Known | None) -> Archived:
    messages = (*turn.asked, *turn.answers)
    moment = next((each.moment for each in messages if each.moment), conversation.moment)
    created_at = moment or conversation.now
    ended = [each.moment for each in turn.answers if each.moment]
    cut = turn.answers[-1].cut if turn.answers else None
    model, settings = _asked_with(conversation, turn)
    return Archived(
        id=conversation.names.exchange(moment, conversation.key, *(each.id for each in messages)),
        conversation_id=conversation.id,
        created_at=created_at,
        parent_id=parent.id if parent else None,
        status="completed" if turn.answers and not cut else "incomplete",
        input=kept(turn.input, conversation.upstream),
        output=kept(turn.output, conversation.upstream),
        upstream=conversation.upstream,
        upstream_response_id=items.column(turn.answers[-1].id) if turn.answers else None,
        error=None if turn.answers else NO_ANSWER,
        incomplete_reason=cut,
        completed_at=max(created_at, ended[-1]) if ended else created_at,
        requested_model=model,
        model=model if turn.answers else None,
        settings=settings,
        repeats_settings=parent is not None and parent.settings == settings,
    )


def _asked_with(conversation: Conversation, turn: Turn) -> tuple[str, bytes]:
    """The model that was asked, the last that an answer names, and the settings that it was asked with."""
    said = next((each.model for each in reversed(turn.answers) if each.model), None)
    model = items.column(said, LONGEST_MODEL) or conversation.model
    return model, jsontext.dumps({"model": model})
