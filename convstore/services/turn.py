"""One turn: a request that was stored, is being answered, and will be recorded, whatever happens."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from convstore.domain import response, usage
from convstore.domain.exchange import Beginning, Ending, Exchange, finished
from convstore.domain.items import Item, column
from convstore.domain.jsontext import dumps, loads
from convstore.domain.reply import Reply
from convstore.domain.response import Response
from convstore.errors import AnswerNotStored, ConvstoreError, StorageUnavailable
from convstore.services.deps import Deps
from convstore.services.principal import Principal
from convstore.storage import turns
from convstore.telemetry import metrics
from convstore.upstream import failures
from convstore.upstream.client import Answer, Attempts, Upstream
from convstore.upstream.dialects import Question

# How long an answer waits for a database that cannot be written, before its client hears of it, in seconds.
PATIENCE_S = 10.0
NAP_S = 0.1


@dataclass(slots=True)
class Turn:
    """A stored request and what is known of its answer so far."""

    deps: Deps
    principal: Principal
    beginning: Beginning
    question: Question
    upstream: Upstream
    attempts: Attempts = field(default_factory=Attempts)
    first_event_at: datetime | None = None
    journalled: bool = False
    started: float = field(default_factory=time.monotonic)

    def ask(self) -> Answer:
        """Ask the upstream. What goes wrong is recorded before it is raised."""
        try:
            return self.upstream.ask(self.question, self.attempts)
        except ConvstoreError as error:
            self.fail(error)
            raise

    def fail(
        self,
        error: ConvstoreError,
        output: Sequence[Item] = (),
        *,
        broke_off: bool = False,
        known: Mapping[str, Any] | None = None,
    ) -> Exchange:
        """Record that no answer came; or, when it broke off, what had arrived of it.

        known: what the upstream had said of its response, in the API's names.
        """
        said = Reply("failed", (), known or {})
        if self.attempts.made:
            self.attempts.made[-1].setdefault("error", error.code or "server_error")
        return self._record(
            Ending(
                status="incomplete" if broke_off else "failed",
                completed_at=self.deps.clock(),
                output=output,
                model=column(said.model),
                upstream=self.upstream.name,
                upstream_response_id=column(said.upstream_id),
                error={"code": _api_code(error), "message": error.message},
                attempts=self.attempts.noteworthy(),
                first_event_at=self.first_event_at,
            )
        )

    def complete(self, reply: Reply, output: Sequence[Item]) -> Exchange:
        """Record the upstream's last word."""
        counted = usage.normalise(reply.usage)
        status = reply.status if reply.status in response.FINISHED else "incomplete"
        error = reply.error if status in ("failed", "incomplete") else None
        return self._record(
            Ending(
                status=status,
                completed_at=self.deps.clock(),
                output=output,
                model=column(reply.model),
                upstream=self.upstream.name,
                upstream_response_id=column(reply.upstream_id),
                reply=dumps(response.additions(reply.envelope, loads(self.beginning.settings))),
                error=_scrubbed(error, self.upstream.secrets) if error else None,
                incomplete_reason=column(reply.incomplete_reason, 64) if status == "incomplete" else None,
                attempts=self.attempts.noteworthy(),
                usage=counted,
                reported_usage=None if counted and counted.as_api() == reply.usage else reply.usage,
                first_event_at=self.first_event_at,
            )
        )

    def in_progress(self, status: str = "in_progress") -> bytes:
        """The response as it stands while it is being made."""
        beginning = self.beginning
        return Response(
            id=beginning.id,
            created_at=int(beginning.created_at.timestamp()),
            status=status,
            model=beginning.requested_model,
            settings=beginning.settings,
            previous_response_id=beginning.parent_id,
            store=beginning.stored,
            metadata=loads(beginning.metadata) if beginning.metadata else {},
            user=beginning.user,
            safety_identifier=beginning.safety_identifier,
            prompt_cache_key=loads(beginning.extras).get("prompt_cache_key") if beginning.extras else None,
        ).write()

    def _record(self, ending: Ending) -> Exchange:
        """Write the answer, and wait for a database that is busy. Raises StorageUnavailable; then it stays due."""
        metrics.exchanges(self.upstream.name, ending.status).inc()
        metrics.upstream_seconds(self.upstream.name).observe(time.monotonic() - self.started)
        if ending.usage:
            metrics.tokens(self.upstream.name, "input").inc(ending.usage.input)
            metrics.tokens(self.upstream.name, "output").inc(ending.usage.output)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self._write(ending)
                return finished(self.beginning, ending)
            except StorageUnavailable as error:
                if time.monotonic() > deadline:
                    with self.deps.late.lock:
                        self.deps.late.waiting.append(lambda: self._write(ending))
                    raise AnswerNotStored from error
            time.sleep(NAP_S)

    def _write(self, ending: Ending) -> None:
        turns.end(
            self.deps.database, self.principal.project_id, self.beginning.place, ending, journalled=self.journalled
        )


def _api_code(error: ConvstoreError) -> str:
    """The code inside a failed response: one of the API's where it has one."""
    return (
        error.code
        if error.code in ("rate_limit_exceeded", "context_length_exceeded", "insufficient_quota")
        else "server_error"
    )


def _scrubbed(error: Mapping[str, Any], secrets: tuple[str, ...]) -> dict[str, Any]:
    code, message = str(error.get("code") or "server_error"), str(error.get("message") or "")
    return {"code": failures.without(code, secrets), "message": failures.without(message, secrets)}
