"""Whatever comes in whatever order: one answer, one sequence of events, one end, and everybody sees a part of it.

Workers that are taken for dead go on behind the back of those who took over; upstreams go on, pause and break;
followers come and go at any number; whoever likes may cancel.
"""

import json
import os
import threading
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from convstore.errors import InvalidRequest
from convstore.services import projects, queued, responses
from convstore.storage import direct, journals
from tests.local_upstream import Exchange, LocalUpstream, message, response, stream_of
from tests.services.background.conftest import Engine, another, followed, polled, queue
from tests.services.background.test_following import Client
from tests.services.conftest import Asker

EXAMPLES = int(os.environ.get("CONVSTORE_FUZZ_EXAMPLES", "25"))
TERMINALS = ("response.completed", "response.incomplete", "response.failed", "error")
BLOCKS = 22


class Tap:
    """A provider that says as much as it is allowed to, to everybody who asks. Each attempt gets another text."""

    def __init__(self) -> None:
        self.allowed = 0
        self.is_cut = False
        self.asked = 0

    def __call__(self, exchange: Exchange) -> None:
        self.asked += 1
        text = f"Attempt {self.asked} " * 2
        blocks = stream_of(response(message(text)), deltas=12)
        said = 0
        exchange.start_chunks()
        with suppress(OSError):
            while said < len(blocks):
                while said < min(self.allowed, len(blocks)):
                    exchange.chunk(blocks[said])
                    said += 1
                if self.is_cut:
                    exchange.cut()
                    return
                if said < len(blocks) and exchange.is_left_alone(0.005):
                    return
            exchange.end_chunks()


class Responses(RuleBasedStateMachine):
    """One response, and everybody who has to do with it."""

    acme: Asker
    engine: Engine
    upstream: LocalUpstream

    @initialize(retry=st.sampled_from(["no", "yes"]), stream=st.sampled_from([True, True, True, False]))
    def begin(self, retry: str, stream: bool) -> None:
        projects.change(self.acme.deps, self.acme.principal.project, background_retry=retry)
        self.tap = Tap()
        self.upstream.forget()
        self.upstream.will(*[self.tap] * 20)
        self.stream = stream
        self.own = queue(self.acme, stream=stream)
        self.worker: threading.Thread | None = None
        self.dead: list[threading.Thread] = []
        self.followers: list[tuple[int, Client]] = []
        self.final: dict[str, Any] | None = None

    @rule()
    @precondition(lambda self: self.worker is None)
    def work(self) -> None:
        """A process takes the response up, or over."""
        self.worker = self.engine.start(another(self.acme.deps), self.own, resumed=bool(self.dead))

    @rule()
    @precondition(lambda self: self.worker is not None)
    def die(self) -> None:
        """It is taken for dead."""
        assert self.worker is not None
        self.dead.append(self.worker)
        self.worker = None

    @rule(more=st.integers(1, 8))
    def say(self, more: int) -> None:
        self.tap.allowed += more

    @rule()
    def cut(self) -> None:
        self.tap.is_cut = True

    @rule(seconds=st.sampled_from([0.001, 0.01, 0.03]))
    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    @rule()
    def cancel(self) -> None:
        given = json.loads(responses.cancel(self.acme.deps, self.acme.principal, self.own))
        self._is_consistent(given)

    @rule(after=st.integers(-1, 30), leaves_after=st.sampled_from([1, 4, 10**9]))
    @precondition(lambda self: self.stream)
    def follow(self, after: int, leaves_after: int) -> None:
        """How far it has come is for the threads to say, not for the dice."""
        with direct.reading(self.acme.deps.database) as cursor:
            extent = journals.extent(cursor, self.own)
        assert extent is not None
        after = min(after, extent.last)
        stream = responses.stream(self.acme.deps, self.acme.principal, self.own, after)
        self.followers.append((after, Client(stream, leaves_after=leaves_after)))

    @rule()
    @precondition(lambda self: self.stream)
    def follow_too_far(self) -> None:
        with pytest.raises(InvalidRequest):
            responses.stream(self.acme.deps, self.acme.principal, self.own, 1000)

    @rule()
    def poll(self) -> None:
        self._is_consistent(polled(self.acme, self.own))

    def _is_consistent(self, given: dict[str, Any]) -> None:
        """Once it has ended, a response never changes."""
        assert self.final is None or given == self.final
        if given["status"] not in ("queued", "in_progress"):
            self.final = given
        for item in given["output"]:
            for part in item.get("content", ()):
                assert "Attempt 1 Attempt 1 ".startswith(part["text"]) or "Attempt" in part["text"]

    def teardown(self) -> None:
        if not hasattr(self, "own"):
            return
        self.tap.allowed = BLOCKS * 10
        if self.worker is None:
            self.engine.run(another(self.acme.deps), self.own, resumed=bool(self.dead))
        self.engine.settle()
        final = polled(self.acme, self.own)
        self._is_consistent(final)
        assert final["status"] not in ("queued", "in_progress")
        attempts = self.acme.stored(self.own).attempts
        assert all("error" in each for each in attempts[:-1])
        texts = {part["text"].split()[1] for item in final["output"] for part in item["content"] if part["text"][9:]}
        assert len(texts) <= 1  # of one attempt alone
        if not self.stream:
            return
        whole = followed(self.acme, self.own)
        assert [event["sequence_number"] for event in whole] == list(range(len(whole)))
        assert [event["type"] in TERMINALS for event in whole] == [False] * (len(whole) - 1) + [True]
        assert whole[-1]["response"] == final
        for after, client in self.followers:
            seen = client.done()
            assert seen == whole[after + 1 :][: len(seen)]
            assert len(seen) >= min(len(whole) - after - 1, client.leaves_after)


def test_any_order_of_things(acme: Asker, engine: Engine, upstream: LocalUpstream, monkeypatch: Any) -> None:
    monkeypatch.setattr(queued, "PATIENCE_S", 0.03)
    monkeypatch.setattr("convstore.services.writer.LOOK_S", 0.02)

    class Machine(Responses):
        pass

    Machine.acme, Machine.engine, Machine.upstream = acme, engine, upstream
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
