"""The stage of this room: verbs called as the doors call them, one database for a module.

Acme and Globex are new projects in every test, so the other tests' rows are noise.
"""

import json
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from convstore import bootstrap, ids
from convstore.config import Settings
from convstore.schemas.responses import create_request
from convstore.services import keys, recovery, relay
from convstore.services.deps import Deps
from convstore.services.keys import Authenticator
from convstore.services.principal import Principal
from convstore.services.relay import Whole
from convstore.services.streaming import Streamed
from convstore.storage import exchanges
from tests.conftest import ENGINES, FixedClock
from tests.databases import migrated
from tests.local_upstream import LocalUpstream, blocks_of


@pytest.fixture(scope="module", params=ENGINES)
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A migrated database on each engine, shared by the tests of a module."""
    with migrated(request, tmp_path_factory) as url:
        yield url


class Asker:
    """Somebody with a key, at the service's own doorstep."""

    def __init__(self, deps: Deps, principal: Principal) -> None:
        self.deps = deps
        self.principal = principal

    def create(
        self, input: Any = "Hello?", *, after: str | None = None, key: str | None = None, **members: Any
    ) -> Whole | Streamed:
        """The relay's own answer to a create request."""
        body = {"model": "gpt-5.4", "input": input, **members}
        if after is not None:
            body["previous_response_id"] = after
        content = json.dumps(body).encode()
        return relay.create(self.deps, self.principal, create_request(content), relay.call_of("req_1", key, content))

    def ask(self, input: Any = "Hello?", **members: Any) -> dict[str, Any]:
        """The response to a create request that works."""
        answer = self.create(input, **members)
        assert isinstance(answer, Whole)
        return dict(json.loads(answer.body))

    def stream(self, input: Any = "Hello?", **members: Any) -> list[dict[str, Any]]:
        """The events of a streamed create request, to their end."""
        answer = self.create(input, stream=True, **members)
        assert not isinstance(answer, Whole)
        return list(blocks_of(b"".join(answer)))

    def stored(self, response_id: str) -> exchanges.Exchange:
        """The row, whether the API shows it or not."""
        with self.deps.database.reading(self.principal.project_id) as scope:
            found = exchanges.get(scope, response_id, hidden=True)
        assert found is not None
        return found

    def statuses(self) -> list[str]:
        """How everything that this project ever asked stands now, oldest first."""
        mark = "?" if self.deps.database.is_sqlite else "%s"
        query = f"SELECT status FROM exchanges WHERE project_id = {mark} ORDER BY id"
        with self.deps.database.connection() as connection:
            rows = connection.exec_driver_sql(query, (ids.pack(ids.PROJECT, self.principal.project_id),))
            return [row[0] for row in rows]


def asker(deps: Deps, project: str) -> Asker:
    """Somebody of a project that is made for the occasion."""
    _, text = keys.create(deps, f"{project} {os.urandom(4).hex()}", name=project)
    return Asker(deps, Authenticator(deps).principal(text))


@pytest.fixture
def acme(deps: Deps, globex: Asker) -> Asker:
    return asker(deps, "acme")


@pytest.fixture
def globex(deps: Deps) -> Asker:
    """Always there, with a conversation that must not show up."""
    carol = asker(deps, "globex")
    carol.ask("Noise, second turn", after=carol.ask("Noise, first turn")["id"])
    return carol


def shown(upstream: LocalUpstream) -> list[Any]:
    """What the model was shown last: words of messages, types of other items."""
    found: list[Any] = []
    for item in upstream.questions[-1].body["input"]:
        content = item.get("content")
        if item.get("type", "message") != "message":
            found.append(item["type"])
        else:
            found.append(content if isinstance(content, str) else content[0]["text"])
    return found


def opened() -> threading.Event:
    """A gate that is open."""
    gate = threading.Event()
    gate.set()
    return gate


class working:
    """Another process of the service, with settings of its own."""

    def __init__(self, settings: Settings, clock: FixedClock) -> None:
        self.deps: Deps = bootstrap.deps(settings, clock)
        recovery.enter(self.deps)

    def __enter__(self) -> Deps:
        return self.deps

    def __exit__(self, *_: object) -> None:
        self.deps.upstreams.close()
        self.deps.database.close()
