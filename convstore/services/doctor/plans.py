"""The plan for a tree: where its exchanges belong, which items are theirs, and what is to be written.

Items are known by the place they lie at, and places are what is in doubt. So of each exchange that is to move, the
items where it lies and those where it belongs are compared with what it says of them: how many, the first lines, the
fingerprint of the thread. When it does not come out even, nothing is written.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from convstore.domain import fingerprints, forest
from convstore.domain.checkup import Finding, Signs, likeness
from convstore.domain.fingerprints import Thread
from convstore.domain.forest import Node
from convstore.services import recovery
from convstore.services.doctor.visit import Visit
from convstore.storage.checkup import UNFINISHED, Spot, contents
from convstore.storage.checkup import trees as reading
from convstore.storage.checkup.trees import Member
from convstore.storage.mending import Move
from convstore.storage.scope import Scope

_BUSY = "An answer is being written there: try again later."
_UNCLEAR = "Which items belong to whom cannot be told, so nothing was moved."

Members = Mapping[str, Member]
Spots = Mapping[str, forest.Spot]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is wrong with a tree, and what is to be written.

    conversations: id → the exchanges that are to say so. lost: id → since when, of those to be put on record.
    spots: places that are left or taken. hindrance: why nothing can be written.
    """

    findings: list[Finding]
    moves: list[Move]
    conversations: dict[str, list[str]]
    lost: dict[str, datetime]
    spots: set[Spot]
    hindrance: str | None = None


def of(visit: Visit, scope: Scope, tree: Collection[str], *, lock: bool = False) -> Plan:
    """The plan for some trees, given as their exchanges. lock: nobody changes them until the transaction ends."""
    members = {each.id: each for each in reading.members(scope, tree, lock=lock)}
    spots = _spots(scope, members)
    leaving = [each for each in members.values() if each.id in spots and each.spot != spots[each.id][:2]]
    moves = _moves(scope, members, spots, leaving)
    hindrance = _UNCLEAR if moves is None else _BUSY if _is_busy(visit, scope, leaving) else None
    conversations, lost = _conversations(scope, members, spots)
    findings = _displaced(visit, leaving, spots) + _astray(visit, conversations, members) + _rows(visit, lost)
    if hindrance:
        findings = [
            Finding(each.kind, each.project, each.object_id, f"{each.sentence} {hindrance}") for each in findings
        ]
    both = {each.spot for each in leaving} | {spots[each.id][:2] for each in leaving}
    return Plan(findings, moves or [], conversations, lost, both, hindrance)


def _spots(scope: Scope, members: Members) -> Spots:
    """Where they belong. Of siblings, the one that goes on in their parent's lane is not always the oldest.

    Items in a lane of its own show that an exchange opened one; after them, what is said of its lane is believed.
    """
    opened = reading.lanes_with_items(scope, members.keys())

    def order(each: Member) -> tuple[bool, bool, bool, str]:
        parent = members.get(each.parent_id or "")
        return each.id in opened, each.lane == each.id, parent is None or each.lane != parent.lane, each.id

    return forest.spots(Node(each.id, each.parent_id) for each in sorted(members.values(), key=order))


def _is_busy(visit: Visit, scope: Scope, leaving: Sequence[Member]) -> bool:
    """Whether a living process knows one of them by its old place: it will write the answer there."""
    waiting = [each.id for each in leaving if each.status in UNFINISHED]
    held = reading.held(scope, waiting)
    # Who is alive is asked after who is at it: whoever began meanwhile is among them.
    return bool(held) and not recovery.living(visit.deps).isdisjoint(held.values())


# -- items ----------------------------------------------------------------------------------------------------


