"""Which exchanges an export is of, conversation by conversation, in the order they leave in.

Keys alone are read here, each page of them in a look of its own at the store: nobody waits for whoever takes the file.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from convstore import ids
from convstore.domain.archive import ArchivedBranch, ArchivedConversation
from convstore.domain.exporting import Extent
from convstore.errors import ConversationNotFound
from convstore.services import history, naming
from convstore.services.deps import Deps
from convstore.services.history import Asked
from convstore.storage import conversations, trees
from convstore.storage.archive import places
from convstore.storage.archive.places import Place

# Conversations whose keys are read together, and matches of a query.
CONVERSATIONS = 200
MATCHES = 1_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be exported: one conversation, what belongs to one response (an id), or what a query finds.

    Without any of them it is everything.
    """

    extent: Extent
    conversation_id: str | None = None
    response_id: str | None = None
    asked: Asked | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A conversation and some of its exchanges; one with very many comes in several parts.

    title: what lists call it. branches: of the whole conversation.
    """

    conversation: ArchivedConversation
    title: str | None
    branches: Sequence[ArchivedBranch]
    places: Sequence[Place]


def conversation(deps: Deps, project_id: str, conversation_id: str, extent: Extent) -> Wanted:
    """All of a conversation. Raises ConversationNotFound."""
    with deps.database.reading(project_id) as scope:
        if conversations.get(scope, conversation_id) is None:
            raise ConversationNotFound(conversation_id)
    return Wanted(extent, conversation_id=conversation_id)


def response(deps: Deps, project_id: str, name: str, extent: Extent) -> Wanted:
    """What belongs to a response, which a branch may stand for. Raises ResponseNotFound."""
    with deps.database.reading(project_id) as scope:
        found = naming.exchange(scope, name)
    if extent is Extent.TREE:
        return Wanted(extent, conversation_id=found.conversation_id)
    return Wanted(extent, response_id=found.id)


def parts(deps: Deps, project_id: str, wanted: Wanted, *, in_lanes: bool = False) -> Iterator[Part]:
    """What is wanted, by the age of conversations. in_lanes: see places.of_conversations. Raises InvalidRequest."""
    if wanted.response_id is not None:
        yield from _of_responses(deps, project_id, wanted.extent, [wanted.response_id], in_lanes=in_lanes)
    elif wanted.conversation_id is not None:
        yield from _whole(deps, project_id, [wanted.conversation_id], in_lanes=in_lanes)
    elif wanted.asked is None:
        yield from _everything(deps, project_id, in_lanes=in_lanes)
    elif wanted.extent is Extent.RESPONSE:
        yield from _matches(deps, project_id, wanted.asked)
    else:
        yield from _found(deps, project_id, wanted.extent, wanted.asked, in_lanes=in_lanes)


def count(deps: Deps, project_id: str, wanted: Wanted) -> int | None:
    """How many exchanges a project has, where all of them are wanted; for a bar of progress."""
    if wanted.asked is not None or wanted.conversation_id is not None or wanted.response_id is not None:
        return None
    with deps.database.reading(project_id) as scope:
        return places.count(scope)


def _everything(deps: Deps, project_id: str, *, in_lanes: bool) -> Iterator[Part]:
    after = None
    while True:
        with deps.database.reading(project_id) as scope:
            listed = places.all_conversations(scope, CONVERSATIONS, after)
        if not listed:
            return
        yield from _pages(deps, project_id, listed, in_lanes=in_lanes)
        after = listed[-1].conversation.id


def _whole(deps: Deps, project_id: str, conversation_ids: Sequence[str], *, in_lanes: bool) -> Iterator[Part]:
    with deps.database.reading(project_id) as scope:
        listed = places.these_conversations(scope, conversation_ids)
    yield from _pages(deps, project_id, listed, in_lanes=in_lanes)


def _pages(deps: Deps, project_id: str, listed: Sequence[places.Listed], *, in_lanes: bool) -> Iterator[Part]:
    """All of a page of conversations; those without an exchange, too."""
    own = [each.conversation.id for each in listed]
    with deps.database.reading(project_id) as scope:
        branches = places.branches(scope, own)
    left, after = list(listed), None
    while True:
        with deps.database.reading(project_id) as scope:
            found, after = places.of_conversations(scope, own, after, in_lanes=in_lanes)
        grouped = _grouped(found)
        # What the page of keys ends in may go on in the next one.
        last = max(grouped, default="") if after is not None else None
        while left and (last is None or left[0].conversation.id <= last):
            each = left[0].conversation
            yield Part(each, left[0].title, branches.get(each.id, ()), grouped.get(each.id, ()))
            if each.id == last:
                break
            left.pop(0)
        if after is None:
            return


def _found(deps: Deps, project_id: str, extent: Extent, asked: Asked, *, in_lanes: bool) -> Iterator[Part]:
    """The conversations in which something was found. Of what was found the keys are held, and nothing else."""
    matched: dict[str, list[str]] = {}
    for page in history.matches(deps, project_id, asked, MATCHES):
        with deps.database.reading(project_id) as scope:
            for place in places.these(scope, page):
                home = matched.setdefault(ids.unpack(ids.CONVERSATION, place.conversation_id), [])
                if extent is Extent.THREAD:
                    home.append(ids.unpack(ids.EXCHANGE, place.id))
    wanted = sorted(matched)
    if extent is Extent.TREE:
        for start in range(0, len(wanted), CONVERSATIONS):
            yield from _whole(deps, project_id, wanted[start : start + CONVERSATIONS], in_lanes=in_lanes)
        return
    for own in wanted:
        yield from _threads(deps, project_id, own, matched[own], in_lanes=in_lanes)


def _of_responses(
    deps: Deps, project_id: str, extent: Extent, exchange_ids: Sequence[str], *, in_lanes: bool
) -> Iterator[Part]:
    with deps.database.reading(project_id) as scope:
        found, own = trees.place(scope, exchange_ids[0]), places.these(scope, exchange_ids)
    if extent is Extent.RESPONSE:
        yield from _single(deps, project_id, own)
    elif found is not None:
        yield from _threads(deps, project_id, found[0], exchange_ids, in_lanes=in_lanes)


def _threads(
    deps: Deps, project_id: str, conversation_id: str, tips: Sequence[str], *, in_lanes: bool
) -> Iterator[Part]:
    """Of a conversation what leads to some of its exchanges, in one part."""
    keys: list[Place] = []
    titled: tuple[ArchivedConversation, str | None] | None = None
    branches: Sequence[ArchivedBranch] = ()
    for part in _whole(deps, project_id, [conversation_id], in_lanes=in_lanes):
        keys += part.places
        titled, branches = (part.conversation, part.title), part.branches
    if titled is None:
        return
    kept = _leading_to(keys, [ids.pack(ids.EXCHANGE, tip) or b"" for tip in tips])
    there = {ids.unpack(ids.EXCHANGE, place.id) for place in kept}
    yield Part(*titled, [each for each in branches if each.tip_id in there], kept)


def _leading_to(keys: Sequence[Place], tips: Sequence[bytes]) -> list[Place]:
    above = {place.id: place.parent for place in keys}
    wanted: set[bytes] = set()
    for tip in tips:
        own: bytes | None = tip
        while own is not None and own in above and own not in wanted:
            wanted.add(own)
            own = above[own]
    return [place for place in keys if place.id in wanted]


def _matches(deps: Deps, project_id: str, asked: Asked) -> Iterator[Part]:
    """What was found and nothing else, in order of time."""
    for page in history.matches(deps, project_id, asked, MATCHES):
        with deps.database.reading(project_id) as scope:
            found = places.these(scope, page)
        yield from _single(deps, project_id, found)


def _single(deps: Deps, project_id: str, found: Sequence[Place]) -> Iterator[Part]:
    """Exchanges by themselves: a part for each run of those of one conversation."""
    own = sorted({ids.unpack(ids.CONVERSATION, place.conversation_id) for place in found})
    with deps.database.reading(project_id) as scope:
        listed = {each.conversation.id: each for each in places.these_conversations(scope, own)}
    for name, run in groupby(found, key=lambda place: ids.unpack(ids.CONVERSATION, place.conversation_id)):
        if name in listed:
            yield Part(listed[name].conversation, listed[name].title, (), list(run))


def _grouped(found: Sequence[Place]) -> dict[str, list[Place]]:
    grouped: dict[str, list[Place]] = {}
    for place in found:
        grouped.setdefault(ids.unpack(ids.CONVERSATION, place.conversation_id), []).append(place)
    return grouped
