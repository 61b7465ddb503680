"""`convstore retention` and `convstore holds`: at both doors, on both engines."""

import json
from importlib import import_module
from pathlib import Path

import pytest

from tests.cli.house import House, once

# The modules, which their commands hide.
retention, holds = (import_module(f"convstore.cli.{name}") for name in ("retention", "holds"))


@pytest.fixture(autouse=True)
def nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service of the house does not beat; shared bodies are other tests' matter."""
    monkeypatch.setattr(retention, "PATIENCE_S", 0)


class TestRules:
    def test_one_is_set_changed_looked_at_and_removed(self, house: House) -> None:
        said = house.output(
            "retention", "set", "short", "--content-days", "30", "--model", "gpt-*", "--metadata", "a=1"
        )
        rule_id = said.partition(":")[0]
        assert said == f"{rule_id}: short keeps content 30 days and figures for ever, of gpt-*, a=1.\n"
        changed = house.output("retention", "change", rule_id, "--figures-days", "90", "--not-while-descendants")
        assert changed == f"{rule_id}: short keeps content 30 days and figures 90 days, of gpt-*, a=1.\n"
        (found,) = json.loads(house.output("retention", "list", "--json"))
        assert (found["figures_days"], found["keep_while_descendants"], found["priority"]) == (90, False, 100)
        assert "90 days" in house.output("retention", "list")
        house.output("retention", "change", rule_id, "--figures-days", "forever")
        assert house.output("retention", "remove", rule_id) == f"{rule_id} is forgotten.\n"
        assert house.output("retention", "list", "--json") == "[]\n"

    def test_nonsense_is_one_line(self, house: House) -> None:
        for wrong in (
            ("--content-days", "x"),
            ("--content-days", "-1"),
            ("--content-days", "5", "--metadata", "a"),
            (),
        ):
            ran = house.run("retention", "set", "n", *wrong)
            assert (ran.code, len(ran.err.splitlines())) == (1, 1), wrong
        assert house.run("retention", "set", "n", "--content-days", "5", "--figures-days", "4").code == 1
        assert house.run("retention", "remove", "rule_x").code == 1


class TestPlanAndRun:
    def test_what_is_planned_goes(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(retention, "PART", 2)
        first, second = house.chain("one", "two")
        house.output("retention", "set", "all", "--content-days", "0")
        (share,) = json.loads(house.output("retention", "plan", "--json"))["data"]
        # With the noise of the house.
        assert (share["content"]["exchanges"], share["content"]["items"]) == (4, 8)
        assert "all" in house.output("retention", "plan")
        ran = house.shell.output("retention", "run", "--project", "acme")
        assert ran == (
            "acme: 4 exchanges lost their content (8 items), 0 were hidden and go with a later run, 0 are gone.\n"
        )
        for own in (first, second):
            assert house.alice.get(f"/v1/responses/{own}").json["output"][0]["content"][0]["text"] == "[erased]"
        assert house.run("audit", "verify").code == 0
        (entry,) = house.alice.get("/v1/audit?action=retention.run").json["data"]
        assert entry["actor"].startswith("command line: ")

    @once
    def test_without_a_name_it_is_for_all_projects(self, house: House) -> None:
        house.output("retention", "set", "all", "--content-days", "0")
        done = json.loads(house.shell.output("retention", "run", "--json", "--limit", "1"))
        assert {name: swept["content"]["exchanges"] for name, swept in done.items()} == {"acme": 1, "globex": 0}

    def test_its_traces_are_removed_when_that_is_wanted(self, house: House) -> None:
        house.ask("a word like quetzalcoatl", "and axolotl")
        house.output("retention", "set", "all", "--content-days", "0")
        house.shell.output("retention", "run", "--purge")
        url = house.database_url
        if url.startswith("sqlite"):
            path = Path(url.removeprefix("sqlite:///"))
            for file in (path, path.with_name(f"{path.name}-wal")):
                held = file.read_bytes() if file.exists() else b""
                assert b"quetzalcoatl" not in held and b"axolotl" not in held

    @once
    def test_nobodys_project_is_told(self, house: House) -> None:
        ran = house.shell.run("retention", "run", "--project", "initech")
        assert (ran.code, ran.err) == (1, "convstore: No project has the name 'initech'.\n")


class TestHolds:
    def test_one_is_made_looked_at_and_released(self, house: House) -> None:
        (own,) = house.chain("one")
        said = house.output("holds", "create", "Case 7", "--response", own, "--reason", "A letter")
        hold_id = said.partition(" ")[0]
        assert said == f"{hold_id} keeps what is of response {own}.\n"
        (found,) = json.loads(house.output("holds", "list", "--json"))
        assert (found["id"], found["response_id"]) == (hold_id, own)
        assert "Case 7" in house.output("holds", "list")
        assert "reason: A letter\n" in house.output("holds", "show", hold_id)
        assert house.output("holds", "release", hold_id) == f"{hold_id} is released.\n"
        assert house.output("holds", "list", "--json") == "[]\n"
        (found,) = json.loads(house.output("holds", "list", "--all", "--json"))
        assert found["released_at"] is not None
        assert json.loads(house.output("holds", "show", hold_id, "--json")) == found

    def test_a_hold_keeps_from_a_run(self, house: House) -> None:
        (own,) = house.chain("one")
        house.output("holds", "create", "Case 7", "--response", own)
        house.output("retention", "set", "all", "--content-days", "0")
        house.shell.output("retention", "run")
        said = house.alice.get(f"/v1/responses/{own}").json["output"][0]["content"][0]["text"]
        assert said == "Answer to one"

    def test_nonsense_is_one_line(self, house: House) -> None:
        for wrong in ((), ("--user", "u", "--response", "resp_x"), ("--response", "resp_x"), ("--metadata", "a")):
            ran = house.run("holds", "create", "n", *wrong)
            assert (ran.code, len(ran.err.splitlines())) == (1, 1), wrong
        assert house.run("holds", "release", "hold_x").code == 1

    @once
    def test_many_come_page_by_page(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(holds, "_PAGE", "2")
        for number in range(5):
            house.output("holds", "create", f"n{number}", "--user", f"u{number}")
        assert [each["name"] for each in json.loads(house.output("holds", "list", "--json"))] == [
            f"n{number}" for number in (4, 3, 2, 1, 0)
        ]
