"""`convstore doctor`, on both engines."""

import json
from collections.abc import Iterator

import pytest

from convstore.storage import everywhere
from convstore.storage.database import Database, Options
from tests.cli.conftest import Shell
from tests.conftest import FixedClock
from tests.storage.keeper import Keeper


@pytest.fixture
def store(database_url: str) -> Iterator[Database]:
    with Database(Options(database_url)) as database:
        yield database


@pytest.fixture
def acme(store: Database) -> Keeper:
    """A project with two exchanges, and beside it Globex with as many."""
    keepers = []
    for name in ("globex", "acme"):
        keeper = Keeper(store)
        with store.transaction() as connection:
            keeper.project = everywhere.project_id(connection, name, FixedClock()())
        keeper.keep("u2", "m2", after=keeper.keep("u1", "m1"))
        keepers.append(keeper)
    return keepers[1]


def sql(store: Database, statement: str) -> None:
    with store.transaction() as connection:
        connection.exec_driver_sql(statement)


class TestDoctor:
    def test_nothing_is_wrong(self, shell: Shell, acme: Keeper) -> None:
        ran = shell.run("doctor")
        assert (ran.code, ran.out, ran.err) == (0, "Nothing is wrong.\n", "")
        assert json.loads(shell.output("doctor", "--json")) == {
            "findings": [],
            "summary": {"found": {}, "mended": {}, "left": 0},
        }

    def test_what_is_wrong_is_told_and_mended_when_asked_for(self, shell: Shell, store: Database, acme: Keeper) -> None:
        sql(store, "UPDATE exchanges SET depth = 7 WHERE depth = 1")
        ran = shell.run("doctor")
        assert ran.code == 1
        assert ran.out.count("It lies at depth 1, not 7.") == 2
        assert ran.out.endswith("2 found, 0 mended, 2 left; --repair can mend 2 of them.\n")
        done = shell.output("doctor", "--repair")
        assert "depth: 2 (2 mended)" in done
        assert shell.output("doctor", "--repair") == "Nothing is wrong.\n"

    def test_json_has_every_finding(self, shell: Shell, store: Database, acme: Keeper) -> None:
        sql(store, "UPDATE exchanges SET question = NULL, depth = depth * 3")
        ran = shell.run("doctor", "--repair", "--json")
        said = json.loads(ran.out)
        assert ran.code == 0
        assert said["summary"]["found"] == {"depth": 2} | said["summary"]["found"]
        assert all(each["mended"] for each in said["findings"])
        assert {each["project"] for each in said["findings"]} == {"acme", "globex"}

    def test_what_is_left_for_a_person_is_exit_code_1(self, shell: Shell, store: Database, acme: Keeper) -> None:
        sql(store, "DELETE FROM exchanges WHERE depth = 0")
        ran = shell.run("doctor", "--repair", "--project", "acme")
        assert ran.code == 1
        assert "by a person" in ran.out
        assert "orphan: 1 (0 mended)" in ran.out

    def test_one_project_only(self, shell: Shell, store: Database, acme: Keeper) -> None:
        sql(store, "UPDATE exchanges SET depth = 7 WHERE depth = 1")
        said = json.loads(shell.output("doctor", "--repair", "--json", "--project", "acme"))
        assert [each["project"] for each in said["findings"]] == ["acme"]
        assert shell.run("doctor").code == 1

    def test_a_project_that_is_not_there_is_one_line(self, shell: Shell) -> None:
        ran = shell.run("doctor", "--project", "hooli")
        assert (ran.code, ran.out, ran.err) == (1, "", "convstore: No project has the name 'hooli'.\n")

    def test_a_long_list_is_cut_but_counted(self, shell: Shell, store: Database, acme: Keeper) -> None:
        for _ in range(25):
            acme.keep("u", "m")
        sql(store, "UPDATE exchanges SET input_count = 9")
        ran = shell.run("doctor")
        assert ran.out.count("are.") == 20
        assert "29 found" in ran.out
