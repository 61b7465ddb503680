"""What a project has named (prices, budgets), as it was a moment ago.

A turn must not ask for it each time: what was read is believed for a while, and longer when the database is away.
"""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from convstore.errors import StorageUnavailable
from convstore.storage.database import Database
from convstore.storage.scope import Scope

Named = TypeVar("Named")

# Of so many projects it is remembered.
_REMEMBERED = 10_000


class Believed(Generic[Named]):
    """What *read* gives for a project, at most fresh_s old. One for each process."""

    def __init__(self, database: Database, read: Callable[[Scope], Named], fresh_s: float) -> None:
        self._database = database
        self._read = read
        self._fresh_s = fresh_s
        self._known: dict[str, tuple[float, Named]] = {}
        self._lock = threading.Lock()

    def of(self, project_id: str) -> Named:
        """What the project has named. Raises StorageUnavailable where it was never read."""
        now = time.monotonic()
        known = self._known.get(project_id)
        if known is not None and now < known[0]:
            return known[1]
        try:
            with self._database.reading(project_id) as scope:
                found = self._read(scope)
        except StorageUnavailable:
            if known is None:
                raise
            found = known[1]
        with self._lock:
            if len(self._known) > _REMEMBERED:
                self._known.clear()
            self._known[project_id] = now + self._fresh_s, found
        return found

    def forget(self, project_id: str | None = None) -> None:
        """Read it anew when it is next asked for: of one project, or of all."""
        with self._lock:
            if project_id is None:
                self._known.clear()
            else:
                self._known.pop(project_id, None)
