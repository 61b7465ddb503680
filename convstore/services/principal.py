"""Who is asking, and what they may do."""

from dataclasses import dataclass
from enum import StrEnum


class Right(StrEnum):
    """What a key's scopes allow."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Principal:
    """A project, through one of its keys. key_id is None where keys are off."""

    project_id: str
    project: str
    key_id: str | None
    rights: frozenset[Right]
