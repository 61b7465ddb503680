"""Conversations: made, described, added to, listed, taken from, deleted.

A conversation is a tree with a tip. What it holds is the thread that ends there: one line, whatever grows beside it.
Items that are added by hand move the tip on, and so does a removal: an item that says which one is gone. Nothing that
is stored is changed, so what was forked off before keeps what it saw.

Who adds by hand and finds that another batch was first begins again; while a response is being written nobody may add.
"""

import random
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from convstore import ids
from convstore.domain import calls, fingerprints, jsontext
from convstore.domain.conversation import Conversation
from convstore.domain.exchange import ADDED, NOTHING, Beginning, Linked
from convstore.domain.fingerprints import Thread
from convstore.domain.items import REMOVAL, Item, listed, shown_id
from convstore.errors import (
    ConversationItemNotFound,
    ConversationLocked,
    ConversationNotFound,
    DuplicateItem,
    InvalidRequest,
    SearchUnavailable,
)
from convstore.services import paging
from convstore.services.deps import Deps
from convstore.services.paging import Listing, Page
from convstore.services.principal import Principal
from convstore.storage import conversations, direct, exchanges, turns
from convstore.storage.conversations import Tip
from convstore.storage.conversations import Wanted as Wanted
from convstore.storage.exchanges import Placed
from convstore.storage.turns import Parent

# How often a writer begins again. Each time somebody else's batch was added, so only a crowd is ever turned away.
ATTEMPTS = 32
# At most how long it waits before that, in seconds: the time of a few writes, so that a crowd spreads out.
NAP_S = 0.01

# What to add behind an exchange (None: to a conversation without any): the items, and their thread's fingerprint.
Making = Callable[[Parent | None], tuple[Sequence[Item], Thread | None]]


def create(deps: Deps, principal: Principal, metadata: bytes, items: Sequence[Item], request_id: str) -> Conversation:
    """A new conversation that begins with these items. metadata: a JSON object. Raises DuplicateItem."""
    _no_item_twice(items)
    made = Conversation(ids.new(ids.CONVERSATION), deps.clock(), metadata)
    calls.about(made.id)
    first = _addition(deps, principal, made.id, None, items, request_id) if items else None
    conversations.create(deps.database, principal.project_id, made, first, _continued(deps, principal, None, items))
    return made


def get(deps: Deps, principal: Principal, conversation_id: str) -> Conversation:
    """The conversation itself. Raises ConversationNotFound."""
    with deps.database.reading(principal.project_id) as scope:
        found = conversations.get(scope, conversation_id)
    if found is None:
        raise ConversationNotFound(conversation_id)
    return found


def describe(
    deps: Deps, principal: Principal, conversation_id: str, metadata: bytes | None, title: str | None = None
) -> Conversation:
    """Replace its metadata, a JSON object, its title, or both. Raises ConversationNotFound."""
    with deps.database.writing(principal.project_id) as scope:
        if not conversations.describe(scope, conversation_id, metadata, title):
            raise ConversationNotFound(conversation_id)
    return get(deps, principal, conversation_id)


def index(deps: Deps, principal: Principal, page: Page, wanted: Wanted) -> Listing:
    """A page of the project's conversations, as JSON.

    Raises InvalidRequest for a cursor that is none of them, SearchUnavailable.
    """
    if wanted.title is not None and deps.database.vault.seals:
        raise SearchUnavailable("title")
    with deps.database.reading(principal.project_id) as scope:
        for name, cursor in (("after", page.after), ("before", page.before)):
            if cursor is not None and conversations.get(scope, cursor) is None:
                raise InvalidRequest(
                    f"Conversation with id '{cursor}' not found in this list.", param=name, code="invalid_value"
                )
        found = conversations.listed(
            scope,
            page.limit + 1,
            newest_first=page.order == "desc",
            after=page.after,
            before=page.before,
            wanted=wanted,
        )
    chosen, has_more = paging.chosen(found, page)
    return Listing([(each.id, each.write(title=title)) for each, title in chosen], has_more)


