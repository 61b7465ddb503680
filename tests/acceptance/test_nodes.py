"""Two nodes and two workers on one PostgreSQL, and clients that never know which of them they talk to.

One site for all. What was killed or stopped is there again for the next test.
"""

import http.client
import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any

import pytest
from sqlalchemy import select

from convstore.storage import tables
from tests.acceptance import nodes
from tests.acceptance.nodes import Postgres, Refused, Site
from tests.local_upstream import Exchange, answer, wait_until
from tests.losses.evidence import TERMINALS, left_behind, record
from tests.losses.service import Remote, kill
from tests.services.background.conftest import TEXT, Pace, told

MODEL = "gpt-5.4"
# Responses that all workers together answer at a time.
ROOM = 4


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with nodes.postgres() as running:
        yield running


@pytest.fixture(scope="module")
def shared(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("nodes")
    room = str(ROOM // 2)
    with nodes.site(directory, postgres.url, nodes=2, workers=2, CONVSTORE_WORKER_CONCURRENCY=room) as made:
        made.alice.ask("Noise?")
        yield made


@pytest.fixture
def site(shared: Site) -> Iterator[Site]:
    shared.heal()
    shared.upstream.forget()
    yield shared
    assert shared.upstream.untold == 0
    shared.upstream.forget()


@pytest.fixture
def here(site: Site) -> Remote:
    """Alice at one node."""
    return site.client(site.nodes[0])


@pytest.fixture
def there(site: Site) -> Remote:
    """Alice at the other one."""
    return site.client(site.nodes[1])


@pytest.fixture
def paces(site: Site) -> Iterator[list[Pace]]:
    """More answers than the workers have room for, which stop in the middle until they are told to go on."""
    made = [Pace() for _ in range(ROOM + 1)]
    yield made
    for pace in made:
        pace.rest.set()


def shown(site: Site) -> list[str]:
    """The texts that the provider was shown last."""
    return [
        item["content"] if isinstance(item["content"], str) else item["content"][0]["text"]
        for item in site.upstream.questions[-1].body["input"]
    ]


def ended(client: Remote, response_id: str) -> dict[str, Any]:
    """A response, once it has ended."""

    def look() -> dict[str, Any] | None:
        found = client.get(f"/v1/responses/{response_id}")
        assert found.status_code == 200, found.text
        return found.json if found.json["status"] not in ("queued", "in_progress") else None

    return dict(wait_until(look, nodes.PATIENCE_S))


class TestTurns:
    def test_a_chain_goes_from_node_to_node(self, site: Site) -> None:
        """Each turn is sent in the instant in which the answer to the one before has come."""
        before = Counter(site.proxy.taken)
        last, said = None, []
        for number in range(8):
            given = site.alice.ask(f"Turn {number}?", after=last)
            said += [f"Turn {number}?", given["output"][0]["content"][0]["text"]]
            assert shown(site) == said[:-1]
            last = given["id"]
        assert set((site.proxy.taken - before).values()) == {4}

    def test_so_does_one_whose_answers_are_streamed(self, site: Site) -> None:
        """The next turn is sent while the connection of the one before is still open."""
        with site.sdk() as client:
            last, open_ones = None, []
            for number in range(4):
                stream = client.responses.create(
                    model=MODEL, input=f"Turn {number}?", previous_response_id=last, stream=True
                )
                open_ones.append(stream)
                final = next(event for event in stream if event.type in TERMINALS)
                assert final.type == "response.completed"
                last = final.response.id
            assert len(shown(site)) == 7
            for stream in open_ones:
                stream.close()

    def test_several_at_once_do_not_mix(self, site: Site) -> None:
        site.upstream.otherwise = echo

        def chain(name: str) -> list[str]:
            last = None
            for number in range(5):
                last = site.alice.ask(f"{name} {number}?", after=last)["id"]
            items = site.alice.get(f"/v1/responses/{last}/input_items?order=asc").json["data"]
            return [item["content"][0]["text"] for item in items]

        with ThreadPoolExecutor(4) as pool:
            for name, texts in zip("abcd", pool.map(chain, "abcd"), strict=True):
                asked = [f"{name} {number}?" for number in range(5)]
                assert texts == [text for each in asked for text in (each, f"You said: {each}")][:-1]

    def test_a_conversation_is_written_from_both(self, here: Remote, there: Remote) -> None:
        made = here.post("/v1/conversations", json={"items": [{"role": "user", "content": "Hello."}]}).json["id"]
        for number in range(4):
            client = (there, here)[number % 2]
            assert client.ask(f"Turn {number}?", conversation=made)["status"] == "completed"
        items = [client.get(f"/v1/conversations/{made}/items?order=asc&limit=100").json for client in (here, there)]
        assert items[0] == items[1]
        texts = [item["content"][0]["text"] for item in items[0]["data"]]
        assert [text for text in texts if not text.startswith("Answer")] == [
            "Hello.", "Turn 0?", "Turn 1?", "Turn 2?", "Turn 3?"
        ]  # fmt: skip
        assert len(texts) == 9

    def test_of_those_who_write_to_one_at_the_same_time_one_is_first(
        self, site: Site, here: Remote, there: Remote
    ) -> None:
        made = here.post("/v1/conversations", json={}).json["id"]
        with ThreadPoolExecutor(8) as pool:
            clients = [(here, there)[number % 2] for number in range(8)]
            asked = [
                pool.submit(client.create, f"Number {number}?", conversation=made)
                for number, client in enumerate(clients)
            ]
            answers = [each.result() for each in asked]
        done = [each.json for each in answers if each.status_code == 200]
        refused = [each.json["error"]["code"] for each in answers if each.status_code != 200]
        assert done
        assert set(refused) <= {"conversation_locked"}
        items = there.get(f"/v1/conversations/{made}/items?order=asc&limit=100").json["data"]
        assert len(items) == 2 * len(done)
        ids = {item["id"] for item in items}
        assert {each["output"][0]["id"] for each in done} <= ids


class TestBackground:
    def test_a_stream_begun_at_one_is_followed_at_the_other(self, site: Site, paces: list[Pace]) -> None:
        site.upstream.will(paces[0])
        body = {"model": MODEL, "input": "Hello?", "background": True, "stream": True}
        first = nodes.events(site.nodes[0], "POST", "/v1/responses", body, key=site.key)
        seen = list(islice(first, 5))
        response_id, after = seen[0]["response"]["id"], seen[-1]["sequence_number"]
        told(site.deps, response_id, paces[0].text)
        path = f"/v1/responses/{response_id}?stream=true&starting_after={after}"
        rest = nodes.events(site.nodes[1], "GET", path, key=site.key)
        live = [next(rest)]
        paces[0].rest.set()
        live += rest
        # Whoever stayed saw the same.
        assert live == list(first)
        numbers = [event["sequence_number"] for event in seen + live]
        assert numbers == list(range(len(numbers)))
        assert [event["type"] for event in seen + live if event["type"] in TERMINALS] == ["response.completed"]
        assert live[-1]["response"]["output"][0]["content"][0]["text"] == TEXT

    def test_one_that_runs_is_cancelled_at_the_other(
        self, site: Site, here: Remote, there: Remote, paces: list[Pace]
    ) -> None:
        site.upstream.will(paces[0])
        response_id = here.ask("Hello?", background=True)["id"]
        told(site.deps, response_id, paces[0].text)
        assert there.get(f"/v1/responses/{response_id}").json["status"] == "in_progress"
        assert there.post(f"/v1/responses/{response_id}/cancel").status_code == 200
        assert wait_until(lambda: paces[0].left, nodes.PATIENCE_S) == [True]
        given = ended(here, response_id)
        assert (given["status"], given["output"][0]["content"][0]["text"]) == ("cancelled", paces[0].text)
        assert there.get(f"/v1/responses/{response_id}").json == given

    def test_one_that_waits_is_cancelled_at_the_other_and_never_asked_about(
        self, site: Site, here: Remote, there: Remote, paces: list[Pace]
    ) -> None:
        site.upstream.will(*paces[:ROOM])
        busy = [here.ask("Busy?", background=True)["id"] for _ in range(ROOM)]
        wait_until(lambda: len(site.upstream.questions) == ROOM, nodes.PATIENCE_S)
        waiting = here.ask("Waiting?", background=True)["id"]
        cancelled = there.post(f"/v1/responses/{waiting}/cancel").json
        assert (cancelled["status"], cancelled["output"]) == ("cancelled", [])
        assert here.get(f"/v1/responses/{waiting}").json == cancelled
        for pace in paces:
            pace.rest.set()
        assert {ended(there, each)["status"] for each in busy} == {"completed"}
        # Its job was taken by somebody, or is gone: nobody asks for it any more.
        wait_until(lambda: site.job(waiting).status in ("completed", "cancelled"), nodes.PATIENCE_S)
        assert len(site.upstream.questions) == ROOM


class TestIdempotency:
    @pytest.mark.parametrize("background", [False, True])
    def test_what_was_asked_at_one_is_not_asked_again_at_the_other(
        self, site: Site, here: Remote, there: Remote, background: bool
    ) -> None:
        asked = {"background": background, "headers": {"Idempotency-Key": f"once-{background}"}}
        first, second = here.ask("Once.", **asked), there.ask("Once.", **asked)
        assert first["id"] == second["id"]
        assert ended(there, first["id"])["status"] == "completed"
        assert len(site.upstream.questions) == 1

    def test_nor_while_it_is_being_answered(self, site: Site, here: Remote, there: Remote) -> None:
        gate = threading.Event()

        def slowly(exchange: Exchange) -> None:
            assert gate.wait(60)
            answer("Slowly.")(exchange)

        site.upstream.will(slowly)
        asked = {"headers": {"Idempotency-Key": "while"}}
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(here.ask, "Once.", **asked)
            wait_until(lambda: site.upstream.questions, nodes.PATIENCE_S)
            second = pool.submit(there.ask, "Once.", **asked)
            # It is not asked at once, nor is it answered.
            wait_until(lambda: there.get("/healthz").status_code == 200)
            assert not second.done()
            gate.set()
            assert first.result()["id"] == second.result()["id"]
        assert len(site.upstream.questions) == 1


# -- breaking it under load -----------------------------------------------------------------------------------


def echo(exchange: Exchange) -> None:
    """An answer that says what was asked."""
    last = exchange.asked.body["input"][-1]["content"]
    text = last if isinstance(last, str) else last[0]["text"]
    answer(f"You said: {text}")(exchange)


@dataclass(frozen=True)
class Acknowledged:
    """A question that got an answer. way: plain, stream or background. given: what the client was told."""

    question: str
    way: str
    given: dict[str, Any]


@dataclass
class Load:
    """Clients that ask without a pause, and ask again with the same Idempotency-Key until they are answered.

    refused: the answers that were none, as status and code. broken: how many connections ended without one.
    """

    site: Site
    acknowledged: list[Acknowledged] = field(default_factory=list)
    refused: Counter[tuple[int, str]] = field(default_factory=Counter)
    broken: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)
    # Its questions and their keys are not those of another load on the same store.
    name: str = field(default_factory=lambda: os.urandom(4).hex())
    # Nobody is waited for any more: the test has failed.
    given_up: threading.Event = field(default_factory=threading.Event)
    _numbers: Iterator[int] = field(default_factory=count)

    def more(self, number: int = 9) -> None:
        """Wait until so many more have been answered."""
        wanted = len(self.acknowledged) + number
        wait_until(lambda: len(self.acknowledged) >= wanted, nodes.PATIENCE_S)

    def ids(self) -> set[str]:
        return {each.given["id"] for each in self.acknowledged}

    def client(self) -> None:
        while not self.stopping.is_set():
            last = None
            for way in ("plain", "stream", "background"):
                given = self.insist(f"Question {next(self._numbers)} of {self.name}?", way, last)
                last = given["id"] if given["status"] == "completed" else None
                # Three who never rest would leave the site no time to start what was killed.
                self.stopping.wait(0.1)

    def insist(self, question: str, way: str, after: str | None) -> dict[str, Any]:
        body = {"model": MODEL, "input": question, "previous_response_id": after}
        body |= {"stream": True} if way == "stream" else {}
        body |= {"background": True} if way == "background" else {}
        given = None
        while given is None:
            given = self.asked(body, way, {"Idempotency-Key": question})
            if self.given_up.is_set():
                raise AssertionError(f"not answered: {question}")
            if given is None:
                # A client that tries again takes a breath.
                self.stopping.wait(0.05)
        self.acknowledged.append(Acknowledged(question, way, given))
        return given

    def asked(self, body: dict[str, Any], way: str, headers: dict[str, str]) -> dict[str, Any] | None:
        """The answer; None when there was none."""
        try:
            if way == "stream":
                return self.streamed(body, headers)
            answered = self.site.proxy.send("POST", "/v1/responses", body, key=self.site.key, headers=headers)
            if answered.status == 200:
                return dict(answered.json)
            self.refused[answered.status, answered.json["error"]["code"]] += 1
        except Refused as refused:
            self.refused[refused.status, json.loads(refused.raw)["error"]["code"]] += 1
        except (OSError, http.client.HTTPException):
            self.broken += 1
        return None

    def streamed(self, body: dict[str, Any], headers: dict[str, str]) -> dict[str, Any] | None:
        events = list(nodes.events(self.site.proxy, "POST", "/v1/responses", body, key=self.site.key, headers=headers))
        if not events or events[-1]["type"] not in TERMINALS:
            self.broken += 1
            return None
        last = events[-1]
        if last["type"] == "error":
            self.refused[200, last["code"]] += 1
            return None
        return dict(last["response"])


@contextmanager
def loaded(site: Site) -> Iterator[Load]:
    """Under load, from before the first answers until all who asked have been answered."""
    made = Load(site)
    site.upstream.otherwise = echo
    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(made.client) for _ in range(3)]
        try:
            made.more()
            yield made
        except BaseException:
            made.given_up.set()
            raise
        finally:
            made.stopping.set()
        for each in running:
            each.result()


