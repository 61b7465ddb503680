"""Migrations: up and down with data in the tables, and nothing but them decides the schema."""

from collections.abc import Iterator
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import LargeBinary, inspect
from sqlalchemy.types import TypeDecorator

from convstore.errors import SchemaOutdated
from convstore.storage import conversations, migrations, trees
from convstore.storage.database import Database, Options
from convstore.storage.tables import metadata
from convstore.storage.types import Id, Utc
from tests.conftest import FixedClock
from tests.storage.keeper import Keeper, count


@pytest.fixture
def empty(empty_url: str) -> Iterator[Database]:
    """A database without a single table."""
    with Database(Options(empty_url)) as opened:
        yield opened


def tables_of(database: Database) -> set[str]:
    with database.connection() as connection:
        there = set(inspect(connection).get_table_names()) - {"alembic_version"}
    return {name for name in there if migrations.is_compared(name, "table", None)}


def a_row(number: int) -> dict[str, dict[str, Any]]:
    """One row for each table, with something in every column."""
    clock = FixedClock()
    rows: dict[str, dict[str, Any]] = {}
    for table in metadata.sorted_tables:
        row: dict[str, Any] = {}
        for column in table.columns:
            kind = column.type
            if isinstance(kind, Id):
                row[column.name] = f"{kind.prefix}_{number:032x}"
            elif isinstance(kind, Utc):
                row[column.name] = clock()
            elif isinstance(kind, LargeBinary | TypeDecorator):
                row[column.name] = bytes([number]) * 16
            else:
                row[column.name] = {"INTEGER": number, "BIGINT": number, "BOOLEAN": True}.get(str(kind), f"t{number}")
        rows[table.name] = row
    return rows


def fill(database: Database) -> None:
    with database.transaction() as connection:
        for number in (1, 2):
            for name, row in a_row(number).items():
                connection.execute(metadata.tables[name].insert().values(**row))


class TestUpgrade:
    def test_an_empty_database_gets_every_table(self, empty: Database) -> None:
        assert migrations.current(empty) is None
        migrations.upgrade(empty)
        assert migrations.current(empty) == migrations.head()
        assert tables_of(empty) == set(metadata.tables)

    def test_the_tables_are_those_of_the_code(self, empty: Database) -> None:
        migrations.upgrade(empty)
        assert migrations.differences(empty) == []

    def test_a_second_time_there_is_nothing_to_do(self, empty: Database) -> None:
        migrations.upgrade(empty)
        fill(empty)
        migrations.upgrade(empty)
        assert count(empty, "exchanges") == 2

    def test_what_was_migrated_works(self, empty: Database) -> None:
        migrations.upgrade(empty)
        keeper = Keeper(empty)
        assert keeper.shown(keeper.keep("u", "m")) == ["u", "m"]

    def test_one_that_fails_leaves_nothing_behind(self, empty: Database) -> None:
        with empty.transaction() as connection:
            connection.exec_driver_sql("CREATE TABLE payloads (x INTEGER)")
        with pytest.raises(Exception):  # noqa: B017  # each engine has its own
            migrations.upgrade(empty)
        assert tables_of(empty) == {"payloads"}
        assert migrations.current(empty) is None


class TestDowngrade:
    def test_down_to_nothing_and_up_again_with_data_in_the_tables(self, empty: Database) -> None:
        migrations.upgrade(empty)
        fill(empty)
        migrations.downgrade(empty, "base")
        assert tables_of(empty) == set()
        migrations.upgrade(empty)
        assert migrations.differences(empty) == []
        assert {name: count(empty, name) for name in metadata.tables} == dict.fromkeys(metadata.tables, 0)

    def test_each_step_down_can_be_taken_up_again(self, empty: Database) -> None:
        migrations.upgrade(empty)
        fill(empty)
        steps = list(ScriptDirectory(str(migrations.LOCATION)).walk_revisions())
        for script in steps:
            migrations.downgrade(empty, str(script.down_revision or "base"))
            migrations.upgrade(empty, script.revision)
            migrations.downgrade(empty, str(script.down_revision or "base"))
        migrations.upgrade(empty)
        migrations.check(empty)


