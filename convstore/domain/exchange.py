"""An exchange: one stored request with its answer, the unit of the store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from convstore import ids
from convstore.domain import jsontext
from convstore.domain.fingerprints import Thread
from convstore.domain.items import Item
from convstore.domain.ledger import Entry
from convstore.domain.pricing.cost import Cost
from convstore.domain.response import Response
from convstore.domain.usage import Usage

# Settings of which nothing is kept: an exchange always has some.
NOTHING = b"{}"

# The origin of what was added to a conversation, or taken out of it, by hand: an exchange without a response.
ADDED = "items"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an exchange's answer goes: its id, its lane and depth, and after how many items of its own.

    conversation_id: the conversation whose tip it may become; nobody else writes there until it has ended.
    asked_at: when it was asked, of one that can be searched for.
    """

    id: str
    lane: str
    depth: int
    offset: int
    conversation_id: str | None = None
    asked_at: datetime | None = None
    # Whose request it was, for the audit log.
    api_key_id: str | None = None
    request_id: str | None = None


class Linked(StrEnum):
    """How the parent was found, where the request did not name it."""

    CONVERSATION = "conversation"
    INFERRED = "inferred"


class Background(StrEnum):
    """An exchange that a worker answers while its client goes its way. streamed: its events can be followed."""

    PLAIN = "plain"
    STREAMED = "streamed"


@dataclass(frozen=True, slots=True)
class Sent:
    """A whole history as a client sent it, of which only the new items are stored with the exchange.

    count: its items. digest: of their text. forms: JSON, how the items that were stored before were sent
    (domain/sent.py); None when they were sent as they are shown.
    """

    count: int
    digest: bytes
    forms: bytes | None = None


@dataclass(frozen=True, slots=True)
class Beginning:
    """What is known, and stored, before the upstream is called."""

    id: str
    conversation_id: str
    parent_id: str | None
    lane: str
    depth: int
    items: Sequence[Item]
    stored: bool
    requested_model: str
    settings: bytes
    settings_hash: bytes
    created_at: datetime
    metadata: bytes | None = None
    user: str | None = None
    safety_identifier: str | None = None
    extras: bytes | None = None
    api_key_id: str | None = None
    request_id: str | None = None
    origin: str = "create"
    origin_id: str | None = None
    linked: Linked | None = None
    # The conversation's tip as it was when the request came: nobody may have moved it.
    tip_id: str | None = None
    sent: Sent | None = None
    background: Background | None = None
    # SHA-256 of what the model is shown (domain/context.py), and how many items had no room in its window.
    context_sha256: bytes | None = None
    context_cut: int | None = None
    # Whether its parent has the same settings: what they say is found there.
    repeats_settings: bool = False

    @property
    def appends(self) -> bool:
        """Whether the answer will be appended to a conversation of the Conversations API."""
        return self.linked is Linked.CONVERSATION and self.stored

    @property
    def place(self) -> Place:
        conversation_id = self.conversation_id if self.appends else None
        asked_at = self.created_at if self.stored else None
        whose = self.api_key_id, self.request_id
        return Place(self.id, self.lane, self.depth, len(self.items), conversation_id, asked_at, *whose)

    def response(self, status: str) -> Response:
        """The response as it stands before anything is known of its answer."""
        return Response(
            id=self.id,
            created_at=int(self.created_at.timestamp()),
            status=status,
            model=self.requested_model,
            settings=self.settings,
            previous_response_id=None if self.linked else self.parent_id,
            conversation_id=self.conversation_id if self.linked is Linked.CONVERSATION else None,
            store=self.stored,
            background=self.background is not None,
            metadata=jsontext.loads(self.metadata) if self.metadata else {},
            user=self.user,
            safety_identifier=self.safety_identifier,
            prompt_cache_key=jsontext.loads(self.extras).get("prompt_cache_key") if self.extras else None,
        )

    def without_content(self) -> "Beginning":
        """That it was, whose, when and where in the tree: nothing a client wrote but the model's name.

        What is kept is named, so that a member that is added later is not kept by mistake.
        """
        return Beginning(
            id=self.id,
            conversation_id=self.conversation_id,
            parent_id=self.parent_id,
            lane=self.lane,
            depth=self.depth,
            items=(),
            stored=self.stored,
            requested_model=self.requested_model,
            settings=NOTHING,
            settings_hash=jsontext.digest(NOTHING),
            created_at=self.created_at,
            api_key_id=self.api_key_id,
            request_id=self.request_id,
            origin=self.origin,
            origin_id=self.origin_id,
            linked=self.linked,
            tip_id=self.tip_id,
        )


