"""An exchange: one stored request with its answer, the unit of the store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from convstore import ids
from convstore.domain import jsontext
from convstore.domain.items import Item
from convstore.domain.response import Response
from convstore.domain.usage import Usage


@dataclass(frozen=True, slots=True)
class Place:
    """Where an exchange's answer goes: its id, its lane and depth, and after how many items of its own."""

    id: str
    lane: str
    depth: int
    offset: int


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

    @property
    def place(self) -> Place:
        return Place(self.id, self.lane, self.depth, len(self.items))


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

    @property
    def place(self) -> Place:
        return Place(self.id, self.lane, self.depth, self.input_count)

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
            previous_response_id=self.parent_id,
            store=self.stored,
            metadata=jsontext.loads(self.metadata) if self.metadata else {},
            user=self.user,
            safety_identifier=self.safety_identifier,
            prompt_cache_key=jsontext.loads(self.extras).get("prompt_cache_key") if self.extras else None,
            usage=self.usage,
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
    )


def output_ids(exchange_id: str, offset: int, output: Sequence[Item]) -> list[str]:
    """The ids clients see on the output items: the first stands at position *offset* of the exchange."""
    return [ids.item(item.type, exchange_id, offset + number) for number, item in enumerate(output)]
