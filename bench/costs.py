"""What it takes to report the costs of a million exchanges, and what pricing adds to the CPU of a turn.

    reports      the ledger of a store of 1,000,000 exchanges in conversations of ten, over 30 days and five keys, with
                 the sums beside it as the service keeps them; asked for by conversation, by day, by key, and otherwise
    pricing      turns of one process, with the ledger and without it in turn: the CPU of the thread that runs them

The ledger is written as the trees of bench/trees.py are, straight into the tables.
"""

import asyncio
import json
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice
from typing import Any

from bench import trees, wire
from bench.client import LoadFailed
from bench.databases import Database
from bench.servers import House, Server

PATHS = (
    "/v1/costs?group_by=conversation",
    "/v1/costs?group_by=day",
    "/v1/costs?group_by=key",
    "/v1/costs?group_by=day,model&timezone=Asia/Kathmandu",
    "/v1/costs?group_by=user",
    "/v1/costs?group_by=model&what_if=openai:gpt-5.4-mini",
)
LENGTH, KEYS, DAYS = 10, 5, 30
CHUNK = 20_000
TIMES, MOST_S, LEAST = 20, 6.0, 3
DETAIL = '{"source":"book","version":"1","model":"m","lines":[["input",200,"2.5"],["cached_input",1000,"0.25"]]}'
SUMS = "exchanges input_tokens cached_tokens cache_write_tokens output_tokens reasoning_tokens total_tokens".split()
SUMS += ["millionths", "rest"]
LEDGER = (
    "project_id exchange_id conversation_id created_at api_key_id requested_model model upstream origin status"
    " input_tokens cached_tokens cache_write_tokens output_tokens reasoning_tokens total_tokens basis currency"
    " millionths rest detail"
).split()
OF_CONVERSATION = ["project_id", "conversation_id", "basis", "reason", "currency", *SUMS]
OF_QUARTER = "project_id quarter digest slot api_key_id requested_model model upstream origin status".split()
OF_QUARTER += ["basis", "currency", *SUMS]
QUARTER_US = 15 * 60 * 10**6
# Turns of one kind before it is the other's, and how often.
TURNS, ROUNDS = 40, 25


@dataclass(frozen=True)
class ReportFigures:
    """The median of one report."""

    server: str
    exchanges: int
    path: str
    p50_ms: float
    answer_bytes: int


@dataclass(frozen=True)
class PricingFigures:
    """The CPU of a turn with its entry in the ledger, and of the same without it; share: what it adds."""

    engine: str
    with_us: float
    without_us: float
    share: float


def reports(house: House, quick: bool, say: Callable[[str], None]) -> list[ReportFigures]:
    """Every report on every server that has a database; quick: of a tenth of the exchanges."""
    size = 100_000 if quick else 1_000_000
    found = []
    for server in house.servers:
        if server.database:
            began = time.monotonic()
            fill(server.database, size)
            say(f"costs: {server.name}: a ledger of {size:,} in {time.monotonic() - began:.0f} s")
            found += asyncio.run(_timed(server, size))
    return found


