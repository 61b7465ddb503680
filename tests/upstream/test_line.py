"""A call that is hung up on: whatever it waits for, it ends at once, and no other call is hurt."""

import threading
import time
from collections.abc import Iterator

import pytest

from convstore.errors import UpstreamError, UpstreamHungUp
from convstore.schemas.responses import create_request
from convstore.upstream.client import Attempts, Upstream
from convstore.upstream.dialects import Question
from convstore.upstream.line import Line
from tests.conftest import upstream_settings
from tests.local_upstream import (
    Behaviour,
    Exchange,
    LocalUpstream,
    answer,
    error,
    response,
    silence,
    stream_of,
    wait_until,
)
from tests.losses.providers import dead_ends

REQUEST = create_request(b'{"model":"gpt-5.4","input":"Hello?","stream":true}')
QUESTION = Question(REQUEST, "gpt-5.4", [item.body for item in REQUEST.items], 1)


@pytest.fixture
def provider(upstream: LocalUpstream) -> Iterator[Upstream]:
    made = Upstream(upstream_settings(upstream, read_timeout_s=60.0), pool=4)
    yield made
    made.close()


class Caller(threading.Thread):
    """Somebody who calls, and reads the answer."""

    def __init__(self, provider: Upstream) -> None:
        super().__init__(daemon=True)
        self.provider = provider
        self.line = Line()
        self.attempts = Attempts()
        self.read = b""
        self.raised: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            answered = self.provider.ask(QUESTION, self.attempts, self.line)
            try:
                for chunk in answered.reply.chunks():
                    self.read += chunk
            finally:
                answered.reply.close()
        except UpstreamError as error:
            self.raised = error

    def ends_soon(self) -> bool:
        self.join(1)
        return not self.is_alive()


def stalls_after(head: bool, noticed: list[bool]) -> Behaviour:
    """No more than the head of an answer, or a first event; then nothing until the other side hangs up."""

    def behave(exchange: Exchange) -> None:
        exchange.start_chunks()
        if not head:
            exchange.chunk(stream_of(response())[0])
        noticed.append(exchange.is_left_alone(20))

    return behave


def asked(upstream: LocalUpstream) -> None:
    wait_until(lambda: upstream.questions)


class TestHangUp:
    def test_while_the_upstream_says_nothing(self, provider: Upstream, upstream: LocalUpstream) -> None:
        until = threading.Event()
        upstream.will(silence(until))
        caller = Caller(provider)
        asked(upstream)
        caller.line.hang_up()
        assert caller.ends_soon()
        assert isinstance(caller.raised, UpstreamHungUp)
        assert [each["error"] for each in caller.attempts.made] == ["cancelled"]
        until.set()

    @pytest.mark.parametrize("head", [True, False], ids=["after the head", "after an event"])
    def test_while_it_answers(self, provider: Upstream, upstream: LocalUpstream, head: bool) -> None:
        noticed: list[bool] = []
        upstream.will(stalls_after(head, noticed))
        caller = Caller(provider)
        asked(upstream)
        wait_until(lambda: head or caller.read)
        time.sleep(0.05)
        caller.line.hang_up()
        assert caller.ends_soon()
        wait_until(lambda: noticed)
        assert noticed == [True]

    def test_before_another_attempt(self, upstream: LocalUpstream) -> None:
        provider = Upstream(upstream_settings(upstream, retries=3), pool=4)
        upstream.will(*[error(503, headers={"Retry-After": "8"})] * 4)
        caller = Caller(provider)
        asked(upstream)
        time.sleep(0.05)
        caller.line.hang_up()
        assert caller.ends_soon()
        assert isinstance(caller.raised, UpstreamHungUp)
        assert len(upstream.questions) == 1
        provider.close()

    def test_before_it_was_made(self, provider: Upstream, upstream: LocalUpstream) -> None:
        line = Line()
        line.hang_up()
        with pytest.raises(UpstreamHungUp):
            provider.ask(QUESTION, Attempts(), line)

    def test_while_nobody_takes_it_up(self, upstream: LocalUpstream) -> None:
        """A connection that is being made is not ended, but nothing is asked over it."""
        with dead_ends() as nowhere:
            provider = Upstream(upstream_settings(upstream, url=nowhere.full, connect_timeout_s=0.5, retries=3), pool=4)
            caller = Caller(provider)
            time.sleep(0.1)
            caller.line.hang_up()
            caller.join(5)
            assert not caller.is_alive()
            assert len(caller.attempts.made) == 1
            provider.close()

    def test_as_often_as_one_likes(self, provider: Upstream, upstream: LocalUpstream) -> None:
        caller = Caller(provider)
        caller.join(20)
        for _ in range(3):
            caller.line.hang_up()
        assert b"response.completed" in caller.read


class TestTheNextCall:
    def test_a_call_that_has_ended_takes_nobody_elses_connection_with_it(
        self, provider: Upstream, upstream: LocalUpstream
    ) -> None:
        first = Caller(provider)
        first.join(20)
        go_on = threading.Event()

        def waits(exchange: Exchange) -> None:
            assert go_on.wait(20)
            answer("Still here.")(exchange)

        upstream.will(waits)
        second = Caller(provider)
        wait_until(lambda: len(upstream.questions) == 2)
        assert upstream.accepted == 1  # over the same connection
        first.line.hang_up()
        go_on.set()
        second.join(20)
        assert second.raised is None
        assert b"Still here." in second.read

    def test_the_breaker_does_not_count_it(self, upstream: LocalUpstream) -> None:
        provider = Upstream(upstream_settings(upstream, breaker_failures=2), pool=4)
        until = threading.Event()
        upstream.will(*[silence(until)] * 4)
        for number in range(1, 5):
            caller = Caller(provider)
            wait_until(lambda number=number: len(upstream.questions) == number)
            caller.line.hang_up()
            assert caller.ends_soon()
        until.set()
        last = Caller(provider)
        last.join(20)
        assert last.raised is None
        provider.close()


def test_a_call_without_a_line_is_as_ever(provider: Upstream, upstream: LocalUpstream) -> None:
    answered = provider.ask(QUESTION, Attempts())
    assert b"response.completed" in answered.reply.body()
    answered.reply.close()
