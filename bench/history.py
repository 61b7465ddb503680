"""A history of a million responses: what it takes to list and to search it.

They are written straight into the tables, as in trees.py, with what they are found by. Of some a user, a label, a
tool and an error are known; half are in English and half in Chinese. Words are as frequent as in what people write:
the first of the vocabulary is in most of them, the last in hardly any. Then pages are asked for, and the median is
noted.
"""

import asyncio
import itertools
import random
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import psycopg

from bench import trees
from bench.databases import Database, Postgres
from bench.servers import House
from bench.trees import CHUNK, Grown, Node, TreeFigures
from convstore.domain import terms

# One of so many has the rare word, the rare tool and the error.
RARE, SELDOM = 50_000, 1_000
PATHS = (
    "/v1/responses",
    "/v1/responses?limit=100",
    "/v1/responses?after={middle}",
    "/v1/responses?model=m1",
    "/v1/responses?user=u77",
    "/v1/responses?metadata.team=t7&model=m2",
    "/v1/responses?error=rate_limit_exceeded",
    "/v1/responses?tool=rarely_called",
    "/v1/responses?min_total_tokens=900000",
    "/v1/responses?min_latency_ms=10&max_depth=0",
    "/v1/responses?has_children=false",
    "/v1/responses?conversation={conversation}",
    f"/v1/responses?q={quote('海啸')}",
    "/v1/responses?q=zanzibar",
    "/v1/responses?q=word1",
    "/v1/responses?q=word10+word100",
    "/v1/responses?q=word1000+word2000",
    f"/v1/responses?q={quote('一一')}",
    f"/v1/responses?q={quote('天气')}",
    f"/v1/responses?q={quote('天气预报')}",
    f"/v1/responses?q={quote('天')}",
    "/v1/responses?q=word10&user=u77",
    "/v1/responses?q=word1&sort=relevance",
    "/v1/responses?q=word1000&sort=relevance",
    "/v1/responses?q=nowhere",
)
EXCHANGES = (*trees.EXCHANGES, '"user"', "metadata", "error")
SEARCHES = ("project_id", "exchange_id", "words")
NUMBERS = ("project_id", "exchange_id", "number")
_INDEX = "CREATE INDEX ix_searches_words ON searches USING gin (words) WITH (gin_pending_list_limit=256)"


