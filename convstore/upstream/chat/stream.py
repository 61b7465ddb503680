"""Chat chunks in, Responses events out.

Promises: events in the API's order (docs/api.md, order of events), one item at a time; each part closed before the next
opens; at most one terminal event, and nothing behind it. Folding the events gives the output that
`response_of` gives for the same completion, as long as the chunks keep a completion's order: reasoning,
text, refusal, calls (these may interleave). Text or reasoning that comes after calls makes a further item
behind them, and nothing is lost.

Left to others: response.created and response.in_progress, sequence numbers, real ids, normalised usage.
Dropped by design: what reply.py drops; citations that no text goes with; the logprobs of reasoning and of
calls.
"""

from collections import deque
from typing import Any, TypeVar

from convstore.errors import UpstreamGarbled
from convstore.upstream.chat import pieces
from convstore.upstream.chat.called import Calls
from convstore.upstream.chat.draft import Draft
from convstore.upstream.chat.names import NO_NAMES, Names
from convstore.upstream.chat.outcome import (
    Outcome,
    code_in,
    error_in,
    failure,
    message_in,
    outcome_of,
    partial_response,
)
from convstore.upstream.chat.parts import Json
from convstore.upstream.chat.spoken import Message, Reasoning, Spoken

S = TypeVar("S", bound=Spoken)


class ChatStream:
    """Chat chunks in, Responses events out.

    Events are dicts shaped as docs/api.md, streaming events, without sequence_number. They share their items and
    parts with one another: read them, don't change them. Source: docs/api.md, dialects.
    """

    def __init__(self, *, names: Names = NO_NAMES) -> None:
        self._calls = Calls(names)
        self._drafts: deque[Draft] = deque()  # The client knows of the first at most; the others wait.
        self._items: list[Json] = []
        self._citations: list[Json] = []
        self._head: Json = {}
        self._finish_reason: object = None
        self._ended = False

    def feed(self, data: bytes) -> list[Json]:
        """The events that the data of one SSE event gives; b"[DONE]" gives the terminal.

        Raises UpstreamGarbled for what is no chunk.
        """
        if self._ended or not data:
            return []
        if data.strip() == b"[DONE]":
            return self._conclude(outcome_of(self._finish_reason))
        chunk = pieces.loaded(data)
        if error := error_in(chunk):
            return self._fail(error)
        self._note(chunk)
        choice = _choice(chunk)
        return self._read(choice) if choice else []

    def end(self) -> list[Json]:
        """The connection ended: the terminal if one is due and was not given yet, otherwise nothing."""
        due = self._finish_reason and not self._ended
        events = self._conclude(outcome_of(self._finish_reason)) if due else []
        self._ended = True
        return events

    def _note(self, chunk: Json) -> None:
        """Keep what is said beside the choices: the first model, the latest usage and tier."""
        head = self._head
        if "model" not in head and chunk.get("model"):
            head["model"] = chunk["model"]
        if usage := chunk.get("usage"):
            head["usage"] = usage
        if tier := chunk.get("service_tier"):
            head["service_tier"] = tier

    def _read(self, choice: Json) -> list[Json]:
        events: list[Json] = []
        if delta := choice.get("delta"):
            if not isinstance(delta, dict):
                raise UpstreamGarbled("The upstream sent a chunk whose delta is not an object.")
            self._hear(delta, choice)
            self._advance(events)
        if (reason := choice.get("finish_reason")) and not self._finish_reason:
            self._finish_reason = reason
            self._close_all(outcome_of(reason), events)
        return events

    def _hear(self, delta: Json, choice: Json) -> None:
        """Give each piece to the draft that it belongs to, in a completion's order whatever the JSON's is."""
        if reasoning := pieces.reasoning_of(delta):
            self._speaker(Reasoning).say("reasoning_text", reasoning, [])
        if delta.get("content") or choice.get("logprobs"):
            self._hear_text(pieces.text_of(delta), pieces.logprobs_of(choice))
        if self._citations or delta.get("annotations"):
            self._hear_citations(pieces.annotations_of(delta))
        if delta.get("refusal"):
            self._speaker(Message).say("refusal", pieces.refusal_of(delta), [])
        if delta.get("tool_calls"):
            self._hear_calls(pieces.calls_of(delta))

    def _hear_text(self, text: str, logprobs: list[Json]) -> None:
        if text:
            self._speaker(Message).say("output_text", text, logprobs)
        elif logprobs and self._tells_text():
            # vLLM sends a token that is no whole character yet as "" with its logprobs.
            self._speaker(Message).say("output_text", "", logprobs)

    def _tells_text(self) -> bool:
        draft = self._drafts[-1] if self._drafts else None
        return isinstance(draft, Message) and draft.latest == "output_text"

    def _hear_citations(self, citations: list[Json]) -> None:
        """Citations may come before the text that they belong to, so they are kept until there is some."""
        self._citations += citations
        if self._tells_text():
            for citation in self._citations:
                self._speaker(Message).cite(citation)
            self._citations.clear()

    def _hear_calls(self, heard: list[pieces.CallPiece]) -> None:
        for piece in heard:
            call, is_new = self._calls.find(piece)
            if is_new:
                self._drafts.append(call)
            call.hear(piece)

    def _speaker(self, kind: type[S]) -> S:
        """The draft that was begun last, if it is of this kind; otherwise a new one."""
        last = self._drafts[-1] if self._drafts else None
        if not isinstance(last, kind):
            last = kind()
            self._drafts.append(last)
        return last

    def _advance(self, events: list[Json]) -> None:
        """Tell the client all that can be told with one item open at a time."""
        while self._drafts and self._drafts[0].ready:
            draft = self._drafts[0]
            self._tell(draft, events)
            if len(self._drafts) == 1 or not draft.settled:
                return
            self._close("completed", events)

    def _tell(self, draft: Draft, events: list[Json]) -> None:
        if not draft.opened:
            events.append(draft.open(len(self._items)))
        draft.flush(events)

    def _close(self, status: str, events: list[Json]) -> None:
        self._items.append(self._drafts.popleft().close(status, events))

    def _close_all(self, outcome: Outcome, events: list[Json]) -> None:
        while self._drafts:
            self._tell(self._drafts[0], events)
            self._close("completed" if len(self._drafts) > 1 else outcome.last_status, events)

    def _conclude(self, outcome: Outcome) -> list[Json]:
        events: list[Json] = []
        self._close_all(outcome, events)
        return [*events, self._terminal(outcome, self._items)]

    def _fail(self, error: object) -> list[Json]:
        """The upstream reports an error: nothing is closed, what was being said is shown as incomplete."""
        outcome = failure(message_in(error), code_in(error))
        unfinished = [draft.item("incomplete") for draft in self._drafts if draft.opened]
        return [self._terminal(outcome, [*self._items, *unfinished])]

    def _terminal(self, outcome: Outcome, output: list[Json]) -> Json:
        self._ended = True
        response = partial_response(outcome, self._head, [dict(item) for item in output])
        return {"type": f"response.{outcome.status}", "response": response}


def _choice(chunk: Json) -> Json | None:
    """The first choice, if this chunk tells of it. Usage chunks and keep-alives have none."""
    choices: Any = chunk.get("choices")
    if not choices:
        return None
    if not isinstance(choices, list) or not isinstance(choices[0], dict):
        raise UpstreamGarbled("The upstream sent a chunk whose choices are not a list of objects.")
    return None if choices[0].get("index") else choices[0]
