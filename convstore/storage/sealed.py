"""Sealing the writes of a transaction: what of which table, and how its digests are marked.

What stays plain: ids, figures, times, states, and what is filtered by (users, models, names of tools, metadata).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from convstore.storage.statements import Insert, Update, Write
from convstore.storage.vault import Sealer

# What was said, or shows what was said, by table. Bytes and texts are told apart by themselves.
SEALED = {
    "items": ("body",),
    "payloads": ("body",),
    "journal": ("events",),
    "exchanges": (
        *("extras", "question", "answer", "error", "attempts"),
        *("sent_digest", "context_sha256", "fingerprint"),
    ),
    "idempotency_keys": ("body_sha256",),
    "replays": ("plan",),
    "conversations": ("title",),
}
# Digests of it that rows are looked up by.
MARKED = {
    "items": ("payload_hash",),
    "payloads": ("hash",),
    "exchanges": ("settings_hash", "sent_hash", "reply_hash"),
    "fingerprints": ("fingerprint",),
}


def marked(sealer: Sealer, writes: Sequence[Write]) -> list[Write]:
    """The writes with their digests marked: what the audit log commits to."""
    return [_changed(write, MARKED, sealer.mark, sealer.part) for write in writes]


def sealed(sealer: Sealer, writes: Sequence[Write]) -> list[Write]:
    """The writes as they go to disk."""
    return [_changed(write, SEALED, sealer.value, sealer.part) for write in writes]


def _changed(
    write: Write,
    wanted: dict[str, tuple[str, ...]],
    change: Callable[[Any], Any],
    of_part: Callable[[bytes, bytes], bytes],
) -> Write:
    if not isinstance(write, Insert | Update) or write.table.name not in wanted:
        return write
    places = [at for at, name in enumerate(write.columns) if name in wanted[write.table.name]]
    if not places:
        return write
    if isinstance(write, Update):
        return replace(write, values=_at(write.values, places, change))
    if write.table.name == "journal":
        return replace(write, rows=[_at(row, places, partial(of_part, row[0])) for row in write.rows])
    return replace(write, rows=[_at(row, places, change) for row in write.rows])


def _at(row: Sequence[Any], places: Iterable[int], change: Callable[[Any], Any]) -> list[Any]:
    changed = list(row)
    for at in places:
        changed[at] = change(changed[at])
    return changed
