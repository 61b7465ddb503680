"""Following: from any number on, without a gap and without a repeat, live to the end, however slow and however many."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from convstore.errors import StorageUnavailable
from convstore.services import feeds, following, recovery, responses
from convstore.services.deps import Deps
from convstore.services.feeds import Feed, Feeds
from convstore.services.streaming import Streamed
from convstore.storage import direct, journals
from convstore.storage.journals import Part
from convstore.telemetry import metrics
from tests.conftest import FixedClock
from tests.local_upstream import LocalUpstream, blocks_of, message, response, stream_of, wait_until
from tests.services.background.conftest import Engine, Pace, another, followed, journal, polled, queue, told
from tests.services.conftest import Asker

LONG = stream_of(response(message("x" * 300)), deltas=300)
EVENTS = len(LONG) + 1


class Client(threading.Thread):
    """Somebody who follows a response in a thread of his own; *slow* says how long he takes for each piece."""

    def __init__(self, stream: Streamed, slow: Callable[[], None] = lambda: None, leaves_after: int = 10**9) -> None:
        super().__init__(daemon=True)
        self.stream = stream
        self.slow = slow
        self.leaves_after = leaves_after
        self.events: list[dict[str, Any]] = []
        self.start()

    def run(self) -> None:
        source = iter(self.stream)
        try:
            for block in source:
                self.events += blocks_of(block)
                if len(self.events) >= self.leaves_after:
                    break
                self.slow()
        finally:
            source.close()  # type: ignore[attr-defined]
            self.stream.close()

    def done(self) -> list[dict[str, Any]]:
        self.join(20)
        assert not self.is_alive()
        return self.events


def follow(acme: Asker, own: str, after: int = -1, **kwargs: Any) -> Client:
    return Client(responses.stream(acme.deps, acme.principal, own, after), **kwargs)


@pytest.fixture
def running(
    acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream, globex: Asker
) -> Iterator[tuple[str, Pace]]:
    """A response that is being answered, and what it waits for."""
    pace = Pace(blocks=LONG, first=100)
    upstream.will(pace)
    own = queue(acme, stream=True)
    engine.start(worker, own)
    told(acme.deps, own, pace.text)
    yield own, pace
    pace.rest.set()
    engine.settle()


class TestFollowers:
    def test_one_from_another_process(self, acme: Asker, running: tuple[str, Pace]) -> None:
        own, pace = running
        elsewhere = replace(acme.deps, feeds=Feeds(acme.deps.database))
        client = Client(responses.stream(elsewhere, acme.principal, own))
        wait_until(lambda: len(client.events) > 90)
        pace.rest.set()
        assert client.done() == followed(acme, own)
        assert [event["sequence_number"] for event in client.events] == list(range(len(client.events)))

    def test_several_from_wherever_each_of_them_was(self, acme: Asker, running: tuple[str, Pace]) -> None:
        own, pace = running
        clients = {after: follow(acme, own, after) for after in (-1, 0, 2, 3, 50, 98, 99)}
        wait_until(lambda: len(clients[-1].events) > 90)
        pace.rest.set()
        whole = clients[-1].done()
        assert [event["sequence_number"] for event in whole] == list(range(EVENTS))
        for after, client in clients.items():
            assert client.done() == whole[after + 1 :]

    def test_one_that_leaves_changes_nothing(self, acme: Asker, running: tuple[str, Pace]) -> None:
        own, pace = running
        leaving, staying = follow(acme, own, leaves_after=1), follow(acme, own)
        first = leaving.done()
        pace.rest.set()
        whole = staying.done()
        assert first == whole[: len(first)]
        assert len(whole) == EVENTS
        assert follow(acme, own, first[-1]["sequence_number"]).done() == whole[len(first) :]

    def test_one_that_reads_slowly_holds_up_nobody(
        self, acme: Asker, running: tuple[str, Pace], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It falls behind what is kept for all, and reads the rest for itself."""
        monkeypatch.setattr(feeds, "KEPT", 2)
        monkeypatch.setattr(following, "PAGE", 3)
        own, pace = running
        go_on = threading.Event()
        slow = follow(acme, own, slow=lambda: go_on.wait(20))
        quick = follow(acme, own)
        wait_until(lambda: slow.events)
        pace.rest.set()
        whole = quick.done()
        assert len(slow.events) < 100
        go_on.set()
        assert slow.done() == whole

    def test_one_that_was_never_read_is_forgotten(self, acme: Asker, running: tuple[str, Pace]) -> None:
        own, _ = running
        before = metrics.FOLLOWERS._value.get()
        stream = responses.stream(acme.deps, acme.principal, own)
        stream.close()
        assert list(stream) == []
        assert metrics.FOLLOWERS._value.get() == before

    def test_they_share_one_reader(self, acme: Asker, running: tuple[str, Pace]) -> None:
        own, pace = running
        clients = [follow(acme, own) for _ in range(20)]
        wait_until(lambda: all(len(client.events) > 90 for client in clients))
        feed = acme.deps.feeds._feeds[own]
        assert feed.followers == 20
        read: list[int] = []
        real = acme.deps.feeds.page
        acme.deps.feeds.page = lambda *args: read.append(1) or real(*args)  # type: ignore[method-assign,func-returns-value]
        pace.rest.set()
        assert all(client.done() == clients[0].events for client in clients)
        assert len(read) == 0
        assert acme.deps.feeds._feeds == {}

    def test_a_silent_response_is_waited_for(
        self, acme: Asker, running: tuple[str, Pace], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(following, "SILENCE_S", 0.01)
        own, pace = running
        client = follow(acme, own)
        time.sleep(0.2)
        pace.rest.set()
        assert len(client.done()) == EVENTS

    def test_who_is_still_reading_when_the_journal_goes_gets_the_end(
        self, acme: Asker, running: tuple[str, Pace], clock: FixedClock, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(following, "SILENCE_S", 0.01)
        monkeypatch.setattr(following, "PAGE", 1)
        own, pace = running
        go_on = threading.Event()
        slow = follow(acme, own, slow=lambda: go_on.wait(20))
        pace.rest.set()
        engine.settle()
        final = polled(acme, own)
        recovery.drop_journals(replace(acme.deps, journal_kept=timedelta(seconds=-1)))
        assert journal(acme.deps, own) == []
        go_on.set()
        assert slow.done()[-1] == {"type": "response.completed", "sequence_number": EVENTS - 1, "response": final}

    def test_a_database_that_is_away_is_waited_for(
        self, acme: Asker, running: tuple[str, Pace], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own, pace = running
        client = follow(acme, own)
        wait_until(lambda: len(client.events) > 90)
        left = [2]
        real = journals.news

        def away(*args: Any) -> Any:
            if left[0] > 0:
                left[0] -= 1
                raise StorageUnavailable
            return real(*args)

        monkeypatch.setattr(journals, "news", away)
        pace.rest.set()
        assert len(client.done()) == EVENTS


class TestLateness:
    def test_a_first_event_is_there_soon(
        self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream
    ) -> None:
        """Within 20 ms on a machine that does nothing else; this one runs tests."""
        pace = Pace(first=0)
        upstream.will(pace)
        own = queue(acme, stream=True)
        client = follow(acme, own)
        engine.start(worker, own)
        wait_until(lambda: any(part.first is None for part in journal(acme.deps, own)))
        time.sleep(0.3)
        began = time.monotonic()
        pace.rest.set()
        wait_until(lambda: len(client.events) > 3)
        assert time.monotonic() - began < 0.25
        client.done()


class TestFeed:
    def part(self, number: int) -> Part:
        return Part("resp_x", number, number, number, b"")

    def test_what_is_behind_a_part(self) -> None:
        feed = Feed("resp_x", 4)
        assert feed.after(4) == []
        feed.put([self.part(5), self.part(7)])
        assert feed.after(4) == [self.part(5), self.part(7)]
        assert feed.after(5) == [self.part(7)]
        assert feed.after(7) == feed.after(9) == []

    def test_what_it_does_not_keep_it_does_not_claim_to_know(self, monkeypatch: pytest.MonkeyPatch) -> None:
        feed = Feed("resp_x", 4)
        assert feed.after(3) is None
        monkeypatch.setattr(feeds, "KEPT", 2)
        feed.put([self.part(number) for number in (5, 6, 7)])
        assert feed.after(4) is None
        assert feed.after(5) == [self.part(6), self.part(7)]

    def test_waiting_ends_with_news(self) -> None:
        feed = Feed("resp_x", 4)
        threading.Timer(0.05, lambda: feed.put([self.part(5)])).start()
        began = time.monotonic()
        feed.wait(4, 20)
        assert time.monotonic() - began < 5


class TestArrived:
    def test_more_than_one_page(self, acme: Asker, running: tuple[str, Pace], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("convstore.services.arrived.PAGE", 2)
        own, pace = running
        assert polled(acme, own)["output"][0]["content"][0]["text"] == pace.text
        pace.rest.set()

    def test_only_so_many_are_remembered(
        self, acme: Asker, running: tuple[str, Pace], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("convstore.services.arrived.REMEMBERED", 0)
        own, pace = running
        for _ in range(2):
            assert polled(acme, own)["output"][0]["content"][0]["text"] == pace.text
        assert acme.deps.arrived._read == {}
        pace.rest.set()

    def test_polled_from_several_nodes_at_once(self, acme: Asker, running: tuple[str, Pace]) -> None:
        own, pace = running
        texts: list[str] = []
        pollers = [
            threading.Thread(target=lambda: texts.append(polled(acme, own)["output"][0]["content"][0]["text"]))
            for _ in range(8)
        ]
        for poller in pollers:
            poller.start()
        for poller in pollers:
            poller.join(20)
        assert texts == [pace.text] * 8
        pace.rest.set()


def test_another_process_follows_what_this_one_writes(
    acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream
) -> None:
    """Every part of a burst, in order, whoever reads it and whenever."""
    upstream.will(Pace(blocks=LONG, first=len(LONG)))
    own = queue(acme, stream=True)
    client = follow(acme, own)
    engine.run(another(worker), own)
    with direct.reading(acme.deps.database) as cursor:
        parts = journals.after(cursor, own, -1, 10_000)
    assert client.done() == list(blocks_of(b"".join(part.events for part in parts)))
    assert json.dumps(client.events[-1]["response"]) == json.dumps(polled(acme, own))
