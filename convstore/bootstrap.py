"""From settings to a working set of dependencies: the only reader of Settings besides the command line."""

from collections.abc import Iterator
from contextlib import contextmanager

from convstore import clock
from convstore.config import Settings
from convstore.services import recovery
from convstore.services.deps import Deps, RelayOptions
from convstore.services.journal import Journal
from convstore.storage.database import Database, Options
from convstore.upstream.registry import Registry


def database(settings: Settings) -> Database:
    """The database of these settings, whatever state it is in."""
    return Database(
        Options(
            settings.database_url,
            synchronous=settings.sqlite_synchronous,
            pool=settings.database_pool,
            busy_s=settings.database_busy_s,
        )
    )


def deps(settings: Settings, now: clock.Clock = clock.utc_now) -> Deps:
    """Everything a verb works with."""
    store = database(settings)
    return Deps(
        database=store,
        upstreams=Registry(settings.upstreams, pool=settings.connections),
        clock=now,
        process=recovery.new_process(),
        journal=Journal(store),
        relay=RelayOptions(settings.on_disconnect, settings.idempotency_wait_s),
        key_cache_s=settings.key_cache_s,
        open_access=settings.auth == "off",
    )


@contextmanager
def working(settings: Settings) -> Iterator[Deps]:
    """Dependencies for a command that ends."""
    made = deps(settings)
    try:
        yield made
    finally:
        made.upstreams.close()
        made.database.close()
