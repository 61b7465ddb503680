"""The service with everything around it: its store, its provider, and a client. In this process, or as processes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from convstore import bootstrap
from convstore.app import create_app
from convstore.clock import Clock, utc_now
from convstore.config import Settings
from convstore.services import keys, recovery
from convstore.services.deps import Deps
from convstore.storage.database import Database, Options
from tests.acceptance.service import Service
from tests.conftest import Client
from tests.local_upstream import LocalUpstream
from tests.losses import providers, service
from tests.losses.providers import DeadEnds


@dataclass(frozen=True)
class House:
    """client is alice, of Acme. database looks into the store from outside, as another process would.

    deps are those of a service in this process; service is one that is a process of its own.
    """

    client: Client
    upstream: LocalUpstream
    database: Database
    deps: Deps | None = None
    service: Service | None = None
    _hearts: list[Callable[[], None]] = field(default_factory=list)

    def start_beating(self) -> None:
        """Let a service in this process do what others do every ten seconds."""
        assert self.deps is not None
        self._hearts.append(recovery.start_beating(self.deps))

    def stop_beating(self) -> None:
        while self._hearts:
            self._hearts.pop()()

    def log(self) -> list[dict[str, Any]]:
        """What the service has said; nothing when it is in this process."""
        return self.service.log_entries() if self.service else []


@contextmanager
def in_process(url: str, nowhere: DeadEnds, now: Clock = utc_now, **settings: Any) -> Iterator[House]:
    """Everything in this process: upstreams are called by requests' own adapter."""
    with LocalUpstream() as upstream, Database(Options(url)) as database:
        upstreams = providers.settings(upstream.url, nowhere)
        chosen = replace(
            Settings(database_url=url, upstreams=upstreams, key_cache_s=0.0, database_busy_s=0.5), **settings
        )
        deps = bootstrap.deps(chosen, now)
        recovery.enter(deps)
        client = Client(create_app(chosen, deps), keys.create(deps, "acme", name="alice")[1])
        made = House(client, upstream, database, deps=deps)
        try:
            yield made
        finally:
            made.stop_beating()
            deps.upstreams.close()
            deps.database.close()


@contextmanager
def served(directory: Path, url: str, nowhere: DeadEnds, **settings: str) -> Iterator[House]:
    """`convstore serve`: gunicorn, gevent, and the adapter made for them. settings are CONVSTORE_* variables."""
    with LocalUpstream() as upstream, Database(Options(url)) as database:
        shell = service.shell(directory, url, upstream.url, nowhere, **settings)
        with service.serving(shell) as running:
            yield House(service.Remote(running, service.key(url)), upstream, database, service=running)
