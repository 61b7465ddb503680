"""A keeper of exchanges for the tests of this room: says in a word what the relay says in twenty.

acme = Keeper(database)                       a project of its own
root = acme.keep("u1", "m1")                  an exchange with its answer
child = acme.keep("u2", "m2", after=root)
acme.shown(child)                             ["u1", "m1", "u2", "m2"]
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import event, insert

from convstore import ids
from convstore.domain import jsontext
from convstore.domain.exchange import Beginning, Ending, Place
from convstore.domain.items import Item
from convstore.storage import direct, exchanges, tables, turns
from convstore.storage.database import Database
from convstore.storage.exchanges import Placed
from convstore.storage.turns import IdempotencyKey, LaneTaken, Parent
from convstore.telemetry import metrics
from tests.conftest import FixedClock

PROCESS = bytes(range(16))
SETTINGS = b'{"model":"gpt-5.4","instructions":"Be brief."}'


def item(word: str, **extracted: Any) -> Item:
    """A message that says one word; or an item of another type."""
    kind = extracted.pop("type", "message")
    return Item(kind, json.dumps({"type": kind, "word": word}).encode(), **extracted)


def word_of(body: bytes) -> str:
    return str(json.loads(body)["word"])


class Keeper:
    """One project's exchanges."""

    def __init__(self, database: Database, clock: FixedClock | None = None) -> None:
        self.database = database
        self.clock = clock or FixedClock()
        self.project = ids.new(ids.PROJECT)
        # As a process of the service: it trusts what it remembers.
        database.memory.heard()

    def begun(
        self,
        *inputs: str | Item,
        after: str | None = None,
        settings: bytes = SETTINGS,
        key: IdempotencyKey | None = None,
        **members: Any,
    ) -> Place:
        """A request that is on disk."""
        return self.begin(self.beginning(*inputs, after=after, settings=settings, **members), key)

    def beginning(
        self, *inputs: str | Item, after: str | None = None, settings: bytes = SETTINGS, **members: Any
    ) -> Beginning:
        """A request as the relay sees it at this moment, before it is on disk."""
        parent = self.parent(after) if after else None
        assert parent is not None or after is None, "there is no such parent"
        own = ids.new(ids.EXCHANGE)
        given: dict[str, Any] = {
            "id": own,
            "conversation_id": parent.conversation_id if parent else ids.new(ids.CONVERSATION),
            "parent_id": parent.id if parent else None,
            "lane": parent.lane if parent and not parent.continued else own,
            "depth": parent.depth + 1 if parent else 0,
            "items": [item(each) if isinstance(each, str) else each for each in inputs],
            "stored": True,
            "requested_model": "gpt-5.4",
            "settings": settings,
            "settings_hash": jsontext.digest(settings),
            "created_at": self.clock(),
        }
        return Beginning(**{**given, **members})

    def begin(self, beginning: Beginning, key: IdempotencyKey | None = None) -> Place:
        """Put it on disk, in a lane of its own if its parent's is taken."""
        try:
            turns.begin(self.database, self.project, beginning, PROCESS, key)
        except LaneTaken:
            beginning = replace(beginning, lane=beginning.id)
            turns.begin(self.database, self.project, beginning, PROCESS, key)
        return beginning.place

    def end(self, place: Place, *outputs: str | Item, status: str = "completed", **members: Any) -> bool:
        """Put its answer on disk."""
        given = [item(each) if isinstance(each, str) else each for each in outputs]
        ending = Ending(status=status, completed_at=self.clock(), output=given, **members)
        return turns.end(self.database, self.project, place, ending)

    def keep(self, *words: str | Item, after: str | None = None, **members: Any) -> str:
        """An exchange: its inputs, and its answer last."""
        place = self.begun(*words[:-1], after=after, **members)
        assert self.end(place, words[-1])
        return place.id

    def parent(self, exchange_id: str, project: str | None = None) -> Parent | None:
        with direct.reading(self.database) as cursor:
            return turns.parent(cursor, project or self.project, exchange_id)

    def context(self, exchange_id: str) -> list[bytes]:
        """The bodies in front of a request that continues this exchange."""
        with direct.reading(self.database) as cursor:
            parent = turns.parent(cursor, self.project, exchange_id)
            assert parent is not None
            return [each.body for each in turns.context(cursor, self.project, parent)]

    def shown(self, exchange_id: str) -> list[str]:
        return [word_of(body) for body in self.context(exchange_id)]

    def listed(self, exchange_id: str) -> list[Placed]:
        """What stood in front of the model for this exchange."""
        with self.database.reading(self.project) as scope:
            exchange = exchanges.get(scope, exchange_id, hidden=True)
            assert exchange is not None
            history = exchanges.history(scope, exchange) if exchange.parent_id else []
            return history + exchanges.own_input(scope, exchange)

    def answer(self, exchange_id: str) -> list[Item]:
        with self.database.reading(self.project) as scope:
            exchange = exchanges.get(scope, exchange_id, hidden=True)
            assert exchange is not None
            return exchanges.output(scope, exchange)