def measure(house: House, quick: bool, say: Callable[[str], None]) -> list[TreeFigures]:
    """All paths, on every server that has a database; quick: in a history of a tenth of the size."""
    found = []
    for server in house.servers:
        if server.database:
            grown = build(server.database, 1_000_000 // (10 if quick else 1))
            size = server.database.size_bytes()
            say(f"history: {server.name}: {grown.exchanges:,} exchanges in {grown.build_s:.0f} s, {size:,} bytes")
            found += asyncio.run(trees.timed(server, grown, PATHS))
    return found


def build(database: Database, size: int) -> Grown:
    """Write a history into the tables, in the project that has a key."""
    began = time.monotonic()
    ((project,),) = database.rows("SELECT project_id FROM api_keys LIMIT 1", ())
    project, settings = bytes(project), uuid.uuid4().bytes
    trees.write(database, "payloads", trees.PAYLOADS, [(project, settings, trees.SETTINGS)])
    texts = _texts(random.Random(7))
    nodes, number, kept = trees.store(size), 0, list[Node]()
    if isinstance(database, Postgres):
        _run(database, "DROP INDEX ix_searches_words")
    while chunk := list(itertools.islice(nodes, CHUNK)):
        said = list(itertools.islice(texts, len(chunk)))
        numbers = range(number, number + len(chunk))
        rows = [_exchange(project, settings, *each) for each in zip(chunk, said, numbers, strict=True)]
        trees.write(database, "exchanges", EXCHANGES, rows)
        trees.write(
            database, "items", trees.ITEMS, [row for each in zip(chunk, said, strict=True) for row in _items(*each)]
        )
        roots = [(project, each.conversation, trees._now()) for each in chunk if each.parent is None]
        trees.write(database, "conversations", trees.CONVERSATIONS, roots)
        found = [_terms(project, *each) for each in zip(chunk, said, numbers, strict=True)]
        _index(database, project, chunk, numbers, found)
        number += len(chunk)
        kept.append(chunk[len(chunk) // 2])
    if isinstance(database, Postgres):
        _run(database, _INDEX)
    trees.analyse(database)
    middle, last = kept[len(kept) // 2], kept[-1]
    names = {
        "tip": f"resp_{last.id.hex()}",
        "middle": f"resp_{middle.id.hex()}",
        "conversation": f"conv_{middle.conversation.hex()}",
    }
    return Grown("a history", number, time.monotonic() - began, names)


def _texts(dice: random.Random) -> Iterator[str]:
    """Questions: thirty words, or as much in Chinese."""
    english = [f"word{number}" for number in range(20_000)]
    chinese = [f"{chr(0x4E00 + number % 3000)}{chr(0x4E00 + number * 7 % 2900)}" for number in range(5_000)]
    often = list(itertools.accumulate(1 / (number + 1) for number in range(len(english))))
    for number in itertools.count():
        if number % 2:
            said = " ".join(dice.choices(english, cum_weights=often, k=30))
            yield f"{said} zanzibar" if number % RARE == 1 else said
        else:
            said = "".join(dice.choices(chinese, cum_weights=often[: len(chinese)], k=20))
            yield f"{said}海啸" if number % RARE == 0 else f"{said},天气预报" if number % 100 == 0 else said


def _exchange(project: bytes, settings: bytes, node: Node, text: str, number: int) -> tuple[Any, ...]:
    row = list(trees._exchange(project, settings, node))
    failed = number % SELDOM == 0
    given = {
        "model": f"m{number % 5}",
        "question": text[:80],
        "status": "failed" if failed else "completed",
        "total_tokens": 1_000_000 if number % RARE == 0 else 1_280,
    }
    for name, value in given.items():
        row[trees.EXCHANGES.index(name)] = value
    error = '{"code":"rate_limit_exceeded","message":"Too many."}' if failed else None
    return (*row, f"u{number % 1000}", f'{{"team":"t{number % 50}"}}', error)


def _items(node: Node, text: str) -> Iterator[tuple[Any, ...]]:
    _, answer = trees._items(node)
    asked = b'{"type":"message","role":"user","content":"%s"}' % text.encode()
    yield node.lane, node.depth, 0, False, "message", "user", asked
    yield answer


def _terms(project: bytes, node: Node, text: str, number: int) -> str:
    """As convstore.domain.finding has them."""
    exact, size = terms.exact, terms.size
    found = [exact("p", f"proj_{project.hex()}"), exact("c", f"conv_{node.conversation.hex()}"), exact("rm", "tree")]
    found += [
        exact("or", "create"),
        size("p", node.depth),
        *terms.dates(datetime.now(UTC)),
        exact("m", f"m{number % 5}"),
    ]
    found += [exact("u", f"u{number % 1000}"), exact("md", f"team=t{number % 50}"), exact("up", "local")]
    found += [size("ti", 1200), size("to", 80), size("tt", 1_000_000 if number % RARE == 0 else 1280), size("l", 0)]
    found.append(exact("st", "completed" if number % SELDOM else "failed"))
    if number % SELDOM == 0:
        found.append(exact("er", "rate_limit_exceeded"))
    if number % RARE == 0:
        found.append(exact("to", "rarely_called"))
    return " ".join([*found, *terms.words([text, f"Answer {node.depth}"])])


def _index(database: Database, project: bytes, nodes: Sequence[Node], numbers: range, found: Sequence[str]) -> None:
    if isinstance(database, Postgres):
        rows = [(project, node.id, words) for node, words in zip(nodes, found, strict=True)]
        trees.write(database, "searches", SEARCHES, rows)
        return
    known = [(project, node.id, number + 1) for node, number in zip(nodes, numbers, strict=True)]
    trees.write(database, "searches", NUMBERS, known)
    trees.write(
        database,
        "search_words",
        ("rowid", "words"),
        [(number + 1, words) for number, words in zip(numbers, found, strict=True)],
    )


def _run(database: Postgres, statement: str) -> None:
    with psycopg.connect(database.url, autocommit=True) as session:
        session.execute(statement.encode())