def fill(database: Database, size: int) -> None:
    """Write entries of a project's ledger, and their sums."""
    ((project,),) = database.rows("SELECT project_id FROM api_keys LIMIT 1", ())
    project, keys = bytes(project), [uuid.uuid4().bytes for _ in range(KEYS)]
    nodes = trees.store(size, LENGTH)
    begin = time.time_ns() // 1000 - DAYS * 86_400 * 10**6
    step, number = DAYS * 86_400 * 10**6 // size, 0
    homes: dict[bytes, list[int]] = {}
    quarters: dict[tuple[int, bytes], list[int]] = {}
    while chunk := list(islice(nodes, CHUNK)):
        rows = []
        for node in chunk:
            at, key, amount = begin + number * step, keys[number // LENGTH % KEYS], 1950 + number % 100
            place = (project, node.id, node.conversation, at, key, "m", "m-2026", "local", "create", "completed")
            rows.append((*place, *trees.USAGE, "reported", "USD", amount, 0, DETAIL))
            for sums in (
                homes.setdefault(node.conversation, [0] * len(SUMS)),
                quarters.setdefault((at // QUARTER_US, key), [0] * len(SUMS)),
            ):
                for place_of, count in enumerate((1, *trees.USAGE, amount, 0)):
                    sums[place_of] += count
            number += 1
        trees.write(database, "ledger", LEDGER, rows)
    for part in _parts([(project, home, "reported", "", "USD", *sums) for home, sums in homes.items()]):
        trees.write(database, "conversation_costs", OF_CONVERSATION, part)
    alike = ("m", "m-2026", "local", "create", "completed", "reported", "USD")
    made = [(project, quarter, key, 0, key, *alike, *sums) for (quarter, key), sums in quarters.items()]
    for part in _parts(made):
        trees.write(database, "quarter_costs", OF_QUARTER, part)
    trees.analyse(database)


def _parts(rows: list[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK]


async def _timed(server: Server, size: int) -> list[ReportFigures]:
    """The median of each path, asked for in turn after once that is not counted."""
    caller, taken = wire.Caller(server), {path: list[float]() for path in PATHS}
    sizes = {}
    for path in PATHS:
        answer = await caller.ask(wire.request(server, None, path))
        if answer.status != 200:
            raise LoadFailed(f"{server.name}: {path}: {answer.body()[:600]!r}")
        sizes[path] = len(answer.body())
    for _ in range(TIMES):
        for path, times in taken.items():
            if len(times) < LEAST or sum(times) < MOST_S:
                times.append((await caller.ask(wire.request(server, None, path))).seconds)
    caller.close()
    return [
        ReportFigures(server.name, size, path, statistics.median(times) * 1e3, sizes[path])
        for path, times in taken.items()
    ]


# -- what pricing adds ----------------------------------------------------------------------------------------


def pricing(house: House, quick: bool, say: Callable[[str], None]) -> list[PricingFigures]:
    """What the ledger adds to a turn in one process, on each engine, in turn with turns that have none."""
    found = []
    upstream = next(server for server in house.servers if server.name == "direct")
    with tempfile.TemporaryDirectory(prefix="bench-costs-") as folder:
        for server in house.servers:
            if server.database:
                url = f"sqlite:///{folder}/pricing.db" if server.name == "sqlite" else server.database.url
                say(f"costs: pricing on {server.name}")
                found.append(_pricing(server.name, url, upstream.port, ROUNDS // 5 if quick else ROUNDS))
    return found


def _pricing(engine: str, url: str, upstream_port: int, rounds: int) -> PricingFigures:
    from convstore import bootstrap, ids
    from convstore.config import Settings, UpstreamSettings
    from convstore.domain.pricing.book import Wanted
    from convstore.schemas.responses import create_request
    from convstore.services import costing, keys, prices, recovery, relay
    from convstore.services.keys import Authenticator
    from convstore.storage import migrations
    from convstore.telemetry import logs

    logs.configure("error", "console")
    provider = UpstreamSettings(name="local", url=f"http://127.0.0.1:{upstream_port}/v1", key="sk-bench")
    settings = Settings(database_url=url, upstreams=(provider,))
    body = json.dumps({"model": "bench", "input": "x" * 1000}).encode()
    with bootstrap.working(settings) as deps:
        migrations.upgrade(deps.database)
        recovery.enter(deps)
        _, key = keys.create(deps, f"pricing {uuid.uuid4().hex}")
        principal = Authenticator(deps).principal(key)
        rates = {"input": Decimal("2.5"), "cached_input": Decimal("0.25"), "output": Decimal(15)}
        prices.create(deps, principal.project_id, [Wanted("*", "USD", rates)])

        def turn() -> None:
            relay.create(deps, principal, create_request(body), relay.call_of(ids.new(ids.REQUEST), None, body))

        whole = costing.with_entry
        taken: dict[bool, list[float]] = {True: [], False: []}
        try:
            for number in range(2 * rounds + 2):
                is_priced = number % 2 == 0
                setattr(costing, "with_entry", whole if is_priced else _without)  # noqa: B010 -- the same, for a type
                began = time.thread_time()
                for _ in range(TURNS):
                    turn()
                if number > 1:
                    taken[is_priced].append((time.thread_time() - began) / TURNS * 1e6)
        finally:
            costing.with_entry = whole
            recovery.leave(deps)
    added = [one / other - 1 for one, other in zip(taken[True], taken[False], strict=True)]
    return PricingFigures(
        engine, statistics.median(taken[True]), statistics.median(taken[False]), statistics.median(added)
    )


def _without(_deps: Any, _billed: Any, _begun: Any, ending: Any) -> Any:
    """The ending as it is: nothing is priced, and no entry written."""
    return replace(ending, entry=None)