def delete(deps: Deps, principal: Principal, conversation_id: str) -> None:
    """Hide it. Its responses can still be read and continued by their ids. Raises ConversationNotFound."""
    with deps.database.writing(principal.project_id) as scope:
        if not conversations.delete(scope, conversation_id, deps.clock()):
            raise ConversationNotFound(conversation_id)


def items(deps: Deps, principal: Principal, conversation_id: str, page: Page) -> Listing:
    """A page of its items. Raises ConversationNotFound, and InvalidRequest for a cursor that was never in the list."""
    thread = _thread(deps, principal, _tip(deps, principal, conversation_id).exchange_id)
    left = {(each.depth, each.position) for each in exchanges.remaining(thread)}
    entries = [(each.shown_id, each if (each.depth, each.position) in left else None) for each in thread]
    chosen, has_more = paging.cut(entries, page)
    with deps.database.reading(principal.project_id) as scope:
        read = exchanges.with_bodies(scope, [each for _, each in chosen])
    return Listing([(each.shown_id, listed(each.item, each.shown_id)) for each in read], has_more)


def item(deps: Deps, principal: Principal, conversation_id: str, item_id: str) -> bytes:
    """The JSON of one item. Raises ConversationNotFound, ConversationItemNotFound."""
    thread = exchanges.remaining(_thread(deps, principal, _tip(deps, principal, conversation_id).exchange_id))
    with deps.database.reading(principal.project_id) as scope:
        (found,) = exchanges.with_bodies(scope, [_found(thread, item_id)])
    return listed(found.item, item_id)


def add(deps: Deps, principal: Principal, conversation_id: str, items: Sequence[Item], request_id: str) -> Listing:
    """Add items behind the others; the answer lists them as they are stored.

    Raises ConversationNotFound, DuplicateItem, and ConversationLocked while a response is being written.
    """

    def making(parent: Parent | None) -> tuple[Sequence[Item], Thread | None]:
        if parent is not None and any(each.item_id for each in items):
            there = exchanges.remaining(_thread(deps, principal, parent.id))
            _no_item_twice(items, {each.shown_id for each in there})
        return items, _continued(deps, principal, parent, items)

    _no_item_twice(items)
    if not items:
        _tip(deps, principal, conversation_id)
        return Listing([], has_more=False)
    added = _appended(deps, principal, conversation_id, request_id, making)
    shown = [(shown_id(each, added.id, number, output=False), each) for number, each in enumerate(items)]
    return Listing([(item_id, listed(each, item_id)) for item_id, each in shown], has_more=False)


def remove(deps: Deps, principal: Principal, conversation_id: str, item_id: str, request_id: str) -> Conversation:
    """Take an item out. Raises ConversationNotFound, ConversationItemNotFound, ConversationLocked."""

    def making(parent: Parent | None) -> tuple[Sequence[Item], Thread | None]:
        tip_id = parent.id if parent else None
        thread = exchanges.remaining(_thread(deps, principal, tip_id, bodies=deps.relay.link_histories))
        gone = _found(thread, item_id)
        return [_removal(gone)], _fingerprint(deps, principal, [each for each in thread if each is not gone])

    _appended(deps, principal, conversation_id, request_id, making)
    return get(deps, principal, conversation_id)


# -- the thread -----------------------------------------------------------------------------------------------


def _tip(deps: Deps, principal: Principal, conversation_id: str) -> Tip:
    with direct.reading(deps.database) as cursor:
        found = conversations.tip(cursor, principal.project_id, conversation_id)
    if found is None:
        raise ConversationNotFound(conversation_id)
    return found


def _thread(deps: Deps, principal: Principal, tip_id: str | None, *, bodies: bool = False) -> list[Placed]:
    """Everything from the root to the tip, what was taken out and the removals among it; without their bodies."""
    if tip_id is None:
        return []
    with deps.database.reading(principal.project_id) as scope:
        return exchanges.thread(scope, tip_id, bodies=bodies)


def _found(thread: Sequence[Placed], item_id: str) -> Placed:
    for each in thread:
        if each.shown_id == item_id:
            return each
    raise ConversationItemNotFound(item_id)


