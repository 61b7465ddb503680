"""The stage of this room: one database for a module, because every test works in projects of its own.

The other tests' rows are the noise. Only what concerns the schema itself gets a database to itself.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from convstore.storage.database import Database
from tests.conftest import ENGINES
from tests.databases import migrated, on_postgres
from tests.storage.keeper import Keeper


@pytest.fixture(scope="module", params=ENGINES)
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A migrated database on each engine, shared by the tests of a module."""
    with migrated(request, tmp_path_factory) as url:
        yield url


@pytest.fixture(params=ENGINES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without a single table, on each engine."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    with on_postgres(request.getfixturevalue("postgres_server"), "template0") as url:
        yield url


@pytest.fixture
def globex(database: Database) -> Keeper:
    """Always there: exchanges of another project."""
    keeper = Keeper(database)
    keeper.keep("noise", "noise", after=keeper.keep("noise", "noise"))
    return keeper


@pytest.fixture
def acme(database: Database, globex: Keeper) -> Keeper:
    return Keeper(database)
