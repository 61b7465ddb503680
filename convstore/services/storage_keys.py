"""The keys that what is stored is encrypted with: wrapped anew, changed with all that they seal, destroyed.

    rewrap()   every data key under the present master key                          a transaction a project
    reseal()   a new data key for every project, and all of it sealed with that     batches; goes on where it was
    shred()    the data keys of a project destroyed: nobody reads what they sealed  one transaction

A process may seal with the data key before for `key_cache_s`, and for as long as a write waits. So old keys are
destroyed only when everything was looked at once more after that.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from convstore import ids
from convstore.domain import calls
from convstore.errors import Conflict, Misconfigured
from convstore.services.deps import Deps
from convstore.services.projects import ProjectNotFound
from convstore.storage import everywhere, holds, keys, resealing
from convstore.storage.everywhere import Project
from convstore.storage.scope import Scope
from convstore.storage.vault import asking

# Told whose data are being sealed, and how many values were.
Tell = Callable[[str, int], None]
# On top of what a write waits: it may just have begun.
GRACE_S = 1.0


class NothingToShred(Conflict):
    """Nothing of this project is encrypted, so there is no key to destroy. Rotate its bodies first."""

    code = "nothing_encrypted"


class HoldStands(Conflict):
    """A legal hold keeps what was said in this project. Release it first."""

    code = "hold_stands"


@dataclass(frozen=True, slots=True)
class Resealed:
    """sealed: values that were sealed; unreadable: those that could not be opened, whose old keys stay; destroyed."""

    sealed: int = 0
    unreadable: int = 0
    destroyed: int = 0


def rewrap(deps: Deps) -> int:
    """Wrap every data key under the present master key; how many were under another. Raises Misconfigured."""
    vault, changed = _sealing(deps), 0
    for project in _projects(deps):
        with deps.database.transaction() as connection:
            for key in keys.living(connection, project.id):
                if key.key_id != vault.masters.key_id:
                    own = keys.packed(project.id)
                    keys.wrap(connection, key, *vault.rewrapped(own, key.number, key.key_id, key.wrapped))
                    changed += 1
    if changed:
        keys.scrub(deps.database)
    return changed


def reseal(deps: Deps, tell: Tell, wait: Callable[[float], None] = time.sleep) -> Resealed:
    """Seal everything with new data keys and destroy the old ones. May be interrupted, and is begun again then.

    Raises Misconfigured.
    """
    vault = _sealing(deps)
    projects = _projects(deps)
    newest = {project.id: _renewed(deps, project.id) for project in projects}
    made_at = time.monotonic()
    sealed = sum(_through(deps, project, tell)[0] for project in projects)
    wait(max(0.0, made_at + vault.cache_s + deps.database.options.busy_s + GRACE_S - time.monotonic()))
    unreadable = destroyed = 0
    for project in projects:
        more, left = _through(deps, project, tell)
        sealed, unreadable = sealed + more, unreadable + left
        if not left:
            with deps.database.transaction() as connection:
                destroyed += keys.destroy(connection, project.id, deps.clock(), below=newest[project.id])
            vault.forget(keys.packed(project.id))
    keys.scrub(deps.database)
    return Resealed(sealed, unreadable, destroyed)


def shred(deps: Deps, name: str) -> int:
    """Destroy the data keys of a project; how many there were. Raises ProjectNotFound, NothingToShred, HoldStands."""
    with deps.database.transaction(records=True) as connection:
        project = everywhere.project(connection, name, for_update=True)
        if project is None:
            raise ProjectNotFound(f"No project has the name '{name}'.")
        calls.about(project.id, ids.pack(ids.PROJECT, project.id))
        if holds.is_any(Scope(connection, project.id, deps.database.vault)):
            raise HoldStands
        destroyed = keys.destroy(connection, project.id, deps.clock())
        if not destroyed:
            raise NothingToShred
    deps.database.vault.forget(keys.packed(project.id))
    keys.scrub(deps.database)
    return destroyed


def _sealing(deps: Deps) -> Any:
    if not deps.database.vault.seals:
        raise Misconfigured("CONVSTORE_STORAGE_KEY: not set, so there is nothing to encrypt with")
    return deps.database.vault


def _projects(deps: Deps) -> Sequence[Project]:
    with deps.database.connection() as connection:
        return everywhere.projects(connection)


def _renewed(deps: Deps, project_id: str) -> int:
    """The number of the data key that everything gets: a new one, or that of a rotation that was interrupted."""
    vault, own = deps.database.vault, keys.packed(project_id)
    with deps.database.transaction() as connection:
        living, ask = keys.living(connection, project_id), asking(connection)
        if len(living) == 1:
            vault.make(own, ask, vault.ring(own, ask, anew=True))
        number = vault.ring(own, ask, anew=True).newest if living else vault.current(own, ask).number
    vault.forget(own)
    return number


def _through(deps: Deps, project: Project, tell: Tell) -> tuple[int, int]:
    """Seal all of a project that is not sealed with its newest key: how much was, and how much cannot be opened."""
    database, sealed, unreadable = deps.database, 0, 0

    def run(batch: Callable[[Scope, Any], resealing.Done], after: Any) -> None:
        nonlocal sealed, unreadable
        while True:
            with database.writing(project.id, records=False) as scope:
                done = batch(scope, after)
            sealed, unreadable = sealed + done.sealed, unreadable + done.unreadable
            tell(project.name, sealed)
            if done.last is None:
                return
            after = done.last

    # Payloads behind the exchanges: the words of both leave the index with the exchange.
    run(lambda scope, after: resealing.exchanges(database, scope, after), b"")
    run(lambda scope, after: resealing.parts(database, scope, after), None)
    for table in resealing.TABLES:
        run(lambda scope, after, table=table: resealing.others(database, scope, table, after), None)  # type: ignore[misc]
    return sealed, unreadable