def everything_is_there(site: Site, load: Load, known: set[str]) -> None:
    """What was acknowledged is on record at every node as it was, and nothing else is. known: what was before."""
    for each in load.acknowledged:
        for node in site.nodes:
            given = ended(site.client(node), each.given["id"])
            if each.way != "background":
                assert given == each.given, each
            if given["status"] == "completed":
                assert given["output"][0]["content"][0]["text"] == f"You said: {each.question}"
    # One answer each, and none that nobody knows of; what could not be asked has failed, and was asked again.
    assert len(load.ids()) == len(load.acknowledged)
    made = {name: status for name, status in exchanges(site).items() if name not in known}
    assert {name for name, status in made.items() if status != "failed"} == load.ids()
    wait_until(lambda: "in progress" not in left_behind(site.deps.database), nodes.PATIENCE_S)


def times_asked(site: Site) -> Counter[str]:
    """How often the provider was asked each question."""
    return Counter(each.body["input"][-1]["content"][0]["text"] for each in site.upstream.questions)


def exchanges(site: Site) -> dict[str, str]:
    """The status of everything on record."""
    with site.deps.database.connection() as connection:
        return {
            row.id: row.status for row in connection.execute(select(tables.exchanges.c.id, tables.exchanges.c.status))
        }


class TestLoad:
    def test_a_node_and_a_worker_are_killed(self, site: Site, paces: list[Pace]) -> None:
        known = set(exchanges(site))
        relayed, worked = paces[:2]
        site.upstream.will(relayed, worked)
        body = {"model": MODEL, "input": "Relayed?", "stream": True}
        stream = nodes.events(site.nodes[0], "POST", "/v1/responses", body, key=site.key)
        relayed_id = next(stream)["response"]["id"]
        worked_id = site.alice.ask("Worked?", background=True)["id"]
        told(site.deps, worked_id, worked.text)
        told(site.deps, relayed_id, relayed.text)
        with loaded(site) as load:
            site.holder(worked_id).kill()
            kill(site.nodes[0])
            load.more()
            site.heal()
            load.more()
        everything_is_there(site, load, known | {relayed_id, worked_id})
        for response_id, pace in ((relayed_id, relayed), (worked_id, worked)):
            for node in site.nodes:
                left = ended(site.client(node), response_id)
                assert (left["status"], left["output"][0]["content"][0]["text"]) == ("incomplete", pace.text)
        # What was asked twice was a worker's that died before it had heard anything, and both attempts are on record.
        asked = times_asked(site)
        for each in load.acknowledged:
            made = record(site.deps.database, each.given["id"]).attempts if each.way == "background" else ()
            assert asked[each.question] <= max(1, len(made))

    @pytest.mark.parametrize("how", ["stop", "crash"])
    def test_the_database_goes_away_and_comes_back(
        self, site: Site, postgres: Postgres, paces: list[Pace], how: str
    ) -> None:
        known = set(exchanges(site))
        site.upstream.will(paces[0])
        response_id = site.alice.ask("Worked?", background=True)["id"]
        told(site.deps, response_id, paces[0].text)
        with loaded(site) as load:
            try:
                getattr(postgres, how)()
                wait_until(lambda: load.refused, nodes.PATIENCE_S)
            finally:
                postgres.start()
            site.deps.database.engine.dispose()
            load.more()
        paces[0].rest.set()
        # Nobody was hung up on, and everybody was told what it was.
        assert load.broken == 0
        assert {status for status, _ in load.refused} <= {200, 503}, load.refused
        everything_is_there(site, load, known | {response_id})
        given = ended(site.alice, response_id)
        assert (given["status"], given["output"][0]["content"][0]["text"]) == ("completed", TEXT)
        assert max(times_asked(site).values()) == 1
        assert all(map(nodes.runs, [*site.nodes, *site.workers]))
