"""The stage: a node and two workers on each engine, which are there again after each test that killed some."""

from collections.abc import Iterator
from typing import Any

import pytest

from convstore.services import projects
from tests.acceptance import nodes
from tests.acceptance.nodes import Site
from tests.conftest import ENGINES, fresh_database
from tests.local_upstream import wait_until
from tests.services.background.conftest import Pace


@pytest.fixture(scope="package", params=ENGINES)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp(f"background-{request.param}")
    with (
        fresh_database(request.param, request, directory) as url,
        nodes.site(directory, url, nodes=1, workers=2) as made,
    ):
        # Somebody else's, which must not show up.
        made.alice.ask("Noise?")
        yield made
        assert [entry for worker in made.workers for entry in worker.entries() if "exception" in entry] == []


@pytest.fixture
def site(shared: Site) -> Iterator[Site]:
    shared.heal()
    shared.upstream.forget()
    yield shared
    untold = shared.upstream.untold
    projects.change(shared.deps, "acme", background_retry="no")
    assert untold == 0, f"{untold} of the answers that the test prepared were never asked for"


@pytest.fixture
def pace() -> Iterator[Pace]:
    """A provider's answer that stops in the middle, until it is told to go on."""
    made = Pace()
    yield made
    made.rest.set()


def ended(site: Site, response_id: str) -> dict[str, Any]:
    """A response, once it has ended."""

    def look() -> dict[str, Any] | None:
        found = site.alice.get(f"/v1/responses/{response_id}").json
        return found if found["status"] not in ("queued", "in_progress") else None

    return dict(wait_until(look, nodes.PATIENCE_S))
