"""From settings to a working set of dependencies: the only reader of Settings besides the command line."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from convstore import clock
from convstore.config import Settings, keys_of
from convstore.domain.audit import Keyring
from convstore.domain.pricing.book import Book
from convstore.domain.sealing import Masters
from convstore.services import jobs, recovery
from convstore.services.arrived import Arrived
from convstore.services.believed import Believed
from convstore.services.deps import Deps, RelayOptions
from convstore.services.feeds import Feeds
from convstore.services.journal import Journal
from convstore.services.kinds import KINDS
from convstore.services.pricelist import PriceList
from convstore.services.writer import Writer
from convstore.storage import budgets, prices
from convstore.storage.database import Database, Options
from convstore.storage.scope import Scope
from convstore.storage.strands import Strands
from convstore.upstream.registry import Registry


def database(settings: Settings, now: clock.Clock = clock.utc_now) -> Database:
    """The database of these settings, whatever state it is in."""
    return Database(
        Options(
            settings.database_url,
            synchronous=settings.sqlite_synchronous,
            pool=settings.database_pool,
            busy_s=settings.database_busy_s,
            masters=masters(settings),
            key_cache_s=settings.key_cache_s,
            now=now,
        )
    )


def deps(settings: Settings, now: clock.Clock = clock.utc_now, *, role: str = "web") -> Deps:
    """Everything a verb works with. role: "worker" in a process that runs jobs."""
    store = database(settings, now)
    audit = store.recorder = Strands(store, keyring(settings), now)

    def enqueue(scope: Scope, kind: str, subject: str, arguments: Mapping[str, Any]) -> None:
        jobs.enqueue(made, scope, kind, subject=subject, arguments=arguments)

    upstreams = Registry(settings.upstreams, pool=settings.connections)
    made = Deps(
        database=store,
        upstreams=upstreams,
        clock=now,
        process=recovery.new_process(),
        journal=Journal(store),
        feeds=Feeds(store),
        writer=Writer(store),
        arrived=Arrived(store),
        prices=PriceList(Believed(store, _book, settings.key_cache_s), upstreams),
        budgets=Believed(store, budgets.all_of, settings.key_cache_s),
        timezone=ZoneInfo(settings.timezone),
        currencies=frozenset(code.strip() for code in settings.currencies.split(",") if code.strip()),
        relay=RelayOptions(settings.on_disconnect, settings.idempotency_wait_s, settings.link_histories),
        key_cache_s=settings.key_cache_s,
        open_access=settings.auth == "off",
        role=role,
        kinds=KINDS,
        enqueue=enqueue,
        journal_kept=timedelta(seconds=settings.journal_keep_s),
        files_kept=timedelta(seconds=settings.files_keep_s),
        max_import_bytes=settings.max_import_bytes,
        audit=audit,
    )
    return made


def keyring(settings: Settings) -> Keyring:
    """The keys of the audit log."""
    return Keyring(settings.audit_key.strip(), keys_of(settings.audit_keys_old))


def masters(settings: Settings) -> Masters:
    """The keys that the keys of what is stored are wrapped with."""
    return Masters(settings.storage_key.strip(), keys_of(settings.storage_keys_old))


def _book(scope: Scope) -> Book:
    return Book(prices.of_set(scope))


@contextmanager
def working(settings: Settings, *, role: str = "web") -> Iterator[Deps]:
    """Dependencies for a command that ends."""
    made = deps(settings, role=role)
    try:
        yield made
    finally:
        made.upstreams.close()
        made.database.close()
