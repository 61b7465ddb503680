"""Trees of sizes that nobody would wait for to be grown turn by turn: what it takes to read of them.

    a thread     one conversation of 5,000 exchanges, none of which was forked
    a tree       one of 100,000 exchanges with 1,000 tips
    a store      1,000,000 exchanges, in conversations of ten

They are written straight into the tables, as the service would have: exchanges, items, conversations, no more. Then
each path is asked for some times, and the median is noted. Paths are given with the names of what they are about in
braces: {tip}, {root}, {middle} (in the middle of the oldest branch) and {conversation}.
"""

import asyncio
import json
import random
import sqlite3
import statistics
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

import psycopg

from bench import wire
from bench.client import LoadFailed
from bench.databases import Database, Postgres, Sqlite
from bench.servers import House, Server

# What is asked for of each tree, besides what is asked of all.
OF_ALL = ("/v1/responses/{tip}", "/v1/responses/{tip}/input_items")
PATHS = {
    "a thread": (
        "/v1/responses/{tip}/thread?items=false&limit=10000",
        "/v1/responses/{tip}/thread?limit=10000",
        "/v1/responses/{tip}/context?format=input",
        "/v1/conversations/{conversation}/tree?root={middle}&limit=10000",
    ),
    "a tree": (
        "/v1/conversations/{conversation}/tree?root={middle}",
        "/v1/conversations/{conversation}/tree?root={root}&depth=2",
        "/v1/conversations/{conversation}/tree?limit=10000",
        "/v1/responses/{middle}/children",
        "/v1/conversations/{conversation}/tips?limit=1000",
    ),
    "a store": ("/v1/conversations?limit=1000", "/v1/conversations/{conversation}/tree"),
}
# A turn that continues the tip: what the context of a thread costs when it is needed. Asked last, for it writes.
TURN = "/v1/responses"
TIMES = 30
# A slow path is asked less often: so long is it asked at most, but so many times at least.
MOST_S, LEAST = 4.0, 5
# Rows of exchanges that are made and written together.
CHUNK = 20_000
SETTINGS = b'{"model":"tree"}'

EXCHANGES = (
    "project_id id conversation_id parent_id lane depth input_count status origin stored requested_model settings_hash"
    " created_at question answer model upstream completed_at"
    " input_tokens cached_tokens cache_write_tokens output_tokens reasoning_tokens total_tokens"
).split()
USAGE = (1200, 1000, 0, 80, 20, 1280)
ITEMS = "lane depth position output type role body".split()
CONVERSATIONS = "project_id id created_at".split()
PAYLOADS = "project_id hash body".split()


@dataclass(frozen=True)
class Node:
    """An exchange as it will lie in the tables."""

    id: bytes
    conversation: bytes
    parent: bytes | None
    lane: bytes
    depth: int


@dataclass(frozen=True)
class Grown:
    """What was built: how many exchanges, in how long; and some of them, to ask for."""

    name: str
    exchanges: int
    build_s: float
    names: dict[str, str]


@dataclass(frozen=True)
class TreeFigures:
    """The median of one path, on one server and of one tree."""

    server: str
    tree: str
    exchanges: int
    method: str
    path: str
    status: int
    p50_ms: float
    answer_bytes: int


