"""`convstore budgets`: at both doors, on both engines."""

import json

from tests.cli.house import House

LIMIT = ("--amount", "0.0005", "--currency", "CNY", "--period", "day")


def test_one_is_set_looked_at_and_lifted(house: House) -> None:
    house.output("prices", "set", "gpt-5.4*", "--currency", "CNY", "--input", "10", "--output", "100")
    said = house.output("budgets", "set", "tests", *LIMIT)
    budget_id = said.partition(":")[0]
    assert said == f"{budget_id}: 0 of 0.0005 CNY are spent.\n"
    house.ask("How much?", "That much.")
    (found,) = json.loads(house.output("budgets", "list", "--json"))
    assert (found["id"], found["spent"], found["exceeded"]) == (budget_id, "0.00063", True)
    shown = house.output("budgets", "list")
    assert "hard, exceeded" in shown
    assert "0.00063 CNY" in shown
    assert house.alice.create().status_code == 429
    assert house.output("budgets", "remove", budget_id) == f"{budget_id} is lifted.\n"
    assert house.alice.create().status_code == 200


def test_a_soft_one_is_called_so(house: House) -> None:
    house.output("budgets", "set", "tests", *LIMIT, "--soft")
    assert json.loads(house.output("budgets", "list", "--json"))[0]["hard"] is False


def test_nonsense_is_one_line(house: House) -> None:
    for wrong in (("--amount", "-1"), ("--currency", "YAP"), ("--api-key", "key_x"), ("--conversation", "conv_x")):
        ran = house.run("budgets", "set", "tests", *LIMIT, *wrong)
        assert (ran.code, len(ran.err.splitlines())) == (1, 1), wrong
    assert house.run("budgets", "remove", "budget_x").code == 1
    assert house.output("budgets", "list", "--json") == "[]\n"
