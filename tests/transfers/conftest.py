"""The stage of this room."""

from collections.abc import Iterator

import pytest

from tests.conftest import ENGINES
from tests.transfers.stage import Store, fresh


@pytest.fixture(params=ENGINES)
def here(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The store that things leave."""
    with fresh(request, tmp_path_factory) as made:
        yield made


@pytest.fixture
def there(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, here: Store) -> Iterator[Store]:
    """Another one on the same engine, that they come to."""
    request.param = "sqlite" if here.deps.database.is_sqlite else "postgres"
    with fresh(request, tmp_path_factory) as made:
        yield made