def measure(house: House, quick: bool, say: Callable[[str], None]) -> list[TreeFigures]:
    """All paths of all trees, on every server that has a database; quick: trees of a tenth of the size."""
    part = 10 if quick else 1
    found = []
    for server in house.servers:
        if server.database:
            for name, nodes in (
                ("a thread", thread(5_000 // part)),
                ("a tree", tree(100_000 // part, 1_000 // part)),
                ("a store", store(1_000_000 // part)),
            ):
                grown = build(server.database, name, nodes)
                say(f"trees: {server.name}: {name} of {grown.exchanges:,} exchanges in {grown.build_s:.0f} s")
                found += asyncio.run(timed(server, grown, (*OF_ALL, *PATHS[name])))
    return found


# -- what is built --------------------------------------------------------------------------------------------


def thread(length: int) -> Iterator[Node]:
    """One conversation without forks."""
    return _chain(_ids(), length)


def tree(size: int, tips: int) -> Iterator[Node]:
    """One conversation whose branches are as long as each other, each begun somewhere on an earlier one."""
    dice, new, known = random.Random(size), _ids(), list[Node]()
    for branch in range(tips):
        nodes = list(_chain(new, size // tips, dice.choice(known) if known else None))
        yield from nodes
        if branch < 100:
            # But for its last: the first child there would go on in its lane.
            known += nodes[:-1]


def store(size: int, length: int = 10) -> Iterator[Node]:
    """Many short conversations."""
    new = _ids()
    for _ in range(size // length):
        yield from _chain(new, length)


def _chain(new: Iterator[bytes], length: int, parent: Node | None = None) -> Iterator[Node]:
    lane = None
    for _ in range(length):
        own = next(new)
        lane = lane or own
        parent = Node(
            own,
            parent.conversation if parent else own,
            parent.id if parent else None,
            lane,
            parent.depth + 1 if parent else 0,
        )
        yield parent


def _ids() -> Iterator[bytes]:
    """Ids that grow with time, as the service's own do."""
    began = time.time_ns() // 1_000_000
    for number in range(2**32):
        head = (began << 16 | 0x7000 | number >> 20 & 0xFFF).to_bytes(8, "big")
        yield head + (0x80 << 56 | (number & 0xFFFFF) << 32 | random.getrandbits(32)).to_bytes(8, "big")


# -- how it is written ----------------------------------------------------------------------------------------


def build(database: Database, name: str, nodes: Iterator[Node]) -> Grown:
    """Write exchanges into the tables, in the project that has a key."""
    began = time.monotonic()
    ((project,),) = database.rows("SELECT project_id FROM api_keys LIMIT 1", ())
    project, settings = bytes(project), uuid.uuid4().bytes
    write(database, "payloads", PAYLOADS, [(project, settings, SETTINGS)])
    count, first, last, middle = 0, None, None, None
    while chunk := list(islice(nodes, CHUNK)):
        write(database, "exchanges", EXCHANGES, [_exchange(project, settings, each) for each in chunk])
        write(database, "items", ITEMS, [row for each in chunk for row in _items(each)])
        roots = [(project, each.conversation, _now()) for each in chunk if each.parent is None]
        write(database, "conversations", CONVERSATIONS, roots)
        count += len(chunk)
        if first is None:
            first = chunk[0]
            oldest = [each for each in chunk if each.lane == first.lane]
            middle = oldest[len(oldest) // 2]
        last = chunk[-1]
    assert first and last and middle
    analyse(database)
    names = {
        "root": f"resp_{first.id.hex()}",
        "tip": f"resp_{last.id.hex()}",
        "middle": f"resp_{middle.id.hex()}",
        "conversation": f"conv_{last.conversation.hex()}",
    }
    return Grown(name, count, time.monotonic() - began, names)


def _now() -> int:
    return time.time_ns() // 1000


def _exchange(project: bytes, settings: bytes, node: Node) -> tuple[Any, ...]:
    place = (project, node.id, node.conversation, node.parent, node.lane, node.depth)
    said = (f"Question {node.depth}", f"Answer {node.depth}")
    return (*place, 1, "completed", "create", True, "tree", settings, _now(), *said, "tree", "local", _now(), *USAGE)


def _items(node: Node) -> Iterator[tuple[Any, ...]]:
    asked = b'{"type":"message","role":"user","content":"Question %d"}' % node.depth
    said = b'{"type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Answer'
    yield node.lane, node.depth, 0, False, "message", "user", asked
    answer = said + b' %d","annotations":[],"logprobs":[]}]}' % node.depth
    yield node.lane, node.depth, 1, True, "message", "assistant", answer


def write(database: Database, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    names = ", ".join(columns)
    if isinstance(database, Sqlite):
        with closing(sqlite3.connect(database.path, timeout=30)) as connection, connection:
            marks = ", ".join("?" * len(columns))
            connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)
        return
    assert isinstance(database, Postgres)
    with psycopg.connect(database.url) as session, session.cursor() as cursor:
        with cursor.copy(f"COPY {table} ({names}) FROM STDIN".encode()) as copy:
            for row in rows:
                copy.write_row(row)


def analyse(database: Database) -> None:
    """Tell the planner how many there are, as autovacuum would in time. SQLite's plans do without."""
    if isinstance(database, Postgres):
        with psycopg.connect(database.url, autocommit=True) as session:
            session.execute("ANALYZE")


# -- what is asked --------------------------------------------------------------------------------------------


async def timed(server: Server, grown: Grown, paths: Sequence[str]) -> list[TreeFigures]:
    """The median time of a GET of each path and of a turn on the tip, each after one that is not counted."""
    caller = wire.Caller(server)
    found = [await _timed(caller, grown, "GET", path, None) for path in paths]
    turn = {"model": "tree", "input": "On", "previous_response_id": grown.names["tip"]}
    found.append(await _timed(caller, grown, "POST", TURN, json.dumps(turn).encode()))
    caller.close()
    return found


async def _timed(caller: wire.Caller, grown: Grown, method: str, path: str, body: bytes | None) -> TreeFigures:
    request = wire.request(caller.server, body, path.format(**grown.names))
    answer, taken = await caller.ask(request), list[float]()
    while len(taken) < LEAST or (len(taken) < TIMES and sum(taken) < MOST_S):
        taken.append((await caller.ask(request)).seconds)
    if answer.status != 200:
        raise LoadFailed(f"{caller.server.name}: {method} {path}: {answer.body()[:600]!r}")
    return TreeFigures(
        caller.server.name,
        grown.name,
        grown.exchanges,
        method,
        path,
        answer.status,
        statistics.median(taken) * 1e3,
        len(answer.body()),
    )
