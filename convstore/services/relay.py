"""The relay: a create request, from its arrival to its answer.

    check      the thread is there, may be continued, and every tool call in it is answered
    begin      the request goes to disk                                   (transaction 1)
    ask        the upstream is called: bytes in, bytes out
    record     the answer goes to disk, then to the client                (transaction 2)

No transaction is open while the model thinks. What fails before `begin` leaves no trace; what fails after it is
recorded with what had arrived. Streams are in streaming.py. With `background` the request is put on disk for a worker,
which asks and records (queued.py, background.py). What of a thread the model's window takes is said by windows.py,
whether a request has come before by idempotency.py.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from convstore import ids
from convstore.domain import context
from convstore.domain.context import Shown
from convstore.domain.exchange import Background, Beginning, Exchange
from convstore.domain.items import Item
from convstore.domain.reply import Reply
from convstore.domain.request import CreateRequest
from convstore.domain.response import FINISHED
from convstore.domain.stream import ResponseStream
from convstore.errors import (
    ConversationLocked,
    ConvstoreError,
    Mistake,
    StorageUnavailable,
    UnsupportedParameter,
    UpstreamCut,
)
from convstore.services import budgets, idempotency, queued, standing, streaming, windows
from convstore.services.deps import Deps
from convstore.services.principal import Principal
from convstore.services.standing import Standing
from convstore.services.streaming import Streamed
from convstore.services.turn import Turn, end_later
from convstore.storage import exchanges, turns
from convstore.storage.statements import Write
from convstore.storage.turns import IdempotencyKey
from convstore.upstream import failures
from convstore.upstream.client import Answer, Upstream
from convstore.upstream.dialects import Question


@dataclass(frozen=True, slots=True)
class Call:
    """How a request came: its id, and its Idempotency-Key if it has one."""

    request_id: str
    key: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer in one piece: the JSON of a response."""

    response_id: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Remade:
    """A request that was made from an exchange: where it stands, of what origin it is, and what is written with it."""

    stands: Standing
    origin: str
    origin_id: str
    besides: Callable[[Beginning], Sequence[Write]]


def call_of(request_id: str, idempotency_key: str | None, body: bytes) -> Call:
    """The Call of a request with this body."""
    if not idempotency_key:
        return Call(request_id)
    return Call(request_id, IdempotencyKey(idempotency_key, hashlib.sha256(body).digest()))


def create(
    deps: Deps, principal: Principal, request: CreateRequest, call: Call, remade: Remade | None = None
) -> Whole | Streamed:
    """Answer a create request. Raises InvalidRequest, BudgetExhausted, Conflict, StorageUnavailable, UpstreamError.

    remade: when it is no client's own, but made from an exchange (branching.py).
    """
    if call.key is not None:
        earlier = idempotency.earlier(deps, principal, call.key)
        if earlier is not None:
            return _again(deps, principal, request, earlier)
    if request.background and deps.enqueue is None:
        raise UnsupportedParameter(
            "Unsupported parameter: 'background' is not available on this server.", param="background"
        )
    upstream = deps.upstreams.serving(request.model)
    request = standing.resolved(deps, principal, request)
    try:
        stands = remade.stands if remade else standing.of(deps, principal, request)
        context.check(stands.history, request.items, whole=stands.is_unchecked)
        shown = windows.fitted(request, stands.history, upstream)
        parent = stands.parent
        conversation_id = parent.conversation_id if parent else stands.conversation_id
        notices = budgets.admit(deps, principal.project_id, principal.key_id, conversation_id)
        if request.background:
            return _noting(notices, _queued(deps, principal, request, call, stands, shown, remade))
        turn = _begin(deps, principal, request, call, stands, shown, upstream, remade)
    except turns.KeyTaken:
        # Two requests with one key, at the same time: the other was first.
        return create(deps, principal, request, call, remade)
    except ConversationLocked:
        # By this very request, perhaps, which came twice at the same time.
        earlier = idempotency.earlier(deps, principal, call.key) if call.key else None
        if earlier is None:
            raise
        return _again(deps, principal, request, earlier)
    try:
        answer = turn.ask()
        return _noting(notices, streaming.begin(turn, answer) if request.stream else _whole(turn, answer))
    except ConvstoreError:
        raise
    except Exception:
        # A mistake of ours is no reason to leave the exchange open for ever. Ending it twice does nothing.
        turn.fail(Mistake())
        raise


# -- before the call ------------------------------------------------------------------------------------------


def _begin(
    deps: Deps,
    principal: Principal,
    request: CreateRequest,
    call: Call,
    stands: Standing,
    shown: Shown,
    upstream: Upstream,
    remade: Remade | None,
) -> Turn:
    """Put the request on disk. Raises KeyTaken, NameTaken, ConversationLocked, StorageUnavailable."""
    beginning = _put(deps, principal, begun(deps, principal, request, call, stands, shown, remade), call, remade)
    return Turn(deps, principal, beginning, question(request, stands, shown, upstream), upstream, stands.thread)


def _queued(
    deps: Deps,
    principal: Principal,
    request: CreateRequest,
    call: Call,
    stands: Standing,
    shown: Shown,
    remade: Remade | None,
) -> Whole | Streamed:
    """Put the request on disk for a worker. Raises KeyTaken, NameTaken, ConversationLocked, StorageUnavailable."""
    beginning = _put(deps, principal, begun(deps, principal, request, call, stands, shown, remade), call, remade)
    if not request.stream:
        return Whole(beginning.id, beginning.response("queued").write())
    with deps.database.reading(principal.project_id) as scope:
        exchange = exchanges.get(scope, beginning.id, hidden=True)
    assert exchange is not None
    return queued.follow(deps, principal.project_id, exchange)


