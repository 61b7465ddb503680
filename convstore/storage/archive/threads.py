"""What exchanges that are put back are recognised by, when a client sends their thread whole.

It grows from their parent's. Behind an exchange that has none (it failed, or had something taken out) a thread begins
anew with all that is in front, as for a request that continues one (services/standing.py).
"""

from collections.abc import Mapping, Sequence

from convstore.domain import fingerprints
from convstore.domain.archive import Archived
from convstore.domain.context import ContextItem, remaining
from convstore.domain.exchange import ADDED
from convstore.domain.fingerprints import Thread
from convstore.domain.items import REMOVAL
from convstore.storage import turns
from convstore.storage.archive import looking
from convstore.storage.archive.looking import Known
from convstore.storage.archive.rows import Coming
from convstore.storage.direct import Cursor


class Threads:
    """Those of one batch. coming: its exchanges so far, by id."""

    def __init__(self, cursor: Cursor, project_id: str, coming: Mapping[str, Coming]) -> None:
        self._cursor = cursor
        self._project_id = project_id
        self._coming = coming

    def of(self, archived: Archived, above: Coming | Known | None) -> Thread | None:
        """Of an exchange behind another. None of one without an answer, and of one that was erased."""
        if archived.erased_at is not None:
            return None
        asked, said = ([each.item for each in side] for side in (archived.input, archived.output))
        takes_out = archived.origin == ADDED and any(item.type == REMOVAL for item in asked)
        before = None if takes_out or above is None else above.thread
        if before is None:
            own = _as_context(archived, (above.depth if above else -1) + 1)[: len(asked)]
            start = fingerprints.start(self._project_id, archived.user, archived.safety_identifier)
            before = start.after(remaining([*self._up_to(above), *own]))
        else:
            before = before.after(asked)
        if archived.origin == ADDED:
            return before
        return before.after(said) if said else None

    def _up_to(self, above: Coming | Known | None) -> Sequence[ContextItem]:
        """The items up to and with an exchange, be they of the batch or on disk, and what was taken out of them."""
        own: list[ContextItem] = []
        while isinstance(above, Coming):
            own = [*_as_context(above.archived, above.depth), *own]
            parent_id = above.archived.parent_id or ""
            above = self._coming.get(parent_id) or looking.one(self._cursor, self._project_id, parent_id)
        if above is None:
            return own
        stored = turns.parent(self._cursor, self._project_id, above.id, hidden=True)
        return [*(turns.context(self._cursor, self._project_id, stored) if stored is not None else ()), *own]


def _as_context(archived: Archived, depth: int) -> list[ContextItem]:
    sides = ((False, archived.input), (True, archived.output))
    return [
        ContextItem(depth, output, kept.item.type, kept.item.item_id, kept.item.call_id, kept.sealed_by, kept.item.body)
        for output, side in sides
        for kept in side
    ]
