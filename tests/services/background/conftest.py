"""The stage of this room: an engine that notes what is to be done, and processes that do it when they are told to.

A process here is a thread with an id of its own. One that is taken for dead goes on all the same: it must not be able
to do any harm. Processes that really die are in tests/background.
"""

import json
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from convstore.services import background, responses
from convstore.services.deps import Deps
from convstore.services.writer import Writer
from convstore.storage import direct, journals
from convstore.storage.journals import Part
from convstore.storage.scope import Scope
from tests.local_upstream import Behaviour, Exchange, LocalUpstream, blocks_of, message, response, stream_of, wait_until
from tests.services.conftest import Asker

# Whether its client wants events.
STREAMED = [False, True]
TEXT = "What a worker heard while its client was away."
BLOCKS = stream_of(response(message(TEXT)), deltas=8)
# Blocks that make these many events of ours: created and in_progress of the upstream are not passed on.
HEAD = 2


@dataclass
class Engine:
    """What the service is told to do, and by whom it is done."""

    jobs: dict[str, str] = field(default_factory=dict)
    fails: bool = False
    threads: list[threading.Thread] = field(default_factory=list)

    def enqueue(self, scope: Scope, kind: str, subject: str, arguments: Mapping[str, Any]) -> None:
        assert kind == "response"
        assert dict(arguments) == {}
        if self.fails:
            raise RuntimeError("no engine")
        self.jobs[subject] = scope.project_id

    def run(self, deps: Deps, exchange_id: str, *, resumed: bool = False) -> None:
        """Let a process see to a response, to its end."""
        background.run(deps, self.jobs[exchange_id], exchange_id, resumed=resumed)

    def start(self, deps: Deps, exchange_id: str, *, resumed: bool = False) -> threading.Thread:
        """Let it begin to."""
        thread = threading.Thread(target=self.run, args=(deps, exchange_id), kwargs={"resumed": resumed}, daemon=True)
        self.threads.append(thread)
        thread.start()
        return thread

    def settle(self) -> None:
        """Wait until everybody is done."""
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive()


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.settle()


@pytest.fixture
def deps(deps: Deps, engine: Engine) -> Deps:
    return replace(deps, enqueue=engine.enqueue)


def another(deps: Deps) -> Deps:
    """Another process of the same service."""
    return replace(deps, process=os.urandom(16), writer=Writer(deps.database))


@pytest.fixture
def worker(deps: Deps) -> Deps:
    """The process that works."""
    return another(deps)


@dataclass
class Pace:
    """A stream that goes on when it is told to: *first* blocks at once, the rest behind the event.

    left: whether the other side hung up in between.
    """

    blocks: list[bytes] = field(default_factory=lambda: BLOCKS)
    first: int = HEAD + 5
    rest: threading.Event = field(default_factory=threading.Event)
    left: list[bool] = field(default_factory=list)

    def __call__(self, exchange: Exchange) -> None:
        exchange.start_chunks()
        for block in self.blocks[: self.first]:
            exchange.chunk(block)
        while not self.rest.is_set():
            if exchange.is_left_alone(0.02):
                self.left.append(True)
                return
        for block in self.blocks[self.first :]:
            exchange.chunk(block)
        exchange.end_chunks()

    @property
    def text(self) -> str:
        """What has been said when it pauses."""
        said = b"".join(self.blocks[: self.first])
        return "".join(event["delta"] for event in blocks_of(said) if event["type"].endswith("text.delta"))


@pytest.fixture
def pace(upstream: LocalUpstream) -> Iterator[Pace]:
    """What the next request gets, unless it is told to get something else."""
    made = Pace()
    yield made
    made.rest.set()


def then(gate: threading.Event, behaviour: Behaviour) -> Behaviour:
    """Nothing until the gate is open."""

    def behave(exchange: Exchange) -> None:
        assert gate.wait(20)
        behaviour(exchange)

    return behave


def polled(acme: Asker, response_id: str) -> dict[str, Any]:
    """What polling gives."""
    return dict(json.loads(responses.get(acme.deps, acme.principal, response_id)))


def followed(acme: Asker, response_id: str, after: int = -1) -> list[dict[str, Any]]:
    """What following gives, to the end."""
    return list(blocks_of(b"".join(responses.stream(acme.deps, acme.principal, response_id, after))))


def journal(deps: Deps, exchange_id: str) -> list[Part]:
    """The journal of a response."""
    with direct.reading(deps.database) as cursor:
        return journals.after(cursor, exchange_id, -1, 10_000)


def told(deps: Deps, exchange_id: str, text: str) -> None:
    """Wait until this much of the text is in the journal."""
    deltas = lambda: (  # noqa: E731
        event["delta"]
        for part in journal(deps, exchange_id)
        for event in blocks_of(part.events)
        if event["type"].endswith("text.delta")
    )
    wait_until(lambda: "".join(deltas()) == text)


def queue(acme: Asker, input: Any = "Hello?", **members: Any) -> str:
    """The id of a background response that waits."""
    answer = acme.create(input, background=True, **members)
    return answer.response_id
