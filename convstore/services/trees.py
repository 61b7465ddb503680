"""Trees: all of one, a part of it, its tips; the thread to an exchange, and what continues it.

Where an exchange is named, so may be a branch that points at it (naming.py). No body is read but a thread's, when it
is asked for with its items.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from convstore.domain import jsontext
from convstore.domain.items import Item, listed
from convstore.domain.tree import Node, Place, Tree, unbroken
from convstore.domain.tree import below as lanes_below
from convstore.errors import ConversationNotFound, InvalidRequest
from convstore.services import naming
from convstore.services.deps import Deps
from convstore.services.paging import Listing
from convstore.storage import branches, conversations, exchanges, trees
from convstore.storage.exchanges import Placed
from convstore.storage.scope import Scope

# A page of a tree or of a thread: what is asked for at most, and without asking.
MOST = 10_000
USUAL = 1_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which part of a tree: from an exchange on (root), so many levels (depth), a page behind *after*."""

    root: str | None = None
    depth: int | None = None
    limit: int = USUAL
    after: str | None = None


def tree(deps: Deps, project_id: str, conversation_id: str, wanted: Wanted) -> bytes:
    """The JSON of a conversation's tree: its exchanges in a row, each behind its parent, with the figures below it.

    Raises ConversationNotFound, ResponseNotFound, InvalidRequest.
    """
    with deps.database.reading(project_id) as scope:
        conversation = conversations.get(scope, conversation_id)
        if conversation is None:
            raise ConversationNotFound(conversation_id)
        top = _top(scope, conversation_id, wanted.root) if wanted.root else None
        title = conversations.title(scope, conversation_id)
        after = trees.place(scope, wanted.after) if wanted.after else None
    found = _tree(deps, project_id, conversation_id, top)
    deepest = None
    if wanted.depth is not None:
        deepest = (top[1] if top else 0) + wanted.depth
    page, has_more = _page(found.walk(deepest), wanted, after)
    of_page = trees.members(deps.database, project_id, {lane: found.runs[lane].depth for lane, _ in page})
    own = {(leaf.lane, leaf.depth): leaf.id for leaves in of_page.values() for leaf in leaves}
    below = {place: each for leaves in of_page.values() for place, each in found.figures(leaves).items()}
    with deps.database.reading(project_id) as scope:
        headers = trees.nodes(scope, [own[place] for place in page if place in own])
        names = _names(scope, conversation_id)
    # A place that nobody stands at is the doctor's to find: the others are shown all the same.
    shown = [
        _with(headers[own[place]], names, is_tip=found.is_tip(place), subtree=below[place].as_dict())
        for place in page
        if place in own
    ]
    return jsontext.dumps(
        {
            "object": "conversation.tree",
            "conversation_id": conversation_id,
            "title": title,
            "total": found.total().as_dict(),
            "data": shown,
            "first_id": shown[0]["id"] if shown else None,
            "last_id": shown[-1]["id"] if shown else None,
            "has_more": has_more,
        }
    )


def tips(deps: Deps, project_id: str, conversation_id: str, limit: int, after: str | None) -> Listing:
    """A page of the exchanges that nothing continues, newest first. Raises ConversationNotFound, InvalidRequest."""
    with deps.database.reading(project_id) as scope:
        if conversations.get(scope, conversation_id) is None:
            raise ConversationNotFound(conversation_id)
        if after is not None:
            _top(scope, conversation_id, after, param="after")
        found = trees.tips(scope, conversation_id, limit + 1, after)
        names = _names(scope, conversation_id)
    return _listing(found, names, limit)


def children(deps: Deps, project_id: str, name: str, limit: int, after: str | None) -> Listing:
    """A page of the exchanges that continue one, oldest first. Raises ResponseNotFound."""
    with deps.database.reading(project_id) as scope:
        exchange = naming.exchange(scope, name)
        found = trees.children(scope, exchange.id, limit + 1, after)
        names = _names(scope, exchange.conversation_id)
    return _listing(found, names, limit)