@contextmanager
def counted() -> Any:
    """How many SQL statements run inside, as a list of one number when it has ended."""
    found: list[int] = []
    before = metrics.SQL_STATEMENTS._value.get()
    yield found
    found.append(int(metrics.SQL_STATEMENTS._value.get() - before))


def count(database: Database, table: str) -> int:
    """How many rows a table has."""
    with database.connection() as connection:
        return int(connection.exec_driver_sql(f'SELECT count(*) FROM "{table}"').scalar_one())


def crowd(keeper: Keeper, size: int = 3000) -> None:
    """Rows of many projects, a third of them this one's: enough for a planner to care."""
    database = keeper.database
    projects = [keeper.project, *(ids.new(ids.PROJECT) for _ in range(20))]
    made = [(projects[number % 30 % 21], ids.new(ids.EXCHANGE)) for number in range(size)]
    rows = [
        {
            "project_id": project,
            "id": own,
            "conversation_id": ids.new(ids.CONVERSATION),
            "lane": own,
            "depth": 0,
            "input_count": 1,
            "status": "completed",
            "origin": "create",
            "stored": True,
            "requested_model": "m",
            "settings_hash": jsontext.digest(own.encode()),
            "created_at": keeper.clock(),
        }
        for project, own in made
    ]
    placed = [(own, position) for _, own in made for position in range(2)]
    words = [
        {
            "lane": own,
            "depth": 0,
            "position": position,
            "output": bool(position),
            "type": "message",
            "item_id": f"theirs_{own}_{position}",
            "body": b'{"word":"noise"}',
        }
        for own, position in placed
    ]
    bodies = [{"project_id": project, "hash": jsontext.digest(own.encode()), "body": b"{}"} for project, own in made]
    with database.transaction() as connection:
        connection.execute(insert(tables.exchanges), rows)
        connection.execute(insert(tables.items), words)
        connection.execute(insert(tables.payloads), bodies)
    with database.connection() as connection:
        connection.exec_driver_sql("ANALYZE")


class Plans:
    """The statements that run inside, and how the engine finds their rows."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.ran: list[tuple[str, Sequence[Any]]] = []

    def __enter__(self) -> "Plans":
        engine = self._database.engine
        event.listen(engine, "before_cursor_execute", self._of_engine)
        self._execute = direct.Cursor.execute
        plans = self

        def execute(cursor: direct.Cursor, sql: str, values: tuple[Any, ...] = ()) -> Any:
            plans.ran.append((sql if cursor.is_sqlite else sql.replace("?", "%s"), values))
            return plans._execute(cursor, sql, values)

        direct.Cursor.execute = execute  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        direct.Cursor.execute = self._execute  # type: ignore[method-assign]
        event.remove(self._database.engine, "before_cursor_execute", self._of_engine)

    def _of_engine(self, _c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        self.ran.append((statement, parameters))

    def walked(self, *big: str) -> list[str]:
        """The steps that read a big table, or all a project has in it, from end to end. Empty is good."""
        assert self.ran
        self._big = big or ("exchanges", "items", "payloads")
        found: list[str] = []
        for sql, values in self.ran:
            if sql.lstrip().upper().startswith(("SELECT", "WITH", "UPDATE", "DELETE")):
                found += self._sqlite(sql, values) if self._database.is_sqlite else self._postgres(sql, values)
        return found

    def sorted(self) -> list[str]:
        """The steps that put rows in order because no index does. Empty is good where pages are read."""
        assert self.ran
        found: list[str] = []
        for sql, values in self.ran:
            if self._database.is_sqlite:
                found += [step for step in self._steps(sql, values) if "B-TREE FOR ORDER BY" in step]
            else:
                found += [node["Node Type"] for node in _nodes(self._plan(sql, values)) if "Sort" in node["Node Type"]]
        return found

    def _sqlite(self, sql: str, values: Any) -> list[str]:
        return [step for step in self._steps(sql, values) if _WALK.match(step)]

    def _postgres(self, sql: str, values: Any) -> list[str]:
        return list(_walks(self._plan(sql, values), self._big))

    def _steps(self, sql: str, values: Any) -> list[str]:
        with self._database.connection() as connection:
            return [str(row[-1]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)]

    def _plan(self, sql: str, values: Any) -> dict[str, Any]:
        with self._database.connection() as connection:
            (found,) = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {sql}", values).scalar_one()
        return dict(found["Plan"])


# SQLite calls a table by its short name in the statement. `path` and `wanted` are CTEs of a few rows.
_WALK = re.compile(r"SCAN (?!path|wanted|(?:\d+ )?CONSTANT)|SEARCH .*\(project_id=\?\)( LEFT-JOIN)?$")


def _walks(plan: dict[str, Any], big: Sequence[str]) -> Iterator[str]:
    for node in _nodes(plan):
        condition = str(node.get("Index Cond", ""))
        own = "project_id" in condition and " AND " not in condition
        if (node["Node Type"] == "Seq Scan" and node["Relation Name"] in big) or own:
            yield f"{node['Node Type']} {node.get('Relation Name')} {condition}"


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for inner in node.get("Plans", ()):
        yield from _nodes(inner)
