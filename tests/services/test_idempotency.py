"""Idempotency: the same request again, later, at the same moment, and when the first one came to nothing."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from convstore.errors import IdempotencyInProgress, IdempotencyMismatch, UpstreamError
from convstore.services.deps import RelayOptions
from convstore.services.relay import Whole
from tests.local_upstream import LocalUpstream, answer, hang_up, message, response, stream, stream_of
from tests.services.conftest import Asker, opened


class TestEarlier:
    def test_the_same_request_again_gets_the_same_answer(self, acme: Asker, upstream: LocalUpstream) -> None:
        asked = len(upstream.questions)
        first = acme.ask("1?", key="key-1")
        assert acme.ask("1?", key="key-1") == first
        assert len(upstream.questions) == asked + 1
        assert acme.ask("1?", key="key-2")["id"] != first["id"]
        assert acme.ask("1?")["id"] != first["id"]

    def test_as_a_stream_if_it_was_one(self, acme: Asker, upstream: LocalUpstream) -> None:
        asked = len(upstream.questions)
        first, again = acme.stream("1?", key="key-1"), acme.stream("1?", key="key-1")
        assert first[-1] == again[-1]
        assert len(upstream.questions) == asked + 1

    def test_even_if_it_was_not_to_be_stored(self, acme: Asker) -> None:
        assert acme.ask("1?", key="key-1", store=False) == acme.ask("1?", key="key-1", store=False)

    def test_another_body_is_refused(self, acme: Asker) -> None:
        acme.ask("1?", key="key-1")
        with pytest.raises(IdempotencyMismatch):
            acme.ask("2?", key="key-1")

    def test_another_projects_key_is_another_key(self, acme: Asker, globex: Asker) -> None:
        assert acme.ask("1?", key="key-1")["id"] != globex.ask("2?", key="key-1")["id"]

    def test_one_that_failed_gives_its_key_free(self, acme: Asker, upstream: LocalUpstream) -> None:
        upstream.will(hang_up, answer("Fine."))
        with pytest.raises(UpstreamError):
            acme.ask("1?", key="key-1")
        second = acme.ask("1?", key="key-1")
        assert second["output"][0]["content"][0]["text"] == "Fine."
        assert acme.ask("1?", key="key-1") == second
        assert acme.statuses() == ["failed", "completed"]

    def test_one_that_broke_off_does_not(self, acme: Asker, upstream: LocalUpstream) -> None:
        """It has cost something: the client gets what there is."""
        upstream.will(stream(stream_of(response(message("Hello there"))), cut_after=5))
        events = acme.stream("1?", key="key-1")
        assert events[-1]["type"] == "error"
        again = acme.stream("1?", key="key-1")
        assert (again[-1]["type"], again[-1]["response"]["id"]) == (
            "response.incomplete",
            events[0]["response"]["id"],
        )

    def test_one_that_is_running_is_waited_for(self, acme: Asker, upstream: LocalUpstream) -> None:
        arrived, go = threading.Event(), threading.Event()

        def slow(exchange: Any) -> None:
            arrived.set()
            go.wait(30)
            answer("Fine.")(exchange)

        upstream.will(slow)
        asked = len(upstream.questions)
        got: list[dict[str, Any]] = []
        threads = [threading.Thread(target=lambda: got.append(acme.ask("1?", key="key-1"))) for _ in range(4)]
        threads[0].start()
        assert arrived.wait(30)
        for thread in threads[1:]:
            thread.start()
        go.set()
        for thread in threads:
            thread.join(30)
        assert len(got) == 4
        assert all(each == got[0] for each in got)
        assert len(upstream.questions) == asked + 1
        assert acme.statuses() == ["completed"]

    def test_many_at_the_same_moment_are_one(self, acme: Asker, upstream: LocalUpstream) -> None:
        start = threading.Barrier(5)
        got: list[str] = []

        def ask() -> None:
            start.wait(30)
            got.append(acme.ask("1?", key="key-1")["id"])

        threads = [threading.Thread(target=ask) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(got) == 5
        assert len(set(got)) == 1
        assert acme.statuses() == ["completed"]

    def test_but_not_for_ever(self, acme: Asker, upstream: LocalUpstream) -> None:
        go = threading.Event()
        upstream.will(stream(stream_of(response(message("Slow"))), gates=[*([opened()] * 4), go]))
        running = acme.create("1?", key="key-1", stream=True)
        hurried = Asker(replace(acme.deps, relay=RelayOptions(idempotency_wait_s=0.0)), acme.principal)
        with pytest.raises(IdempotencyInProgress):
            hurried.create("1?", key="key-1", stream=True)
        go.set()
        assert not isinstance(running, Whole)
        list(running)
        assert hurried.stream("1?", key="key-1")[-1]["response"]["id"] == running.response_id
