"""A Scope: another project's rows are invisible through every function that takes one."""

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from convstore import ids
from convstore.storage import direct, exchanges, histories, idempotency, trees, turns
from convstore.storage.scope import Scope
from convstore.storage.turns import IdempotencyKey
from tests.conftest import FixedClock
from tests.storage.keeper import Keeper, item

# Every query function, with what a stranger could know: ids. (An exchange is only to be had from these.)
BY_ID: dict[str, Callable[[Scope, str], Any]] = {
    "exchanges.get": lambda scope, own: exchanges.get(scope, own, hidden=True),
    "exchanges.find_item": lambda scope, own: (
        exchanges.find_item(scope, ids.item("message", own, 0))
        or exchanges.find_item(scope, ids.item("message", own, 1))
        or exchanges.find_item(scope, "msg_theirs")
    ),
    "exchanges.status": exchanges.status,
    "exchanges.shown": exchanges.shown,
    "trees.nodes": lambda scope, own: trees.nodes(scope, [own]),
    "trees.place": trees.place,
    "trees.thread": lambda scope, own: trees.thread(scope, own, 0, 9),
    "trees.end_of_lane": trees.end_of_lane,
    "exchanges.delete": lambda scope, own: exchanges.delete(scope, own, FixedClock()()),
    "exchanges.thread": exchanges.thread,
    "histories.steps": histories.steps,
    "idempotency.first_use": lambda scope, own: idempotency.first_use(scope, "their-key"),
}
# Those that start from an exchange, which must have been found first.
FROM_AN_EXCHANGE = {
    "exchanges.output",
    "exchanges.own_input",
    "exchanges.history",
    "exchanges.with_bodies",
    "exchanges.items_of",
}
# test_idempotency.py, tests/api/test_trees.py
ELSEWHERE = {"idempotency.release", "trees.children", "trees.tips"}
# They read no row: they open what is in one.
OF_ROWS = {"exchanges.of_row", "trees.node"}


def taking_a_scope(module: ModuleType) -> set[str]:
    room = module.__name__.rpartition(".")[2]
    own = [
        (name, function)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    ]
    return {f"{room}.{name}" for name, function in own if "scope" in inspect.signature(function).parameters}


class TestScope:
    @pytest.fixture
    def theirs(self, globex: Keeper) -> str:
        """Something of another project."""
        own = globex.begun(item("secret", item_id="msg_theirs"), key=IdempotencyKey("their-key", b"\0" * 32))
        globex.end(own, "secret")
        return own.id

    def test_every_function_is_tried_here(self) -> None:
        rooms = (exchanges, histories, idempotency, trees)
        functions = {name for room in rooms for name in taking_a_scope(room)}
        assert functions == {*BY_ID, *FROM_AN_EXCHANGE, *ELSEWHERE, *OF_ROWS}

    @pytest.mark.parametrize("name", BY_ID)
    def test_another_projects_rows_are_not_there(self, acme: Keeper, globex: Keeper, theirs: str, name: str) -> None:
        with acme.database.writing(acme.project) as scope:
            assert not BY_ID[name](scope, theirs)
        with acme.database.writing(globex.project) as scope:
            assert BY_ID[name](scope, theirs)

    def test_nor_can_they_be_continued(self, acme: Keeper, globex: Keeper, theirs: str) -> None:
        own = acme.keep("u", "m")
        with direct.reading(acme.database) as cursor:
            assert turns.parent(cursor, acme.project, theirs) is None
            parent = turns.parent(cursor, acme.project, own)
            assert parent is not None
            assert not turns.on_thread(cursor, acme.project, parent, [theirs])
            stranger = turns.parent(cursor, globex.project, theirs)
            assert stranger is not None
            assert not turns.on_thread(cursor, acme.project, stranger, [theirs])

    def test_a_big_body_is_read_from_its_own_projects_payloads(self, acme: Keeper, globex: Keeper) -> None:
        body = item("x" * 20_000)
        assert globex.context(globex.keep(body, "m"))[0] == body.body
        with acme.database.connection() as connection:
            mark = "?" if acme.database.is_sqlite else "%s"
            project = ids.pack(ids.PROJECT, acme.project)
            query = f"SELECT count(*) FROM payloads WHERE project_id = {mark}"
            assert connection.exec_driver_sql(query, (project,)).scalar_one() == 0
