"""`convstore audit`, at both doors; and what commands leave in the log."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Shell
from tests.cli.house import House, once


def edit(house: House, statement: str) -> None:
    with house.deps.database.transaction() as connection:
        connection.exec_driver_sql(statement)


class TestVerify:
    def test_a_log_that_is_right(self, house: House) -> None:
        ran = house.run("audit", "verify")
        assert ran.code == 0, ran.err
        assert "nothing is wrong" in ran.out
        assert "unkeyed: proves accidents, not attackers" in ran.out

    def test_one_that_is_not(self, house: House) -> None:
        edit(house, "UPDATE audit_log SET action = 'responses.get' WHERE action = 'responses.create'")
        ran = house.run("audit", "verify", "--json")
        found = json.loads(ran.out)
        assert (ran.code, found["valid"]) == (1, False)
        assert {each["kind"] for each in found["problems"]} == {"altered"}
        assert all(each["strand"] and each["request_id"] for each in found["problems"])
        assert "altered: " in house.run("audit", "verify").out

    @once
    def test_all_of_them(self, house: House) -> None:
        assert house.run("audit", "verify", "--everywhere").code == 2
        ran = house.shell.run("audit", "verify", "--everywhere", "--json")
        assert ran.code == 0
        found = json.loads(ran.out)
        assert {"acme", "globex", "(installation)"} <= set(found)
        assert all(each["valid"] for each in found.values())
        edit(
            house, "UPDATE audit_log SET detail = 'x' WHERE project_id <> (SELECT id FROM projects WHERE name = 'acme')"
        )
        ran = house.shell.run("audit", "verify", "--everywhere")
        assert ran.code == 1
        assert "globex:" in ran.out

    def test_against_a_head(self, house: House, tmp_path: Path) -> None:
        kept = tmp_path / "head.json"
        kept.write_text(house.output("audit", "head"))
        house.ask("More", "of it")
        assert house.run("audit", "verify", "--against", str(kept)).code == 0
        edit(house, "DELETE FROM audit_log WHERE action = 'responses.answer'")
        assert house.run("audit", "verify", "--against", str(kept)).code == 1

    @pytest.mark.parametrize("content", ["", "[]", "{", "{}"])
    def test_what_is_no_head_is_one_line(self, house: House, tmp_path: Path, content: str) -> None:
        kept = tmp_path / "head.json"
        kept.write_text(content)
        ran = house.run("audit", "verify", "--against", str(kept))
        assert ran.code == 1
        assert len(ran.err.splitlines()) == 1


class TestList:
    def test_the_newest_come_first(self, house: House) -> None:
        response_id = house.ask("Who asked?", "You did.")
        found = json.loads(house.output("audit", "list", "--object", response_id, "--json"))
        assert [each["action"] for each in found] == ["responses.answer", "responses.create"]
        assert "responses.answer" in house.output("audit", "list", "--object", response_id)

    def test_a_wrong_filter_is_named(self, house: House) -> None:
        ran = house.run("audit", "list", "--outcome", "good")
        assert ran.code == 1
        assert "good" in ran.err


class TestCommands:
    def test_keys_and_projects_leave_entries(self, shell: Shell) -> None:
        shell.output("keys", "create", "--project", "acme")
        shell.output("projects", "set", "acme", "--unstored", "discard")
        (key,) = json.loads(shell.output("keys", "list", "--json"))
        shell.output("keys", "revoke", key["id"])
        found = json.loads(shell.output("audit", "list", "--project", "acme", "--json"))[::-1]
        said = [(each["action"], each["object_id"]) for each in found]
        assert said[0] == ("keys.create", key["id"])
        assert [action for action, _ in said] == ["keys.create", "projects.set", "keys.revoke"]
        assert said[2] == ("keys.revoke", key["id"])
        assert all(each["actor"].startswith("command line: ") and each["remote"] for each in found)
        assert shell.run("audit", "verify", "--project", "acme").code == 0

    def test_those_about_trees_do_at_both_doors(self, house: House) -> None:
        response_id = house.ask("Who reads this?", "Somebody.")
        house.output("thread", response_id)
        found = json.loads(house.output("audit", "list", "--object", response_id, "--action", "trees.thread", "--json"))
        assert {each["actor"].partition(":")[0] for each in found} == {"key" if house.is_remote else "command line"}
