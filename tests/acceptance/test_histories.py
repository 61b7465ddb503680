"""Clients that send their whole history, as they do: the official SDK's objects, and the Codex CLI's requests."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI

from convstore import ids
from convstore.storage.database import Database, Options
from tests.acceptance.conftest import Stage
from tests.local_upstream import LocalUpstream, answer, function_call, message, reasoning

MODEL = "gpt-5.4"
TURNS = 200


@pytest.fixture
def database(stage: Stage) -> Iterator[Database]:
    """The store, seen from outside."""
    with Database(Options(stage.database_url)) as opened:
        yield opened


def rows(database: Database, query: str, response_ids: list[str]) -> list[Any]:
    """One row for each response, in their order. The query ends with `WHERE id = `."""
    mark = "?" if database.is_sqlite else "%s"
    with database.connection() as connection:
        return [
            connection.exec_driver_sql(query + mark, (ids.pack(ids.EXCHANGE, each),)).fetchone()
            for each in response_ids
        ]


def parents(database: Database, response_ids: list[str]) -> list[str | None]:
    found = rows(database, "SELECT parent_id FROM exchanges WHERE id = ", response_ids)
    return [ids.unpack(ids.EXCHANGE, bytes(row[0])) if row[0] else None for row in found]


def stored(database: Database, response_ids: list[str]) -> int:
    """How many items are stored with these exchanges."""
    found = rows(
        database,
        "SELECT (SELECT count(*) FROM items i WHERE i.lane = e.lane AND i.depth = e.depth)"
        " FROM exchanges e WHERE e.id = ",
        response_ids,
    )
    return sum(row[0] for row in found)


class Codex:
    """The Codex CLI at the wire: everything each time, store:false, ids of its own, reasoning with a null content."""

    def __init__(self, client: OpenAI, history: list[Any] | None = None) -> None:
        self._client = client
        self._thread = str(uuid.uuid4())
        self.history = history or [
            self._message("developer", "You are a coding agent."),
            self._message("user", "<environment_context/>"),
        ]
        self.ids: list[str] = []

    def say(self, *items: dict[str, Any]) -> None:
        """One turn, streamed to its end."""
        self.history += items
        stream = self._client.responses.create(
            model=MODEL,
            stream=True,
            store=False,
            include=["reasoning.encrypted_content"],
            prompt_cache_key=self._thread,
            parallel_tool_calls=True,
            # As it is: the SDK's look at each item of its own parameter costs more than the whole service.
            extra_body={"input": self.history, "client_metadata": {"session": self._thread}},
        )
        for event in stream:
            if event.type == "response.output_item.done":
                self.history.append(self._kept(event.item.to_dict()))
            elif event.type == "response.completed":
                self.ids.append(event.response.id)

    def ask(self, text: str) -> None:
        self.say(self._message("user", text))

    def _message(self, role: str, text: str) -> dict[str, Any]:
        content = [{"type": "input_text", "text": text}]
        return {"type": "message", "id": f"msg_{uuid.uuid4()}", "role": role, "content": content}

    def _kept(self, item: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in item.items() if name != "status"}
        if item["type"] == "reasoning":
            kept["content"] = None
        for part in kept.get("content") or ():
            part.pop("logprobs", None)
        return kept


def test_a_chat_loop_that_sends_the_sdks_own_objects(
    client: OpenAI, provider: LocalUpstream, database: Database
) -> None:
    history: list[Any] = []
    made: list[str] = []
    for number in range(4):
        provider.will(answer(reasoning(f"Thought {number}"), message(f"Answer {number}")))
        history.append({"role": "user", "content": f"Question {number}"})
        answered = client.responses.create(model=MODEL, input=history)
        history += answered.output
        made.append(answered.id)
        assert answered.previous_response_id is None
    assert parents(database, made) == [None, *made[:-1]]
    assert stored(database, made) == 4 * 3
    listed = list(client.responses.input_items.list(made[-1], order="asc", limit=100))
    assert len(listed) == 3 * 3 + 1
    assert [each.to_dict() for each in listed[1:3]] == [each.to_dict() for each in history[1:3]]
    assert provider.questions[-1].body["input"][0] == history[0]


def test_a_chat_loop_that_keeps_texts(client: OpenAI, database: Database) -> None:
    history: list[Any] = []
    made: list[str] = []
    for number in range(4):
        history.append({"role": "user", "content": f"Question {number}"})
        answered = client.responses.create(model=MODEL, input=history)
        history.append({"role": "assistant", "content": answered.output_text})
        made.append(answered.id)
    assert parents(database, made) == [None, *made[:-1]]
    assert stored(database, made) == 4 * 2


def test_a_long_codex_session_is_one_thread_in_linear_space(
    client: OpenAI, provider: LocalUpstream, database: Database
) -> None:
    codex = Codex(client)
    for number in range(TURNS // 2):
        call = f"call_{number}"
        provider.will(
            answer(reasoning(f"Thought {number}"), function_call(call)),
            answer(reasoning(f"Second thought {number}"), message(f"Answer {number}")),
        )
        codex.ask(f"Question {number}")
        codex.say({"type": "function_call_output", "id": f"fco_{uuid.uuid4()}", "call_id": call, "output": str(number)})
    assert len(codex.ids) == TURNS
    assert parents(database, codex.ids) == [None, *codex.ids[:-1]]
    # Two items to begin with; then one asked and two answered each time.
    assert stored(database, codex.ids) == 2 + 3 * TURNS
    assert len(json.dumps(provider.questions[-1].body["input"])) > TURNS * 100

    # Resumed in another window, and edited in the middle: a fork of it.
    resumed = Codex(client, list(codex.history))
    resumed.ask("And now?")
    assert parents(database, resumed.ids) == codex.ids[-1:]
    turn = next(at for at, item in enumerate(codex.history) if "Question 50" in json.dumps(item))
    edited = Codex(client, codex.history[:turn])
    edited.ask("Another question 50")
    edited.ask("And on")
    assert parents(database, edited.ids) == [codex.ids[99], edited.ids[0]]
    assert stored(database, edited.ids) == 4
