"""Erasing, batch by batch: what erasures and retention have in common. Each batch is one transaction."""

from collections.abc import Callable, Sequence
from datetime import datetime

from convstore.domain.erasing import Erased as Erased
from convstore.services import recovery
from convstore.services.deps import Deps
from convstore.storage import erasing, payloads
from convstore.storage.database import Database
from convstore.storage.scope import Scope

# Exchanges of one call.
MOST = erasing.MOST

# Told of what a batch did, in its transaction.
Note = Callable[[Scope, Erased], None]
_Act = Callable[[Database, Scope, str, Sequence[str], datetime], Erased]


def erase(
    deps: Deps, project_id: str, erasure_id: str, exchange_ids: Sequence[str], note: Note | None = None
) -> Erased:
    """Erase what was said in exchanges, 200 at most; their rows and figures stay.

    What is held, not finished, or erased already is left as it is. May be called again for the same.
    """
    return _one(deps, project_id, erasure_id, exchange_ids, erasing.content, note)


def remove(
    deps: Deps, project_id: str, erasure_id: str, exchange_ids: Sequence[str], note: Note | None = None
) -> Erased:
    """Remove exchanges, 200 at most, but for what is held, not finished, or continued by others that stay.

    A conversation whose last exchange it was goes, too. May be called again for the same.
    """
    return _one(deps, project_id, erasure_id, exchange_ids, erasing.whole, note)


def drop_payloads(deps: Deps, project_id: str, erasure_id: str, note: Note | None = None) -> Erased | None:
    """Delete the next shared bodies that an erasure left to nobody, 200 at most. To be called until it did nothing.

    None as long as a process may take them for stored: each answers with a beat, every ten seconds. Not from inside a
    transaction.
    """
    with deps.database.reading(project_id) as scope:
        wanted = payloads.doubtful(scope, deps.database, erasure_id)
    if not wanted:
        return Erased()
    recovery.forget_payloads(deps)
    newest = max(each.epoch for each in wanted)
    if deps.database.memory.epoch < newest or recovery.remembering(deps, newest):
        return None
    seen = payloads.look(deps.database, project_id, [each.hash for each in wanted])
    with deps.database.writing(project_id, records=False) as scope:
        done = payloads.drop(deps.database, scope, wanted, seen)
        if note is not None:
            note(scope, done)
        return done


def _one(
    deps: Deps, project_id: str, erasure_id: str, exchange_ids: Sequence[str], act: _Act, note: Note | None
) -> Erased:
    if len(exchange_ids) > MOST:
        raise ValueError(f"more than {MOST} exchanges at a time would hold up others for too long")
    # The batch has an entry of its own; that of the call, if there is one, is written where it was asked for.
    with deps.database.writing(project_id, records=False) as scope:
        done = act(deps.database, scope, erasure_id, exchange_ids, deps.clock())
        if note is not None:
            note(scope, done)
        return done
