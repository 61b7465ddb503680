"""Streams: the upstream is read at its own pace, whatever becomes of the client.

A thread of its own (a greenlet under gevent) reads the upstream and records the answer; the client's side only takes
from a queue. So a client that hangs up, or reads slowly, costs nothing but the queue: the answer is recorded in
full. The terminal event is queued after the answer is on disk, never before.
"""

import _thread
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from convstore.domain import events, jsontext, sse
from convstore.domain.events import Event
from convstore.domain.exchange import Exchange, output_ids
from convstore.domain.items import Item
from convstore.domain.jsontext import NotJson
from convstore.domain.stream import ResponseStream, of_response
from convstore.errors import ConvstoreError, InvalidRequest, Mistake, StorageUnavailable, UpstreamCut, UpstreamGarbled
from convstore.services import journal
from convstore.services.journal import Followed
from convstore.services.turn import Turn
from convstore.telemetry import logs, metrics
from convstore.upstream import failures
from convstore.upstream.client import Answer

_running: set["Relayed"] = set()


class Streamed(Protocol):
    """An answer in events: an iterable of bytes whose close() is always called."""

    response_id: str
    headers: Mapping[str, str]

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None: ...


def begin(turn: Turn, answer: Answer) -> Streamed:
    """Start relaying a stream. Returns when its first event is here; raises UpstreamError when there is none."""
    relayed = Relayed(turn, answer)
    relayed.start()
    return relayed


def stored(response_id: str, body: bytes, after: int = -1, last: int | None = None) -> Streamed:
    """A finished response as the stream it would have been; only events after number *after*.

    last: the number that its last event had, when it has been streamed as it came. Whoever has seen more of that than
    there is here gets the last event alone, under that number. Raises InvalidRequest beyond the end.
    """
    made = list(events.of_response(jsontext.loads(body)))
    newest = len(made) - 1 if last is None else last
    if after > newest:
        raise beyond_the_end(after, newest)
    if len(made) - 1 <= after < newest:
        return _Stored(response_id, [{**made[-1], "sequence_number": newest}])
    return _Stored(response_id, made[after + 1 :])


def last_event(body: bytes, number: int) -> bytes:
    """The terminal event of a finished response, with that number."""
    *_, event = events.of_response(jsontext.loads(body))
    return sse.encode({**event, "sequence_number": number})


def beyond_the_end(after: int, newest: int) -> InvalidRequest:
    """What there is to say to a client that has seen an event which is not there."""
    return InvalidRequest(
        "Invalid 'starting_after': integer above maximum value. "
        f"Expected a value <= {newest}, the number of the newest event, but got {after} instead.",
        param="starting_after",
        code="integer_above_max_value",
    )


def wait(timeout_s: float) -> bool:
    """Wait until no stream is running in this process. False when time ran out."""
    done = threading.Event()
    for _ in range(max(1, int(timeout_s * 10))):
        if not _running:
            return True
        done.wait(0.1)
    return not _running


