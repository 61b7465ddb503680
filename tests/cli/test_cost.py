"""`convstore cost`: at both doors, on both engines."""

import csv
import io
import json
from decimal import Decimal

import pytest

from convstore.cli.cost import BAR, bar
from tests.api.test_trees import home
from tests.cli.house import House

HOSTILE = "\x1b[31mred\x07 [bold]b[/bold] \u202eback"


@pytest.fixture
def spent(house: House) -> list[str]:
    """Two turns and a branch, with a price; and one of somebody else's."""
    price = {"model": "*", "currency": "EUR", "input": "10", "cached_input": "1", "output": "100"}
    for client in (house.alice, house.carol):
        assert client.post("/v1/prices", json=price).status_code == 200
    made = house.chain("One", "Two")
    made.append(str(house.alice.ask("Aside", after=made[0], user=HOSTILE)["id"]))
    house.carol.ask("Secret", user="carol's")
    return made


class TestReport:
    def test_a_row_for_each_group_with_its_bar_and_the_total(self, house: House, spent: list[str]) -> None:
        shown = house.output("cost", "--by", "model")
        # Three answers of 0.000594 each; those before there was a price are counted apart.
        assert "0.001782" in shown
        assert "█" * BAR in shown
        assert "Not known of 2 exchanges: 2 no_price." in shown

    def test_at_another_price(self, house: House, spent: list[str]) -> None:
        shown = house.output("cost", "--by", "day", "--what-if", "openai:gpt-5.4-mini")
        # Both are shown: what was spent in euros, and what the five answers would have cost in dollars.
        assert "0.001782 EUR" in shown
        assert "0.00014775 USD" in shown

    def test_filters_and_csv(self, house: House, spent: list[str]) -> None:
        text = house.output("cost", "--by", "user,key", "--user", HOSTILE, "--csv")
        (row,) = csv.DictReader(io.StringIO(text, newline=""))
        assert (row["user"], row["amount"], row["exchanges"]) == (HOSTILE, "0.000594", "1")

    def test_as_json(self, house: House, spent: list[str]) -> None:
        found = json.loads(house.output("cost", "--by", "origin", "--json"))
        assert found == house.alice.get("/v1/costs?group_by=origin").json

    def test_what_clients_wrote_does_nothing_to_a_terminal(self, house: House, spent: list[str]) -> None:
        shown = house.output("cost", "--by", "user")
        assert not {"\x1b", "\x07", "\u202e"} & set(shown)
        assert "[bold]b[/bold]" in shown
        assert "carol" not in shown

    @pytest.mark.parametrize("arguments", [("--by", "colour"), ("--metadata", "x"), ("--from", "yesterday")])
    def test_nonsense_is_refused_in_one_line(self, house: House, arguments: tuple[str, ...]) -> None:
        ran = house.run("cost", *arguments)
        assert (ran.code, ran.err.count("\n")) == (1, 1)


class TestOne:
    def test_an_answer_and_the_path_to_it(self, house: House, spent: list[str]) -> None:
        shown = house.output("cost", spent[1])
        assert "cached_input" in shown
        assert "0.000594 EUR (reported), by book price_" in shown
        assert "0.001188" in shown

    def test_a_conversation_in_its_parts(self, house: House, spent: list[str]) -> None:
        lines = house.output("cost", home(house.alice, spent[0])).splitlines()
        (branches,) = [line for line in lines if "abandoned branches" in line]
        assert "0.000594" in branches
        assert any("all of it" in line and "0.001782" in line for line in lines)

    def test_a_tree_says_what_hangs_below(self, house: House, spent: list[str]) -> None:
        lines = house.output("tree", spent[0]).splitlines()
        assert "0.000594 EUR of 0.001782 EUR below" in lines[1]
        assert lines[-1].endswith(", 0.001782 EUR")


@pytest.mark.parametrize(("amount", "expected"), [("0", 0), ("0.000001", 1), ("50", BAR // 2), ("100", BAR)])
def test_a_bar_is_as_long_as_its_part(amount: str, expected: int) -> None:
    assert len(bar(Decimal(amount), Decimal(100))) == expected
