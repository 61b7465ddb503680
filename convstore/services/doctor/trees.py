"""Trees: where exchanges lie follows from who continues whom, and is worked out anew where it does not.

Each exchange is looked at beside its parent: if all fit, everything is right. Of one that does not, the tree is read,
its places are worked out (plans.py), and whoever lies elsewhere is moved, with its items, in one transaction. Trees
that lie in each other's way are put in order together.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import replace

from convstore.domain import forest
from convstore.domain.checkup import Finding
from convstore.services.doctor import plans
from convstore.services.doctor.plans import Plan
from convstore.services.doctor.visit import Visit
from convstore.storage import mending
from convstore.storage.checkup import Spot
from convstore.storage.checkup import trees as reading
from convstore.storage.mending import PlaceTaken
from convstore.storage.scope import Scope

_ORPHAN = (
    "It continues {}, which is not there. Look for that one in a backup, or set parent_id to null: then it is a root."
)
_CYCLE = "{} continue each other. Find out which was first, and set its parent_id to null."
_ADRIFT = "It does not fit its parent, and its place cannot be worked out: its thread has no root."
_IN_THE_WAY = "What lies in the place of one of its exchanges is not this project's, or came meanwhile. Try again."

Tree = frozenset[str]


def examine(visit: Visit, stray_lanes: Iterable[str]) -> Generator[Finding, None, set[Spot]]:
    """What is wrong with the project's trees. Returns the places that are still in disorder: whose items lie there?

    stray_lanes: exchanges in whose lanes items lie that nobody claims.
    """
    # id → whether it does not fit its parent; the others are only a reason to look.
    odd = dict.fromkeys(stray_lanes, False)
    for standings in visit.batches("trees", reading.standings):
        for each in standings:
            if each.is_orphan:
                yield visit.finding("orphan", each.id, _ORPHAN.format(each.parent_id))
            elif not each.fits:
                odd[each.id] = not each.fits_parent
    tops, rings, adrift = _tops(visit, odd)
    for ring in rings:
        names = " and ".join(ring) if len(ring) < 4 else f"{ring[0]} and {len(ring) - 1} others"
        yield visit.finding("cycle", ring[0], _CYCLE.format(names))
    for exchange_id in adrift:
        if odd[exchange_id]:
            yield visit.finding("lane", exchange_id, _ADRIFT)
    trees = _trees(visit, tops) if tops else []
    return (yield from _mended(visit, trees) if visit.repair else _planned(visit, trees))


def _tops(visit: Visit, odd: Iterable[str]) -> tuple[set[str], list[list[str]], list[str]]:
    """The roots above these exchanges; the rings some of them are in or below; and those below an orphan."""
    roots: set[str] = set()
    rings: dict[str, list[str]] = {}
    adrift: list[str] = []
    known: dict[str, str | None] = {}  # id → its root; None when it has none
    # The youngest first: the way up from it passes by the others.
    for exchange_id in sorted(odd, reverse=True):
        if exchange_id in known:
            if known[exchange_id] is None:
                adrift.append(exchange_id)
            continue
        with visit.reading() as scope:
            parents = reading.ancestors(scope, exchange_id)
        ring = forest.cycle(parents, exchange_id)
        top = None if ring else next((each for each, parent in parents.items() if parent is None), None)
        known |= dict.fromkeys(parents, top)
        if ring:
            first = ring.index(min(ring))
            rings[ring[first]] = ring[first:] + ring[:first]
        elif top:
            roots.add(top)
        elif parents:
            adrift.append(exchange_id)
    in_rings = {each for ring in rings.values() for each in ring}
    return roots, list(rings.values()), [each for each in adrift if each not in in_rings]


def _trees(visit: Visit, tops: Iterable[str]) -> list[Tree]:
    """The exchanges of the trees with these roots.

    Children are read behind their parents, as ids grow with time; where they do not, they are read again.
    """
    top_of = {top: top for top in tops}
    grown = True
    while grown:
        grown, after = False, None
        while True:
            with visit.reading() as scope:
                links = reading.links(scope, after)
            if not links:
                break
            for own, parent in links:
                if parent in top_of and own not in top_of:
                    top_of[own] = top_of[parent]
                    grown = True
            after = links[-1][0]
    return _grouped(top_of)


def _grouped(top_of: Mapping[str, str]) -> list[Tree]:
    found: dict[str, set[str]] = {}
    for own, top in top_of.items():
        found.setdefault(top, set()).add(own)
    return [frozenset(found[top]) for top in sorted(found)]


def _planned(visit: Visit, trees: Iterable[Tree]) -> Generator[Finding, None, set[Spot]]:
    displaced: set[Spot] = set()
    for tree in trees:
        with visit.reading() as scope:
            plan = plans.of(visit, scope, tree)
        yield from plan.findings
        displaced |= plan.spots
    return displaced


def _mended(visit: Visit, trees: list[Tree]) -> Generator[Finding, None, set[Spot]]:
    """Each tree in a transaction of its own; those in whose places others lie, behind those; the rest together."""
    displaced: set[Spot] = set()
    left = trees
    while left:
        waiting = []
        for tree in left:
            plan = _put_in_order(visit, tree)
            if plan is None:
                waiting.append(tree)
            else:
                yield from plan.findings
                displaced |= set() if plan.hindrance is None else plan.spots
        if len(waiting) < len(left):
            left = waiting
            continue
        together = _put_in_order(visit, frozenset().union(*waiting)) if len(waiting) > 1 else None
        if together is not None:
            yield from together.findings
            displaced |= set() if together.hindrance is None else together.spots
            break
        for finding, spots in _in_the_way(visit, waiting):
            yield finding
            displaced |= spots
        break
    return displaced


def _put_in_order(visit: Visit, tree: Tree) -> Plan | None:
    """What was wrong and, unless something hinders it, is no more. None when others lie where these belong."""
    try:
        with visit.writing() as scope:
            plan = plans.of(visit, scope, tree, lock=True)
            if plan.hindrance is None:
                _write(scope, plan)
                return replace(plan, findings=[replace(each, mended=True) for each in plan.findings])
            return plan
    except PlaceTaken:
        return None


def _write(scope: Scope, plan: Plan) -> None:
    mending.move(scope, plan.moves)
    for conversation_id, exchange_ids in plan.conversations.items():
        mending.set_conversation(scope, exchange_ids, conversation_id)
    for conversation_id, created_at in plan.lost.items():
        mending.add_conversation(scope, conversation_id, created_at)


def _in_the_way(visit: Visit, trees: Iterable[Tree]) -> Iterator[tuple[Finding, set[Spot]]]:
    for tree in trees:
        with visit.reading() as scope:
            plan = plans.of(visit, scope, tree)
        for each in plan.findings:
            yield replace(each, sentence=f"{each.sentence} {_IN_THE_WAY}", mendable=False), plan.spots
