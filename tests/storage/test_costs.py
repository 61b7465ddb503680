"""Adding up the ledger: of sums where there are some, by an index where not, and never of what was said."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert

from convstore import ids
from convstore.domain import costs as figures
from convstore.domain.costs import Only
from convstore.domain.ledger import Entry
from convstore.domain.pricing.cost import Basis, Cost
from convstore.domain.usage import Usage
from convstore.storage import costs, tables
from convstore.storage.costs import METADATA, QUARTER
from convstore.storage.database import Database, Options
from convstore.storage.ledger import digest
from tests.storage.keeper import Keeper, Plans

MANY, PROJECTS = 9000, 30
BIG = ("exchanges", "items", "payloads", "ledger", "quarter_costs", "conversation_costs")
SUMS = dict.fromkeys((*figures.TOKENS, "millionths", "rest"), 1)


class Store:
    """A ledger of many projects, with its sums."""

    def __init__(self, keeper: Keeper) -> None:
        self.keeper, self.database, self.project = keeper, keeper.database, keeper.project
        projects = [self.project, *(ids.new(ids.PROJECT) for _ in range(PROJECTS - 1))]
        made = [(projects[n % PROJECTS], ids.new(ids.EXCHANGE), ids.new(ids.CONVERSATION)) for n in range(MANY)]
        self.home = made[0][2]
        now = keeper.clock()
        alike = {"requested_model": "m", "model": "m", "origin": "create", "status": "completed"}
        money = {"basis": "reported", "currency": "USD"}
        rows = [
            {"project_id": project, "exchange_id": own, "conversation_id": home, "created_at": now, **alike}
            | {**money, **SUMS}
            for project, own, home in made
        ]
        self._write(tables.ledger, rows)
        own_rows = {"input_count": 1, "stored": True, "settings_hash": b"0" * 16, "depth": 0, "created_at": now}
        own_rows |= {"requested_model": "m", "origin": "create", "status": "completed"}
        exchanges = [
            {"project_id": project, "id": own, "conversation_id": home, "lane": own, **own_rows}
            for project, own, home in made
        ]
        self._write(tables.exchanges, exchanges)
        sums = {"exchanges": 1, **SUMS}
        homes = [
            {"project_id": project, "conversation_id": home, "reason": "", **money, **sums} for project, _, home in made
        ]
        self._write(tables.conversation_costs, homes)
        quarters = [
            {"project_id": project, "quarter": n, "digest": digest((own,)), "slot": 0, **alike, **money, **sums}
            for n, (project, own, _) in enumerate(made)
        ]
        self._write(tables.quarter_costs, quarters)
        self.lane = made[0][1]

    def _write(self, table: Any, rows: list[dict[str, Any]]) -> None:
        with self.database.transaction() as connection:
            connection.execute(insert(table), rows)

    def read(self, by: tuple[str, ...], only: Only) -> list[tuple[Any, ...]]:
        return list(costs.rows(self.database, self.project, by, only))


@pytest.fixture(scope="module")
def store(database_url: str) -> Iterator[Store]:
    with Database(Options(database_url)) as opened:
        made = Store(Keeper(opened))
        with opened.connection() as connection:
            connection.exec_driver_sql("ANALYZE")
        yield made


def read(plans: Plans) -> set[str]:
    """The big tables that the statements name."""
    return {table for table in BIG for sql, _ in plans.ran if f" {table} " in f"{sql} "}


def scanned(plans: Plans) -> list[str]:
    """What is read from end to end, other projects' rows and all."""
    return [step for step in plans.walked(*BIG) if step.startswith(("SCAN", "Seq"))]


class TestPlans:
    @pytest.mark.parametrize(
        ("by", "only", "tables_read"),
        [
            (("conversation",), Only(), {"conversation_costs"}),
            ((), Only(), {"quarter_costs"}),
            ((QUARTER,), Only(), {"quarter_costs"}),
            (("key",), Only(), {"quarter_costs"}),
            (("key", "model", QUARTER), Only(values={"status": "completed"}), {"quarter_costs"}),
            (("user",), Only(), {"ledger"}),
            (("conversation", "model"), Only(), {"ledger"}),
            ((METADATA,), Only(), {"ledger", "exchanges"}),
        ],
    )
    def test_sums_are_read_where_there_are_some(
        self, store: Store, by: tuple[str, ...], only: Only, tables_read: set[str]
    ) -> None:
        with Plans(store.database) as plans:
            found = store.read(by, only)
        assert figures.total(row[len(by) :] for row in found).exchanges == MANY // PROJECTS
        assert (read(plans), scanned(plans)) == (tables_read, [])

    def test_of_one_conversation_no_other_is_read(self, store: Store) -> None:
        only = Only(values={"conversation": store.home})
        with Plans(store.database) as plans:
            assert [row[-9] for row in store.read(("conversation",), only)] == [1]
            assert [row[-9] for row in store.read(("model", "conversation"), only)] == [1]
            found = list(costs.parts(store.database, store.project, store.home, {store.lane: 0}))
            costs.main_tip(store.database, store.project, store.home)
        assert [row[0] for row in found] == ["main"]
        assert plans.walked(*BIG) == []

    def test_the_path_to_an_exchange(self, store: Store) -> None:
        with Plans(store.database) as plans:
            found = list(costs.on_stretches(store.database, store.project, (), Only(), [(0, store.lane, 0, 0)]))
        assert figures.total(row[1:] for row in found).exchanges == 1
        assert (plans.walked(*BIG), read(plans) <= {"ledger", "exchanges"}) == ([], True)


class TestTimes:
    def test_only_whole_quarters_are_read_of_their_sums(self, acme: Keeper) -> None:
        cost = Cost(Basis.REPORTED, Decimal("1.5"), "USD")
        for _ in range(3):
            begun = acme.beginning("u")
            place = acme.begin(begun)
            given = (place.id, begun.conversation_id, begun.created_at, begun.created_at.date(), None, None)
            entry = Entry(*given, "m", "m", "local", "create", "completed", Usage(1, 0, 0, 1, 0, 2), cost)
            assert acme.end(place, "m", entry=entry)
            acme.clock.advance(minutes=10)
        noon = acme.clock().replace(hour=12, minute=0, second=0, microsecond=0)
        for minutes, expected in ((0, 3), (5, 2), (15, 1), (30, 0)):
            only = Only(since=noon + timedelta(minutes=minutes))
            assert figures.total(costs.rows(acme.database, acme.project, (), only)).exchanges == expected
            only = Only(until=noon + timedelta(minutes=minutes))
            assert figures.total(costs.rows(acme.database, acme.project, (), only)).exchanges == 3 - expected
