"""What a worker that died leaves behind: asked again while nothing had begun, closed with what had arrived after that.

The dead are not quite dead here: they go on behind the back of whoever took over, and must do no harm.
"""

import json
import threading
from typing import Any

import pytest

from convstore.errors import StorageUnavailable
from convstore.services import hand, projects, recovery, responses
from convstore.services.deps import Deps
from convstore.storage import background, everywhere, journals
from convstore.storage.everywhere import Process
from tests.local_upstream import LocalUpstream, message, response, silence, stream_of, wait_until
from tests.services.background.conftest import (
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

STOPPED = {"code": "server_error", "message": "The service stopped while the answer was arriving."}
INTERRUPTED = {"upstream": "local", "status": 200, "error": "interrupted"}


@pytest.fixture
def dead(deps: Deps) -> Deps:
    """The process that is taken for dead."""
    return another(deps)


def retrying(acme: Asker) -> None:
    projects.change(acme.deps, acme.principal.project, background_retry="yes")


def begun(acme: Asker, dead: Deps, engine: Engine, upstream: LocalUpstream, pace: Pace, **members: Any) -> str:
    """A response of which a process that died had heard as much as the pace says."""
    upstream.will(pace)
    own = queue(acme, **members)
    engine.start(dead, own)
    told(acme.deps, own, pace.text)
    return own


def attempts(acme: Asker, own: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in each.items() if name != "ms"} for each in acme.stored(own).attempts]


class TestBeforeTheCall:
    @pytest.mark.parametrize("stream", STREAMED)
    def test_one_that_waited_is_run(self, acme: Asker, worker: Deps, engine: Engine, stream: bool) -> None:
        own = queue(acme, stream=stream)
        engine.run(worker, own, resumed=True)
        assert polled(acme, own)["status"] == "completed"
        assert attempts(acme, own) == []

    @pytest.mark.parametrize("stream", STREAMED)
    def test_one_that_was_just_taken_up_is_run_again(
        self, acme: Asker, dead: Deps, worker: Deps, engine: Engine, upstream: LocalUpstream, stream: bool
    ) -> None:
        until = threading.Event()
        upstream.will(silence(until))
        asked = len(upstream.questions)
        own = queue(acme, stream=stream)
        engine.start(dead, own)
        wait_until(lambda: len(upstream.questions) > asked)
        engine.run(worker, own, resumed=True)
        given = polled(acme, own)
        assert given["status"] == "completed"
        assert attempts(acme, own) == [
            {"upstream": "local", "error": "interrupted"},
            {"upstream": "local", "status": 200},
        ]
        if stream:
            events = followed(acme, own)
            kinds = [event["type"] for event in events]
            assert kinds[:4] == [
                "response.created",
                "response.queued",
                "response.in_progress",
                "response.output_item.added",
            ]
            assert [event["sequence_number"] for event in events] == list(range(len(events)))
        until.set()
        engine.settle()
        assert polled(acme, own) == given

    def test_one_that_takes_every_worker_with_it_is_closed(
        self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream
    ) -> None:
        until = threading.Event()
        own = queue(acme, stream=True)
        for number in range(hand.MOST_ATTEMPTS):
            upstream.will(silence(until))
            asked = len(upstream.questions)
            engine.start(another(worker), own, resumed=number > 0)
            wait_until(lambda asked=asked: len(upstream.questions) > asked)
        asked = len(upstream.questions)
        engine.run(worker, own, resumed=True)
        given = polled(acme, own)
        assert (given["status"], given["error"]) == ("failed", STOPPED)
        assert len(upstream.questions) == asked
        assert [each["error"] for each in attempts(acme, own)] == ["interrupted"] * hand.MOST_ATTEMPTS
        assert followed(acme, own)[-1]["type"] == "response.failed"
        until.set()


