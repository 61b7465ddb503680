"""What leaves a store and comes back: exchanges with all that is kept of them, their conversations, their branches.

Where an exchange lies in the store is not part of it: its parent says that. What is worked out of the rest (first
lines, fingerprints, terms) is not either; whoever puts it back does so again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, Protocol

from convstore import ids
from convstore.domain import jsontext
from convstore.domain.exchange import Sent
from convstore.domain.items import Item
from convstore.domain.ledger import Entry
from convstore.domain.usage import Usage

# The origin of what others made.
IMPORTED = "import"


@dataclass(frozen=True, slots=True)
class Kept:
    """An item of an exchange. sealed_by: the upstream that alone can read it."""

    item: Item
    sealed_by: str | None = None


@dataclass(frozen=True, slots=True)
class Archived:
    """An exchange. settings, reply, metadata, extras: JSON as it came.

    repeats_settings: its settings are its parent's. entry: what it took and cost; None of what was added by hand, and
    of what nobody counted. lane and depth: where it lay; not part of what is put back.
    """

    id: str
    conversation_id: str
    created_at: datetime
    requested_model: str
    parent_id: str | None = None
    status: str = "completed"
    origin: str = IMPORTED
    origin_id: str | None = None
    input: Sequence[Kept] = ()
    output: Sequence[Kept] = ()
    settings: bytes = b"{}"
    repeats_settings: bool = False
    metadata: bytes | None = None
    user: str | None = None
    safety_identifier: str | None = None
    extras: bytes | None = None
    api_key_id: str | None = None
    request_id: str | None = None
    linked: str | None = None
    background: str | None = None
    context_sha256: bytes | None = None
    context_cut: int | None = None
    sent: Sent | None = None
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
    completed_at: datetime | None = None
    deleted_at: datetime | None = None
    erased_at: datetime | None = None
    last_event: int | None = None
    entry: Entry | None = None
    lane: str = ""
    depth: int = 0


@dataclass(frozen=True, slots=True)
class ArchivedConversation:
    """A conversation. tip_id: where the Conversations API appends. metadata: JSON as it came."""

    id: str
    created_at: datetime
    title: str | None = None
    metadata: bytes | None = None
    tip_id: str | None = None
    deleted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ArchivedBranch:
    """A name and what it points at."""

    name: str
    conversation_id: str
    tip_id: str
    created_at: datetime
    moved_at: datetime


@dataclass(frozen=True, slots=True)
class Broken:
    """What could not be read as what it should be. reason: a code; message: what is wrong, without what was said."""

    reason: str
    message: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One of them, and where it stood: "line 17", "conversation 3 (5f0c…)"."""

    place: str
    value: Archived | ArchivedConversation | ArchivedBranch | Broken


@dataclass(frozen=True, slots=True)
class Names:
    """Ids for what others made: of one project, from one kind of source; the same each time it is asked.

    The first half tells the time, as in ids of ours, so that what is old stands among what is old.
    """

    project_id: str
    source: str

    def exchange(self, moment: datetime | None, *parts: str) -> str:
        """The id of an exchange that is known by these texts where it comes from."""
        return self._id(ids.EXCHANGE, moment, parts)

    def conversation(self, moment: datetime | None, *parts: str) -> str:
        """The id of a conversation."""
        return self._id(ids.CONVERSATION, moment, parts)

    def _id(self, prefix: str, moment: datetime | None, parts: Sequence[str]) -> str:
        said = jsontext.dumps([self.project_id, self.source, prefix, *parts])
        milliseconds = max(0, int(moment.timestamp() * 1000)) if moment else 0
        return ids.derived(prefix, milliseconds, blake2b(said, digest_size=10).digest())


class Document(Protocol):
    """A file that is being written: what it is given becomes bytes, which may come later than what they are of.

    For each conversation `conversation`, its exchanges, `conversation_end`. in_lanes: the exchanges of a conversation
    come lane by lane, a lane behind that which it forks off from; else each comes behind its parent, by depth.
    """

    in_lanes: bool

    def begin(self) -> bytes: ...
    def conversation(self, found: ArchivedConversation, title: str | None, branches: Sequence[ArchivedBranch]) -> bytes:
        """title: what lists call it: as somebody named it, or its first question."""

    def exchange(self, found: Archived) -> bytes: ...
    def conversation_end(self) -> bytes: ...
    def end(self) -> bytes: ...
