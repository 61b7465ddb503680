"""What a transaction owes the audit log, in the words that `database.py` needs: strands.py does it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection

from convstore.domain.audit import Commits


@dataclass(frozen=True, slots=True)
class Committed:
    """Which side of an exchange is put on disk, and for whom. status: how it ended, of an answer.

    action: what does so, where it is no turn; exchange_id: or what that calls itself.
    """

    side: Commits
    project_id: str
    exchange_id: str
    api_key_id: str | None = None
    request_id: str | None = None
    status: str | None = None
    action: str | None = None


class Seal(Protocol):
    """The end of a strand, lent to one transaction. One that is neither kept nor undone is given up.

    So it is when the connection breaks in a commit: whether that is on disk nobody knows, so nobody goes on from it.
    """

    def kept(self) -> None:
        """The transaction is on disk."""

    def undone(self) -> None:
        """It was rolled back for certain: the strand goes on from where it was."""


class Recorder(Protocol):
    """Writes entries."""

    def record_call(self, connection: Connection) -> None:
        """Write the entry of the call that is going on, in this transaction, unless it has one."""

    def committing(self, cursor: Any, writes: Sequence[Any], what: Committed) -> Any:
        """The write of an entry that commits to what these writes put on disk."""

    def calling(self, cursor: Any, project_id: str) -> Sequence[Any]:
        """The write of the entry of the call that is going on, unless it has one."""

    def imported(self, cursor: Any, what: Committed) -> Any:
        """The write of the entry that comes behind those of exchanges that were put back. what: the import."""

    def erasing(self, cursor: Any, project: bytes, action: str, erasure_id: str, digest: bytes) -> tuple[bytes, Any]:
        """The id and the write of the entry of a batch of an erasure. digest: of its tombstones (domain/erasing.py)."""
