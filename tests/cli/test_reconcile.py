"""`convstore cost reconcile`: at both doors, on both engines."""

import json
from pathlib import Path

import pytest

from tests.cli.house import House, once

HEAD = "date,model,calls,spent\n"
COLUMNS = ("--column", "day=date", "--column", "model=model", "--column", "requests=calls", "--column", "amount=spent")


@pytest.fixture
def today(house: House) -> str:
    """The day on which everything was asked."""
    house.output("prices", "set", "gpt-5.4*", "--currency", "CNY", "--input", "10", "--output", "100")
    house.ask("How much?", "That much.")
    (line,) = json.loads(house.output("cost", "--by", "day", "--json"))["data"]
    return str(line["group"]["day"])


def test_what_differs_is_shown_with_what_may_explain_it(house: House, tmp_path: Path, today: str) -> None:
    bill = tmp_path / "bill.csv"
    bill.write_text(f"{HEAD}{today},gpt-5.4-2026-03-05,4,0.00063\n")
    shown = house.output("cost", "reconcile", str(bill), *COLUMNS, "--currency", "CNY")
    assert shown.startswith(f"{today}  gpt-5.4-2026-03-05\n")
    assert "unknown price: 2 (resp_" in shown
    assert shown.splitlines()[-1] == f"{today} to {today} (UTC): 0 of 1 lines agree."
    found = json.loads(house.output("cost", "reconcile", str(bill), *COLUMNS, "--currency", "CNY", "--json"))
    assert found["data"][0]["delta"]["requests"] == 1
    assert found["data"][0]["delta"]["amount"] == "0"


def test_what_agrees_is_told_in_a_line(house: House, tmp_path: Path, today: str) -> None:
    bill = tmp_path / "bill.csv"
    bill.write_text(f"{HEAD}{today},gpt-5.4-2026-03-05,3,0.00063\n")
    asked = ("cost", "reconcile", str(bill), *COLUMNS, "--currency", "CNY")
    assert house.output(*asked) == f"{today} to {today} (UTC): 1 of 1 lines agree.\n"
    assert "theirs" in house.output(*asked, "--all")


@once
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--column", "day"), "expected NAME=VALUE"),
        (("--column", "colour=x"), "column.colour"),
        (("--timezone", "Mars/Olympus"), "timezone"),
        (("--only", "team=a"), "no column 'team'"),
        ((), "say which is what"),
    ],
)
def test_nonsense_is_one_line(house: House, tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    bill = tmp_path / "bill.csv"
    bill.write_text(f"{HEAD}2026-11-22,m,1,1\n")
    ran = house.run("cost", "reconcile", str(bill), *options)
    assert (ran.code, len(ran.err.splitlines())) == (1, 1)
    assert said in ran.err
