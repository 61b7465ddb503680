"""Background responses as their clients see them: put on record, read, followed, cancelled. A worker does the rest.

The worker's side is background.py. What both say of a response's end is here.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

from convstore.domain.exchange import Background, Beginning, Ending, Exchange, output_ids
from convstore.domain.items import Item
from convstore.domain.response import FINISHED
from convstore.domain.stream import ResponseStream
from convstore.errors import InvalidRequest
from convstore.services import costing, streaming
from convstore.services.deps import Deps
from convstore.services.following import Follower
from convstore.services.streaming import Streamed
from convstore.storage import background, direct, exchanges, journals
from convstore.storage.journals import Part
from convstore.storage.statements import Write
from convstore.storage.turns import IdempotencyKey

# What the engine calls this work.
JOB = "response"
# How long a cancellation waits for the worker, and how often it looks.
PATIENCE_S = 1.0
NAP_S = 0.02


def put(
    deps: Deps, project_id: str, beginning: Beginning, key: IdempotencyKey | None, besides: Sequence[Write] = ()
) -> None:
    """Put a request and its job on disk.

    Raises KeyTaken, LaneTaken, NameTaken, ConversationTaken, StorageUnavailable.
    """
    assert deps.enqueue is not None
    parts = []
    if beginning.background is Background.STREAMED:
        stream = ResponseStream(beginning.id, len(beginning.items), lambda status: beginning.response(status).write())
        parts.append(Part(beginning.id, 0, 0, 1, stream.queue()))
    with deps.database.writing(project_id) as scope:
        background.queue(deps.database, scope, beginning, parts, key, besides)
        deps.enqueue(scope, JOB, beginning.id, {})


def withdraw_later(deps: Deps, project_id: str, exchange_id: str) -> None:
    """Take back a request that could not be stored, as far as we know: the connection may have broken behind the write.

    Its client was told that it was not. If a worker has taken it up meanwhile, it is answered all the same.
    """

    def withdraw() -> None:
        with deps.database.reading(project_id) as scope:
            exchange = exchanges.get(scope, exchange_id, hidden=True)
        if exchange is not None and exchange.status == "queued":
            _withdrawn(deps, project_id, exchange)

    with deps.late.lock:
        deps.late.waiting.append(withdraw)


def body(deps: Deps, exchange: Exchange) -> bytes:
    """The JSON of a response that is not finished, with what has arrived of it."""
    output = deps.arrived.items(exchange.id) if exchange.status == "in_progress" else []
    return written(exchange, output)


def follow(deps: Deps, project_id: str, exchange: Exchange, after: int = -1) -> Streamed:
    """The events of a response behind number *after*, to its end. Raises InvalidRequest."""
    if exchange.background != Background.STREAMED:
        raise InvalidRequest(
            "This response cannot be followed, because it was not created with stream=true. "
            "Retrieve it without stream=true.",
            param="stream",
        )
    with direct.reading(deps.database) as cursor:
        extent = journals.extent(cursor, exchange.id)
        part = journals.part_before(cursor, exchange.id, after) if after >= 0 else -1
    if extent is None:
        return _again(deps, project_id, exchange.id, after)
    if after > extent.last:
        raise streaming.beyond_the_end(after, extent.last)
    follower = Follower(deps, exchange.id, after, part, lambda last: _rest(deps, project_id, exchange.id, last))
    if extent.ended and after == extent.last:
        follower.close()  # there is nothing left
    return follower


def cancel(deps: Deps, project_id: str, exchange: Exchange) -> None:
    """End a response that is not finished; when it runs, wait a moment for its worker to do so."""
    if exchange.status == "queued" and _withdrawn(deps, project_id, exchange):
        return
    with deps.database.writing(project_id) as scope:
        background.request_cancel(scope, deps.database, exchange.id, deps.clock())
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with deps.database.reading(project_id) as scope:
            if exchanges.status(scope, exchange.id) in (*FINISHED, None):
                return
        time.sleep(NAP_S)


def written(exchange: Exchange, output: Sequence[Item]) -> bytes:
    """A response with these items."""
    shown_ids = output_ids(exchange.id, exchange.input_count, output)
    parts = [item.shown(shown_id) for item, shown_id in zip(output, shown_ids, strict=True)]
    return exchange.response().write(parts)


def last_part(exchange: Exchange, output: Sequence[Item], number: int, event: int) -> Part:
    """The last part of the journal of a response that has ended: its terminal event, with that number."""
    stream = ResponseStream(exchange.id, exchange.input_count, lambda _: b"", event)
    said = stream.finish(written(exchange, output), exchange.status)
    return Part(exchange.id, number, event, event, said, exchange.completed_at)


def _withdrawn(deps: Deps, project_id: str, exchange: Exchange) -> bool:
    """End a response that no worker has taken up. False when one has, meanwhile."""
    ended = replace(exchange, status="cancelled", completed_at=deps.clock())
    parts = [last_part(ended, (), 1, 2)] if exchange.background == Background.STREAMED else []
    ending = Ending(ended.status, deps.clock(), last_event=2 if parts else None)
    ending = costing.with_entry(deps, costing.nobody(project_id), exchange, ending)
    return background.withdraw(deps.database, project_id, exchange.place, ending, parts)


def _again(deps: Deps, project_id: str, exchange_id: str, after: int) -> Streamed:
    """The events of a response whose journal was dropped, made anew from what is stored."""
    exchange, body = _finished(deps, project_id, exchange_id)
    return streaming.stored(exchange_id, body, after, exchange.last_event)


def _rest(deps: Deps, project_id: str, exchange_id: str, last: int) -> bytes | None:
    """What a follower lacks whose journal was dropped under him: the terminal event. None while there may be more."""
    with direct.reading(deps.database) as cursor:
        if journals.extent(cursor, exchange_id) is not None:
            return None
    exchange, body = _finished(deps, project_id, exchange_id)
    return streaming.last_event(body, last + 1 if exchange.last_event is None else exchange.last_event)


def _finished(deps: Deps, project_id: str, exchange_id: str) -> tuple[Exchange, bytes]:
    with deps.database.reading(project_id) as scope:
        exchange = exchanges.get(scope, exchange_id, hidden=True)
        assert exchange is not None
        return exchange, written(exchange, exchanges.output(scope, exchange))