@dataclass(frozen=True, slots=True)
class Ending:
    """What is known, and stored, once the upstream's last word is in (or will not come)."""

    status: str
    completed_at: datetime
    output: Sequence[Item] = ()
    model: str | None = None
    upstream: str | None = None
    upstream_response_id: str | None = None
    reply: bytes = b"{}"
    error: Mapping[str, Any] | None = None
    incomplete_reason: str | None = None
    attempts: Sequence[Mapping[str, Any]] = ()
    usage: Usage | None = None
    reported_usage: Any = None
    first_event_at: datetime | None = None
    # The thread up to and with this answer, when it can be continued by sending it whole.
    thread: Thread | None = None
    # The number of its last event, where that may be asked for later.
    last_event: int | None = None
    # What it took and cost. The items that were added by hand have none.
    entry: Entry | None = None

    @property
    def is_kept(self) -> bool:
        """Whether a conversation goes on from here: not from an answer that failed or broke off."""
        return is_kept(self.status, self.error is not None)

    def without_content(self) -> "Ending":
        """How it ended, by whom, when and with what figures: nothing a model or an upstream said but codes.

        What is kept is named, as for a Beginning.
        """
        return Ending(
            status=self.status,
            completed_at=self.completed_at,
            model=self.model,
            upstream=self.upstream,
            upstream_response_id=self.upstream_response_id,
            error={"code": self.error.get("code")} if self.error else None,
            incomplete_reason=self.incomplete_reason,
            attempts=self.attempts,
            usage=self.usage,
            reported_usage=self.reported_usage,
            first_event_at=self.first_event_at,
            entry=replace(self.entry, user=None) if self.entry else None,
        )


def is_kept(status: str, is_broken: bool) -> bool:
    """Whether there is something to go on from: an answer that completed, or one that its model left incomplete."""
    return status in ("completed", "incomplete") and not is_broken


@dataclass(slots=True)
class Exchange:
    """One row, read back. Items are read apart."""

    id: str
    conversation_id: str
    parent_id: str | None
    lane: str
    depth: int
    input_count: int
    status: str
    origin: str
    stored: bool
    requested_model: str
    settings: bytes
    metadata: bytes | None
    user: str | None
    safety_identifier: str | None
    extras: bytes | None
    created_at: datetime
    model: str | None = None
    upstream: str | None = None
    upstream_response_id: str | None = None
    reply: bytes = b"{}"
    error: Mapping[str, Any] | None = None
    incomplete_reason: str | None = None
    attempts: Sequence[Mapping[str, Any]] = ()
    usage: Usage | None = None
    completed_at: datetime | None = None
    linked: str | None = None
    background: str | None = None
    # The number of its last event, when it is known: of a background response that was streamed and has ended.
    last_event: int | None = None
    # What it was branched off from, or what it asks again.
    origin_id: str | None = None
    first_event_at: datetime | None = None
    api_key_id: str | None = None
    # What it cost, without its lines; only where figures are read.
    cost: Cost | None = None
    request_id: str | None = None
    # Since when markers stand in the place of what was said.
    erased_at: datetime | None = None

    @property
    def place(self) -> Place:
        appends = self.linked == Linked.CONVERSATION and self.stored
        conversation_id = self.conversation_id if appends else None
        asked_at, whose = self.created_at if self.stored else None, (self.api_key_id, self.request_id)
        return Place(self.id, self.lane, self.depth, self.input_count, conversation_id, asked_at, *whose)

    def response(self) -> Response:
        """The exchange in the words of the API."""
        return Response(
            id=self.id,
            created_at=int(self.created_at.timestamp()),
            status=self.status,
            model=self.model or self.requested_model,
            settings=self.settings,
            reply=self.reply,
            completed_at=int(self.completed_at.timestamp()) if self.completed_at else None,
            error=self.error,
            incomplete_reason=self.incomplete_reason,
            previous_response_id=None if self.linked else self.parent_id,
            conversation_id=self.conversation_id if self.linked == Linked.CONVERSATION else None,
            store=self.stored,
            background=self.background is not None,
            metadata=jsontext.loads(self.metadata) if self.metadata else {},
            user=self.user,
            safety_identifier=self.safety_identifier,
            prompt_cache_key=jsontext.loads(self.extras).get("prompt_cache_key") if self.extras else None,
            usage=self.usage,
            is_erased=self.erased_at is not None,
        )


def finished(beginning: Beginning, ending: Ending) -> Exchange:
    """The exchange that a beginning and its ending make: what reading it back gives, without reading it."""
    return Exchange(
        id=beginning.id,
        conversation_id=beginning.conversation_id,
        parent_id=beginning.parent_id,
        lane=beginning.lane,
        depth=beginning.depth,
        input_count=len(beginning.items),
        status=ending.status,
        origin=beginning.origin,
        stored=beginning.stored,
        requested_model=beginning.requested_model,
        settings=beginning.settings,
        metadata=beginning.metadata,
        user=beginning.user,
        safety_identifier=beginning.safety_identifier,
        extras=beginning.extras,
        created_at=beginning.created_at,
        model=ending.model,
        upstream=ending.upstream,
        upstream_response_id=ending.upstream_response_id,
        reply=ending.reply,
        error=ending.error,
        incomplete_reason=ending.incomplete_reason,
        attempts=ending.attempts,
        usage=ending.usage,
        completed_at=ending.completed_at,
        linked=beginning.linked,
        background=beginning.background,
        origin_id=beginning.origin_id,
        first_event_at=ending.first_event_at,
        api_key_id=beginning.api_key_id,
        request_id=beginning.request_id,
    )


def output_ids(exchange_id: str, offset: int, output: Sequence[Item]) -> list[str]:
    """The ids clients see on the output items: the first stands at position *offset* of the exchange."""
    return [ids.item(item.type, exchange_id, offset + number) for number, item in enumerate(output)]
