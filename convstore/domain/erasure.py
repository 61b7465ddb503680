"""An erasure: what somebody wants to be gone for good, and what came of it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any

from convstore.domain import jsontext

# What an erasure can be by. An exchange is chosen when it says so itself, or lies below what is named.
SELECTORS = ("user", "safety_identifier", "conversation_id", "response_id", "metadata")


@dataclass(frozen=True, slots=True)
class Wanted:
    """by: one of SELECTORS; value: a text, or pairs that all must be there. copies: branches and replays of it, too."""

    by: str
    value: str | Mapping[str, str]
    copies: bool = True
    purge: bool = True

    def dump(self) -> str:
        """The value as it is stored while the erasure runs."""
        return jsontext.dumps(self.value).decode()


@dataclass(frozen=True, slots=True)
class Erasure:
    """On record. value: None when it has ended: then only its salted digest says whom it was about.

    status: in_progress, purging, completed, failed or cancelled.
    """

    id: str
    by: str
    value: Any
    salt: bytes
    digest: bytes
    copies: bool
    purge: bool
    status: str
    created_at: datetime
    job_id: str | None = None
    api_key_id: str | None = None
    counts: Mapping[str, Any] = field(default_factory=dict)
    finished_at: datetime | None = None
    purged_at: datetime | None = None

    @property
    def wanted(self) -> Wanted:
        """What was asked for, while it is known."""
        return Wanted(self.by, self.value, self.copies, self.purge)

    def as_dict(self) -> dict[str, Any]:
        """The API's form: the receipt."""
        return {
            "id": self.id,
            "object": "erasure",
            "status": self.status,
            "by": self.by,
            "selector_salt": self.salt.hex(),
            "selector_digest": self.digest.hex(),
            "copies": self.copies,
            "purge": self.purge,
            "job_id": self.job_id,
            "api_key_id": self.api_key_id,
            "counts": dict(self.counts),
            "created_at": self.created_at.timestamp(),
            "finished_at": _seconds(self.finished_at),
            "purged_at": _seconds(self.purged_at),
        }


def made(erasure_id: str, wanted: Wanted, now: datetime, api_key_id: str | None) -> Erasure:
    """A new one, not on record yet."""
    salt = os.urandom(16)
    return Erasure(
        id=erasure_id,
        by=wanted.by,
        value=wanted.value,
        salt=salt,
        digest=digest(salt, wanted),
        copies=wanted.copies,
        purge=wanted.purge,
        status="in_progress",
        created_at=now,
        api_key_id=api_key_id,
    )


def digest(salt: bytes, wanted: Wanted) -> bytes:
    """What stands for what was asked, so that who knows it can prove it: BLAKE2b of {by: value} as JSON, salted."""
    return blake2b(jsontext.dumps_sorted({wanted.by: wanted.value}), key=salt, digest_size=16).digest()


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
