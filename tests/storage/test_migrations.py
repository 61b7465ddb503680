"""Migrations: up and down with data in the tables, and nothing but them decides the schema."""

from collections.abc import Iterator
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import LargeBinary, inspect
from sqlalchemy.types import TypeDecorator

from convstore.errors import SchemaOutdated
from convstore.storage import migrations
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
        return set(inspect(connection).get_table_names()) - {"alembic_version"}


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