class TestOnceTheUpstreamHadBegun:
    @pytest.mark.parametrize("stream", STREAMED)
    def test_it_is_closed_with_what_had_arrived(
        self, acme: Asker, dead: Deps, worker: Deps, engine: Engine, upstream: LocalUpstream, stream: bool
    ) -> None:
        pace = Pace()
        own = begun(acme, dead, engine, upstream, pace, stream=stream)
        asked = len(upstream.questions)
        engine.run(worker, own, resumed=True)
        given = polled(acme, own)
        (item,) = given["output"]
        assert (given["status"], given["error"], given["incomplete_details"]) == ("incomplete", STOPPED, None)
        assert (item["status"], item["content"][0]["text"]) == ("incomplete", pace.text)
        assert len(upstream.questions) == asked
        assert attempts(acme, own) == [INTERRUPTED]
        events = followed(acme, own) if stream else []
        if stream:
            assert [event["sequence_number"] for event in events] == list(range(len(events)))
            assert (events[-1]["type"], events[-1]["response"]) == ("response.incomplete", given)
        # Whatever the dead one hears now, it is too late.
        pace.rest.set()
        engine.settle()
        assert polled(acme, own) == given
        assert (followed(acme, own) if stream else []) == events

    def test_it_can_be_continued(
        self, acme: Asker, dead: Deps, worker: Deps, engine: Engine, upstream: LocalUpstream
    ) -> None:
        pace = Pace()
        own = begun(acme, dead, engine, upstream, pace, input="1?")
        engine.run(worker, own, resumed=True)
        acme.ask("2?", after=own)
        words = [item["content"][0]["text"] for item in upstream.questions[-1].body["input"]]
        assert words == ["1?", pace.text, "2?"]
        history = [{"role": "user", "content": "1?"}, *polled(acme, own)["output"], {"role": "user", "content": "3?"}]
        assert acme.stored(acme.ask(history)["id"]).parent_id == own
        pace.rest.set()

    @pytest.mark.parametrize("stream", STREAMED)
    def test_though_it_had_said_nothing(
        self, acme: Asker, dead: Deps, worker: Deps, engine: Engine, upstream: LocalUpstream, stream: bool
    ) -> None:
        """It thinks, and that is paid for."""
        pace = Pace(first=0)
        upstream.will(pace)
        own = queue(acme, stream=stream)
        engine.start(dead, own)
        wait_until(lambda: any(part.first is None for part in journal(acme.deps, own)))
        asked = len(upstream.questions)
        engine.run(worker, own, resumed=True)
        given = polled(acme, own)
        assert (given["status"], given["output"], given["error"]) == ("incomplete", [], STOPPED)
        assert len(upstream.questions) == asked
        pace.rest.set()


