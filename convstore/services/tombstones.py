"""What is said to be erased, held against the entries of the audit log that say so.

A tombstone counts when its entry is as it was sealed, and commits to all the tombstones of its batch and no other. Then
the exchange must be what was left of it, to the last byte, or gone.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from convstore import ids
from convstore.domain import erasing, verification
from convstore.domain.audit import Commits, is_whole
from convstore.domain.erasing import What
from convstore.domain.verification import Problem, Raw, named
from convstore.services.deps import Deps
from convstore.storage import evidence
from convstore.storage.evidence import Tombstone

# What an entry of a batch says that it did.
_ACTIONS = {"erasures.erase": {What.CONTENT, What.HISTORY}, "erasures.remove": {What.ALL, What.HISTORY}}


class Tombstones:
    """Those of some exchanges."""

    def __init__(self, deps: Deps, project: bytes, exchanges: set[bytes]) -> None:
        found = evidence.tombstones(deps.database, project, exchanges)
        self._by_exchange: dict[bytes, dict[str, Tombstone]] = {}
        for each in found:
            self._by_exchange.setdefault(each.exchange, {})[each.what] = each
        entries = {each.batch for each in found if each.batch is not None}
        rows = evidence.some(deps.database, project, entries)
        batches = evidence.batches(deps.database, project, entries)
        self._right = {own for own, row in rows.items() if is_right(deps, row, batches[own])}
        erased = {own for own, of in self._by_exchange.items() if What.CONTENT in of and What.ALL not in of}
        self._states = evidence.states(deps.database, project, erased)

    def of(self, exchange: bytes) -> Mapping[str, Tombstone]:
        """By how much is gone."""
        return self._by_exchange.get(exchange, {})

    def kind(self, exchange: bytes, *, is_there: bool, is_salted: bool) -> str | None:
        """What is wrong with an exchange that has a tombstone of its own."""
        own = self.of(exchange)
        tombstone = own.get(What.ALL) or own[What.CONTENT]
        if tombstone.batch not in self._right:
            return "erasure_unproved"
        if tombstone.what == What.ALL:
            return "content_restored" if is_there or is_salted else None
        if not is_there:
            return "content_missing"
        return "content_restored" if is_salted or self._states.get(exchange) != tombstone.state else None

    def is_erased(self, exchange: bytes) -> bool:
        """Whether what it said is gone, as far as tombstones go."""
        return not self.of(exchange).keys().isdisjoint((What.ALL, What.CONTENT))

    def lost_history(self, exchange: bytes) -> bool:
        """Whether how the items before it were sent along may be missing."""
        own = self.of(exchange).get(What.HISTORY)
        return own is not None and own.batch in self._right


def is_right(deps: Deps, row: Raw, batch: Sequence[Tombstone]) -> bool:
    """Whether an entry is as it was sealed, and commits to these tombstones."""
    said = named(row)
    if is_whole(deps.audit.keyring, row) is not True or said["commits"] != Commits.ERASURE:
        return False
    kinds = _ACTIONS.get(said["action"], set())
    return said["digest"] == erasing.digest([each.committed for each in batch]) and all(
        each.what in kinds and each.erasure_id == said["object"] for each in batch
    )


def of_entries(deps: Deps, project: bytes, rows: Sequence[Raw]) -> Iterator[Problem]:
    """Those of a page's entries that do not fit what is said to be erased by them; altered ones say so themselves."""
    own: dict[Any, Raw] = {row[1]: row for row in rows if named(row)["commits"] == Commits.ERASURE}
    batches = evidence.batches(deps.database, project, own)
    for entry, row in own.items():
        if is_whole(deps.audit.keyring, row) is True and not is_right(deps, row, batches[entry]):
            yield verification.problem("erasure_altered", row)


def unproved(deps: Deps, project: bytes, after: bytes, until: bytes, limit: int) -> Iterator[Problem]:
    """Exchanges between two ids that are said to be erased, and by no entry."""
    for own in evidence.unproved(deps.database, project, after, until, limit):
        yield Problem("erasure_unproved", object_id=ids.unpack(ids.EXCHANGE, own))
