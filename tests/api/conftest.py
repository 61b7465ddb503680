"""The stage of this room: one running service for a module, with the known cast at its doors.

The older tests' conversations are the noise: every test finds its own by id.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from flask import Flask

from convstore import bootstrap
from convstore.app import create_app
from convstore.config import Settings
from convstore.services import keys, recovery
from convstore.services.deps import Deps
from convstore.services.principal import Right
from tests.conftest import Client, FixedClock, upstream_settings
from tests.databases import migrated
from tests.local_upstream import LocalUpstream

# What a request may have at most on this stage; the default is 32 MiB.
MAX_BODY = 200_000


@dataclass
class Stage:
    """A service, its provider and its clients. The provider serves gpt-5.4 and its relatives only."""

    settings: Settings
    deps: Deps
    app: Flask
    upstream: LocalUpstream
    alice: Client
    bob: Client
    carol: Client

    def key(self, *rights: Right, project: str = "acme") -> str:
        """A new key with these rights alone."""
        return keys.create(self.deps, project, scopes=rights)[1]

    def client(self, **settings: object) -> Client:
        """Alice at a door of the same service with other settings."""
        return Client(create_app(replace(self.settings, **settings), self.deps), self.alice.key)  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=["sqlite"])
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A running service, on SQLite unless a test asks for both engines."""
    with migrated(request, tmp_path_factory) as url, LocalUpstream() as upstream:
        provider = upstream_settings(upstream, models=("gpt-5.4*",))
        settings = Settings(database_url=url, upstreams=(provider,), key_cache_s=0.0, max_body_bytes=MAX_BODY)
        deps = bootstrap.deps(settings, FixedClock())
        recovery.enter(deps)
        app = create_app(settings, deps)
        cast = [
            Client(app, keys.create(deps, project, name=name)[1])
            for project, name in (("acme", "alice"), ("acme", "bob"), ("globex", "carol"))
        ]
        made = Stage(settings, deps, app, upstream, *cast)
        for client in cast:
            client.ask("Noise, second turn", after=client.ask("Noise, first turn")["id"])
        yield made
        deps.upstreams.close()
        deps.database.close()
