"""The Conversations API as its clients use it: the official SDK, and the calls that the Agents SDK's session makes."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.conversations import Conversation, Message
from openai.types.responses import Response

from convstore import bootstrap
from convstore.config import Settings
from convstore.domain.exchange import Exchange
from convstore.services.deps import Deps
from convstore.storage import conversations, direct, everywhere, exchanges
from tests.acceptance.conftest import Stage
from tests.acceptance.service import Service
from tests.local_upstream import LocalUpstream, answer, function_call, wait_until

MODEL = "gpt-5.4"
Item = dict[str, Any]


def user(text: str) -> Item:
    return {"role": "user", "content": text}


def texts(items: Any) -> list[str]:
    """What messages say, of whatever kind they are."""
    return [item.content[0].text if isinstance(item, Message) else item.type for item in items]


def shown(provider: LocalUpstream) -> list[str]:
    """What the model was shown last."""
    read = []
    for item in provider.questions[-1].body["input"]:
        content = item.get("content", item.get("type"))
        read.append(content if isinstance(content, str) else content[0]["text"])
    return read


def held(client: OpenAI, conversation: Conversation) -> list[str]:
    return texts(client.conversations.items.list(conversation.id, order="asc"))


class TestConversations:
    def test_one_is_made_described_and_deleted(self, client: OpenAI) -> None:
        plain = client.conversations.create()
        assert (plain.object, plain.metadata) == ("conversation", {})
        made = client.conversations.create(items=[user("Hello?")], metadata={"a": "b"})
        assert client.conversations.retrieve(made.id) == made
        changed = client.conversations.update(made.id, metadata={"c": "d"})
        assert (changed.id, changed.metadata) == (made.id, {"c": "d"})
        gone = client.conversations.delete(made.id)
        assert (gone.id, gone.object, gone.deleted) == (made.id, "conversation.deleted", True)
        with pytest.raises(openai.NotFoundError, match=f"Conversation with id '{made.id}' not found"):
            client.conversations.retrieve(made.id)

    def test_items_are_added_listed_read_and_taken_out(self, client: OpenAI) -> None:
        own = client.conversations.create(items=[user("0")])
        added = client.conversations.items.create(
            own.id, items=[user(str(n)) for n in range(1, 20)], include=["message.output_text.logprobs"]
        )
        assert [type(item) for item in added.data] == [Message] * 19
        assert {item.status for item in added.data if isinstance(item, Message)} == {"completed"}
        assert (added.first_id, added.last_id, added.has_more) == (added.data[0].id, added.data[-1].id, False)
        # The SDK walks through the pages by itself.
        for limit in (1, 6, 20, 100):
            forwards = list(client.conversations.items.list(own.id, order="asc", limit=limit))
            assert texts(forwards) == [str(n) for n in range(20)]
            assert texts(client.conversations.items.list(own.id, limit=limit)) == [str(n) for n in range(19, -1, -1)]
        assert forwards[1:] == added.data
        fifth = forwards[5]
        assert client.conversations.items.retrieve(str(fifth.id), conversation_id=own.id) == fifth
        left = client.conversations.items.delete(str(fifth.id), conversation_id=own.id)
        assert left == own
        assert held(client, own) == [str(n) for n in range(20) if n != 5]
        with pytest.raises(openai.NotFoundError, match="not found in conversation"):
            client.conversations.items.retrieve(str(fifth.id), conversation_id=own.id)

    def test_responses_are_added(self, client: OpenAI, provider: LocalUpstream) -> None:
        own = client.conversations.create(items=[{"role": "developer", "content": "Be brief."}])
        provider.will(answer("One."), answer("Two."), answer("Three."))
        first = client.responses.create(model=MODEL, input="1?", conversation=own.id)
        assert first.conversation is not None
        assert first.conversation.id == own.id
        with client.responses.stream(model=MODEL, input="2?", conversation={"id": own.id}) as events:
            kinds = [event.type for event in events]
            second = events.get_final_response()
        assert kinds[-1] == "response.completed"
        assert second.conversation == first.conversation
        assert held(client, own) == ["Be brief.", "1?", "One.", "2?", "Two."]
        client.responses.create(model=MODEL, input="beside?", previous_response_id=first.id)
        assert shown(provider) == ["Be brief.", "1?", "One.", "beside?"]
        assert held(client, own) == ["Be brief.", "1?", "One.", "2?", "Two."]
        listed = client.responses.input_items.list(second.id, order="asc")
        assert texts(client.conversations.items.list(own.id, order="asc"))[:4] == [
            item.content[0].text  # type: ignore[union-attr]
            for item in listed
        ]

    def test_a_tool_is_used_by_hand(self, client: OpenAI, provider: LocalUpstream) -> None:
        own = client.conversations.create()
        provider.will(answer(function_call("call_1")), answer("Seven."))
        client.responses.create(model=MODEL, input="3 and 4?", conversation=own.id)
        with pytest.raises(openai.BadRequestError, match="No tool output found for function call call_1"):
            client.responses.create(model=MODEL, input="Well?", conversation=own.id)
        client.conversations.items.create(
            own.id, items=[{"type": "function_call_output", "call_id": "call_1", "output": "7"}]
        )
        client.responses.create(model=MODEL, input="Well?", conversation=own.id)
        assert held(client, own) == ["3 and 4?", "function_call", "function_call_output", "Well?", "Seven."]

    def test_another_project_sees_none_of_it(self, client: OpenAI, carol: OpenAI, provider: LocalUpstream) -> None:
        own = client.conversations.create(items=[user("Secret.")])
        first = next(iter(client.conversations.items.list(own.id)))
        asked = len(provider.questions)
        for act in (
            lambda: carol.conversations.retrieve(own.id),
            lambda: carol.conversations.update(own.id, metadata={}),
            lambda: carol.conversations.delete(own.id),
            lambda: carol.conversations.items.list(own.id),
            lambda: carol.conversations.items.create(own.id, items=[user("x")]),
            lambda: carol.conversations.items.retrieve(str(first.id), conversation_id=own.id),
            lambda: carol.conversations.items.delete(str(first.id), conversation_id=own.id),
            lambda: carol.responses.create(model=MODEL, input="x", conversation=own.id),
        ):
            with pytest.raises(openai.NotFoundError):
                act()
        assert len(provider.questions) == asked
        assert held(client, own) == ["Secret."]


class TestManyWriters:
    def test_in_many_processes_they_come_one_behind_the_other(self, client: OpenAI, service: Service) -> None:
        assert len(service.workers) > 1
        own = client.conversations.create()
        answers: dict[str, str] = {}

        def add(writer: int) -> None:
            for number in range(4):
                batch = [user(f"{writer}.{number}.{part}") for part in range(3)]
                patiently(lambda: client.conversations.items.create(own.id, items=batch))  # type: ignore[arg-type]  # noqa: B023

        def ask(writer: int) -> None:
            for number in range(4):
                name = f"{writer}.{number}?"
                given = patiently(lambda: client.responses.create(model=MODEL, input=name, conversation=own.id))  # noqa: B023
                answers[name] = given.output_text

        with ThreadPoolExecutor(6) as pool:
            for done in [pool.submit(act, writer) for act in (add, ask) for writer in range(3)]:
                done.result()
        said = held(client, own)
        assert len(said) == len(set(said)) == 3 * 4 * 3 + 3 * 4 * 2
        for at, text in enumerate(said):
            if text.endswith(".0"):
                assert said[at : at + 3] == [f"{text[:-1]}{part}" for part in range(3)]
            if text in answers:
                assert said[at + 1] == answers[text]
        assert len(answers) == 12


def patiently(act: Callable[[], Any]) -> Any:
    """What a caller does whom the conversation is locked for."""

    def tried() -> list[Any]:
        try:
            return [act()]
        except openai.BadRequestError as error:
            assert error.code == "conversation_locked"
            return []

    return wait_until(tried, 60)[0]


class Session:
    """What `OpenAIConversationsSession` of the Agents SDK puts on the wire, and a runner around it."""

    def __init__(self, client: OpenAI) -> None:
        self._client = client
        self.id = client.conversations.create(items=[]).id

    def items(self) -> list[Item]:
        return [
            item.model_dump(exclude_unset=True) for item in self._client.conversations.items.list(self.id, order="asc")
        ]

    def add(self, items: list[Item]) -> None:
        for start in range(0, len(items), 20):
            self._client.conversations.items.create(self.id, items=items[start : start + 20])  # type: ignore[arg-type]

    def pop(self) -> Item:
        newest = self._client.conversations.items.list(self.id, order="desc", limit=1)
        item = newest.data[0].model_dump(exclude_unset=True)
        self._client.conversations.items.delete(item["id"], conversation_id=self.id)
        return item

    def clear(self) -> None:
        self._client.conversations.delete(self.id)

    def run(self, text: str) -> Response:
        """Ask with everything that was said, then note what is new."""
        given = self._client.responses.create(
            model=MODEL,
            input=[*self.items(), user(text)],
            include=[],
            tools=[],
            parallel_tool_calls=False,  # type: ignore[list-item]
        )
        said = [item.model_dump(exclude_unset=True, exclude={"id"}) for item in given.output]
        self.add([user(text), *said])
        return given


@pytest.fixture
def session(client: OpenAI) -> Session:
    return Session(client)


@contextmanager
def acme(stage: Stage) -> Iterator[tuple[Deps, str]]:
    """The store behind the service, and Acme's id in it."""
    with bootstrap.working(Settings(database_url=stage.database_url)) as deps:
        with deps.database.connection() as connection:
            project = everywhere.project(connection, "acme")
        assert project is not None
        yield deps, project.id


