"""First the disk, then the world: whoever is told of a request or of an answer finds it in the store already."""

import json
from typing import Any

import pytest

from convstore.storage.database import Database
from tests.conftest import Client
from tests.local_upstream import Behaviour, Exchange, LocalUpstream, answer, chat_answer, error, message
from tests.losses import evidence
from tests.losses.evidence import Record, latest, record
from tests.losses.house import House
from tests.losses.providers import sends
from tests.losses.service import Wire

pytestmark = pytest.mark.usefixtures("nothing_left")


class TestTheRequest:
    """The provider looks into the store when it is asked, over a connection of its own."""

    def looks(self, database: Database, then: Behaviour, found: list[Record]) -> Behaviour:
        def behave(exchange: Exchange) -> None:
            found.append(latest(database))
            then(exchange)

        return behave

    @pytest.mark.parametrize("model", ["gpt-5.4", "chat"])
    @pytest.mark.parametrize("stream", [False, True])
    def test_is_there_before_the_upstream_is_asked(
        self, alice: Client, upstream: LocalUpstream, database: Database, stream: bool, model: str
    ) -> None:
        found: list[Record] = []
        upstream.will(self.looks(database, (chat_answer if model == "chat" else answer)("Yes."), found))
        answered = alice.create(
            "Is it on disk?", model=model, stream=stream, instructions="Be brief.", metadata={"a": "b"}
        )
        assert answered.data
        (asked,) = found
        assert (asked.status, asked.output) == ("in_progress", [])
        assert json.loads(asked.exchange.settings)["instructions"] == "Be brief."
        assert json.loads(asked.exchange.metadata or b"") == {"a": "b"}
        assert latest(database).exchange.id == asked.exchange.id
        items = alice.get(f"/v1/responses/{asked.exchange.id}/input_items").json["data"]
        assert items[0]["content"][0]["text"] == "Is it on disk?"

    def test_is_there_with_all_its_items(self, alice: Client, upstream: LocalUpstream, database: Database) -> None:
        found: list[dict[str, Any]] = []
        long = "A long document. " * 5000  # kept apart from short ones

        def behave(exchange: Exchange) -> None:
            exchange_id = latest(database).exchange.id
            found.append(alice.get(f"/v1/responses/{exchange_id}/input_items?order=asc").json)
            answer("Yes.")(exchange)

        upstream.will(behave)
        alice.ask([{"role": "user", "content": "First."}, {"role": "user", "content": long}])
        assert [item["content"][0]["text"] for item in found[0]["data"]] == ["First.", long]

    def test_is_one_however_often_the_upstream_is_asked(
        self, alice: Client, upstream: LocalUpstream, database: Database
    ) -> None:
        found: list[Record] = []
        busy = error(503, headers={"retry-after-ms": "10"})
        upstream.will(*[self.looks(database, then, found) for then in (busy, busy, answer("Yes."))])
        alice.ask(model="persistent")
        assert len({each.exchange.id for each in found}) == 1
        assert [each.status for each in found] == ["in_progress"] * 3


class TestTheAnswer:
    """The client looks into the store as soon as it is told, over a connection of its own."""

    def test_is_there_before_a_plain_answer_is_read(
        self, alice: Client, upstream: LocalUpstream, database: Database
    ) -> None:
        for number in range(5):
            upstream.will(answer(f"Yes {number}."))
            given = alice.ask()
            assert (record(database, given["id"]).status, latest(database).text) == (
                "completed",
                f"Yes {number}.",
            )

    @pytest.mark.parametrize(
        ("behaviour", "status", "terminal"),
        [
            (answer("Yes."), "completed", b"event: response.completed"),
            (answer("Yes.", status="incomplete"), "incomplete", b"event: response.incomplete"),
            (
                sends(b'data: {"type": "response.created", "response": {}}\n\n', ends="cut"),
                "incomplete",
                b"event: error",
            ),
        ],
        ids=["completed", "incomplete", "cut"],
    )
    def test_is_there_before_the_terminal_event_is_read(
        self, any_house: House, upstream: LocalUpstream, behaviour: Behaviour, status: str, terminal: bytes
    ) -> None:
        for _ in range(5):
            upstream.will(behaviour)
            found = first_look(any_house, terminal)
            assert found.status == status
            assert found.text == ("" if terminal.endswith(b"error") else "Yes.")

    def test_is_whole_in_that_moment(self, any_house: House, upstream: LocalUpstream) -> None:
        long = "A long answer. " * 20_000
        upstream.will(answer(message(long), message("And more.")))
        found = first_look(any_house, b"event: response.completed")
        assert found.text == long + "And more."
        assert found.exchange.usage is not None
        assert evidence.left_behind(any_house.database) == {}


def first_look(house: House, terminal: bytes) -> Record:
    """What the store holds at the moment when the client has read as far as these bytes."""
    if house.service is not None:
        with Wire(house.service.port, house.client.key).ask(stream=True) as wire:
            wire.until(terminal)
            return latest(house.database)
    found: list[Record] = []
    for block in house.client.create(stream=True).iter_encoded():
        if terminal in block:
            found.append(latest(house.database))
    (look,) = found
    return look
