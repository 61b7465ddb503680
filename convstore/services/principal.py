"""Who is asking, and what they may do."""

from dataclasses import dataclass, field
from enum import StrEnum

from convstore.domain.project import ProjectSettings


class Right(StrEnum):
    """What a key's scopes allow."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Principal:
    """A project and its settings, through one of its keys. key_id is None where keys are off."""

    project_id: str
    project: str
    key_id: str | None
    rights: frozenset[Right]
    settings: ProjectSettings = field(default_factory=ProjectSettings)
