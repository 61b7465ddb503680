"""The stage of the losses: one provider under many names, and a store that is looked into from outside.

What upstreams do wrong is tried in this process on both engines, and once more against `convstore serve`, whose
workers call upstreams through another adapter. A house stands for a whole module: what earlier tests left in its
store is the noise.
"""

from collections.abc import Iterator

import pytest

from convstore.storage.database import Database
from tests.conftest import ENGINES, PROVIDER_KEY, Client, fresh_database
from tests.local_upstream import LocalUpstream
from tests.losses import evidence, house, providers
from tests.losses.house import House
from tests.losses.providers import DeadEnds


@pytest.fixture(scope="session")
def dead_ends() -> Iterator[DeadEnds]:
    with providers.dead_ends() as found:
        yield found


@pytest.fixture(scope="module", params=(*ENGINES, "served"))
def any_house(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, dead_ends: DeadEnds
) -> Iterator[House]:
    """The service in this process on each engine, and as processes."""
    directory = tmp_path_factory.mktemp("house")
    if request.param in ENGINES:
        with (
            fresh_database(request.param, request, directory) as url,
            house.in_process(url, dead_ends) as found,
        ):
            yield found
        return
    # One worker: a breaker is each worker's own.
    with fresh_database("sqlite", request, directory) as url:
        with house.served(directory, url, dead_ends, CONVSTORE_WORKERS="1") as found:
            yield found
            # What failed were the upstreams; the service met nothing it had not thought of.
            unexpected = [entry for entry in found.log() if "exception" in entry]
            assert unexpected == []
            assert PROVIDER_KEY not in str(found.log())


@pytest.fixture
def alice(any_house: House) -> Client:
    return any_house.client


@pytest.fixture
def upstream(any_house: House) -> LocalUpstream:
    """The provider as if it had just been started."""
    any_house.upstream.forget()
    return any_house.upstream


@pytest.fixture
def database(any_house: House) -> Database:
    return any_house.database


@pytest.fixture
def nothing_left(any_house: House) -> Iterator[None]:
    """Whatever the test did, no exchange may be left in progress, and no journal."""
    before = evidence.left_behind(any_house.database)
    yield
    assert evidence.left_behind(any_house.database) == before
