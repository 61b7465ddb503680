"""What the demo prints of a run: by the real service, asked with the real client."""

import openai
import pytest
from rich.console import Console

from convstore.cli.demo import growing
from tests.cli.house import House
from tests.local_upstream import answer, message

# The demo has a service, and a file for its store.
pytestmark = [
    pytest.mark.parametrize("house", ["service"], indirect=True),
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]


class TestCompare:
    def test_a_run_that_stopped_stands_beside_the_turns_that_it_asked(
        self, house: House, client: openai.OpenAI
    ) -> None:
        asked = house.chain("One", "Two", "Three")
        house.upstream.will(answer(message("Another one")), answer(message("Another two")))
        made = growing.post(client, f"/responses/{asked[2]}/replay", {"max_calls": 2})
        with house.worker():
            replay = growing.ended(client, made["id"])
        console = Console(width=120)

        with console.capture() as printed:
            growing.compare(console, client, "The run", replay["runs"][0])

        said = printed.get()
        assert "The run, beside what was recorded (2 of 3 turns asked again):" in said
        assert "Another two" in said
        assert "Three" not in said

    def test_one_that_made_nothing_says_why(self, house: House, client: openai.OpenAI) -> None:
        run = {"tip": None, "reason": "No calls are left.", "done": 0, "total": 2, "comparison": None}
        console = Console(width=120)

        with console.capture() as printed:
            growing.compare(console, client, "The run", run)

        assert printed.get().strip() == "The run stopped before its first turn: No calls are left."