def _no_item_twice(items: Sequence[Item], there: Collection[str] = ()) -> None:
    """Raises DuplicateItem: an id names one item of a conversation."""
    seen = set(there)
    for item_id in (each.item_id for each in items if each.item_id):
        if item_id in seen:
            raise DuplicateItem(item_id, param="items")
        seen.add(item_id)


# -- what is added --------------------------------------------------------------------------------------------


def _appended(deps: Deps, principal: Principal, conversation_id: str, request_id: str, making: Making) -> Beginning:
    """Add what is made for the tip, until nobody moves it meanwhile.

    Raises ConversationNotFound, and ConversationLocked while a response is being written.
    """
    for _ in range(ATTEMPTS):
        tip = _tip(deps, principal, conversation_id)
        if tip.writer_id is not None:
            break
        with direct.reading(deps.database) as cursor:
            known = (
                turns.parent(cursor, principal.project_id, tip.exchange_id, hidden=True) if tip.exchange_id else None
            )
        items, thread = making(known)
        addition = _addition(deps, principal, conversation_id, known, items, request_id)
        try:
            return _put(deps, principal, replace(addition, tip_id=tip.moved_to), thread)
        except turns.ConversationTaken:
            time.sleep(random.uniform(0, NAP_S))  # noqa: S311 -- spreads retries, hides nothing
    raise ConversationLocked


def _put(deps: Deps, principal: Principal, addition: Beginning, thread: Thread | None) -> Beginning:
    """Write it, in a lane of its own if somebody has forked off there. Raises ConversationTaken."""
    try:
        conversations.append(deps.database, principal.project_id, addition, thread)
    except turns.LaneTaken:
        addition = replace(addition, lane=addition.id)
        conversations.append(deps.database, principal.project_id, addition, thread)
    return addition


def _addition(
    deps: Deps,
    principal: Principal,
    conversation_id: str,
    parent: Parent | None,
    items: Sequence[Item],
    request_id: str,
) -> Beginning:
    """An exchange that nobody is asked about."""
    exchange_id = ids.new(ids.EXCHANGE)
    return Beginning(
        id=exchange_id,
        conversation_id=conversation_id,
        parent_id=parent.id if parent else None,
        lane=parent.lane if parent and not parent.continued else exchange_id,
        depth=parent.depth + 1 if parent else 0,
        items=items,
        stored=True,
        requested_model="",
        settings=NOTHING,
        settings_hash=jsontext.digest(NOTHING),
        created_at=deps.clock(),
        api_key_id=principal.key_id,
        request_id=request_id,
        origin=ADDED,
        linked=Linked.CONVERSATION,
    )


def _removal(gone: Placed) -> Item:
    body = jsontext.dumps({"type": REMOVAL, "item_id": gone.shown_id})
    return Item(REMOVAL, body, call_id=f"{gone.depth}.{gone.position}")


def _continued(deps: Deps, principal: Principal, parent: Parent | None, items: Sequence[Item]) -> Thread | None:
    """The fingerprint of the thread with these items at its end; None where histories are not recognised."""
    if not deps.relay.link_histories:
        return None
    if parent is not None and parent.thread is not None:
        return parent.thread.after(items)
    thread = exchanges.remaining(_thread(deps, principal, parent.id if parent else None, bodies=True))
    before = _fingerprint(deps, principal, thread)
    return before.after(items) if before else None


def _fingerprint(deps: Deps, principal: Principal, thread: Sequence[Placed]) -> Thread | None:
    """The fingerprint of these items, with their bodies; None where histories are not recognised."""
    if not deps.relay.link_histories:
        return None
    first = None
    if thread:
        # Whoever asked first is whose thread it is.
        with deps.database.reading(principal.project_id) as scope:
            first = exchanges.get(scope, thread[0].exchange_id, hidden=True)
    user, safety_identifier = (first.user, first.safety_identifier) if first else (None, None)
    start = fingerprints.start(principal.project_id, user, safety_identifier)
    return start.after([each.item for each in thread])
