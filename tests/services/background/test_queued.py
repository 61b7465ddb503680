"""Background responses as their clients see them: queued, polled, followed, cancelled."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from convstore.errors import (
    CallWithoutOutput,
    ConversationLocked,
    IdempotencyMismatch,
    InvalidRequest,
    ParentUnfinished,
    PreviousResponseNotFound,
    ResponseNotFound,
    StorageUnavailable,
    UnsupportedParameter,
)
from convstore.services import conversations, queued, recovery, responses
from convstore.services.deps import Deps
from convstore.services.relay import Whole
from tests.conftest import FixedClock
from tests.local_upstream import LocalUpstream, answer, blocks_of, function_call, message, response, stream_of
from tests.services.background.conftest import STREAMED, Engine, Pace, followed, journal, polled, queue, told
from tests.services.conftest import Asker


def created(acme: Asker, **members: Any) -> dict[str, Any]:
    answer = acme.create(background=True, **members)
    assert isinstance(answer, Whole)
    return dict(json.loads(answer.body))


class TestCreate:
    def test_it_is_queued_at_once_and_complete(self, acme: Asker, upstream: LocalUpstream, engine: Engine) -> None:
        given = created(acme, metadata={"a": "b"}, temperature=0.5, user="u")
        assert (given["status"], given["background"], given["store"], given["output"]) == ("queued", True, True, [])
        assert (given["metadata"], given["temperature"], given["user"], given["usage"]) == ({"a": "b"}, 0.5, "u", None)
        assert list(engine.jobs) == [given["id"]]
        assert polled(acme, given["id"]) == given
        # Asked by nobody but a worker.
        assert all("Noise" in str(each.body) for each in upstream.questions)

    def test_other_responses_say_that_they_are_none(self, acme: Asker) -> None:
        assert acme.ask()["background"] is False
        assert acme.ask(background=False)["background"] is False

    def test_without_its_job_there_is_no_response(self, acme: Asker, engine: Engine) -> None:
        engine.fails = True
        with pytest.raises(RuntimeError):
            queue(acme)
        assert acme.statuses() == []

    def test_without_an_engine_there_are_none(self, acme: Asker, deps: Deps) -> None:
        acme.deps = replace(deps, enqueue=None)
        with pytest.raises(UnsupportedParameter) as refused:
            queue(acme)
        assert refused.value.param == "background"
        assert acme.statuses() == []

    @pytest.mark.parametrize("stream", STREAMED)
    def test_what_is_wrong_is_said_at_once(
        self, acme: Asker, globex: Asker, upstream: LocalUpstream, engine: Engine, stream: bool
    ) -> None:
        upstream.will(answer(function_call("call_1")))
        parent = acme.ask()["id"]
        theirs = globex.ask()["id"]
        for error, members in (
            (CallWithoutOutput, {"after": parent}),
            (PreviousResponseNotFound, {"after": theirs}),
            (ParentUnfinished, {"after": queue(acme)}),
        ):
            with pytest.raises(error):
                queue(acme, stream=stream, **members)
        assert len(engine.jobs) == 1

    def test_store_false_is_refused(self, acme: Asker) -> None:
        with pytest.raises(InvalidRequest) as refused:
            queue(acme, store=False)
        assert (refused.value.param, refused.value.code) == ("background", "invalid_value")
        assert acme.statuses() == []

    @pytest.mark.parametrize(
        ("secret", "param"),
        [
            ({"authorization": "s3cret"}, "tools[1].authorization"),
            ({"headers": {"X-Key": "s3cret"}}, "tools[1].headers"),
        ],
    )
    def test_so_are_secrets_that_nobody_would_know_any_more(self, acme: Asker, secret: Any, param: str) -> None:
        tools = [{"type": "web_search"}, {"type": "mcp", "server_label": "s", "server_url": "https://x", **secret}]
        with pytest.raises(UnsupportedParameter) as refused:
            queue(acme, tools=tools)
        assert refused.value.param == param
        assert "s3cret" not in refused.value.message
        assert acme.statuses() == []
        # Without the background they go upstream, and nowhere else.
        acme.ask(tools=tools)
        # And an MCP server that needs none is no reason to refuse.
        queue(acme, tools=[{"type": "mcp", "server_label": "s", "server_url": "https://x", "headers": {}}])


class TestIdempotency:
    @pytest.mark.parametrize("stream", STREAMED)
    def test_the_same_request_is_the_same_response(
        self, acme: Asker, worker: Deps, engine: Engine, stream: bool
    ) -> None:
        first = queue(acme, key="k", stream=stream)
        assert queue(acme, key="k", stream=stream) == first
        assert list(engine.jobs) == [first]
        engine.run(worker, first)
        again = acme.create(background=True, key="k", stream=stream)
        assert again.response_id == first
        if stream:
            assert list(blocks_of(b"".join(again)))[-1]["response"] == polled(acme, first)
        else:
            assert isinstance(again, Whole)
            assert json.loads(again.body)["status"] == "completed"

    def test_another_request_is_refused(self, acme: Asker) -> None:
        queue(acme, key="k")
        with pytest.raises(IdempotencyMismatch):
            queue(acme, "Another?", key="k")

    def test_one_that_failed_stays_the_answer(
        self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream
    ) -> None:
        upstream.will(lambda exchange: exchange.whole(500, b"{}"))
        first = queue(acme, key="k")
        engine.run(worker, first)
        assert polled(acme, first)["status"] == "failed"
        assert queue(acme, key="k") == first


class TestPolling:
    def test_what_has_arrived_is_there(
        self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream
    ) -> None:
        pace = Pace()
        upstream.will(pace)
        own = queue(acme)
        running = engine.start(worker, own)
        told(acme.deps, own, pace.text)
        given = polled(acme, own)
        (item,) = given["output"]
        assert (given["status"], item["status"], item["content"][0]["text"]) == (
            "in_progress",
            "in_progress",
            pace.text,
        )
        assert given["usage"] is None
        pace.rest.set()
        running.join(20)
        final = polled(acme, own)
        assert (final["status"], final["output"][0]["id"]) == ("completed", item["id"])

    def test_each_poll_reads_only_what_is_new(
        self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream
    ) -> None:
        paces = [Pace(first=5), Pace(first=8)]
        upstream.will(*paces)
        own, other = queue(acme), queue(acme)
        for each, pace in zip((own, other), paces, strict=True):
            engine.start(worker, each)
            told(acme.deps, each, pace.text)
        for _ in range(2):
            texts = [polled(acme, each)["output"][0]["content"][0]["text"] for each in (own, other)]
            assert texts == [pace.text for pace in paces]
        for pace in paces:
            pace.rest.set()
        engine.settle()
        assert {polled(acme, each)["status"] for each in (own, other)} == {"completed"}

    def test_not_by_others(self, acme: Asker, globex: Asker) -> None:
        with pytest.raises(ResponseNotFound):
            polled(globex, queue(acme))


class TestFollow:
    def test_the_events_in_their_order(
        self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream
    ) -> None:
        own = queue(acme, stream=True)
        engine.run(worker, own)
        events = followed(acme, own)
        assert [event["type"] for event in events[:4]] == [
            "response.created",
            "response.queued",
            "response.in_progress",
            "response.output_item.added",
        ]
        assert [event["response"]["status"] for event in events[:3]] == ["queued", "queued", "in_progress"]
        assert all(event["response"]["background"] for event in events[:3])
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert events[-1] == {
            "type": "response.completed",
            "sequence_number": len(events) - 1,
            "response": polled(acme, own),
        }

    def test_it_begins_before_any_worker_does(
        self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream
    ) -> None:
        answer = acme.create(background=True, stream=True)
        assert not isinstance(answer, Whole)
        source = iter(answer)
        assert [event["type"] for event in blocks_of(next(source))] == ["response.created", "response.queued"]
        engine.start(worker, answer.response_id)
        assert list(blocks_of(b"".join(source)))[-1]["type"] == "response.completed"

    @pytest.mark.parametrize("after", range(-1, 10))
    def test_from_any_number_on(
        self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream, after: int
    ) -> None:
        own = queue(acme, stream=True)
        engine.run(worker, own)
        whole = followed(acme, own)
        assert followed(acme, own, after) == whole[after + 1 :]

    def test_not_beyond_the_end(self, acme: Asker, worker: Deps, engine: Engine) -> None:
        own = queue(acme, stream=True)
        with pytest.raises(InvalidRequest) as refused:
            followed(acme, own, 2)
        assert (refused.value.param, refused.value.code) == ("starting_after", "integer_above_max_value")
        assert "<= 1, the number of the newest event, but got 2" in refused.value.message
        engine.run(worker, own)
        last = len(followed(acme, own)) - 1
        assert followed(acme, own, last) == []
        with pytest.raises(InvalidRequest):
            followed(acme, own, last + 1)

    def test_one_that_was_not_streamed_cannot_be_followed(self, acme: Asker, worker: Deps, engine: Engine) -> None:
        own = queue(acme)
        for _ in range(2):
            with pytest.raises(InvalidRequest) as refused:
                followed(acme, own)
            assert refused.value.param == "stream"
            engine.run(worker, own)

    def test_nor_can_anybody_elses(self, acme: Asker, globex: Asker) -> None:
        with pytest.raises(ResponseNotFound):
            followed(globex, queue(acme, stream=True))

    def test_finished_ones_that_never_were_in_the_background_can(self, acme: Asker) -> None:
        own = acme.ask()["id"]
        events = followed(acme, own)
        assert followed(acme, own, 3) == events[4:]
        assert followed(acme, own, len(events) - 1) == []
        with pytest.raises(InvalidRequest, match="<= 8, "):
            followed(acme, own, len(events))


class TestWhenTheJournalIsGone:
    @pytest.fixture
    def own(self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream, clock: FixedClock) -> str:
        upstream.will(Pace(blocks=BLOCKS_OF_40, first=len(BLOCKS_OF_40)))
        own = queue(acme, stream=True)
        engine.run(worker, own)
        return own

    def test_it_is_kept_for_a_while(self, acme: Asker, own: str, clock: FixedClock) -> None:
        whole = followed(acme, own)
        clock.advance(seconds=3599)
        recovery.drop_journals(acme.deps)
        assert followed(acme, own) == whole

    def test_then_its_events_are_made_anew(self, acme: Asker, own: str, clock: FixedClock) -> None:
        whole = followed(acme, own)
        clock.advance(seconds=3601)
        assert recovery.drop_journals(acme.deps) >= 1
        assert journal(acme.deps, own) == []
        events = followed(acme, own)
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert [event["type"] for event in events[:4]] == [event["type"] for event in whole[:4]]
        assert events[-1]["response"] == whole[-1]["response"]
        assert followed(acme, own) == events
        assert followed(acme, own, 2) == events[3:]

    def test_who_had_seen_more_than_there_is_now_gets_the_end(self, acme: Asker, own: str, clock: FixedClock) -> None:
        whole = followed(acme, own)
        clock.advance(seconds=3601)
        recovery.drop_journals(acme.deps)
        assert len(followed(acme, own)) < 30 < len(whole)
        assert followed(acme, own, 30) == whole[-1:]
        assert followed(acme, own, len(whole) - 1) == []
        with pytest.raises(InvalidRequest):
            followed(acme, own, len(whole))

    def test_what_is_kept_can_be_set(self, acme: Asker, own: str, clock: FixedClock) -> None:
        clock.advance(seconds=1)
        recovery.drop_journals(replace(acme.deps, journal_kept=timedelta(0)))
        assert journal(acme.deps, own) == []

    def test_one_that_is_only_polled_leaves_none(self, acme: Asker, worker: Deps, engine: Engine) -> None:
        own = queue(acme)
        engine.run(worker, own)
        assert journal(acme.deps, own) == []


BLOCKS_OF_40 = stream_of(response(message("x" * 40)), deltas=40)


class TestCancel:
    @pytest.mark.parametrize("stream", STREAMED)
    def test_one_that_waits_is_ended_at_once(
        self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream, stream: bool
    ) -> None:
        own = queue(acme, stream=stream)
        asked = len(upstream.questions)
        given = json.loads(responses.cancel(acme.deps, acme.principal, own))
        assert (given["status"], given["output"], given["usage"], given["error"]) == ("cancelled", [], None, None)
        assert given == polled(acme, own) == json.loads(responses.cancel(acme.deps, acme.principal, own))
        engine.run(worker, own)
        assert len(upstream.questions) == asked
        assert polled(acme, own) == given
        if stream:
            kinds = [event["type"] for event in followed(acme, own)]
            assert kinds == ["response.created", "response.queued", "response.incomplete"]
            assert followed(acme, own)[-1]["response"] == given

    def test_one_that_has_ended_stays_as_it_is(self, acme: Asker, worker: Deps, engine: Engine) -> None:
        own = queue(acme)
        engine.run(worker, own)
        final = polled(acme, own)
        assert json.loads(responses.cancel(acme.deps, acme.principal, own)) == final
        assert polled(acme, own) == final

    def test_one_that_nobody_answers_for_is_told_as_it_is(
        self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queued, "PATIENCE_S", 0.05)
        monkeypatch.setattr("convstore.services.writer.LOOK_S", 60.0)
        pace = Pace()
        upstream.will(pace)
        own = queue(acme)
        engine.start(worker, own)
        told(acme.deps, own, pace.text)
        given = json.loads(responses.cancel(acme.deps, acme.principal, own))
        assert given["status"] == "in_progress"
        pace.rest.set()

    def test_a_synchronous_one_cannot_be(self, acme: Asker) -> None:
        own = acme.ask()["id"]
        with pytest.raises(InvalidRequest, match=r"^Cannot cancel a synchronous response\.$"):
            responses.cancel(acme.deps, acme.principal, own)

    def test_nor_what_is_not_there(self, acme: Asker, globex: Asker) -> None:
        own = queue(acme)
        for asker, missing in ((acme, "resp_x"), (globex, own)):
            with pytest.raises(ResponseNotFound):
                responses.cancel(asker.deps, asker.principal, missing)
        assert polled(acme, own)["status"] == "queued"
        responses.delete(acme.deps, acme.principal, own)
        with pytest.raises(ResponseNotFound):
            responses.cancel(acme.deps, acme.principal, own)


class TestInAConversation:
    @pytest.fixture
    def conversation(self, acme: Asker) -> str:
        return conversations.create(acme.deps, acme.principal, b"{}", [], "req_1").id

    def test_nobody_else_writes_there_until_it_has_ended(
        self, acme: Asker, conversation: str, worker: Deps, engine: Engine
    ) -> None:
        own = queue(acme, "1?", conversation=conversation)
        for background in (True, False):
            with pytest.raises(ConversationLocked):
                acme.create("2?", conversation=conversation, background=background)
        engine.run(worker, own)
        assert acme.ask("2?", conversation=conversation)["conversation"] == {"id": conversation}
        assert polled(acme, own)["conversation"] == {"id": conversation}

    def test_nor_once_it_was_cancelled(self, acme: Asker, conversation: str) -> None:
        own = queue(acme, "1?", conversation=conversation)
        responses.cancel(acme.deps, acme.principal, own)
        assert acme.ask("2?", conversation=conversation)["status"] == "completed"


class TestDelete:
    def test_it_is_hidden_and_goes_on(self, acme: Asker, worker: Deps, engine: Engine) -> None:
        own = queue(acme, stream=True)
        responses.delete(acme.deps, acme.principal, own)
        for act in (polled, followed):
            with pytest.raises(ResponseNotFound):
                act(acme, own)
        engine.run(worker, own)
        assert acme.stored(own).status == "completed"


class TestStorage:
    def test_a_database_that_is_away_is_said_so(self, acme: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
        def away(*_: Any, **__: Any) -> None:
            raise StorageUnavailable

        monkeypatch.setattr("convstore.storage.background.queue", away)
        with pytest.raises(StorageUnavailable):
            queue(acme)
