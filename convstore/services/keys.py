"""API keys: made, listed, revoked, and recognised.

A key is `sk-` and 256 random bits, shown once; the store keeps its SHA-256 (random keys need no slow hash). A key
that was recognised is believed for `key_cache_s`, so its revocation takes effect within that time, and so does what
its project chooses.
"""

import hashlib
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from convstore import ids
from convstore.domain import calls
from convstore.errors import InvalidRequest, NotFound, StorageUnavailable, Unauthenticated
from convstore.services.deps import Deps
from convstore.services.principal import Principal, Right
from convstore.storage import everywhere
from convstore.storage.everywhere import Key, Project

PREFIX = "sk-"
# Enough to tell keys apart in a list, far too little to guess one.
SHOWN = 10
USE_NOTED_EVERY = timedelta(minutes=1)
LOCAL_PROJECT = "default"
_REMEMBERED = 10_000


class KeyNotFound(NotFound):
    """No API key has this id, or it was revoked before."""


def create(
    deps: Deps,
    project: str,
    *,
    name: str = "",
    scopes: tuple[Right, ...] = tuple(Right),
    expires_at: datetime | None = None,
) -> tuple[Key, str]:
    """A new key of a project, which is made if need be; with the key's text, which nobody will see again."""
    if not project.strip() or len(project) > 255:
        raise InvalidRequest("A project needs a name of 1 to 255 characters.", param="project")
    text = PREFIX + secrets.token_urlsafe(32)
    now = deps.clock()
    with deps.database.transaction(records=True) as connection:
        key = Key(
            id=ids.new(ids.KEY),
            project_id=everywhere.project_id(connection, project, now),
            project=project,
            name=name,
            prefix=text[:SHOWN],
            scopes=tuple(scopes),
            created_at=now,
            expires_at=expires_at,
            revoked_at=None,
            last_used_at=None,
        )
        everywhere.add_key(connection, key, _digest(text))
        calls.about(key.id, ids.pack(ids.PROJECT, key.project_id))
    return key, text


def listed(deps: Deps, project: str | None = None) -> list[Key]:
    """All keys, or a project's, oldest first."""
    with deps.database.connection() as connection:
        return everywhere.keys(connection, project)


def revoke(deps: Deps, key_id: str) -> None:
    """End a key's life. Raises KeyNotFound."""
    with deps.database.transaction(records=True) as connection:
        project_id = everywhere.revoke_key(connection, key_id, deps.clock())
        if project_id is None:
            raise KeyNotFound(f"No active API key has the id '{key_id}'.")
        calls.about(key_id, ids.pack(ids.PROJECT, project_id))


class Authenticator:
    """Recognises keys. One for each process."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._known: dict[bytes, _Recognised] = {}
        self._local: tuple[Principal, float] | None = None
        self._lock = threading.Lock()

    def principal(self, text: str | None) -> Principal:
        """The principal behind a key's text. Raises Unauthenticated."""
        if self._deps.open_access:
            return self._anyone()
        if not text:
            raise Unauthenticated(
                "You didn't provide an API key. You need to provide your API key in an Authorization header using "
                "Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
            )
        digest = _digest(text)
        known = self._known.get(digest)
        if known is None or time.monotonic() > known.until:
            known = self._look_up(digest, known)
        if known.expires_at is not None and known.expires_at <= self._deps.clock():
            raise Unauthenticated("This API key has expired.", code="invalid_api_key")
        return known.principal

    def _look_up(self, digest: bytes, before: "_Recognised | None") -> "_Recognised":
        now = self._deps.clock()
        with self._deps.database.connection() as connection:
            found = everywhere.key_by_digest(connection, digest)
        if found is None or found[0].revoked_at is not None:
            self._known.pop(digest, None)
            raise Unauthenticated("Incorrect API key provided.", code="invalid_api_key")
        key, settings = found
        noted = before.noted if before else key.last_used_at
        if noted is None or now - noted >= USE_NOTED_EVERY:
            # A courtesy: a database that cannot be written just now must not keep readers out.
            with suppress(StorageUnavailable), self._deps.database.transaction() as connection:
                everywhere.touch_key(connection, key.id, now)
            noted = now
        rights = frozenset(Right(scope) for scope in key.scopes)
        principal = Principal(key.project_id, key.project, key.id, rights, settings)
        recognised = _Recognised(principal, key.expires_at, time.monotonic() + self._deps.key_cache_s, noted)
        if len(self._known) > _REMEMBERED:
            self._known.clear()
        self._known[digest] = recognised
        return recognised

    def _anyone(self) -> Principal:
        """Keys are off: whoever reaches this loopback address works on one local project."""
        known = self._local
        if known is None or time.monotonic() > known[1]:
            project = self._local_project()
            local = Principal(project.id, LOCAL_PROJECT, None, frozenset(Right), project.settings)
            known = self._local = local, time.monotonic() + self._deps.key_cache_s
        return known[0]

    def _local_project(self) -> Project:
        with self._deps.database.connection() as connection:
            found = everywhere.project(connection, LOCAL_PROJECT)
        if found is not None:
            return found
        with self._lock, self._deps.database.transaction() as connection:
            everywhere.project_id(connection, LOCAL_PROJECT, self._deps.clock())
        return self._local_project()


@dataclass(frozen=True, slots=True)
class _Recognised:
    principal: Principal
    expires_at: datetime | None
    until: float
    noted: datetime


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