class TestWhereTheProjectWantsItAskedAgain:
    def test_one_that_is_polled_is_answered_in_full(
        self, acme: Asker, dead: Deps, worker: Deps, engine: Engine, upstream: LocalUpstream
    ) -> None:
        retrying(acme)
        pace = Pace()
        own = begun(acme, dead, engine, upstream, pace)
        assert polled(acme, own)["output"][0]["content"][0]["text"] == pace.text
        second = Pace(blocks=stream_of(response(message("From the beginning.")), deltas=4), first=6)
        upstream.will(second)
        engine.start(worker, own, resumed=True)
        told(acme.deps, own, second.text)
        # Nothing of the first attempt is mixed in.
        assert polled(acme, own)["output"][0]["content"][0]["text"] == second.text
        second.rest.set()
        wait_until(lambda: polled(acme, own)["status"] == "completed")
        assert polled(acme, own)["output"][0]["content"][0]["text"] == "From the beginning."
        first, last = attempts(acme, own)
        assert last == {"upstream": "local", "status": 200}
        assert {**first, "output": None} == {**INTERRUPTED, "output": None}
        assert first["output"][0]["content"][0]["text"] == pace.text
        pace.rest.set()

    def test_so_is_one_of_which_no_follower_has_seen_anything(
        self, acme: Asker, dead: Deps, worker: Deps, engine: Engine, upstream: LocalUpstream
    ) -> None:
        retrying(acme)
        pace = Pace(first=0)
        upstream.will(pace)
        own = queue(acme, stream=True)
        engine.start(dead, own)
        wait_until(lambda: any(part.first is None for part in journal(acme.deps, own)))
        engine.run(worker, own, resumed=True)
        events = followed(acme, own)
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert events[-1]["type"] == "response.completed"
        assert attempts(acme, own) == [INTERRUPTED, {"upstream": "local", "status": 200}]
        pace.rest.set()

    def test_what_was_seen_cannot_be_taken_back(
        self, acme: Asker, dead: Deps, worker: Deps, engine: Engine, upstream: LocalUpstream
    ) -> None:
        retrying(acme)
        pace = Pace()
        own = begun(acme, dead, engine, upstream, pace, stream=True)
        engine.run(worker, own, resumed=True)
        assert polled(acme, own)["status"] == "incomplete"
        assert attempts(acme, own) == [INTERRUPTED]
        pace.rest.set()

    def test_not_for_ever(self, acme: Asker, dead: Deps, worker: Deps, engine: Engine, upstream: LocalUpstream) -> None:
        retrying(acme)
        paces = [Pace(first=5 + number) for number in range(hand.MOST_ATTEMPTS)]
        own = begun(acme, dead, engine, upstream, paces[0])
        for pace in paces[1:]:
            upstream.will(pace)
            engine.start(another(worker), own, resumed=True)
            told(acme.deps, own, pace.text)
        engine.run(worker, own, resumed=True)
        given = polled(acme, own)
        assert given["output"][0]["content"][0]["text"] == paces[-1].text
        assert [each["error"] for each in attempts(acme, own)] == ["interrupted"] * hand.MOST_ATTEMPTS
        for pace in paces:
            pace.rest.set()


class TestCancelled:
    @pytest.mark.parametrize("stream", STREAMED)
    def test_one_that_was_to_be_cancelled_is(
        self, acme: Asker, dead: Deps, worker: Deps, engine: Engine, upstream: LocalUpstream, stream: bool
    ) -> None:
        retrying(acme)
        pace = Pace()
        own = begun(acme, dead, engine, upstream, pace, stream=stream)
        # The other one has died: nobody looks at the flag.
        found = background.take_over(acme.deps.database, acme.principal.project_id, own, b"dead" * 4)
        assert found is not None
        given = json.loads(responses.cancel(acme.deps, acme.principal, own))
        assert given["status"] == "in_progress"
        engine.run(worker, own, resumed=True)
        final = polled(acme, own)
        assert (final["status"], final["error"]) == ("cancelled", None)
        assert final["output"][0]["content"][0]["text"] == pace.text
        if stream:
            assert followed(acme, own)[-1]["response"] == final
        pace.rest.set()


