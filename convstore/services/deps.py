"""What a verb works with."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Any

from convstore.clock import Clock
from convstore.domain.budget import Budget
from convstore.services.arrived import Arrived
from convstore.services.believed import Believed
from convstore.services.feeds import Feeds
from convstore.services.journal import Journal
from convstore.services.kind import Kind
from convstore.services.pricelist import PriceList
from convstore.services.writer import Writer
from convstore.storage.database import Database
from convstore.storage.scope import Scope
from convstore.storage.strands import Strands
from convstore.upstream.registry import Registry

# Puts a job on record in the caller's transaction: its kind, what it is about (an id), and its arguments.
Enqueue = Callable[[Scope, str, str, Mapping[str, Any]], None]


@dataclass(frozen=True)
class RelayOptions:
    """on_disconnect: "finish" or "cancel". idempotency_wait_s: how long a repeated request waits for the first.

    link_histories: whether a history that is sent whole is put into the thread that it continues.
    """

    on_disconnect: str = "finish"
    idempotency_wait_s: float = 60.0
    link_histories: bool = True


@dataclass
class Late:
    """Answers that could not be written when they came. They are tried again until they can (recovery.py)."""

    waiting: list[Callable[[], None]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass
class Lookout:
    """What this process remembers from one look for workers to the next (readiness.py)."""

    missing_since: datetime | None = None


@dataclass(frozen=True)
class Deps:
    """One process's database, upstreams and clock. process: its entry among the processes of the service.

    role: what it says there that it is for; kinds: the jobs it knows.
    feeds, writer, arrived: what is followed, written and polled here of background responses. enqueue: None where
    nobody would do the work; then there are no background responses. journal_kept: for how long after their end those
    can be followed as they were.
    """

    database: Database
    upstreams: Registry
    clock: Clock
    process: bytes
    journal: Journal
    feeds: Feeds
    writer: Writer
    arrived: Arrived
    prices: PriceList
    budgets: Believed[Sequence[Budget]]
    # The days and months of budgets, and of reports that name no other zone.
    timezone: tzinfo
    # Codes that prices may be in besides those of ISO 4217.
    currencies: frozenset[str]
    # Where what is called is put on record.
    audit: Strands
    relay: RelayOptions = RelayOptions()
    key_cache_s: float = 0.5
    open_access: bool = False
    late: Late = field(default_factory=Late)
    lookout: Lookout = field(default_factory=Lookout)
    role: str = "web"
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    enqueue: Enqueue | None = None
    journal_kept: timedelta = timedelta(hours=1)
    # For how long the file of an export can be downloaded, and that of an import which failed can be tried again.
    files_kept: timedelta = timedelta(days=1)
    # What an import's file may have at most, in bytes; 0: whatever it has.
    max_import_bytes: int = 0
