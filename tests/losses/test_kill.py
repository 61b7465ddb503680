"""kill -9, in the middle of everything: what had arrived is there after the restart, and nothing is left in progress.

Real processes. The play is played once on each engine: a worker is killed, then the whole service, while another
service on the same store lives on. Then every fact about it is looked at.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from convstore.storage.database import Database, Options
from tests.acceptance.service import Service, Shell
from tests.conftest import ENGINES, fresh_database
from tests.local_upstream import (
    Behaviour,
    Exchange,
    LocalUpstream,
    function_call,
    message,
    reasoning,
    response,
    silence,
    stream_of,
    wait_until,
)
from tests.losses import evidence, service
from tests.losses.evidence import Record, finished, latest, record
from tests.losses.providers import DeadEnds
from tests.losses.service import Remote, Wire

TEXT = "What was said before the lights went out."
BLOCKS = stream_of(response(message(TEXT)), deltas=8)
# Blocks up to the last delta: everything has been said, and nothing has been said to be done.
SAID = len(BLOCKS) - 4
CALLING = stream_of(response(reasoning("Hm."), function_call("call_7", arguments='{"x":3}')))


@dataclass
class Pace:
    """A stream that goes on when it is told to."""

    blocks: list[bytes]
    first: int
    rest: threading.Event

    def __call__(self, exchange: Exchange) -> None:
        exchange.start_chunks()
        for block in self.blocks[: self.first]:
            exchange.chunk(block)
        assert self.rest.wait(100)
        for block in self.blocks[self.first :]:
            exchange.chunk(block)
        exchange.end_chunks()


@dataclass
class Stage:
    """A store, a provider, and exchanges that are going on, each under a name. rest: what streams wait for."""

    stack: ExitStack
    shell: Shell
    database: Database
    upstream: LocalUpstream
    key: str
    ids: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)
    rest: threading.Event = field(default_factory=threading.Event)

    def begin(self, name: str, at: Service, behaviour: Behaviour, **members: object) -> Wire:
        """An exchange that the upstream has been asked about."""
        asked = len(self.upstream.questions)
        self.upstream.will(behaviour)
        wire = self.send(name, at, **members)
        wait_until(lambda: len(self.upstream.questions) > asked)
        return wire

    def send(self, name: str, at: Service, **members: object) -> Wire:
        """An exchange that is on disk."""
        begun = evidence.count(self.database)
        wire = self.stack.enter_context(Wire(at.port, self.key)).ask(f"The {name} one?", **members)
        wait_until(lambda: evidence.count(self.database) > begun)
        self.ids[name] = latest(self.database).exchange.id
        return wire

    def stream(self, name: str, at: Service, blocks: list[bytes], first: int, **members: object) -> None:
        """A stream of which so many blocks have reached the client."""
        wire = self.begin(name, at, Pace(blocks, first, self.rest), stream=True, **members)
        wire.until(b'"sequence_number":%d,' % (first - 1))

    def journalled(self, *names: str) -> None:
        """Wait until all of what has arrived of these is in the journal."""
        wait_until(lambda: evidence.journalled(self.database) >= {self.ids[name] for name in names})

    def go_on(self, *names: str) -> None:
        """Let the streams come to their ends, and wait for those of these."""
        self.rest.set()
        for name in names:
            finished(self.database, self.ids[name])
        self.rest = threading.Event()
        self.stack.callback(self.rest.set)


@dataclass(frozen=True)
class Scene:
    """What is left when the play is over, and the service that answers now."""

    stage: Stage
    client: Remote

    def id(self, name: str) -> str:
        return self.stage.ids[name]

    def record(self, name: str) -> Record:
        return record(self.stage.database, self.id(name))


KILLED = ("plain", "unsent", "streamed", "early", "calling", "unstored", "continued")


@pytest.fixture(scope="module", params=ENGINES)
def scene(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, dead_ends: DeadEnds
) -> Iterator[Scene]:
    """The play."""
    directory = tmp_path_factory.mktemp("killed")
    with ExitStack() as stack:
        url = stack.enter_context(fresh_database(request.param, request, directory))
        upstream = stack.enter_context(LocalUpstream())
        shell = service.shell(directory, url, upstream.url, dead_ends)
        database = stack.enter_context(Database(Options(url)))
        stage = Stage(stack, shell, database, upstream, service.key(url))
        alone = shell.with_settings(CONVSTORE_WORKERS="1")
        neighbour = stack.enter_context(service.serving(alone))
        with service.serving(shell) as victim:
            a_worker_is_killed(stage, victim)
            everything_is_killed(stage, victim, neighbour)
        again = stack.enter_context(service.serving(alone))
        for name in KILLED:
            finished(database, stage.ids[name])
        stage.statuses["neighbour's"] = record(database, stage.ids["neighbour's"]).status
        stage.statuses |= {name: str(number) for name, number in evidence.left_behind(database).items()}
        stage.go_on("neighbour's")
        upstream.forget()
        yield Scene(stage, Remote(again, stage.key))


def a_worker_is_killed(stage: Stage, victim: Service) -> None:
    """Its streams are called "dead 0", …; those of the worker beside it, which live, "alive 0", …"""
    homes: dict[str, int] = {}
    # Whoever is first takes a connection: until both have one that streams.
    while len(set(homes.values())) < 2:
        known = set(service.calls_of(victim, stage.upstream.port))
        stage.stream(f"number {len(homes)}", victim, BLOCKS, SAID)
        (home,) = set(service.calls_of(victim, stage.upstream.port)) - known
        homes[f"number {len(homes)}"] = home.pid
    stage.journalled(*homes)
    doomed = homes["number 0"]
    for word, names in (
        ("dead", [name for name, pid in homes.items() if pid == doomed]),
        ("alive", [name for name, pid in homes.items() if pid != doomed]),
    ):
        stage.ids |= {f"{word} {number}": stage.ids.pop(name) for number, name in enumerate(names)}
    service.kill_worker(doomed)
    for name in stage.ids:
        if name.startswith("dead"):
            finished(stage.database, stage.ids[name])
    # It was not the end of the service that did it.
    assert victim.process.poll() is None
    stage.statuses["alive 0"] = record(stage.database, stage.ids["alive 0"]).status
    stage.go_on("alive 0")
    wait_until(lambda: len(service.ready(victim)) == 2)


def everything_is_killed(stage: Stage, victim: Service, neighbour: Service) -> None:
    """All processes of the victim at once, in the middle of all kinds of exchanges."""
    done = Remote(victim, stage.key).ask("Before it all.")
    stage.ids["finished"] = done["id"]
    stage.begin("plain", victim, silence(stage.rest))
    # Nobody takes its connection up: it is on disk, and has not got out.
    stage.send("unsent", victim, model="patient")
    stage.stream("streamed", victim, BLOCKS, SAID)
    stage.stream("early", victim, BLOCKS, 2)
    stage.stream("calling", victim, CALLING, len(CALLING) - 3)
    stage.stream("unstored", victim, BLOCKS, SAID, store=False)
    stage.stream("continued", victim, BLOCKS, SAID, previous_response_id=done["id"])
    stage.stream("neighbour's", neighbour, BLOCKS, SAID)
    stage.journalled("streamed", "calling", "unstored", "continued", "neighbour's")
    service.kill(victim)


class TestOneWorker:
    """gunicorn starts another, which closes what the dead one had begun."""

    def test_what_it_was_doing_is_incomplete_with_what_had_arrived(self, scene: Scene) -> None:
        recorded = scene.record("dead 0")
        assert (recorded.status, recorded.text) == ("incomplete", TEXT)

    def test_what_the_other_was_doing_is_complete(self, scene: Scene) -> None:
        assert scene.stage.statuses["alive 0"] == "in_progress"
        recorded = scene.record("alive 0")
        assert (recorded.status, recorded.text) == ("completed", TEXT)

    def test_the_thread_goes_on_from_both(self, scene: Scene) -> None:
        for name in ("dead 0", "alive 0"):
            assert scene.client.ask("And now?", after=scene.id(name))["status"] == "completed"


class TestTheWholeService:
    @pytest.mark.parametrize("name", KILLED)
    def test_what_was_going_on_is_incomplete_and_says_why(self, scene: Scene, name: str) -> None:
        recorded = scene.record(name)
        assert recorded.status == "incomplete"
        assert recorded.error == {
            "code": "server_error",
            "message": "The service stopped while the answer was arriving.",
        }
        assert recorded.exchange.completed_at is not None

    @pytest.mark.parametrize("name", ["streamed", "unstored", "continued"])
    def test_what_had_arrived_of_a_stream_is_there(self, scene: Scene, name: str) -> None:
        recorded = scene.record(name)
        assert recorded.text == TEXT
        assert [item["status"] for item in recorded.output] == ["incomplete"]

    def test_so_are_calls_and_reasoning(self, scene: Scene) -> None:
        first, second = scene.record("calling").output
        assert (first["type"], first["encrypted_content"]) == ("reasoning", "gAAAA-sealed")
        assert (second["type"], second["call_id"], second["status"]) == (
            "function_call",
            "call_7",
            "incomplete",
        )

    @pytest.mark.parametrize("name", ["plain", "unsent", "early"])
    def test_of_the_others_nothing_had_arrived(self, scene: Scene, name: str) -> None:
        assert scene.record(name).output == []

    def test_the_request_is_there_whole(self, scene: Scene) -> None:
        items = scene.client.get(f"/v1/responses/{scene.id('unsent')}/input_items").json["data"]
        assert items[0]["content"][0]["text"] == "The unsent one?"

    def test_it_reads_as_its_client_saw_it(self, scene: Scene) -> None:
        stored = scene.client.get(f"/v1/responses/{scene.id('streamed')}").json
        assert (stored["status"], stored["output"][0]["content"][0]["text"]) == ("incomplete", TEXT)
        assert stored["error"]["code"] == "server_error"
        events = evidence.stream_events(scene.client.get(f"/v1/responses/{stored['id']}?stream=true").data)
        assert events[-1]["type"] == "response.incomplete"

    def test_what_was_finished_before_is_as_it_was(self, scene: Scene) -> None:
        assert scene.client.get(f"/v1/responses/{scene.id('finished')}").json["status"] == "completed"

    def test_what_was_not_to_be_stored_is_still_not_found(self, scene: Scene) -> None:
        assert scene.client.get(f"/v1/responses/{scene.id('unstored')}").status_code == 404

    @pytest.mark.parametrize("name", ["plain", "unsent", "streamed", "early", "continued"])
    def test_the_thread_goes_on_from_it(self, scene: Scene, name: str) -> None:
        given = scene.client.ask("And now?", after=scene.id(name))
        assert given["status"] == "completed"
        shown = [item["content"][0]["text"] for item in scene.stage.upstream.questions[-1].body["input"]]
        said = [TEXT] if name in ("streamed", "continued") else []
        assert shown[-len(said) - 2 :] == [f"The {name} one?", *said, "And now?"]

    def test_a_call_that_was_cut_off_can_be_answered(self, scene: Scene) -> None:
        output = {"type": "function_call_output", "call_id": "call_7", "output": "4"}
        assert scene.client.ask([output], after=scene.id("calling"))["status"] == "completed"

    def test_another_service_on_the_same_store_was_not_disturbed(self, scene: Scene) -> None:
        assert scene.stage.statuses["neighbour's"] == "in_progress"
        recorded = scene.record("neighbour's")
        assert (recorded.status, recorded.text) == ("completed", TEXT)

    def test_nothing_was_left_in_progress_but_what_that_one_does(self, scene: Scene) -> None:
        left = {name: scene.stage.statuses.get(name) for name in ("in progress", "running", "journal")}
        assert left == {"in progress": "1", "running": "1", "journal": "1"}

    def test_nothing_is_left_at_all_in_the_end(self, scene: Scene) -> None:
        assert evidence.left_behind(scene.stage.database) == {}

    def test_the_dead_are_forgotten(self, scene: Scene) -> None:
        # The neighbour and the new service have a worker each.
        assert evidence.processes(scene.stage.database) == 2
