"""One upstream: asking it, with bounded retries, a breaker, and a record of every attempt.

An attempt is repeated only where the upstream cannot have begun to answer: it could not be reached, or it said
itself that it did not (429, 502, 503, 504). Once a byte of an answer was read, nothing is ever asked again.
"""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pybreaker

from convstore.config import UpstreamSettings
from convstore.domain import jsontext
from convstore.domain.jsontext import NotJson
from convstore.domain.request import CreateRequest
from convstore.errors import UpstreamBusy, UpstreamError, UpstreamHungUp, UpstreamRefused, UpstreamUnreachable
from convstore.telemetry import metrics
from convstore.upstream import dialects, failures
from convstore.upstream.dialects import Dialect, Question
from convstore.upstream.line import Line
from convstore.upstream.transport import Reply, Transport

RETRIED_STATUSES = frozenset({429, 502, 503, 504})
FIRST_WAIT_S = 0.25
# An error body longer than this is not an error message.
ERROR_BODY = 65536


@dataclass(slots=True)
class Attempts:
    """What was tried, as it is kept with the exchange: [{upstream, ms, status?, error?}, …]."""

    made: list[dict[str, Any]] = field(default_factory=list)

    def noteworthy(self) -> list[dict[str, Any]]:
        """Nothing, when the first attempt simply worked: most turns, and not worth a column."""
        return self.made if len(self.made) > 1 or any("error" in attempt for attempt in self.made) else []


@dataclass(slots=True)
class Answer:
    """An upstream that has begun to answer. previous_used: the upstream was left to know the history."""

    reply: Reply
    dialect: Dialect
    question: Question


class Upstream:
    """One provider endpoint. Safe to share between threads and greenlets."""

    def __init__(self, settings: UpstreamSettings, pool: int) -> None:
        self.settings = settings
        self.name = settings.name
        self.secrets = (settings.key,) if settings.key else ()
        self._dialect = dialects.of(settings)
        self._transport = Transport(settings, pool)
        self._breaker = pybreaker.CircuitBreaker(
            fail_max=settings.breaker_failures,
            reset_timeout=settings.breaker_pause_s,
            exclude=[_says_nothing_of_its_health],
            name=settings.name,
            throw_new_error_on_trip=False,
        )

    @property
    def keeps_state(self) -> bool:
        """Whether the upstream may be left to know the history."""
        return self.settings.dialect == "responses-stateful"

    def model_name(self, requested: str) -> str:
        """What the upstream calls the model."""
        return self.settings.aliases.get(requested, requested)

    def ask(self, question: Question, attempts: Attempts, line: Line | None = None) -> Answer:
        """Ask, and return when the upstream begins to answer. Raises UpstreamError, InvalidRequest.

        line: what the call, and the reading of its answer, can be ended by.
        """
        try:
            return self._with_retries(question, attempts, line)
        except UpstreamRefused as error:
            if question.previous is None or not _has_forgotten(error):
                raise
        # It no longer knows the parent; it is told everything instead.
        whole = Question(question.request, question.model, question.bodies, question.own)
        return self._with_retries(whole, attempts, line)

    def get(self, path: str) -> Any:
        """The JSON at a path of the upstream (its models). Raises UpstreamError."""
        reply = self._transport.send("GET", path, timeout_s=10.0)
        body = b"".join(reply.chunks())
        if reply.status >= 300:
            raise failures.of_status(reply.status, reply.headers, body, self.secrets)
        try:
            return jsontext.loads(body)
        except NotJson as error:
            raise UpstreamError("The model provider's list of models is not JSON.") from error

    def count_tokens(self, request: CreateRequest, bodies: Sequence[bytes]) -> int | None:
        """What the upstream counts for a request with this context; None when it cannot count."""
        if self.settings.dialect == "chat":
            return None
        body = dialects.count_body(request, self.model_name(request.model), bodies)
        try:
            reply = self._transport.send("POST", "/responses/input_tokens", body, timeout_s=10.0)
            counted = jsontext.loads(reply.body()) if reply.status == 200 else None
        except (UpstreamError, NotJson):
            return None
        tokens = counted.get("input_tokens") if isinstance(counted, dict) else None
        return tokens if isinstance(tokens, int) else None

    def close(self) -> None:
        self._transport.close()

    # -- inside -----------------------------------------------------------------------------------------------

    def _with_retries(self, question: Question, attempts: Attempts, line: Line | None) -> Answer:
        body = self._dialect.body(question)
        for remaining in range(self.settings.retries, -1, -1):
            try:
                return Answer(self._attempt(body, attempts, line), self._dialect, question)
            except UpstreamError as error:
                wait_s = self._wait(error, self.settings.retries - remaining)
                if remaining == 0 or wait_s is None:
                    raise
            if line is not None:
                line.wait(wait_s)
            else:
                time.sleep(wait_s)
        raise AssertionError("unreachable: the last round returns or raises")

    def _attempt(self, body: bytes, attempts: Attempts, line: Line | None) -> Reply:
        started = time.monotonic()
        attempt: dict[str, Any] = {"upstream": self.name}
        attempts.made.append(attempt)
        outcome = "error"
        try:
            with self._breaker.calling():
                reply = self._transport.send("POST", self._dialect.path, body, line=line)
                attempt["status"] = reply.status
                outcome = str(reply.status)
                if reply.status >= 300:
                    raise failures.of_status(reply.status, reply.headers, _beginning(reply), self.secrets)
                return reply
        except pybreaker.CircuitBreakerError as error:
            attempt["error"] = "breaker_open"
            busy = UpstreamBusy(retry_after_s=self.settings.breaker_pause_s)
            raise busy from error
        except UpstreamError as error:
            attempt["error"] = error.code or "upstream_error"
            raise
        finally:
            attempt["ms"] = round((time.monotonic() - started) * 1000)
            metrics.upstream_calls(self.name, outcome).inc()

    def _wait(self, error: UpstreamError, made: int) -> float | None:
        """How long to wait before trying again; None when that would not be safe, or would not help."""
        if isinstance(error, UpstreamRefused):
            if error.permanent or error.status not in RETRIED_STATUSES:
                return None
            if error.retry_after_s is not None:
                return error.retry_after_s if error.retry_after_s <= self.settings.retry_wait_max_s else None
            if error.status == 429:
                return None  # it did not say when; the client knows better how urgent it is
        elif not isinstance(error, UpstreamUnreachable):
            return None
        return FIRST_WAIT_S * float(2**made) * (0.5 + random.random())  # noqa: S311 -- spreads retries, hides nothing


def _beginning(reply: Reply) -> bytes:
    """The first bytes of an error's body; whatever goes wrong in reading it, the status is known."""
    collected = b""
    chunks: Iterator[bytes] = reply.chunks()
    try:
        while len(collected) < ERROR_BODY and (chunk := next(chunks, b"")):
            collected += chunk
    except UpstreamError:
        return collected
    finally:
        reply.close()
    return collected


def _says_nothing_of_its_health(error: Exception) -> bool:
    """Whether it was the request's fault, or our own wish."""
    return isinstance(error, UpstreamHungUp) or (isinstance(error, UpstreamRefused) and (error.status or 500) < 500)


def _has_forgotten(error: UpstreamRefused) -> bool:
    if error.code == "previous_response_not_found":
        return True
    return error.status in (400, 404) and (
        error.param == "previous_response_id" or "previous response" in error.message.lower()
    )