class TestTrees:
    """0005, on a store that has been in use."""

    def test_what_was_said_before_is_a_tree_afterwards(self, empty: Database) -> None:
        migrations.upgrade(empty)
        keeper = Keeper(empty)
        root = keeper.keep("u0", "m0")
        trunk = [root, keeper.keep("u1", "m1", after=root)]
        fork = keeper.keep("u1 again", "m1 again", after=root)
        home = now_and_then(empty, keeper, trunk[-1], fork)
        before = rows_of(empty)
        migrations.downgrade(empty, "0004")
        assert {"branches", "replays", "replay_runs", "replay_turns"}.isdisjoint(tables_of(empty))
        assert {"question", "answer", "context_sha256", "context_cut"}.isdisjoint(columns_of(empty, "exchanges"))
        assert rows_of(empty) == before
        migrations.upgrade(empty)
        assert migrations.differences(empty) == []
        assert rows_of(empty) == before
        # Of the first lines nothing is left: they come back with what is said from now on.
        with empty.reading(keeper.project) as scope:
            assert [node.question for node in trees.thread(scope, fork, 0, 1)] == [None, None]
            assert conversations.title(scope, home) is None
        later = keeper.keep("u2", "m2", after=fork)
        assert keeper.shown(later) == ["u0", "m0", "u1 again", "m1 again", "u2", "m2"]
        assert now_and_then(empty, keeper, trunk[-1], later) == home

    def test_its_indexes_are_those_of_before_after_a_step_back(self, empty: Database) -> None:
        migrations.upgrade(empty, "0004")
        before = indexes_of(empty)
        migrations.upgrade(empty)
        assert indexes_of(empty) != before
        migrations.downgrade(empty, "0004")
        assert indexes_of(empty) == before


def now_and_then(empty: Database, keeper: Keeper, first: str, second: str) -> str:
    """The conversation of both exchanges, which are its tips."""
    with empty.reading(keeper.project) as scope:
        places = [trees.place(scope, each) for each in (first, second)]
        homes = {place[0] for place in places if place}
        assert len(homes) == 1
        home = homes.pop()
        assert [each.id for each in trees.tips(scope, home, 9)] == sorted([first, second], reverse=True)
    return home


def rows_of(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """What was in the tables before 0005: by table, in the columns that it had."""
    new = {"question", "answer", "context_sha256", "context_cut", "erased_at", "imported_at"}
    found = {}
    for name in ("exchanges", "items", "conversations", "payloads", "projects"):
        columns = ", ".join(f'"{each}"' for each in sorted(columns_of(database, name) - new))
        with database.connection() as connection:
            rows = connection.exec_driver_sql(f'SELECT {columns} FROM "{name}"').fetchall()
        found[name] = sorted((tuple(row) for row in rows), key=repr)
    assert found["exchanges"] and found["conversations"]
    return found


def columns_of(database: Database, table: str) -> set[str]:
    with database.connection() as connection:
        return {column["name"] for column in inspect(connection).get_columns(table)}


def indexes_of(database: Database) -> set[str]:
    """The indexes of exchanges, as the engine wrote them down."""
    query = (
        "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'exchanges' AND sql IS NOT NULL"
        if database.is_sqlite
        else "SELECT indexdef FROM pg_indexes WHERE tablename = 'exchanges'"
    )
    with database.connection() as connection:
        return {str(row[0]) for row in connection.exec_driver_sql(query)}


class TestCheck:
    def test_the_schema_of_this_version_passes(self, empty: Database) -> None:
        migrations.upgrade(empty)
        migrations.check(empty)

    def test_an_empty_database_is_refused_with_the_command(self, empty: Database) -> None:
        with pytest.raises(SchemaOutdated) as refused:
            migrations.check(empty)
        assert refused.value.message == (
            f"The database schema is at revision none, this version needs {migrations.head()}. "
            "Run: convstore db upgrade"
        )

    @pytest.mark.parametrize("revision", ["0000", "9999"])
    def test_an_older_and_a_newer_one_are_refused_too(self, empty: Database, revision: str) -> None:
        migrations.upgrade(empty)
        with empty.transaction() as connection:
            connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")
        with pytest.raises(SchemaOutdated, match=f"is at revision {revision}, .* Run: convstore db upgrade"):
            migrations.check(empty)


class TestScripts:
    def test_they_are_numbered_in_one_line(self) -> None:
        scripts = list(ScriptDirectory(str(migrations.LOCATION)).walk_revisions())
        numbers = [script.revision for script in reversed(scripts)]
        assert numbers == [f"{number:04d}" for number in range(1, len(scripts) + 1)]
        assert all(script.path.rpartition("/")[2].startswith(f"{script.revision}_") for script in scripts)

    def test_they_stand_alone(self) -> None:
        """A migration that imported the models would change with them."""
        for path in (migrations.LOCATION / "versions").glob("*.py"):
            assert "convstore" not in path.read_text(encoding="utf-8").replace('"""', ""), path.name