class Relayed:
    """One stream on its way from an upstream to a client."""

    def __init__(self, turn: Turn, answer: Answer) -> None:
        self.response_id = turn.beginning.id
        self.headers: Mapping[str, str] = answer.reply.limits()
        self._turn = turn
        self._answer = answer
        self._stream = ResponseStream(turn.beginning.id, len(turn.beginning.items), turn.in_progress)
        self._out: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._gone = False

    def start(self) -> None:
        """Read up to the first event, then leave the rest to a thread."""
        source = self._blocks()
        try:
            first = next(source, None)
        except BaseException:
            self._answer.reply.close()
            raise
        if first is not None:
            self._out.put(first)
        _running.add(self)
        metrics.STREAMS.inc()
        # The low-level call: a Thread object costs as much as the rest of this function.
        _thread.start_new_thread(self._pump, (source,))

    def __iter__(self) -> Iterator[bytes]:
        while (block := self._out.get()) is not None:
            yield block

    def close(self) -> None:
        """The client has everything, or has gone."""
        self._gone = True
        if self in _running and self._turn.deps.relay.on_disconnect == "cancel":
            self._answer.reply.close()

    # -- the upstream's side ----------------------------------------------------------------------------------

    def _pump(self, source: Iterator[bytes]) -> None:
        try:
            for block in source:
                if not self._gone:
                    self._out.put(block)
        except Exception:
            logs.get().exception("stream_failed", response_id=self.response_id)
        finally:
            self._out.put(None)
            metrics.STREAMS.dec()
            _running.discard(self)
            # Nobody waits for this any more.
            if self._stream.reply is not None:
                self._answer.reply.finish()
            self._answer.reply.close()

    def _blocks(self) -> Iterator[bytes]:
        """Everything the client gets, its terminal event last. The answer is recorded before that one."""
        follow = journal.unfollowed if self._turn.is_discarded else self._turn.deps.journal.follow
        followed = follow(self._turn.principal.project_id, self.response_id, self._stream)
        try:
            yield from self._relayed(followed)
        except ConvstoreError:
            raise
        except Exception:
            logs.get().exception("stream_failed", response_id=self.response_id)
            yield self._broken(Mistake(), followed)

    def _relayed(self, followed: Followed) -> Iterator[bytes]:
        turn, stream = self._turn, self._stream
        try:
            for block in translated(stream, self._answer):
                if turn.first_event_at is None:
                    turn.first_event_at = turn.deps.clock()
                yield block
            if stream.reply is None:
                raise UpstreamCut
        except ConvstoreError as error:
            yield self._broken(error, followed)
            return
        turn.journalled = followed.stop()
        if not stream.begun and stream.reply.status == "failed":
            # Nothing has been sent: the client can still get a plain error.
            turn.complete(stream.reply, stream.answer())
            raise failures.of_error(stream.reply.error or {}, turn.upstream.secrets)
        yield self._finished()

    def _finished(self) -> bytes:
        stream = self._stream
        assert stream.reply is not None
        output = stream.answer()
        try:
            exchange = self._turn.complete(stream.reply, output)
        except StorageUnavailable as error:
            return stream.error(error.code or "server_error", "The answer is complete but could not be stored.")
        return stream.finish(_response(exchange, output), exchange.status)

    def _broken(self, error: ConvstoreError, followed: Followed) -> bytes:
        """Record what had arrived. Before the first event the error is raised; after it, it is the last event."""
        if self._gone and self._turn.deps.relay.on_disconnect == "cancel":
            error = UpstreamCut("The client hung up and the call was cancelled.", code="client_disconnected")
        self._turn.journalled = followed.stop()
        try:
            self._turn.fail(error, self._stream.partial(), broke_off=self._stream.begun, known=self._stream.upstream)
        except StorageUnavailable:
            logs.get().error("answer_not_stored_yet", response_id=self.response_id)
        if not self._stream.begun:
            raise error
        return self._stream.error(error.code or "server_error", error.message)


class _Stored:
    def __init__(self, response_id: str, events: Sequence[Event]) -> None:
        self.response_id = response_id
        self.headers: Mapping[str, str] = {}
        self._events = events

    def __iter__(self) -> Iterator[bytes]:
        return map(sse.encode, self._events)

    def close(self) -> None:
        """Nothing to give back."""


def translated(stream: ResponseStream, answer: Answer) -> Iterator[bytes]:
    """What the client gets of an upstream's answer, up to the upstream's last word. Raises UpstreamError."""
    if not answer.reply.is_stream:
        out = of_response(stream, answer.dialect.reply(answer.reply.body(), answer.question))
        if out:
            yield out
        return
    reader = answer.dialect.reader(stream, answer.question)
    splitter = sse.Splitter()
    try:
        for chunk in answer.reply.chunks():
            out = reader.feed(splitter.feed(chunk))
            if out:
                yield out
            if stream.reply is not None:
                return
            reader.feed([])  # raises what broke the events after those
        out = reader.feed([splitter.rest]) if _is_whole(splitter.rest) else b""
        out += reader.end()
    except NotJson as error:
        raise UpstreamGarbled(f"The model provider's stream could not be understood: {error.reason}.") from error
    if out:
        yield out


def _is_whole(rest: bytes) -> bool:
    """Whether the bytes after the last blank line are an event whose closing line the server left out."""
    if not rest:
        return False
    try:
        jsontext.loads(sse.data_of(rest))
    except NotJson:
        return rest.endswith(b"[DONE]")
    return True


def _response(exchange: Exchange, output: list[Item]) -> bytes:
    shown_ids = output_ids(exchange.id, exchange.input_count, output)
    return exchange.response().write([item.shown(own) for item, own in zip(output, shown_ids, strict=True)])
