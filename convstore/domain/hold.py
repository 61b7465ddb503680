"""Legal holds: what may neither be erased nor removed, whatever a rule or a request says.

A hold is for conversations: the one it names, the one a response is in, or each in which an exchange is of a person
or carries some metadata. An answer is no evidence without what the model was shown, nor without what came of it; and
what was let go beside it cannot be brought back, while a hold that was too wide can be released.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

# What a hold can be for: exactly one of these.
SELECTORS = ("conversation_id", "response_id", "user", "safety_identifier", "metadata")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A hold that somebody wants."""

    name: str
    reason: str | None = None
    conversation_id: str | None = None
    response_id: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """It lasts until it is released. api_key_id, released_by: by whose key; None at the command line."""

    id: str
    wanted: Wanted
    created_at: datetime
    api_key_id: str | None = None
    released_at: datetime | None = None
    released_by: str | None = None

    @property
    def is_by_person(self) -> bool:
        """Whether exchanges have to be looked at to know which conversations it is for."""
        return self.wanted.conversation_id is None and self.wanted.response_id is None

    def is_for(self, user: str | None, safety_identifier: str | None, metadata: Mapping[str, Any]) -> bool:
        """Whether an exchange with these is one of those that it is for."""
        wanted = self.wanted
        if wanted.user is not None:
            return wanted.user == user
        if wanted.safety_identifier is not None:
            return wanted.safety_identifier == safety_identifier
        return bool(wanted.metadata) and carries(metadata, wanted.metadata or {})

    def as_dict(self) -> dict[str, Any]:
        """The API's form."""
        return {
            "id": self.id,
            "object": "hold",
            "name": self.wanted.name,
            "reason": self.wanted.reason,
            **{name: getattr(self.wanted, name) for name in SELECTORS},
            "created_at": int(self.created_at.timestamp()),
            "api_key_id": self.api_key_id,
            "released_at": int(self.released_at.timestamp()) if self.released_at else None,
            "released_by": self.released_by,
        }


def carries(metadata: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    """Whether metadata holds all of what is wanted, and perhaps more."""
    return all(metadata.get(key) == value for key, value in wanted.items())
