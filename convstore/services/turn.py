"""One turn: a request that was stored, is being answered, and will be recorded, whatever happens."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from convstore.domain import ledger, response, usage
from convstore.domain.exchange import Beginning, Ending, Exchange, finished
from convstore.domain.fingerprints import Thread
from convstore.domain.items import Item, column
from convstore.domain.jsontext import dumps, loads
from convstore.domain.reply import Reply
from convstore.errors import AnswerNotStored, ConvstoreError, StorageUnavailable
from convstore.services import costing
from convstore.services.costing import Billed
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
    # The thread with the request at its end, where it may be continued by being sent whole.
    thread: Thread | None = None
    attempts: Attempts = field(default_factory=Attempts)
    first_event_at: datetime | None = None
    journalled: bool = False
    # How long an answer waits for a database that cannot be written; PATIENCE_S unless told.
    patience_s: float | None = None
    started: float = field(default_factory=time.monotonic)

    @property
    def is_discarded(self) -> bool:
        """Whether nothing but figures is kept of it. The turn itself has everything, for the client."""
        return self.principal.settings.discards(stored=self.beginning.stored)

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
                error={"code": api_code(error), "message": error.message},
                attempts=self.attempts.noteworthy(),
                first_event_at=self.first_event_at,
                thread=self._continued(output),
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
                thread=self._continued(output),
            )
        )

    def cancel(self, output: Sequence[Item]) -> Exchange:
        """Record that the client wanted it no more, with what had arrived."""
        if self.attempts.made:
            self.attempts.made[-1].setdefault("error", "cancelled")
        return self._record(
            Ending(
                status="cancelled",
                completed_at=self.deps.clock(),
                output=output,
                upstream=self.upstream.name,
                attempts=self.attempts.noteworthy(),
                first_event_at=self.first_event_at,
                thread=self._continued(output),
            )
        )

    def in_progress(self, status: str = "in_progress") -> bytes:
        """The response as it stands while it is being made."""
        return self.beginning.response(status).write()

    def _continued(self, output: Sequence[Item]) -> Thread | None:
        return self.thread.after(output) if self.thread and output else None

    def _record(self, ending: Ending) -> Exchange:
        """Write the answer, and wait for a database that is busy. Raises StorageUnavailable; then it stays due."""
        metrics.exchanges(self.upstream.name, ending.status).inc()
        metrics.upstream_seconds(self.upstream.name).observe(time.monotonic() - self.started)
        if ending.usage:
            metrics.tokens(self.upstream.name, "input").inc(ending.usage.input)
            metrics.tokens(self.upstream.name, "output").inc(ending.usage.output)
        deadline = time.monotonic() + (PATIENCE_S if self.patience_s is None else self.patience_s)
        while True:
            try:
                self._write(self._priced(ending))
                return finished(self.beginning, ending)
            except StorageUnavailable as error:
                if time.monotonic() > deadline:
                    with self.deps.late.lock:
                        self.deps.late.waiting.append(lambda: self._write(self._priced(ending)))
                    raise AnswerNotStored(self.beginning.id) from error
            time.sleep(NAP_S)

    def _priced(self, ending: Ending) -> Ending:
        upstream, project_id = self.upstream, self.principal.project_id
        billed = costing.nobody(project_id)
        if ending.usage is not None or ledger.may_be_billed(self.attempts.made):
            model = upstream.model_name(self.beginning.requested_model)
            billed = Billed(project_id, upstream.name, model, lambda: self.question.bodies)
        return costing.with_entry(self.deps, billed, self.beginning, ending)

    def _write(self, ending: Ending) -> None:
        if self.is_discarded:
            ending = ending.without_content()
        turns.end(
            self.deps.database, self.principal.project_id, self.beginning.place, ending, journalled=self.journalled
        )


def end_later(deps: Deps, principal: Principal, beginning: Beginning) -> None:
    """End a request that could not be stored, as far as we know: the connection may have broken behind the write.

    It would stay in progress as long as this process lives. If it is not there, nothing happens.
    """
    error = {"code": "server_error", "message": StorageUnavailable().message}
    ending = Ending(status="failed", completed_at=deps.clock(), error=error)
    ending = costing.with_entry(deps, costing.nobody(principal.project_id), beginning, ending)
    place = beginning.place  # without what the client sent: there may be many, and the database away for long

    def end() -> None:
        turns.end(deps.database, principal.project_id, place, ending)

    with deps.late.lock:
        deps.late.waiting.append(end)


def api_code(error: ConvstoreError) -> str:
    """The code inside a failed response: one of the API's where it has one."""
    return (
        error.code
        if error.code in ("rate_limit_exceeded", "context_length_exceeded", "insufficient_quota")
        else "server_error"
    )


def _scrubbed(error: Mapping[str, Any], secrets: tuple[str, ...]) -> dict[str, Any]:
    code, message = str(error.get("code") or "server_error"), str(error.get("message") or "")
    return {"code": failures.without(code, secrets), "message": failures.without(message, secrets)}
