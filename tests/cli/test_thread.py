"""`convstore thread`: at both doors, on both engines."""

import json
from typing import Any

import pytest

from convstore.cli import door, exchange
from tests.cli.house import House
from tests.local_upstream import answer, function_call, reasoning


class TestThread:
    def test_everything_that_was_said_from_the_root(self, house: House) -> None:
        one, two, _ = house.chain("One\nand a half", "Two", "Three")
        lines = house.output("thread", two).splitlines()
        assert lines[0].startswith(f"● {one} gpt-5.4-2026-03-05, ")
        assert lines[1:4] == [
            "        user │ One",
            "             │ and a half",
            "   assistant │ Answer to One",
        ]
        assert lines[4] == "             │ and a half"
        assert lines[6].startswith(f"● {two} ")
        assert lines[7:9] == ["        user │ Two", "   assistant │ Answer to Two"]
        assert "Three" not in "".join(lines)

    def test_calls_and_their_outputs(self, house: House) -> None:
        house.upstream.will(answer(reasoning(), function_call("call_1", "look", '{"at": 1}')))
        made = house.alice.ask("What is there?")
        call = made["output"][-1]["call_id"]
        on = house.alice.ask(
            [{"type": "function_call_output", "call_id": call, "output": "A [red] cat"}], after=made["id"]
        )
        shown = house.output("thread", on["id"])
        assert 'function_call │ look {"at": 1}' in shown
        assert "function_call_output │ A [red] cat" in shown

    def test_headers_are_a_line_each(self, house: House) -> None:
        made = house.chain("One", "Two")
        lines = house.output("thread", made[1], "--headers").splitlines()
        assert [line.split()[0] for line in lines] == made
        assert lines[1].endswith("  Two → Answer to Two")

    def test_as_json(self, house: House) -> None:
        made = house.chain("One", "Two")
        found = json.loads(house.output("thread", made[1], "--json"))
        assert found["data"] == house.alice.get(f"/v1/responses/{made[1]}/thread").json["data"]
        headers = json.loads(house.output("thread", made[1], "--json", "--headers"))["data"]
        assert [each["id"] for each in headers] == made
        assert "input" not in headers[0]

    def test_pages_are_joined(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        made = house.chain("One", "Two", "Three", "Four", "Five")
        monkeypatch.setattr(door, "BODIES", 2)
        monkeypatch.setattr(door, "HEADERS", 2)
        for options in ((), ("--headers",)):
            found = json.loads(house.output("thread", made[-1], "--json", *options))
            assert [each["id"] for each in found["data"]] == made


class TestSaid:
    @pytest.mark.parametrize(
        ("item", "expected"),
        [
            ({"role": "user", "content": "Hi"}, ("user", "Hi")),
            ({"type": "message", "content": [{"type": "input_image"}]}, ("message", "[input_image]")),
            ({"type": "message", "role": "assistant", "content": [{"refusal": "No"}, 3]}, ("assistant", "No\n")),
            ({"type": "reasoning", "summary": [{"text": "Hm"}]}, ("reasoning", "Hm")),
            ({"type": "custom_tool_call", "name": "run", "input": "ls"}, ("custom_tool_call", "run ls")),
            ({"type": "web_search_call"}, ("web_search_call", "")),
            ({"type": "message", "role": "user", "content": None}, ("user", "")),
        ],
    )
    def test_whatever_an_item_is_it_has_words(self, item: dict[str, Any], expected: tuple[str, str]) -> None:
        assert exchange.said(item) == expected