def question(request: CreateRequest, stands: Standing, shown: Shown, upstream: Upstream) -> Question:
    """What the upstream is asked."""
    parent, previous = stands.parent, None
    if (
        parent is not None
        and not stands.stored
        and upstream.keeps_state
        and parent.upstream == upstream.name
        and not shown.cut
    ):
        previous = parent.upstream_response_id
    return Question(request, upstream.model_name(request.model), shown.bodies, len(request.items), previous)


def _put(deps: Deps, principal: Principal, beginning: Beginning, call: Call, remade: Remade | None) -> Beginning:
    """Write the request, or its figures alone if the project discards it; in a lane of its own if need be.

    Raises KeyTaken, ConversationLocked, StorageUnavailable.
    """
    written, key = beginning, call.key
    besides = remade.besides(beginning) if remade else ()
    if principal.settings.discards(stored=beginning.stored):
        # Nor its key: there will be no answer to give a second time.
        written, key = beginning.without_content(), None
    try:
        if beginning.background:
            queued.put(deps, principal.project_id, written, key, besides)
        else:
            turns.begin(deps.database, principal.project_id, written, deps.process, key, besides)
    except turns.LaneTaken:
        return _put(deps, principal, replace(beginning, lane=beginning.id), call, remade)
    except turns.ConversationTaken as error:
        raise ConversationLocked from error
    except StorageUnavailable:
        if beginning.background:
            queued.withdraw_later(deps, principal.project_id, beginning.id)
        else:
            end_later(deps, principal, beginning)
        raise
    return beginning


def begun(
    deps: Deps,
    principal: Principal,
    request: CreateRequest,
    call: Call,
    stands: Standing,
    shown: Shown,
    remade: Remade | None = None,
) -> Beginning:
    """How the exchange of a request begins."""
    exchange_id = ids.new(ids.EXCHANGE)
    parent = stands.parent
    new_id = stands.conversation_id or ids.new(ids.CONVERSATION)
    return Beginning(
        id=exchange_id,
        conversation_id=parent.conversation_id if parent else new_id,
        parent_id=parent.id if parent else None,
        # The first child goes on in its parent's lane.
        lane=parent.lane if parent and not parent.continued else exchange_id,
        depth=parent.depth + 1 if parent else 0,
        items=request.items[stands.stored :],
        stored=request.store,
        requested_model=request.model,
        settings=request.settings,
        settings_hash=request.settings_hash,
        created_at=deps.clock(),
        metadata=request.text("metadata"),
        user=request.value("user"),
        safety_identifier=request.value("safety_identifier"),
        extras=request.extras(),
        api_key_id=principal.key_id,
        request_id=call.request_id,
        origin=remade.origin if remade else "create",
        origin_id=remade.origin_id if remade else None,
        linked=stands.linked,
        tip_id=stands.tip_id,
        sent=stands.sent,
        background=(Background.STREAMED if request.stream else Background.PLAIN) if request.background else None,
        context_sha256=shown.sha256(),
        context_cut=shown.cut or None,
        repeats_settings=parent is not None and parent.settings_hash == request.settings_hash,
    )


# -- after the call -------------------------------------------------------------------------------------------


def _whole(turn: Turn, answer: Answer) -> Whole:
    """Read an answer to its end and record it."""
    # Some upstreams stream although nobody asked them to.
    stream = ResponseStream(turn.beginning.id, len(turn.beginning.items), turn.in_progress)
    try:
        reply = _streamed_reply(stream, answer) if answer.reply.is_stream else _reply(answer)
    except ConvstoreError as error:
        turn.fail(error, stream.partial(), broke_off=stream.begun, known=stream.upstream)
        raise
    finally:
        answer.reply.close()
    exchange = turn.complete(reply, reply.output)
    if reply.status == "failed" and not reply.output and reply.error is not None:
        raise failures.of_error(reply.error, turn.upstream.secrets)
    return replace(written(exchange, reply.output), headers=answer.reply.limits())


def _noting(notices: Mapping[str, str], answer: Whole | Streamed) -> Whole | Streamed:
    """The answer with headers more."""
    if isinstance(answer, Whole):
        return replace(answer, headers={**answer.headers, **notices})
    answer.headers = {**answer.headers, **notices}
    return answer


def written(exchange: Exchange, output: Sequence[Item]) -> Whole:
    """The exchange as the body of an answer."""
    return Whole(exchange.id, queued.written(exchange, output))


def _reply(answer: Answer) -> Reply:
    return answer.dialect.reply(answer.reply.body(), answer.question)


def _streamed_reply(stream: ResponseStream, answer: Answer) -> Reply:
    for _ in streaming.translated(stream, answer):
        pass
    if stream.reply is None:
        raise UpstreamCut
    return replace(stream.reply, output=tuple(stream.answer()))


# -- the same request again -----------------------------------------------------------------------------------


def _again(deps: Deps, principal: Principal, request: CreateRequest, exchange: Exchange) -> Whole | Streamed:
    """The answer that was given before; of a background request, how it stands now."""
    if exchange.background and request.stream:
        return queued.follow(deps, principal.project_id, exchange)
    if exchange.background and exchange.status not in FINISHED:
        return Whole(exchange.id, queued.body(deps, exchange))
    with deps.database.reading(principal.project_id) as scope:
        output = exchanges.output(scope, exchange)
    whole = written(exchange, output)
    return streaming.stored(whole.response_id, whole.body) if request.stream else whole