def on_record(stage: Stage, response: Response) -> Exchange:
    """The exchange of a response."""
    with acme(stage) as (deps, project_id), deps.database.reading(project_id) as scope:
        found = exchanges.get(scope, response.id)
    assert found is not None
    return found


def tip_of(stage: Stage, session: Session) -> str | None:
    """Where the conversation of a session ends."""
    with acme(stage) as (deps, project_id), direct.reading(deps.database) as cursor:
        found = conversations.tip(cursor, project_id, session.id)
    assert found is not None
    return found.exchange_id


class TestAgentsSession:
    def test_every_run_is_shown_what_was_said(self, session: Session, provider: LocalUpstream) -> None:
        provider.will(answer("One."), answer("Two."), answer("Three."))
        for text in ("1?", "2?", "3?"):
            session.run(text)
        assert shown(provider) == ["1?", "One.", "2?", "Two.", "3?"]
        assert [item["content"][0]["text"] for item in session.items()] == ["1?", "One.", "2?", "Two.", "3?", "Three."]

    def test_every_run_is_found_in_the_tree_of_its_conversation(
        self, stage: Stage, session: Session, provider: LocalUpstream
    ) -> None:
        """It names no conversation: what it sends says where it belongs."""
        session.run("1?")
        for text in ("2?", "3?"):
            tip = tip_of(stage, session)
            row = on_record(stage, session.run(text))
            assert (row.conversation_id, row.parent_id, row.linked) == (session.id, tip, "inferred")
            assert row.input_count == 1

    def test_what_was_popped_is_not_shown_and_may_be_said_again(
        self, stage: Stage, session: Session, provider: LocalUpstream
    ) -> None:
        session.run("1?")
        session.run("2?")
        popped = [session.pop(), session.pop()]
        assert popped[1]["content"][0]["text"] == "2?"
        tip = tip_of(stage, session)
        row = on_record(stage, session.run("2, please?"))
        assert shown(provider)[::2] == ["1?", "2, please?"]
        assert (row.conversation_id, row.parent_id) == (session.id, tip)
        session.add([popped[1]])
        assert [item["content"][0]["text"] for item in session.items()][::2] == ["1?", "2, please?", "2?"]

    def test_a_long_one_is_added_in_batches(self, session: Session, provider: LocalUpstream) -> None:
        session.add([user(str(number)) for number in range(45)])
        assert [item["content"][0]["text"] for item in session.items()] == [str(number) for number in range(45)]
        session.run("And?")
        assert shown(provider) == [*map(str, range(45)), "And?"]

    def test_tools_are_used(self, session: Session, provider: LocalUpstream) -> None:
        provider.will(answer(function_call("call_1")), answer("Seven."))
        session.run("3 and 4?")
        session.add([{"type": "function_call_output", "call_id": "call_1", "output": "7"}])
        session.run("Well?")
        kinds = [item["type"] for item in session.items()]
        assert kinds == ["message", "function_call", "function_call_output", "message", "message"]

    def test_a_cleared_one_is_gone(self, session: Session) -> None:
        session.run("1?")
        session.clear()
        with pytest.raises(openai.NotFoundError):
            session.items()
