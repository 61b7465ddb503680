"""A Scope: the right to query one project.

Every query function takes one, so a forgotten tenant filter is impossible rather than unlikely.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from convstore import ids
from convstore.domain.sealing import is_sealed
from convstore.storage.vault import Sealer, Vault, asking


@dataclass(frozen=True, slots=True)
class Scope:
    """A connection and the project whose rows it may see; what was sealed of them, it opens."""

    connection: Connection
    project_id: str
    vault: Vault

    def ask(self, sql: str, values: tuple[Any, ...]) -> Any:
        """Run a statement with `?` for parameters."""
        return asking(self.connection)(sql, values)

    def body(self, stored: bytes) -> bytes:
        """A body as it was given. Raises ContentShredded, ContentUnreadable; so do those below."""
        return self.vault.body(self.ask, self.project_id, stored) if is_sealed(stored) else stored

    def bytes(self, stored: bytes | None) -> bytes | None:
        """Bytes that are no body."""
        return None if stored is None else self.vault.opened(self.ask, self.project_id, bytes(stored))

    def text(self, stored: str | None) -> str | None:
        """A text."""
        return None if stored is None else self.vault.text(self.ask, self.project_id, stored)

    def line(self, stored: str | None) -> str | None:
        """A text of which nothing is shown when it was shredded."""
        return self.vault.line(self.ask, self.project_id, stored)

    def sealer(self) -> Sealer | None:
        """What seals what is written in this transaction; None when nothing is to be sealed."""
        return self.vault.sealer(self.ask, ids.pack(ids.PROJECT, self.project_id) or b"") if self.vault.seals else None

    def sealed(self, value: Any) -> Any:
        """The stored form of a value."""
        sealer = self.sealer()
        return value if sealer is None else sealer.value(value)
