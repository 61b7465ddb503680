"""A worker answers: it asks what would have been asked, records what came, and ends when it is told to."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from convstore import bootstrap
from convstore.config import Settings
from convstore.services import conversations, responses
from convstore.services import turn as turns
from convstore.services.deps import Deps
from tests.conftest import FixedClock, upstream_settings
from tests.local_upstream import (
    Behaviour,
    LocalUpstream,
    answer,
    chat_answer,
    error,
    function_call,
    hang_up,
    message,
    reasoning,
    response,
    silence,
    stream,
    stream_of,
    wait_until,
    whole,
)
from tests.losses.providers import dead_ends
from tests.services.background.conftest import (
    BLOCKS,
    STREAMED,
    TEXT,
    Engine,
    Pace,
    another,
    followed,
    journal,
    polled,
    queue,
    told,
)
from tests.services.conftest import Asker, asker

# Members of a request that are the upstream's business, all of which must reach it.
MEMBERS: dict[str, Any] = {
    "instructions": "Be brief.",
    "temperature": 0.25,
    "metadata": {"a": "b"},
    "user": "u-1",
    "safety_identifier": "s-1",
    "prompt_cache_key": "k-1",
    "client_metadata": {"c": "d"},
    "include": ["reasoning.encrypted_content"],
    "tools": [{"type": "function", "name": "add", "parameters": {"type": "object"}}],
    "tool_choice": "none",
    "text": {"verbosity": "low"},
    "reasoning": {"effort": "low"},
    "max_output_tokens": 1000,
    "truncation": "auto",
    "x_unknown": {"deep": [1, 2.50, "\u2028"]},
    "background_options": {"completion_window": "soonest"},
}


def asked(upstream: LocalUpstream) -> dict[str, Any]:
    return dict(upstream.questions[-1].body)


class TestWhatIsAsked:
    """The same as if the client had waited, but always for a stream."""

    def compare(self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream, **members: Any) -> str:
        foreground = acme.create(stream=True, **members)
        b"".join(foreground)  # type: ignore[arg-type]
        expected = asked(upstream)
        own = queue(acme, **members)
        engine.run(worker, own)
        assert polled(acme, own)["status"] == "completed", polled(acme, own)
        assert asked(upstream) == expected
        return own

    def test_every_member(self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream) -> None:
        self.compare(acme, worker, engine, upstream, **MEMBERS)

    def test_stream_options(self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream) -> None:
        own = queue(acme, stream=True, stream_options={"include_obfuscation": False})
        engine.run(worker, own)
        assert asked(upstream)["stream_options"] == {"include_obfuscation": False}

    def test_a_thread(self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream) -> None:
        upstream.will(answer(reasoning(), function_call("call_1")))
        first = acme.ask([{"role": "user", "content": "1?"}])
        output = [{"type": "function_call_output", "call_id": "call_1", "output": "7"}]
        own = self.compare(acme, worker, engine, upstream, input=output, after=first["id"])
        assert polled(acme, own)["previous_response_id"] == first["id"]

    def test_a_thread_whose_parent_was_deleted_meanwhile(
        self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream
    ) -> None:
        first = acme.ask("1?")
        own = queue(acme, "2?", after=first["id"])
        responses.delete(acme.deps, acme.principal, first["id"])
        engine.run(worker, own)
        assert [item["role"] for item in asked(upstream)["input"]] == ["user", "assistant", "user"]

    def test_a_history_that_was_sent_whole(
        self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream
    ) -> None:
        first = acme.ask([{"role": "user", "content": "1?"}])
        said = {"role": "assistant", "content": first["output"][0]["content"][0]["text"]}
        history = [{"role": "user", "content": "1?"}, said, {"role": "user", "content": "2?"}]
        own = self.compare(acme, worker, engine, upstream, input=history)
        row = acme.stored(own)
        assert (row.parent_id, row.linked, row.input_count) == (first["id"], "inferred", 1)
        # And it is found as the parent of what comes next.
        given = polled(acme, own)
        went_on = acme.ask([*history, *given["output"], {"role": "user", "content": "3?"}])
        assert acme.stored(went_on["id"]).parent_id == own

    def test_a_conversation(self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream) -> None:
        own = conversations.create(acme.deps, acme.principal, b"{}", [], "req_1").id
        acme.ask("1?", conversation=own)
        second = queue(acme, "2?", conversation=own)
        engine.run(worker, second)
        acme.ask("3?", conversation=own)
        assert [item["role"] for item in asked(upstream)["input"]] == ["user", "assistant"] * 2 + ["user"]

    def test_a_plain_thread_goes_on_from_it(
        self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream
    ) -> None:
        own = queue(acme, "1?")
        engine.run(worker, own)
        acme.ask("2?", after=own)
        assert [item["role"] for item in asked(upstream)["input"]] == ["user", "assistant", "user"]
        history = [{"role": "user", "content": "1?"}, *polled(acme, own)["output"], {"role": "user", "content": "3?"}]
        assert acme.stored(acme.ask(history)["id"]).parent_id == own


class TestEveryDialect:
    @pytest.fixture(params=["responses", "responses-stateful", "chat"])
    def dialect(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def acme(
        self, settings: Settings, upstream: LocalUpstream, clock: FixedClock, engine: Engine, dialect: str
    ) -> Iterator[Asker]:
        chosen = replace(settings, upstreams=(upstream_settings(upstream, dialect=dialect),))
        deps = replace(bootstrap.deps(chosen, clock), enqueue=engine.enqueue)
        yield asker(deps, "acme")
        deps.upstreams.close()
        deps.database.close()

    @pytest.mark.parametrize("stream", STREAMED)
    def test_is_asked_for_a_stream(
        self, acme: Asker, engine: Engine, upstream: LocalUpstream, dialect: str, stream: bool
    ) -> None:
        upstream.will((chat_answer if dialect == "chat" else answer)("Hello there."))
        own = queue(acme, stream=stream)
        engine.run(another(acme.deps), own)
        given = polled(acme, own)
        assert (given["status"], given["output"][0]["content"][0]["text"]) == ("completed", "Hello there.")
        assert given["usage"]["total_tokens"] == 18
        assert asked(upstream)["stream"] is True
        assert "background" not in asked(upstream)
        if stream:
            events = followed(acme, own)
            assert [event["sequence_number"] for event in events] == list(range(len(events)))
            assert events[-1]["response"] == given

    def test_one_that_answers_in_one_piece_all_the_same(
        self, acme: Asker, engine: Engine, upstream: LocalUpstream, dialect: str
    ) -> None:
        if dialect == "chat":
            said = {"role": "assistant", "content": "Hello there."}
            choice = {"index": 0, "message": said, "finish_reason": "stop"}
            body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        else:
            body = response(message("Hello there."))
        upstream.will(whole(body))
        own = queue(acme, stream=True)
        engine.run(another(acme.deps), own)
        events = followed(acme, own)
        assert events[-1]["response"]["output"][0]["content"][0]["text"] == "Hello there."
        assert any(event["type"] == "response.output_text.delta" for event in events)

    def test_a_stateful_one_is_left_to_know_the_history(
        self, acme: Asker, engine: Engine, upstream: LocalUpstream, dialect: str
    ) -> None:
        first = acme.ask("1?")
        own = queue(acme, "2?", after=first["id"])
        engine.run(another(acme.deps), own)
        if dialect == "responses-stateful":
            assert (len(asked(upstream)["input"]), asked(upstream)["previous_response_id"]) == (1, "resp_upstream_1")
        else:
            assert len(asked(upstream)["input" if dialect == "responses" else "messages"]) == 3


FAILURES: dict[str, tuple[Behaviour, str, str]] = {
    "an error": (error(400, "No such thing."), "failed", "response.failed"),
    "a server error": (error(500), "failed", "response.failed"),
    "no answer": (hang_up, "failed", "response.failed"),
    "no JSON": (whole(b"<html>"), "failed", "response.failed"),
    "an empty stream": (stream([]), "failed", "response.failed"),
    "a cut before the first item": (stream(BLOCKS, cut_after=2), "incomplete", "response.incomplete"),
    "a cut in the middle": (stream(BLOCKS, cut_after=7), "incomplete", "response.incomplete"),
    "an answer that is too long": (
        answer("Hel", status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
        "incomplete",
        "response.incomplete",
    ),
    "a failed response": (
        answer(status="failed", error={"code": "server_error", "message": "Oh."}),
        "failed",
        "response.failed",
    ),
}


class TestWhatGoesWrong:
    @pytest.mark.parametrize("stream", STREAMED)
    @pytest.mark.parametrize("name", FAILURES)
    def test_is_recorded_and_told(
        self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream, name: str, stream: bool
    ) -> None:
        behaviour, status, terminal = FAILURES[name]
        upstream.will(behaviour)
        own = queue(acme, stream=stream)
        engine.run(worker, own)
        given = polled(acme, own)
        assert given["status"] == status
        assert (given["error"] is None) == ("too long" in name)
        if stream:
            events = followed(acme, own)
            assert [event["type"] for event in events[:3]] == [
                "response.created",
                "response.queued",
                "response.in_progress",
            ]
            assert events[-1]["type"] == terminal
            assert events[-1]["response"] == given

    @pytest.mark.parametrize("stream", STREAMED)
    def test_what_had_arrived_is_there(
        self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream, stream: bool
    ) -> None:
        pace = Pace(blocks=[*BLOCKS[:7], b"data: garbage\n\n"])
        upstream.will(pace)
        own = queue(acme, stream=stream)
        running = engine.start(worker, own)
        told(acme.deps, own, pace.text)
        pace.rest.set()
        running.join(20)
        given = polled(acme, own)
        assert (given["status"], given["output"][0]["content"][0]["text"]) == ("incomplete", pace.text)

    def test_a_model_that_nobody_serves_any_more(self, acme: Asker, worker: Deps, engine: Engine) -> None:
        own = queue(acme, stream=True)
        served_no_more = replace(worker, upstreams=type(worker.upstreams)([], 1))
        engine.run(served_no_more, own)
        given = polled(acme, own)
        assert (given["status"], given["error"]) == (
            "failed",
            {"code": "server_error", "message": "The requested model 'gpt-5.4' does not exist."},
        )
        assert followed(acme, own)[-1]["type"] == "response.failed"

    def test_a_mistake_of_ours(
        self, acme: Asker, worker: Deps, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("convstore.services.asked.made_of", lambda *_: 1 / 0)
        own = queue(acme, stream=True)
        engine.run(worker, own)
        assert polled(acme, own)["status"] == "failed"

    def test_a_mistake_at_the_very_end(
        self, acme: Asker, worker: Deps, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(turns.Turn, "complete", lambda *_: 1 / 0)
        own = queue(acme, stream=True)
        engine.run(worker, own)
        given = polled(acme, own)
        assert (given["status"], given["output"][0]["type"]) == ("incomplete", "message")
        assert followed(acme, own)[-1]["response"] == given


class TestCancel:
    def cancel(self, acme: Asker, own: str) -> dict[str, Any]:
        """The answer to a cancellation, which comes within a second."""
        began = time.monotonic()
        given = json.loads(responses.cancel(acme.deps, acme.principal, own))
        assert given["status"] == "cancelled"
        assert time.monotonic() - began < 1.0
        return dict(given)

    @pytest.mark.parametrize("stream", STREAMED)
    def test_in_the_middle_of_an_answer(
        self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream, stream: bool
    ) -> None:
        pace = Pace()
        upstream.will(pace)
        own = queue(acme, stream=stream)
        running = engine.start(worker, own)
        told(acme.deps, own, pace.text)
        given = self.cancel(acme, own)
        (item,) = given["output"]
        assert (item["status"], item["content"][0]["text"]) == ("incomplete", pace.text)
        assert (given["usage"], given["error"], given["incomplete_details"]) == (None, None, None)
        assert self.cancel(acme, own) == given == polled(acme, own)
        # The upstream knows it, too.
        wait_until(lambda: pace.left, 1)
        running.join(1)
        assert not running.is_alive()
        assert acme.stored(own).attempts[0]["error"] == "cancelled"
        if stream:
            events = followed(acme, own)
            assert (events[-1]["type"], events[-1]["response"]) == ("response.incomplete", given)
            assert sum(event["type"] == "response.incomplete" for event in events) == 1

    def test_while_the_upstream_is_silent(
        self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream
    ) -> None:
        until = threading.Event()
        upstream.will(silence(until))
        asked = len(upstream.questions)
        own = queue(acme)
        running = engine.start(worker, own)
        wait_until(lambda: len(upstream.questions) > asked)
        assert self.cancel(acme, own)["output"] == []
        running.join(1)
        assert not running.is_alive()
        until.set()

    def test_while_it_cannot_be_reached(
        self, settings: Settings, upstream: LocalUpstream, clock: FixedClock, engine: Engine
    ) -> None:
        with dead_ends() as nowhere:
            unreachable = upstream_settings(upstream, url=nowhere.full, connect_timeout_s=2.0)
            chosen = replace(settings, upstreams=(unreachable,))
            deps = replace(bootstrap.deps(chosen, clock), enqueue=engine.enqueue)
            acme = asker(deps, "acme")
            own = queue(acme)
            running = engine.start(another(deps), own)
            wait_until(lambda: polled(acme, own)["status"] == "in_progress")
            self.cancel(acme, own)
            running.join(1)
            assert not running.is_alive()

    def test_between_two_attempts(
        self, settings: Settings, upstream: LocalUpstream, clock: FixedClock, engine: Engine
    ) -> None:
        chosen = replace(settings, upstreams=(upstream_settings(upstream, retries=3),))
        deps = replace(bootstrap.deps(chosen, clock), enqueue=engine.enqueue)
        acme = asker(deps, "acme")
        upstream.will(*[error(503, headers={"Retry-After": "8"})] * 4)
        own = queue(acme)
        running = engine.start(another(deps), own)
        wait_until(lambda: upstream.questions)
        self.cancel(acme, own)
        running.join(1)
        assert len(upstream.questions) == 1
        assert [each["error"] for each in acme.stored(own).attempts] == ["upstream_error"]
        upstream.forget()

    def test_a_call_that_has_begun_can_be_continued_from(
        self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream
    ) -> None:
        pace = Pace()
        upstream.will(pace)
        own = queue(acme, "1?")
        engine.start(worker, own)
        told(acme.deps, own, pace.text)
        self.cancel(acme, own)
        acme.ask("2?", after=own)
        words = [item["content"][0]["text"] for item in asked(upstream)["input"]]
        assert words == ["1?", pace.text, "2?"]

    def test_many_at_once(self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream) -> None:
        pace = Pace()
        upstream.will(pace)
        own = queue(acme)
        engine.start(worker, own)
        told(acme.deps, own, pace.text)
        given: list[dict[str, Any]] = []
        racers = [threading.Thread(target=lambda: given.append(self.cancel(acme, own))) for _ in range(8)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join(20)
        assert len(given) == 8
        assert all(each == given[0] for each in given)

    def test_others_go_on(self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream) -> None:
        paces = [Pace(), Pace()]
        upstream.will(*paces)
        ids = []
        for pace in paces:
            ids.append(queue(acme))
            engine.start(worker, ids[-1])
            told(acme.deps, ids[-1], pace.text)
        self.cancel(acme, ids[0])
        paces[1].rest.set()
        engine.settle()
        assert [polled(acme, own)["status"] for own in ids] == ["cancelled", "completed"]
        assert polled(acme, ids[1])["output"][0]["content"][0]["text"] == TEXT


class TestAgain:
    """At least once is once."""

    def test_one_that_has_ended_is_left_alone(
        self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream
    ) -> None:
        own = queue(acme, stream=True)
        engine.run(worker, own)
        final, events = polled(acme, own), followed(acme, own)
        asked = len(upstream.questions)
        for resumed in (False, True):
            engine.run(another(worker), own, resumed=resumed)
        assert len(upstream.questions) == asked
        assert (polled(acme, own), followed(acme, own)) == (final, events)

    def test_what_is_not_there_is_nothing_to_do(self, acme: Asker, worker: Deps, engine: Engine) -> None:
        engine.jobs["resp_" + "0" * 32] = acme.principal.project_id
        engine.run(worker, "resp_" + "0" * 32)

    def test_nor_is_what_is_somebody_elses_to_do(self, acme: Asker, worker: Deps, engine: Engine) -> None:
        own = acme.ask()
        engine.jobs[own["id"]] = acme.principal.project_id
        engine.run(worker, own["id"])
        assert polled(acme, own["id"]) == own


class TestTheJournal:
    def test_nothing_is_written_between_that_nobody_may_follow(
        self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream
    ) -> None:
        upstream.will(stream(stream_of(response(message("x" * 500)), deltas=500)))
        own = queue(acme)
        engine.run(worker, own)
        assert journal(acme.deps, own) == []

    def test_a_burst_is_a_few_parts(self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream) -> None:
        upstream.will(stream(stream_of(response(message("x" * 500)), deltas=500)))
        own = queue(acme, stream=True)
        engine.run(worker, own)
        assert len(followed(acme, own)) == 509
        assert len(journal(acme.deps, own)) < 60
