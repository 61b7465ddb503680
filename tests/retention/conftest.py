"""The stage of this room: one service for a module on each engine, and projects that are new in every test.

Its clock is a day ahead: the ids of exchanges, which it has no say in, tell their time as well.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from convstore import bootstrap
from convstore.app import create_app
from convstore.config import Settings
from convstore.services import keys, recovery
from convstore.services.deps import Deps
from tests.api.conftest import Stage
from tests.api.test_audit import project_of
from tests.conftest import ENGINES, Client, FixedClock, upstream_settings
from tests.databases import migrated
from tests.local_upstream import LocalUpstream


@pytest.fixture(scope="module", params=ENGINES)
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A running service."""
    with migrated(request, tmp_path_factory) as url, LocalUpstream() as upstream:
        settings = Settings(database_url=url, upstreams=(upstream_settings(upstream),), key_cache_s=0.0)
        clock = FixedClock()
        clock.now = datetime.now(UTC) + timedelta(days=1)
        deps = bootstrap.deps(settings, clock)
        recovery.enter(deps)
        app = create_app(settings, deps)
        cast = [
            Client(app, keys.create(deps, project, name=name)[1])
            for project, name in (("acme", "alice"), ("acme", "bob"), ("globex", "carol"))
        ]
        yield Stage(settings, deps, app, upstream, *cast)
        deps.upstreams.close()
        deps.database.close()


@pytest.fixture
def deps(stage: Stage) -> Deps:
    return stage.deps


@pytest.fixture
def alice(stage: Stage) -> Client:
    """Of a project that nobody had before."""
    return Client(stage.app, keys.create(stage.deps, f"acme {os.urandom(4).hex()}", name="alice")[1])


@pytest.fixture
def carol(stage: Stage) -> Client:
    """Of another one."""
    return Client(stage.app, keys.create(stage.deps, f"globex {os.urandom(4).hex()}", name="carol")[1])


@pytest.fixture
def acme(alice: Client) -> str:
    """The id of alice's project."""
    return project_of(alice)


@pytest.fixture(autouse=True)
def noise(alice: Client, carol: Client) -> list[str]:
    """Conversations of both projects that no test is about."""
    found = []
    for client in (alice, carol):
        first = client.ask("Noise, first turn", user="noise")["id"]
        found += [first, client.ask("Noise, second turn", after=first)["id"]]
    return found
