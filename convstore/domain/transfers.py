"""Exports and imports on record: what was asked for, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

# The bytes of a file that lie together in the store.
PART = 2**20
OPEN = ("queued", "in_progress")


@dataclass(frozen=True, slots=True)
class Export:
    """An export. filters: of which exchanges, "given" in the words of the history, and "asked" as they were checked;
    None of all, and when its file is gone.

    status: queued, in_progress, completed, failed or cancelled; expired when its file is gone. begun: how often its
    file was begun. size: the bytes of the file.
    """

    id: str
    format: str
    scope: str
    status: str
    created_at: datetime
    filters: Mapping[str, Any] | None = None
    job_id: str | None = None
    api_key_id: str | None = None
    begun: int = 0
    manifest: Mapping[str, Any] | None = None
    size: int | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        """The API's form."""
        return {
            "id": self.id,
            "object": "export",
            "status": self.status,
            "format": self.format,
            "scope": self.scope,
            "filters": dict(self.filters["given"]) if self.filters is not None else None,
            "job_id": self.job_id,
            "api_key_id": self.api_key_id,
            "bytes": self.size,
            "manifest": dict(self.manifest) if self.manifest is not None else None,
            "created_at": self.created_at.timestamp(),
            "finished_at": _seconds(self.finished_at),
            "expires_at": _seconds(self.expires_at),
        }


@dataclass(frozen=True, slots=True)
class Import:
    """An import. format: as it was asked for, then as it was found. ids: "keep" or "new". size: the bytes of the file.

    status: uploading, queued, in_progress, completed, failed or cancelled. position: how many records of the file are
    done with. report: what came of them (report.py).
    """

    id: str
    status: str
    created_at: datetime
    format: str | None = None
    ids: str = "keep"
    dry_run: bool = False
    job_id: str | None = None
    api_key_id: str | None = None
    size: int = 0
    position: int = 0
    report: Mapping[str, Any] = field(default_factory=dict)
    finished_at: datetime | None = None
    expires_at: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        """The API's form."""
        return {
            "id": self.id,
            "object": "import",
            "status": self.status,
            "format": self.format,
            "ids": self.ids,
            "dry_run": self.dry_run,
            "job_id": self.job_id,
            "api_key_id": self.api_key_id,
            "bytes": self.size,
            "records": self.position,
            "counts": self.report.get("counts", {}),
            "problems": self.report.get("problems", []),
            "problems_left_out": self.report.get("problems_left_out", 0),
            "created_at": self.created_at.timestamp(),
            "finished_at": _seconds(self.finished_at),
        }


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
