"""A job: work that outlives its request.

    queued ──▶ running ──▶ completed | failed | cancelled
      ▲           │
      └───────────┘   its worker died, or was told to stop

Whoever asks reads the row; who runs it changes it. Arguments, notes and errors are shown to the project and are not
encrypted: ids and figures belong there, not what people said.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

STATUSES = ("queued", "running", "completed", "failed", "cancelled")
FINISHED = frozenset({"completed", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is. total: None while nobody knows; note: a word for people."""

    done: int = 0
    total: int | None = None
    note: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """What is shown, and stored."""
        return {"done": self.done, "total": self.total, "note": self.note}


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job that is about to be put in the queue. subject: the id of what it is about."""

    id: str
    kind: str
    created_at: datetime
    subject: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands. attempts: how often it was begun, without those that were handed back.

    runs: how often it was begun, ever: with the worker it says whose a job is. worker: the process that runs it, or
    ran it last. started_at: when it was first begun.
    """

    id: str
    project_id: str
    kind: str
    subject: str | None
    arguments: Mapping[str, Any]
    status: str
    progress: Progress
    attempts: int
    runs: int
    error: Mapping[str, Any] | None
    worker: bytes | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None

    def as_dict(self) -> dict[str, Any]:
        """The API's form; times in seconds, as everywhere in it."""
        return {
            "id": self.id,
            "object": "job",
            "kind": self.kind,
            "subject": self.subject,
            "status": self.status,
            "progress": self.progress.as_dict(),
            "attempts": self.attempts,
            "arguments": dict(self.arguments),
            "error": dict(self.error) if self.error else None,
            "created_at": _seconds(self.created_at),
            "started_at": _seconds(self.started_at),
            "finished_at": _seconds(self.finished_at),
            "cancel_requested_at": _seconds(self.cancel_requested_at),
        }


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