def _moves(scope: Scope, members: Members, spots: Spots, leaving: Sequence[Member]) -> list[Move] | None:
    """Who moves, and with which items. None when that cannot be told."""
    targets = {each.id: spots[each.id][:2] for each in leaving}
    kept = contents.at(scope, {each.spot for each in leaving} | set(targets.values()))
    taken = {each.spot for each in members.values()}
    offers = []
    for each in leaving:
        signs = _signs(scope, members, each)
        target = targets[each.id]
        here = likeness(signs, kept.get(each.spot, ())), target in taken, each.id, each.spot
        there = likeness(signs, kept.get(target, ())), target not in taken, each.id, target
        offers += [here, there]
    chosen: dict[str, Spot] = {}
    given: set[Spot] = set()
    for _, _, own, spot in sorted(offers, reverse=True):
        if own not in chosen and (spot not in kept or spot not in given):
            chosen[own] = spot
            given.add(spot)
    # Whoever found none, or items that would be joined by another's: something is not as it seems.
    if len(chosen) < len(leaving) or any(target in kept and target not in given for target in targets.values()):
        return None
    return [
        Move(own, targets[own], spot if spot in kept and spot != targets[own] else None) for own, spot in chosen.items()
    ]


def _signs(scope: Scope, members: Members, each: Member) -> Signs:
    before: Thread | None = None
    if each.parent_id is None:
        before = fingerprints.start(scope.project_id, each.user, each.safety_identifier)
    elif (parent := members.get(each.parent_id)) and parent.fingerprint:
        before = fingerprints.unpack(bytes(parent.fingerprint))
    fingerprint = bytes(each.fingerprint) if each.fingerprint else None
    return Signs(each.input_count, each.question, each.answer, fingerprint, before)


# -- conversations --------------------------------------------------------------------------------------------


def _conversations(scope: Scope, members: Members, spots: Spots) -> tuple[dict[str, list[str]], dict[str, datetime]]:
    """Which conversation whom is to be told of, and which are to be put on record."""
    said: dict[str, Counter[str]] = {}
    for own, spot in spots.items():
        said.setdefault(spot.root, Counter())[members[own].conversation_id] += 1
    there = reading.conversations(scope, {each for counter in said.values() for each in counter})
    right = {root: _most_likely(members[root], counter, there) for root, counter in said.items()}
    wrong: dict[str, list[str]] = {}
    for own, spot in spots.items():
        if members[own].conversation_id != right[spot.root]:
            wrong.setdefault(right[spot.root], []).append(own)
    lost = {each: members[root].created_at for root, each in right.items() if each not in there}
    return wrong, lost


def _most_likely(root: Member, said: Counter[str], there: Mapping[str, datetime]) -> str:
    """The conversation that a tree belongs to, of those that its exchanges say.

    One that is on record; one that began with the tree; the one that most say; the one that the root says.
    """
    return max(
        said,
        key=lambda each: (
            each in there,
            there.get(each) == root.created_at,
            said[each],
            each == root.conversation_id,
            each,
        ),
    )


# -- the words ------------------------------------------------------------------------------------------------


def _displaced(visit: Visit, leaving: Sequence[Member], spots: Spots) -> list[Finding]:
    found = []
    for each in leaving:
        lane, depth, _ = spots[each.id]
        if each.depth != depth:
            sentence = f"It lies at depth {depth}, not {each.depth}."
            found.append(visit.finding("depth", each.id, sentence, mendable=True))
        if each.lane != lane:
            found.append(visit.finding("lane", each.id, f"It lies in lane {lane}, not {each.lane}.", mendable=True))
    return found


def _astray(visit: Visit, conversations: Mapping[str, Sequence[str]], members: Members) -> list[Finding]:
    return [
        visit.finding(
            "conversation", own, f"It belongs to {right}, not to {members[own].conversation_id}.", mendable=True
        )
        for right, wrong in conversations.items()
        for own in wrong
    ]


def _rows(visit: Visit, lost: Mapping[str, datetime]) -> list[Finding]:
    return [
        visit.finding("conversation_row", each, "Its exchanges are there, it is not.", mendable=True) for each in lost
    ]
