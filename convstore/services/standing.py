"""Where a request stands: what it continues, and which items are in front of its own.

previous_response_id   the exchange that it names
conversation           the tip of the conversation that it names
neither                the thread that its items begin with, where that is on record (histories.py)
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from convstore import ids
from convstore.domain import fingerprints
from convstore.domain.context import ContextItem
from convstore.domain.exchange import Exchange, Linked, Sent
from convstore.domain.fingerprints import Thread
from convstore.domain.items import Item
from convstore.domain.request import CreateRequest
from convstore.domain.response import FINISHED
from convstore.errors import (
    ConversationLocked,
    ConversationNotFound,
    DuplicateItem,
    ItemNotFound,
    ParentUnfinished,
    PreviousResponseNotFound,
)
from convstore.services import histories
from convstore.services.deps import Deps
from convstore.services.principal import Principal
from convstore.storage import conversations, direct, exchanges, turns
from convstore.storage.direct import Cursor
from convstore.storage.turns import Parent


@dataclass(frozen=True, slots=True)
class Standing:
    """parent: the exchange that is continued; None for the first of a conversation.

    history: the items in front of the request's own. stored: how many of its own items the parent's thread has
    already. conversation_id and tip_id: the conversation that was named, and its tip. thread: the fingerprint of the
    thread with the request's own items at its end; None where histories are not recognised.
    """

    parent: Parent | None = None
    history: Sequence[ContextItem] = ()
    linked: Linked | None = None
    conversation_id: str | None = None
    tip_id: str | None = None
    stored: int = 0
    sent: Sent | None = None
    thread: Thread | None = None

    @property
    def is_unchecked(self) -> bool:
        """Whether the history may hold calls that nobody answered: in a conversation items come and go by hand."""
        return self.linked is Linked.CONVERSATION or (self.parent is not None and self.parent.upstream is None)


def of(deps: Deps, principal: Principal, request: CreateRequest) -> Standing:
    """Where the request stands. Raises InvalidRequest and NotFound.

    Two statements for one that names what it continues, whatever the depth; one for a history sent whole.
    """
    conversation_id = request.conversation_id
    if request.previous_response_id is None and conversation_id is None:
        return _by_history(deps, principal, request)
    with direct.reading(deps.database) as cursor:
        if conversation_id is not None:
            standing = _in_conversation(cursor, principal, request, conversation_id)
        else:
            standing = _after(cursor, principal, request)
        again = _of_thread(cursor, principal, request, standing.parent)
    if again:
        _no_item_twice(deps, principal, standing.parent, again)
    return replace(standing, thread=continued(principal, request, standing)) if deps.relay.link_histories else standing


def beside(deps: Deps, principal: Principal, exchange: Exchange, request: CreateRequest) -> Standing:
    """Where another child of the same parent stands; beside a root there is another root of the conversation."""
    return behind(deps, principal, exchange.parent_id, exchange.conversation_id, request)


def behind(
    deps: Deps, principal: Principal, parent_id: str | None, conversation_id: str, request: CreateRequest
) -> Standing:
    """Where a request of our own making stands behind an exchange, be that deleted or not; None: as another root."""
    with direct.reading(deps.database) as cursor:
        parent = turns.parent(cursor, principal.project_id, parent_id, hidden=True) if parent_id else None
        history = turns.context(cursor, principal.project_id, parent) if parent else ()
    stands = Standing(parent, history, conversation_id=conversation_id)
    return replace(stands, thread=continued(principal, request, stands)) if deps.relay.link_histories else stands


def resolved(deps: Deps, principal: Principal, request: CreateRequest) -> CreateRequest:
    """The request with its item references replaced by what they refer to. Raises ItemNotFound."""
    if all(item.type != "item_reference" for item in request.items):
        return request
    found: list[Item] = []
    with deps.database.reading(principal.project_id) as scope:
        for item in request.items:
            if item.type == "item_reference":
                named = exchanges.find_item(scope, item.item_id or "")
                if named is None:
                    raise ItemNotFound(item.item_id or "")
                item = replace(named, item_id=item.item_id)
            found.append(item)
    return replace(request, items=tuple(found))


def _after(cursor: Cursor, principal: Principal, request: CreateRequest) -> Standing:
    parent_id = request.previous_response_id or ""
    parent = turns.parent(cursor, principal.project_id, parent_id)
    if parent is None:
        raise PreviousResponseNotFound(parent_id)
    if parent.status not in FINISHED:
        raise ParentUnfinished(parent_id)
    return Standing(parent, turns.context(cursor, principal.project_id, parent))


def _in_conversation(cursor: Cursor, principal: Principal, request: CreateRequest, conversation_id: str) -> Standing:
    tip = conversations.tip(cursor, principal.project_id, conversation_id)
    if tip is None:
        raise ConversationNotFound(conversation_id)
    if tip.writer_id is not None and request.store:
        raise ConversationLocked
    parent = turns.parent(cursor, principal.project_id, tip.exchange_id, hidden=True) if tip.exchange_id else None
    history = turns.context(cursor, principal.project_id, parent) if parent else ()
    return Standing(parent, history, Linked.CONVERSATION, conversation_id, tip.moved_to)


def _of_thread(cursor: Cursor, principal: Principal, request: CreateRequest, parent: Parent | None) -> list[str]:
    """The ids among the request's items that are ours and of exchanges of the thread."""
    homes = {item.item_id: ids.item_home(item.item_id) for item in request.items if item.item_id}
    known = {item_id: home[0] for item_id, home in homes.items() if home}
    if not known or parent is None:
        return []
    there = turns.on_thread(cursor, principal.project_id, parent, sorted(set(known.values())))
    return [item_id for item_id, exchange_id in known.items() if exchange_id in there]


def _no_item_twice(deps: Deps, principal: Principal, parent: Parent | None, item_ids: Sequence[str]) -> None:
    """Raises DuplicateItem when one of these ids is in the thread; it may have been taken out and brought again."""
    if parent is None:
        return
    with deps.database.reading(principal.project_id) as scope:
        left = exchanges.remaining(exchanges.thread(scope, parent.id, bodies=False))
    for item_id in {each.shown_id for each in left}.intersection(item_ids):
        raise DuplicateItem(item_id)


def _by_history(deps: Deps, principal: Principal, request: CreateRequest) -> Standing:
    if not deps.relay.link_histories or principal.settings.discards(stored=request.store):
        return Standing()
    place = histories.place(deps, principal, request)
    linked = Linked.INFERRED if place.parent else None
    return Standing(place.parent, linked=linked, stored=place.stored, sent=place.sent, thread=place.thread)


def continued(principal: Principal, request: CreateRequest, standing: Standing) -> Thread:
    """The fingerprint of the thread with the request's own items at its end."""
    before = standing.parent.thread if standing.parent else None
    if before is None:
        # The first of its thread, or behind an exchange without an answer.
        before = fingerprints.start(principal.project_id, request.value("user"), request.value("safety_identifier"))
        before = before.after(standing.history)
    return before.after(request.items)