class TestTwoAtATime:
    def test_there_is_one_answer_and_one_stream(
        self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream
    ) -> None:
        """The engine sees to it that it never comes to this."""
        own = queue(acme, stream=True)
        for _ in range(4):
            engine.start(another(worker), own)
        engine.settle()
        given, events = polled(acme, own), followed(acme, own)
        assert given["status"] in ("completed", "incomplete")
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert events[-1]["response"] == given

    def test_one_that_was_taken_for_dead_ends_by_itself(
        self, acme: Asker, dead: Deps, worker: Deps, engine: Engine, upstream: LocalUpstream
    ) -> None:
        pace = Pace()
        upstream.will(pace)
        own = queue(acme, stream=True)
        running = engine.start(dead, own)
        told(acme.deps, own, pace.text)
        engine.run(worker, own, resumed=True)
        # It hears of it although the upstream says nothing more, and hangs up.
        running.join(2)
        assert not running.is_alive()
        wait_until(lambda: pace.left, 2)

    def test_though_it_has_the_whole_answer(
        self,
        acme: Asker,
        dead: Deps,
        worker: Deps,
        engine: Engine,
        upstream: LocalUpstream,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("convstore.services.writer.LOOK_S", 60.0)
        pace = Pace()
        own = begun(acme, dead, engine, upstream, pace)
        engine.run(worker, own, resumed=True)
        given = polled(acme, own)
        pace.rest.set()
        engine.settle()
        assert polled(acme, own) == given
        assert given["status"] == "incomplete"


class TestSweeping:
    def test_what_a_worker_will_take_over_is_not_closed(
        self, acme: Asker, dead: Deps, worker: Deps, engine: Engine, upstream: LocalUpstream
    ) -> None:
        now = acme.deps.clock()
        with acme.deps.database.transaction() as connection:
            # Of another machine, and silent for long.
            everywhere.enter(connection, Process(dead.process, "another machine", 1, now, now.replace(year=2020)))
        pace = Pace()
        own = begun(acme, dead, engine, upstream, pace)
        recovery.sweep(acme.deps)
        assert polled(acme, own)["status"] == "in_progress"
        with acme.deps.database.connection() as connection:
            assert dead.process in {each.id for each in everywhere.processes(connection)}
        engine.run(worker, own, resumed=True)
        assert polled(acme, own)["status"] == "incomplete"
        recovery.sweep(acme.deps)
        with acme.deps.database.connection() as connection:
            assert dead.process not in {each.id for each in everywhere.processes(connection)}
        pace.rest.set()


class TestADatabaseThatIsAway:
    """SQLite and PostgreSQL alike: what fails is every write, for a while."""

    def failing(self, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, times: int) -> list[int]:
        left = [times]
        real = getattr(where, name)

        def away(*args: Any, **kwargs: Any) -> Any:
            if left[0] > 0:
                left[0] -= 1
                raise StorageUnavailable
            return real(*args, **kwargs)

        monkeypatch.setattr(where, name, away)
        return left

    def test_before_it_was_taken_up_the_engine_is_told(
        self, acme: Asker, worker: Deps, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = queue(acme, stream=True)
        self.failing(monkeypatch, background, "take_up", 1)
        with pytest.raises(StorageUnavailable):
            engine.run(worker, own)
        assert polled(acme, own)["status"] == "queued"
        engine.run(worker, own)
        assert polled(acme, own)["status"] == "completed"

    def test_the_answer_waits_for_it(
        self, acme: Asker, worker: Deps, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = queue(acme, stream=True)
        left = self.failing(monkeypatch, background, "end", 3)
        engine.run(worker, own)
        assert left == [0]
        events = followed(acme, own)
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert events[-1]["response"]["status"] == "completed"

    def test_so_do_events_and_none_is_lost(
        self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pace = Pace()
        upstream.will(pace)
        own = queue(acme, stream=True)
        left = self.failing(monkeypatch, journals, "append", 2)
        engine.start(worker, own)
        wait_until(lambda: left == [0])
        told(acme.deps, own, pace.text)
        pace.rest.set()
        engine.settle()
        events = followed(acme, own)
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert "".join(event["delta"] for event in events if "delta" in event) == TEXT

    def test_a_write_of_which_nobody_knows_whether_it_was_kept_is_repeated(
        self, acme: Asker, worker: Deps, engine: Engine, upstream: LocalUpstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = journals.append
        left = [3]

        def lost(*args: Any) -> Any:
            done = real(*args)
            if left[0] > 0:
                left[0] -= 1
                raise StorageUnavailable
            return done

        monkeypatch.setattr(journals, "append", lost)
        pace = Pace()
        upstream.will(pace)
        own = queue(acme, stream=True)
        engine.start(worker, own)
        told(acme.deps, own, pace.text)
        pace.rest.set()
        engine.settle()
        events = followed(acme, own)
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert "".join(event["delta"] for event in events if "delta" in event) == TEXT


class TestNobody:
    def test_elses_responses_are_touched(
        self, acme: Asker, dead: Deps, worker: Deps, engine: Engine, upstream: LocalUpstream
    ) -> None:
        other = asker(acme.deps, "initech")
        pace = Pace()
        theirs = begun(other, dead, engine, upstream, pace)
        own = queue(acme)
        engine.run(worker, own)
        assert polled(other, theirs)["status"] == "in_progress"
        pace.rest.set()
        engine.settle()
        assert polled(other, theirs)["status"] == "completed"
