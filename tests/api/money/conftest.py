"""The stage of this room: the service of the room above, and projects that are new in every test."""

import os

import pytest

from convstore.services import keys
from convstore.services.deps import Deps
from tests.api.conftest import Stage
from tests.conftest import Client
from tests.local_upstream import LocalUpstream


@pytest.fixture
def upstream(stage: Stage) -> LocalUpstream:
    return stage.upstream


@pytest.fixture
def deps(stage: Stage) -> Deps:
    return stage.deps


@pytest.fixture
def acme() -> str:
    """The name of a project that nobody had before."""
    return f"acme {os.urandom(4).hex()}"


@pytest.fixture
def alice(stage: Stage, acme: str) -> Client:
    return Client(stage.app, keys.create(stage.deps, acme, name="alice")[1])


@pytest.fixture
def bob(stage: Stage, acme: str) -> Client:
    return Client(stage.app, keys.create(stage.deps, acme, name="bob")[1])


@pytest.fixture
def carol(stage: Stage) -> Client:
    """Of a project of her own."""
    return Client(stage.app, keys.create(stage.deps, f"globex {os.urandom(4).hex()}", name="carol")[1])


@pytest.fixture
def noise(alice: Client, carol: Client) -> None:
    """Turns of both projects, from before there was a price."""
    for client in (alice, carol):
        client.ask("Noise, second turn", after=client.ask("Noise, first turn")["id"])
