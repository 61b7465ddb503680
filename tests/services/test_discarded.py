"""What a project does not want kept: requests with `store: false`, of which only figures stay."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from convstore import ids
from convstore.domain import jsontext
from convstore.domain.project import ProjectSettings
from convstore.errors import (
    AnswerNotStored,
    ItemNotFound,
    PreviousResponseNotFound,
    ResponseNotFound,
    StorageUnavailable,
    UpstreamRefused,
)
from convstore.services import journal, recovery, responses, streaming, turn
from convstore.services.deps import Deps
from convstore.services.relay import Whole
from convstore.storage import tables, turns
from convstore.storage.database import Database
from convstore.storage.types import inflate
from tests.local_upstream import (
    LocalUpstream,
    answer,
    error,
    function_call,
    message,
    reasoning,
    response,
    stream,
    stream_of,
)
from tests.services.conftest import Asker


@pytest.fixture
def word() -> str:
    """What no other test says."""
    return f"zebra{os.urandom(4).hex()}"


def saying(word: str) -> dict[str, Any]:
    """The word in whatever a client may write."""
    return {
        "instructions": f"Think of a {word}.",
        "metadata": {word: word},
        "prompt_cache_key": word,
        "safety_identifier": word,
        "tools": [{"type": "function", "name": word, "parameters": {}}],
        "client_metadata": {"who": word},
        "user": word,
        word: word,
    }


@pytest.fixture
def discreet(acme: Asker) -> Asker:
    """Somebody of Acme after it has chosen to discard."""
    return Asker(acme.deps, replace(acme.principal, settings=ProjectSettings("discard")))


@pytest.fixture(autouse=True)
def noise(acme: Asker, discreet: Asker) -> None:
    """What is kept of the same project all the same: what is stored, and what was not stored before."""
    acme.ask("A lion, before.", store=False)
    discreet.ask("A lion, stored.")


def _streamed(somebody: Asker, *args: Any, **members: Any) -> dict[str, Any]:
    """The response that a stream ends with."""
    return dict(somebody.stream(*args, **members)[-1]["response"])


def words(database: Database) -> str:
    """Everything the store holds, as one text."""
    found: list[str] = []
    for table in tables.metadata.tables:
        with database.connection() as connection:
            for row in connection.exec_driver_sql(f'SELECT * FROM "{table}"'):
                found += [_text(value) for value in row]
    return "\n".join(found)


def _text(value: Any) -> str:
    return inflate(bytes(value)).decode("latin-1") if isinstance(value, bytes | memoryview) else str(value)


def rows(asked: Asker, table: str, response_id: str) -> int:
    """How many rows a table has of an exchange."""
    mark = "?" if asked.deps.database.is_sqlite else "%s"
    column = "lane" if table == "items" else "exchange_id"
    with asked.deps.database.connection() as connection:
        query = f'SELECT count(*) FROM "{table}" WHERE {column} = {mark}'
        return int(connection.exec_driver_sql(query, (ids.pack(ids.EXCHANGE, response_id),)).scalar_one())


def last(asked: Asker) -> str:
    """The id of the last exchange of a project."""
    query = tables.exchanges.select().where(tables.exchanges.c.project_id == asked.principal.project_id)
    with asked.deps.database.connection() as connection:
        return max(row.id for row in connection.execute(query))


class TestRecord:
    @pytest.mark.parametrize("ask", [Asker.ask, _streamed], ids=["whole", "streamed"])
    def test_figures_stay_and_no_word(
        self, discreet: Asker, upstream: LocalUpstream, ask: Callable[..., dict[str, Any]], word: str
    ) -> None:
        usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        upstream.will(
            answer(
                reasoning(word),
                f"A {word}.",
                function_call(f"call_{word}"),
                usage=usage,
                **{word: word},
                id="resp_theirs",
            )
        )
        given = ask(discreet, f"Which {word}?" * 1000, store=False, **saying(word))
        row = discreet.stored(given["id"])
        assert (row.status, row.stored, row.requested_model, row.model, row.upstream, row.upstream_response_id) == (
            "completed",
            False,
            "gpt-5.4",
            "gpt-5.4-2026-03-05",
            "local",
            "resp_theirs",
        )
        assert row.usage is not None
        assert (row.usage.input, row.usage.output, row.usage.total) == (7, 3, 10)
        assert row.created_at < (row.completed_at or row.created_at)
        assert (row.settings, row.reply, row.metadata, row.extras, row.user, row.safety_identifier) == (
            b"{}",
            b"{}",
            None,
            None,
            None,
            None,
        )
        assert rows(discreet, "items", given["id"]) == 0
        kept = words(discreet.deps.database)
        assert word not in kept
        assert "lion, stored" in kept
        assert "lion, before" in kept

    def test_whose_it_was_stays(self, discreet: Asker) -> None:
        given = discreet.ask(store=False)
        query = tables.exchanges.select().where(tables.exchanges.c.id == given["id"])
        with discreet.deps.database.connection() as connection:
            row = connection.execute(query).one()
        assert (row.project_id, row.api_key_id) == (discreet.principal.project_id, discreet.principal.key_id)
        assert row.first_event_at is None
        assert row.usage is None
        assert discreet.stored(discreet.stream(store=False)[-1]["response"]["id"]).completed_at is not None

    def test_a_stored_request_of_the_same_project_is_kept(self, discreet: Asker, word: str) -> None:
        given = discreet.ask(f"Which {word}?", **saying(word))
        assert json.loads(responses.get(discreet.deps, discreet.principal, given["id"])) == given
        assert given["instructions"] == f"Think of a {word}."

    def test_an_error_leaves_its_code(self, discreet: Asker, upstream: LocalUpstream, word: str) -> None:
        upstream.will(error(429, f"No {word}.", code="rate_limit_exceeded"))
        with pytest.raises(UpstreamRefused, match=word):
            discreet.ask(f"Which {word}?", store=False)
        row = discreet.stored(last(discreet))
        assert (row.status, row.error) == ("failed", {"code": "rate_limit_exceeded"})
        assert [attempt["status"] for attempt in row.attempts] == [429]
        assert word not in words(discreet.deps.database)

    def test_a_stream_that_breaks_leaves_nothing_of_what_had_arrived(
        self, discreet: Asker, upstream: LocalUpstream, word: str
    ) -> None:
        upstream.will(stream(stream_of(response(message(f"A {word}!"))), cut_after=6))
        events = discreet.stream(f"Which {word}?", store=False)
        assert events[-1]["type"] == "error"
        assert any(event.get("delta") for event in events)
        row = discreet.stored(events[0]["response"]["id"])
        assert (row.status, row.error) == ("incomplete", {"code": "server_error"})
        assert word not in words(discreet.deps.database)

    def test_an_answer_that_is_written_late_has_no_word_either(
        self, discreet: Asker, upstream: LocalUpstream, monkeypatch: pytest.MonkeyPatch, word: str
    ) -> None:
        upstream.will(answer(f"A {word}."))

        def gone(*_: Any, **__: Any) -> bool:
            raise StorageUnavailable

        with monkeypatch.context() as patched:
            patched.setattr(turn, "PATIENCE_S", 0.0)
            patched.setattr(turns, "end", gone)
            with pytest.raises(AnswerNotStored):
                discreet.ask(f"Which {word}?", store=False)
        assert discreet.statuses()[-1] == "in_progress"
        recovery._write_late(discreet.deps)
        assert discreet.statuses()[-1] == "completed"
        assert word not in words(discreet.deps.database)


class TestAnswer:
    def test_the_client_gets_the_whole_of_it(
        self, acme: Asker, discreet: Asker, upstream: LocalUpstream, word: str
    ) -> None:
        said = (reasoning(), f"A {word}.", function_call())
        upstream.will(*(answer(*said) for _ in range(4)))
        two = [{"role": "user", "content": "Which"}, {"role": "user", "content": f"{word}?"}]
        kept, given = (each.ask(two, store=False, **saying(word)) for each in (acme, discreet))
        streamed, events = (each.stream(two, store=False, **saying(word)) for each in (acme, discreet))
        assert anonymous(given) == anonymous(kept)
        assert anonymous(events[-1]["response"]) == anonymous(streamed[-1]["response"])
        assert [event["type"] for event in events] == [event["type"] for event in streamed]
        for whole in (given, events[-1]["response"]):
            assert [ids.item_home(item["id"]) for item in whole["output"]] == [(whole["id"], n) for n in (2, 3, 4)]
        announced = [event["item"]["id"] for event in events if event["type"] == "response.output_item.added"]
        assert announced == [item["id"] for item in events[-1]["response"]["output"]]

    def test_it_cannot_be_had_again(self, discreet: Asker) -> None:
        given = discreet.ask(store=False)
        with pytest.raises(ResponseNotFound):
            responses.get(discreet.deps, discreet.principal, given["id"])
        with pytest.raises(PreviousResponseNotFound):
            discreet.ask(after=given["id"])
        with pytest.raises(ItemNotFound):
            discreet.ask([{"type": "item_reference", "id": given["output"][0]["id"]}])

    def test_it_may_end_a_stored_thread_that_goes_on_without_it(self, discreet: Asker, upstream: LocalUpstream) -> None:
        first = discreet.ask("1?")
        for store in (False, False, True):
            given = discreet.ask("2?", after=first["id"], store=store)
        third = discreet.ask("3?", after=given["id"])
        assert [len(question.body["input"]) for question in upstream.questions[-4:]] == [3, 3, 3, 5]
        assert discreet.stored(third["id"]).depth == 2


class TestJournal:
    @pytest.fixture
    def gate(self) -> Iterator[threading.Event]:
        """What the upstream waits for in the middle of its streams."""
        go = threading.Event()
        yield go
        go.set()
        assert streaming.wait(30)

    def test_nothing_of_a_running_stream_is_saved(
        self,
        acme: Asker,
        discreet: Asker,
        upstream: LocalUpstream,
        gate: threading.Event,
        monkeypatch: pytest.MonkeyPatch,
        word: str,
    ) -> None:
        monkeypatch.setattr(journal, "EVERY_S", 0.02)
        blocks = stream_of(response(message(f"A {word}, and another {word}.")), deltas=8)
        opened = threading.Event()
        opened.set()
        upstream.will(*(stream(blocks, gates=[*([opened] * 8), gate]) for _ in range(2)))
        unsaved = discreet.create(f"Which {word}?", store=False, stream=True)
        saved = acme.create(f"Which {word}?", store=False, stream=True)
        assert not isinstance(unsaved, Whole)
        assert not isinstance(saved, Whole)
        until = time.monotonic() + 30
        while not rows(acme, "journal", saved.response_id) and time.monotonic() < until:
            time.sleep(0.02)
        assert rows(acme, "journal", saved.response_id) > 0
        assert rows(discreet, "journal", unsaved.response_id) == 0
        gate.set()
        whole = b"".join(unsaved)
        assert b"".join(saved)
        assert b"response.completed" in whole
        assert discreet.stored(unsaved.response_id).status == "completed"

    def test_one_whose_process_died_is_closed(
        self, discreet: Asker, upstream: LocalUpstream, deps: Deps, word: str
    ) -> None:
        """As what is killed between its two writes leaves it."""
        upstream.will(answer(f"A {word}."))
        given = discreet.ask(f"Which {word}?", store=False)
        query = tables.exchanges.update().where(tables.exchanges.c.id == given["id"]).values(status="in_progress")
        lost = {"exchange_id": given["id"], "project_id": discreet.principal.project_id, "process_id": bytes(16)}
        with deps.database.transaction() as connection:
            connection.execute(query)
            connection.execute(tables.ledger.delete().where(tables.ledger.c.exchange_id == given["id"]))
            connection.execute(tables.running.insert().values(**lost))
        assert recovery.sweep(deps) == 1
        assert discreet.stored(given["id"]).status == "incomplete"


class TestIdempotency:
    def test_a_repeated_request_is_asked_again(self, discreet: Asker, upstream: LocalUpstream) -> None:
        asked = len(upstream.questions)
        first = discreet.ask("1?", key="key-1", store=False)
        assert discreet.ask("1?", key="key-1", store=False)["id"] != first["id"]
        assert len(upstream.questions) == asked + 2

    def test_and_its_key_stays_free(self, discreet: Asker) -> None:
        discreet.ask("1?", key="key-1", store=False)
        stored = discreet.ask("2?", key="key-1")
        assert discreet.ask("2?", key="key-1") == stored

    def test_what_was_kept_under_a_key_is_given_again(self, acme: Asker, discreet: Asker) -> None:
        kept = acme.ask("1?", key="key-1", store=False)
        assert discreet.ask("1?", key="key-1", store=False) == kept


def anonymous(given: dict[str, Any]) -> Any:
    """A response without what differs between two askings."""
    text = jsontext.dumps({**given, "created_at": 0, "completed_at": 0}).decode()
    return json.loads(text.replace(given["id"][len("resp_") :], "…"))
