"""What a verb works with."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from convstore.clock import Clock
from convstore.services.journal import Journal
from convstore.storage.database import Database
from convstore.upstream.registry import Registry


@dataclass(frozen=True)
class RelayOptions:
    """on_disconnect: "finish" or "cancel". idempotency_wait_s: how long a repeated request waits for the first."""

    on_disconnect: str = "finish"
    idempotency_wait_s: float = 60.0


@dataclass
class Late:
    """Answers that could not be written when they came. They are tried again until they can (recovery.py)."""

    waiting: list[Callable[[], None]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Deps:
    """One process's database, upstreams and clock. process: its entry among the processes of the service."""

    database: Database
    upstreams: Registry
    clock: Clock
    process: bytes
    journal: Journal
    relay: RelayOptions = RelayOptions()
    key_cache_s: float = 0.5
    open_access: bool = False
    late: Late = field(default_factory=Late)