def thread(deps: Deps, project_id: str, name: str, limit: int, after: str | None, *, items: bool) -> Listing:
    """A page of the exchanges from the root to one, itself among them. items: with what was asked and answered.

    Raises ResponseNotFound, ThreadDamaged, and InvalidRequest for a cursor that is not on the thread.
    """
    with deps.database.reading(project_id) as scope:
        exchange = naming.exchange(scope, name)
        first = 0
        if after is not None:
            place = trees.place(scope, after)
            there = trees.thread(scope, exchange.id, place[2], place[2]) if place else []
            if after not in {node.id for node in there} or place is None:
                raise InvalidRequest(f"'{after}' is not on this thread.", param="after", code="invalid_value")
            first = place[2] + 1
        last = min(exchange.depth, first + limit - 1)
        nodes = unbroken(trees.thread(scope, exchange.id, first, last), exchange.id, first, last)
        placed = exchanges.thread(scope, exchange.id, first=first, last=last) if items else []
        names = _names(scope, exchange.conversation_id)
    of: dict[str, list[Placed]] = {}
    for each in placed:
        of.setdefault(each.exchange_id, []).append(each)
    entries = [(node.id, _in_thread(node, names, of.get(node.id, ()) if items else None)) for node in nodes]
    return Listing(entries, has_more=last < exchange.depth)


def _tree(deps: Deps, project_id: str, conversation_id: str, top: tuple[str, int] | None) -> Tree:
    lanes = trees.lanes(deps.database, project_id, conversation_id)
    if top is None:
        roots = sorted(lane.id for lane in lanes.values() if lane.parent is None)
        tops = [(lane, lanes[lane].depth) for lane in roots]
        wanted = {lane.id: lane.depth for lane in lanes.values()}
    else:
        tops = [top]
        wanted = lanes_below(lanes, top)
    kept = {lane: lanes[lane] for lane in wanted if lane in lanes}
    return Tree(kept, trees.runs(deps.database, project_id, wanted), tops)


def _top(scope: Scope, conversation_id: str, name: str, param: str = "root") -> tuple[str, int]:
    """Where an exchange of this conversation stands. Raises InvalidRequest, ResponseNotFound."""
    place = trees.place(scope, naming.exchange_id(scope, name))
    if place is None or place[0] != conversation_id:
        raise InvalidRequest(f"'{name}' is not in this conversation.", param=param, code="invalid_value")
    return place[1], place[2]


def _page(walk: Iterator[Place], wanted: Wanted, after: tuple[str, str, int] | None) -> tuple[list[Place], bool]:
    if wanted.after is not None and (after is None or after[1:] not in walk):
        raise InvalidRequest(f"'{wanted.after}' is not in this tree.", param="after", code="invalid_value")
    page = list(islice(walk, wanted.limit))
    return page, next(walk, None) is not None


def _names(scope: Scope, conversation_id: str) -> dict[str, list[str]]:
    """The branches of a conversation, by what they point at."""
    names: dict[str, list[str]] = {}
    for branch in branches.listed(scope, MOST, conversation_id=conversation_id):
        names.setdefault(branch.tip_id, []).append(branch.name)
    return names


def _with(node: Node, names: Mapping[str, Sequence[str]], **more: Any) -> dict[str, Any]:
    return {**node.as_dict(names.get(node.id, ())), **more}


def _listing(found: Sequence[Node], names: Mapping[str, Sequence[str]], limit: int) -> Listing:
    return Listing([(node.id, jsontext.dumps(_with(node, names))) for node in found[:limit]], len(found) > limit)


def _in_thread(node: Node, names: Mapping[str, Sequence[str]], placed: Sequence[Placed] | None) -> bytes:
    header = jsontext.dumps(_with(node, names))
    if placed is None:
        return header
    gone = node.deleted_at is not None
    sides = [_side(placed, output=output) if not gone else b"[]" for output in (False, True)]
    return header[:-1] + b',"input":' + sides[0] + b',"output":' + sides[1] + b"}"


def _side(placed: Sequence[Placed], *, output: bool) -> bytes:
    shown: list[tuple[str, Item]] = [(each.shown_id, each.item) for each in placed if each.output == output]
    return b"[" + b",".join(listed(item, item_id) for item_id, item in shown) + b"]"
