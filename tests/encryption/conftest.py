"""The stage of this room: a service that encrypts, one for a module on each engine, and projects that are new in every
test. The older tests' are the noise.
"""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from convstore import bootstrap, ids
from convstore.app import create_app
from convstore.config import Settings
from convstore.services import keys, recovery
from convstore.services.deps import Deps
from convstore.storage import tables
from tests.api.test_audit import project_of
from tests.conftest import ENGINES, Client, FixedClock, upstream_settings
from tests.databases import migrated
from tests.local_upstream import LocalUpstream

MASTER = "5e" * 32


@dataclass
class Stage:
    """A service, its provider, and whatever is stored."""

    settings: Settings
    deps: Deps
    app: Flask
    upstream: LocalUpstream

    def client(self, project: str | None = None) -> Client:
        """A client of a project that is new unless it is named."""
        return Client(self.app, keys.create(self.deps, project or f"acme {os.urandom(4).hex()}", name="alice")[1])

    def sql(self, statement: str, **values: Any) -> Any:
        with self.deps.database.transaction() as connection:
            done = connection.execute(text(statement), values)
            return done.fetchall() if done.returns_rows else done.rowcount

    def everything(self) -> bytes:
        """Every value of every row of every table; on SQLite the file and its log, too."""
        found = []
        with self.deps.database.connection() as connection:
            names = set(tables.metadata.tables)
            for name in sorted(names):
                for row in connection.exec_driver_sql(f'SELECT * FROM "{name}"'):
                    found += [_bytes(value) for value in row]
        url = self.deps.database.engine.url
        if self.deps.database.is_sqlite:
            for suffix in ("", "-wal"):
                # By another process: to close the file here would take SQLite's locks on it away.
                read = subprocess.run(["cat", f"{url.database}{suffix}"], capture_output=True, check=True)
                found.append(read.stdout)
        return b"\n".join(found)


def _bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()


@pytest.fixture(scope="module", params=ENGINES)
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A service with a storage key; with noise in its store."""
    with migrated(request, tmp_path_factory) as url, LocalUpstream() as upstream:
        given = upstream_settings(upstream)
        settings = Settings(database_url=url, upstreams=(given,), key_cache_s=0.0, storage_key=MASTER)
        with staged(settings, upstream) as made:
            noise = made.client("globex")
            noise.ask("Noise, second turn", after=noise.ask("Noise, first turn")["id"])
            yield made


class staged:
    """A service on the database of these settings."""

    def __init__(self, settings: Settings, upstream: LocalUpstream) -> None:
        self._settings = settings
        self._upstream = upstream

    def __enter__(self) -> Stage:
        self._deps = bootstrap.deps(self._settings, FixedClock())
        recovery.enter(self._deps)
        return Stage(self._settings, self._deps, create_app(self._settings, self._deps), self._upstream)

    def __exit__(self, *_: object) -> None:
        # Who erases shared bodies waits for all processes that are on record.
        recovery.leave(self._deps)
        self._deps.upstreams.close()
        self._deps.database.close()


@pytest.fixture
def alice(stage: Stage) -> Client:
    return stage.client()


@pytest.fixture
def upstream(stage: Stage) -> LocalUpstream:
    return stage.upstream


def packed(client: Client) -> bytes:
    """The project of a client, as it is stored."""
    return ids.pack(ids.PROJECT, project_of(client)) or b""


def other(stage: Stage, **changes: Any) -> staged:
    """A service on the same store with other settings."""
    return staged(replace(stage.settings, **changes), stage.upstream)


def unsealed(stage: Stage) -> staged:
    """One that seals nothing any more, and opens what is sealed."""
    return other(stage, storage_key="", storage_keys_old=stage.settings.storage_key)
