"""One background response in the hands of this process: taken up or over, and ended.

Whoever has it in hand, and nobody else, writes its journal and its end; the store sees to that
(storage/background.py). What a process that died leaves is asked again only when its upstream had not begun to
answer, or when its project wants that and no follower has seen any of the answer.
See docs/decisions/0009-background-responses.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from convstore.domain import jsontext, ledger
from convstore.domain.exchange import Background, Beginning, Ending, Exchange, finished
from convstore.domain.items import Item
from convstore.domain.stream import ResponseStream
from convstore.errors import ConvstoreError
from convstore.services import arrived, asked, costing, histories, queued
from convstore.services.deps import Deps
from convstore.storage import background
from convstore.storage.background import Found
from convstore.storage.everywhere import Project
from convstore.storage.journals import Part
from convstore.telemetry import metrics
from convstore.upstream.client import Attempts

# The number of `response.in_progress`, behind created and queued; what comes then is the answer's.
IN_PROGRESS = 2
# A request that takes its worker down with it again and again is asked no more.
MOST_ATTEMPTS = 5
# What stands with an attempt of which nobody heard the end.
INTERRUPTED = "interrupted"
STOPPED = {"code": "server_error", "message": "The service stopped while the answer was arriving."}


class Lost(Exception):
    """The response does not run under this process any more: another one has it in hand, or it has ended."""


class Hand:
    """One response in hand.

    attempts: what was tried. part: the number of the next part of its journal. number: that of its last event so far.
    """

    def __init__(self, deps: Deps, project: Project, exchange: Exchange) -> None:
        self.deps = deps
        self.project = project
        self.exchange = exchange
        self.is_streamed = exchange.background == Background.STREAMED
        self.attempts = Attempts([dict(each) for each in exchange.attempts])
        self.part = 0
        self.number = IN_PROGRESS

    def take_up(self) -> bool:
        """Begin. False when it was cancelled, or begun by somebody else, meanwhile. Raises StorageUnavailable."""
        exchange, parts = self.exchange, []
        if self.is_streamed:
            begun = replace(exchange, status="in_progress").response().write()
            stream = ResponseStream(exchange.id, exchange.input_count, lambda _: begun, IN_PROGRESS)
            # Behind part 0, which was written with the request.
            parts.append(Part(exchange.id, 1, IN_PROGRESS, IN_PROGRESS, stream.take_up()))
            self.part = 2
        tried = [*self.attempts.made, self._next()]
        return background.take_up(self.deps.database, self.project.id, exchange.id, self.deps.process, tried, parts)

    def take_over(self) -> bool:
        """Go on for a process that died. False when the response is ended instead. Raises StorageUnavailable, Lost."""
        found, output = self._taken()
        begun = _had_begun(found)
        for attempt in self.attempts.made[-1:]:
            attempt.update({"status": 200, "error": INTERRUPTED} if begun else {"error": INTERRUPTED})
        if found.is_cancelled:
            self.end("cancelled", output)
        elif len(self.attempts.made) >= MOST_ATTEMPTS or (begun and not self._may_be_billed_again()):
            self.end("incomplete" if begun else "failed", output, STOPPED)
        else:
            self._begin_anew(output)
            return True
        return False

    def close(self) -> None:
        """End it as incomplete, with what had arrived: nobody will go on with it. Raises StorageUnavailable, Lost."""
        self.end("incomplete", self._taken()[1], STOPPED)

    def end(self, status: str, output: Sequence[Item], error: Mapping[str, Any] | None = None) -> None:
        """End it without asking anybody. Raises StorageUnavailable, Lost."""
        deps, exchange, thread = self.deps, self.exchange, None
        if output and deps.relay.link_histories:
            with deps.database.reading(self.project.id) as scope:
                thread = histories.thread(scope, exchange).after(output)
        upstream = self.attempts.made[-1].get("upstream") if self.attempts.made else None
        ending = Ending(
            status=status,
            completed_at=deps.clock(),
            output=output,
            upstream=upstream,
            error=error,
            attempts=self.attempts.made,
            thread=thread,
        )
        billed = costing.nobody(self.project.id)
        if ledger.may_be_billed(self.attempts.made):
            billed = costing.somebody(deps, self.project.id, exchange, upstream)
        self.record(asked.beginning(exchange, ()), costing.with_entry(deps, billed, exchange, ending), ())
        metrics.exchanges(upstream or "", status).inc()

    def record(self, beginning: Beginning, ending: Ending, parts: Sequence[Part]) -> None:
        """Write the end, behind parts that are not on disk yet. Raises StorageUnavailable, Lost."""
        kept: Sequence[Part] = ()
        if self.is_streamed:
            ended = replace(finished(beginning, ending), input_count=self.exchange.input_count)
            kept = [*parts, queued.last_part(ended, ending.output, self.part, self.number + 1)]
            ending = replace(ending, last_event=self.number + 1)
        place = self.exchange.place
        if not background.end(self.deps.database, self.project.id, place, ending, self.deps.process, kept):
            raise Lost

    def _taken(self) -> tuple[Found, Sequence[Item]]:
        """What a process left that this one takes the response from, and the output in it."""
        found = background.take_over(self.deps.database, self.project.id, self.exchange.id, self.deps.process)
        if found is None:
            raise Lost
        self.part = max((part.number for part in found.parts), default=0) + 1
        self.number = max((part.last for part in found.parts if part.last is not None), default=IN_PROGRESS)
        return found, arrived.output(part.events for part in found.parts)

    def _may_be_billed_again(self) -> bool:
        # What followers have seen cannot be taken back.
        was_seen = self.is_streamed and self.number > IN_PROGRESS
        return self.project.settings.background_retry == "yes" and not was_seen

    def _begin_anew(self, output: Sequence[Item]) -> None:
        if output:
            # It was answered, and paid for: what came of it stays on record.
            self.attempts.made[-1]["output"] = [jsontext.loads(item.body) for item in output]
        seen = self.number if self.is_streamed else None
        if seen is None:
            self.number = IN_PROGRESS
        tried = [*self.attempts.made, self._next()]
        if not background.begin_anew(
            self.deps.database, self.project.id, self.exchange.id, self.deps.process, tried, seen=seen
        ):
            raise Lost

    def _next(self) -> dict[str, Any]:
        """The attempt that is about to be made, as it stays on record if nothing is heard of it any more."""
        try:
            return {"upstream": self.deps.upstreams.serving(self.exchange.requested_model).name}
        except ConvstoreError:
            return {}


def _had_begun(found: Found) -> bool:
    """Whether the upstream had begun to answer, as far as anybody knows."""
    return any(part.last is None or part.last > IN_PROGRESS for part in found.parts)
