"""`convstore diff`: at both doors, on both engines."""

import json
from pathlib import Path

import pytest

from convstore.cli.diff import lines
from tests.cli.house import House
from tests.local_upstream import answer, message


@pytest.fixture
def pair(house: House) -> tuple[str, str]:
    """Two answers to two wordings of a question."""
    made = house.chain("One", "Two words here")
    house.upstream.will(answer(message("Another answer\x1b[31m [red]")))
    body = {"input": "Two other words", "temperature": 0.5, "name": "other"}
    other = house.alice.post(f"/v1/responses/{made[1]}/branch", json=body).json["id"]
    return made[1], other


class TestDiff:
    def test_words_are_marked(self, house: House, pair: tuple[str, str]) -> None:
        shown = house.output("diff", pair[0], "other")
        assert shown.startswith(f"--- {pair[0]}\n+++ {pair[1]}\n")
        assert "@@ turn 1: changed @@" in shown
        assert "+   setting temperature: 0.5" in shown
        assert "│ Two {+other +}words[- here-]\n" in shown
        assert "␛[31m [red]" in shown
        assert "\x1b" not in shown
        assert "One" not in shown

    def test_the_same_is_the_same(self, house: House, pair: tuple[str, str]) -> None:
        assert "No differences." in house.output("diff", pair[0], pair[0])

    def test_as_json(self, house: House, pair: tuple[str, str]) -> None:
        found = json.loads(house.output("diff", *pair, "--json"))
        assert found == house.alice.get(f"/v1/diff?left={pair[0]}&right={pair[1]}").json

    def test_as_a_page(self, house: House, pair: tuple[str, str], tmp_path: Path) -> None:
        page = tmp_path / "diff.html"
        assert house.output("diff", *pair, "--html", str(page)) == ""
        assert page.read_text("utf-8") == house.alice.get(f"/v1/diff?left={pair[0]}&right={pair[1]}&format=html").text
        ran = house.run("diff", *pair, "--html", str(tmp_path / "no" / "where.html"))
        assert ran.code == 1
        assert "cannot be written" in ran.err

    def test_what_is_not_there(self, house: House, pair: tuple[str, str]) -> None:
        theirs = house.carol.ask("Ours")["id"]
        for name in ("nobody", theirs):
            ran = house.run("diff", pair[0], name)
            assert (ran.code, ran.out) == (1, "")
            assert ran.err == f"convstore: Response with id '{name}' not found.\n"


class TestColours:
    def test_what_is_only_on_one_side_has_one(self, house: House, pair: tuple[str, str]) -> None:
        found = json.loads(house.output("diff", *pair, "--json"))
        styles = {str(span.style) for line in lines(found) for span in line.spans}
        assert {"red", "green"} <= styles
