"""A response stream on its way through: numbered, under our ids, remembered.

An upstream's events go in as they came off the wire, and come out as the bytes our client gets. Most events are
deltas, and those pass on as bytes: each is looked at once, its item id replaced, never decoded. The few that carry
whole objects (lifecycle, items, parts) are read (incoming.py), completed and written again. Everything that went out
is kept, so that what had arrived of a stream that was cut is not lost: `partial()` folds it.

`reply` is set once the upstream has said its last word; nothing is passed on after it. What the terminal event
says is for the caller to write (`finish`), because the answer must be on disk before the client sees it.
Source: docs/api.md, streaming events.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from convstore import ids
from convstore.domain import events, incoming, items, jsontext, reply, sse
from convstore.domain.fold import Fold
from convstore.domain.incoming import TERMINAL, StreamError
from convstore.domain.items import Item
from convstore.domain.jsontext import NotJson, Raw
from convstore.domain.passing import Passing, item_done, place, text_member
from convstore.domain.reply import Reply

_TERMINAL_OF = {status: kind for kind, status in TERMINAL.items()}
# The API has no event of its own for a response that was cancelled.
_LAST = {**_TERMINAL_OF, "cancelled": "response.incomplete"}
LIFECYCLE = frozenset({"response.created", "response.in_progress", "response.queued"})

# How many events are kept as bytes before they are folded: a long answer then costs its text, not its events.
KEPT = 512


class ResponseStream:
    """One stream. Not thread-safe.

    lifecycle(status) is the JSON of our response at that moment, without output.
    offset: the number of the request's own items; output item n stands at position offset + n of the exchange.
    number: what the next event gets; more than 0 when the stream has begun elsewhere.
    """

    def __init__(self, exchange_id: str, offset: int, lifecycle: Callable[[str], bytes], number: int = 0) -> None:
        self.reply: Reply | None = None
        self.sequence_number = number
        self._exchange_id = exchange_id
        self._offset = offset
        self._lifecycle = lifecycle
        self._our_ids: dict[bytes, bytes] = {}
        self._their_ids: dict[int, bytes] = {}
        self._announced: dict[int, str] = {}
        self._done: dict[int, Callable[[], Item]] = {}
        self.upstream: dict[str, Any] = {}
        self._passing = Passing()
        self._broken: StreamError | None = None
        self._kept: list[bytes] = []
        self._kept_events = 0
        # Whether somebody takes what is unsaved; if not, it is not gathered, because it would only grow.
        self.is_followed = True
        self._unsaved: list[bytes] = []
        self._fold = Fold()

    def begin(self) -> bytes:
        """`response.created` and `response.in_progress`: sent once, on the upstream's first sign of life."""
        body = self._lifecycle("in_progress")
        return self._lifecycle_event("response.created", body) + self._lifecycle_event("response.in_progress", body)

    def queue(self) -> bytes:
        """`response.created` and `response.queued`: how the stream of a background response begins."""
        body = self._lifecycle("queued")
        return self._lifecycle_event("response.created", body) + self._lifecycle_event("response.queued", body)

    def take_up(self) -> bytes:
        """`response.in_progress`: a worker has begun to see to it."""
        return self._lifecycle_event("response.in_progress", self._lifecycle("in_progress"))

    @property
    def begun(self) -> bool:
        return self.sequence_number > 0

    def feed(self, blocks: Sequence[bytes]) -> bytes:
        """What the client gets for event blocks of a `responses` upstream.

        Raises StreamError for one that is no event: at once when it is the first, else at the next call, so that what
        came before it is not lost.
        """
        if self._broken is not None:
            raise self._broken
        out: list[bytes] = []
        at = 0
        while at < len(blocks) and self.reply is None:
            end, passed = self._passing.run(blocks, at, self.sequence_number, self._our_ids)
            if end > at:
                out.append(self._keep(passed, end - at))
                at = end
                continue
            try:
                out.append(self._one(blocks[at]))
            except StreamError as error:
                if not any(out):
                    raise
                self._broken = error
                break
            at += 1
        return b"".join(out)

    def _one(self, block: bytes) -> bytes:
        done = item_done(block, self.sequence_number)
        if done is not None:
            passed = self._item_done(*done)
            if passed:
                return passed
        data = sse.data_of(block)
        if not data or data == b"[DONE]":
            return b""
        return self.push(incoming.event(data))

    def _item_done(self, block: bytes, index: int, start: int, item: Mapping[str, Any]) -> bytes:
        """The last event of an item under our id, as bytes; b"" when its id cannot simply be replaced."""
        ours = self._announced.get(index)
        theirs = self._their_ids.get(index)
        if ours is None or theirs is None or not block.startswith(b'{"id":"' + theirs + b'",', start):
            return b""
        self._done[index] = lambda: items.of_output(Raw(item, block[start:-1].decode()))
        return self._keep(block[:start] + b'{"id":"' + ours.encode() + block[start + 7 + len(theirs) :] + b"\n\n")

    def push(self, event: Mapping[str, Any]) -> bytes:
        """What the client gets for one event that is an object already. Its own number, if any, is ignored."""
        kind = event["type"]
        if self.reply is not None:
            return b""
        if kind == "error" or kind == "response.failed":
            # Nothing may have been sent yet: then the caller can still answer with a plain error.
            self._terminate(kind, event)
            return b""
        if kind in LIFECYCLE:
            self.upstream.update(_envelope(event))
            return b"" if self.begun else self.begin()
        text = text_member(kind)
        if text is not None and not isinstance(event.get(text), str):
            raise StreamError(f"an event of the kind {kind} has no text")
        out = b"" if self.begun else self.begin()
        if kind in TERMINAL:
            self._terminate(kind, event)
            return out + self._unannounced()
        return out + self._keep(self._numbered(self._ours(dict(event))))

    def finish(self, response: bytes, status: str) -> bytes:
        """The terminal event, with our response as it now stands in the store."""
        begin = b"" if self.begun else self.begin()
        return begin + self._lifecycle_event(_LAST.get(status, "response.failed"), response)

    def error(self, code: str, message: str) -> bytes:
        """The terminal event of a stream that broke: the response itself stays incomplete."""
        return self._numbered({"type": "error", "code": code, "message": message, "param": None})

    def partial(self) -> list[Item]:
        """The output items of what has gone out so far."""
        return [items.of_object(item) for item in self._folded()]

    def answer(self) -> list[Item]:
        """The output items of the finished stream: the terminal event's, or those announced as done if it has fewer."""
        if self.reply is None:
            return self.partial()
        if len(self.reply.output) >= len(self._announced):
            return list(self.reply.output)
        if len(self._done) >= len(self._announced):
            return [self._done[index]() for index in sorted(self._done)]
        ended = {"status": "completed"} if self.reply.status == "completed" else {}
        return [items.of_object({**item, **(ended if "status" in item else {})}) for item in self._folded()]

    def take_unsaved(self) -> list[bytes]:
        """The events that went out since the last call. May be called from another thread than `feed`."""
        taken, self._unsaved = self._unsaved, []
        return taken

    # -- inside -----------------------------------------------------------------------------------------------

    def _terminate(self, kind: str, event: Mapping[str, Any]) -> None:
        if kind == "error":
            self.reply = Reply("failed", tuple(self.partial()), {**self.upstream, "error": incoming.error(event)})
            return
        said = event.get("_reply")
        if said is None:
            response = event.get("response")
            said = reply.of_object(response if isinstance(response, Mapping) else {})
        # A thin terminal event leaves to the first one what has been said.
        self.reply = Reply(TERMINAL[kind], said.output, {**self.upstream, **said.envelope})
        if TERMINAL[kind] != "completed" and len(said.output) < len(self._announced):
            # A failed response often comes with an empty output, whatever was sent before.
            self.reply = Reply(TERMINAL[kind], tuple(self.partial()), self.reply.envelope)

    def _unannounced(self) -> bytes:
        """The events of items that only the terminal event told of: clients build their state from events."""
        output = self.reply.output if self.reply else ()
        shown = [jsontext.loads(item.shown(item.item_id or f"item_{n}")) for n, item in enumerate(output)]
        made = [event for event in events.of_output(shown) if event["output_index"] not in self._done]
        late = {event["output_index"] for event in made} - set(self._announced)
        return b"".join(
            self._keep(self._numbered(self._ours(event))) for event in made if event["output_index"] in late
        )

    def _ours(self, event: dict[str, Any]) -> dict[str, Any]:
        """The event under our ids, its objects completed."""
        done = event.pop("_item", None)
        index = event.get("output_index")
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < 100_000:
            index = max(self._announced, default=0)
        item = event.get("item")
        if isinstance(item, Mapping):
            event["output_index"] = index
            event["item"] = self._our_item(item, index)
            if event["type"] == "response.output_item.done":
                finished = done or items.of_object(item)
                self._done[index] = lambda: finished
        elif "item_id" in event or place(event["type"]):
            theirs = str(event.get("item_id")).encode("utf-8", "replace")
            ours = self._our_ids.get(theirs)
            event["item_id"] = ours.decode() if ours else self._announced.get(index, event.get("item_id"))
            event["output_index"] = index
            for name in place(event["type"]) - event.keys():
                event[name] = [] if name == "logprobs" else 0
        if isinstance(event.get("part"), Mapping):
            event["part"] = items.filled_part(event["part"])
        return event

    def _our_item(self, item: Mapping[str, Any], index: int) -> dict[str, Any]:
        kind = str(item.get("type") or "message")
        if index not in self._announced:
            self._announced[index] = ids.item(kind, self._exchange_id, self._offset + index)
        if isinstance(item.get("id"), str):
            theirs = item["id"].encode("utf-8", "replace")
            self._our_ids[theirs] = self._announced[index].encode()
            self._their_ids[index] = theirs
        return {**items.filled_out(item), "id": self._announced[index]}

    def _numbered(self, event: Mapping[str, Any]) -> bytes:
        body = {"type": event["type"], "sequence_number": self.sequence_number}
        body.update((key, value) for key, value in event.items() if key not in body)
        return sse.encode(body)

    def _lifecycle_event(self, kind: str, response: bytes) -> bytes:
        number = self.sequence_number
        self.sequence_number += 1
        if b"\n" in response or b"\r" in response:
            # Items are the upstream's own text; between its tokens a line end is only space, in an event it is not.
            response = response.replace(b"\r", b" ").replace(b"\n", b" ")
        head = f'event: {kind}\ndata: {{"type":"{kind}","sequence_number":{number},"response":'
        return b"".join((head.encode(), response, b"}\n\n"))

    def _keep(self, events_sent: bytes, count: int = 1) -> bytes:
        self.sequence_number += count
        self._kept.append(events_sent)
        if self.is_followed:
            self._unsaved.append(events_sent)
        self._kept_events += count
        if self._kept_events >= KEPT:
            self._fold_kept()
        return events_sent

    def _folded(self) -> list[dict[str, Any]]:
        self._fold_kept()
        return self._fold.output

    def _fold_kept(self) -> None:
        fold(self._kept, into=self._fold)
        self._kept.clear()
        self._kept_events = 0


def fold(sent: Iterable[bytes], into: Fold | None = None) -> Fold:
    """The output of a stream from the bytes of its events, as they were sent."""
    folded = into or Fold()
    for events_sent in sent:
        for block in events_sent.split(b"\n\n"):
            if block:
                with suppress(NotJson):  # what was cut off by a crash is lost, not what came before it
                    folded.add(jsontext.loads(sse.data_of(block)))
    return folded


def of_response(stream: ResponseStream, said: Reply) -> bytes:
    """Everything but the terminal event, for an upstream that answered a streamed request with plain JSON."""
    kind = _TERMINAL_OF.get(said.status, "response.failed")
    return stream.push({"type": kind, "response": said.envelope, "_reply": said})


def _envelope(event: Mapping[str, Any]) -> Mapping[str, Any]:
    response = event.get("response")
    return {k: v for k, v in response.items() if k != "output"} if isinstance(response, Mapping) else {}
