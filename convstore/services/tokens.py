"""Counting the input tokens of a request that is not made.

An upstream that can count is asked, with everything the model would be shown; else the count is our own estimate.
"""

from dataclasses import dataclass

from convstore.domain import context, windows
from convstore.domain.request import CreateRequest
from convstore.errors import ConversationNotFound, PreviousResponseNotFound
from convstore.services.deps import Deps
from convstore.services.principal import Principal
from convstore.storage import conversations, direct, turns
from convstore.storage.direct import Cursor
from convstore.storage.turns import Parent


@dataclass(frozen=True, slots=True)
class Count:
    """Tokens, and whether they are our own estimate."""

    tokens: int
    estimated: bool


def count(deps: Deps, principal: Principal, request: CreateRequest) -> Count:
    """The tokens that the request would put in front of the model.

    Raises PreviousResponseNotFound, ConversationNotFound.
    """
    history: list[context.ContextItem] = []
    if request.previous_response_id is not None or request.conversation_id is not None:
        with direct.reading(deps.database) as cursor:
            parent = _parent(cursor, principal, request)
            history = turns.context(cursor, principal.project_id, parent) if parent else []
    upstream = deps.upstreams.serving(request.model) if request.value("model") else None
    shown = context.shown(history, request.items, upstream.name if upstream else "")
    if upstream is not None:
        counted = upstream.count_tokens(request, shown.bodies)
        if counted is not None:
            return Count(counted, estimated=False)
    own = windows.of_texts(request.value("instructions"), request.value("tools"))
    return Count(own + sum(map(windows.of_item, shown.bodies)), estimated=True)


def _parent(cursor: Cursor, principal: Principal, request: CreateRequest) -> Parent | None:
    """What the request continues; None in a conversation without items."""
    parent_id, conversation_id = request.previous_response_id, request.conversation_id
    if conversation_id is not None:
        tip = conversations.tip(cursor, principal.project_id, conversation_id)
        if tip is None:
            raise ConversationNotFound(conversation_id)
        return turns.parent(cursor, principal.project_id, tip.exchange_id, hidden=True) if tip.exchange_id else None
    parent = turns.parent(cursor, principal.project_id, parent_id or "")
    if parent is None:
        raise PreviousResponseNotFound(parent_id or "")
    return parent
