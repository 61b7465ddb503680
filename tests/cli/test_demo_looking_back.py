"""What the demo finds again, and proves: by the real service, asked with the real client."""

import openai
import pytest
from rich.console import Console

from convstore.cli.demo import looking_back
from convstore.cli.demo.talk import Timing, Turn
from tests.cli.house import House

pytestmark = [
    pytest.mark.parametrize("house", ["service"], indirect=True),
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]


class TestFind:
    def test_the_longest_word_of_the_question(self, house: House, client: openai.OpenAI) -> None:
        own = house.ask("What is a monad transformer?", "A stack.")
        turn = Turn(client.responses.retrieve(own), "What is a monad transformer?", Timing(1.0))
        console = Console(width=120)
        with console.capture() as printed:
            looking_back.find(console, client, [turn])
        said = printed.get()
        assert "'transformer'" in said
        assert own in said
        assert "question: What is a monad transformer?" in said


class TestProve:
    def test_what_was_changed_is_said(self, house: House, client: openai.OpenAI) -> None:
        house.ask("One", "Two")
        console = Console(width=120)
        with console.capture() as printed:
            looking_back.prove(console, client)
        assert "nothing was changed." in printed.get()
        with house.deps.database.transaction() as connection:
            connection.exec_driver_sql("UPDATE exchanges SET requested_model = 'gpt-6'")
        with console.capture() as printed:
            looking_back.prove(console, client)
        assert "problems: convstore audit verify names them." in printed.get()
