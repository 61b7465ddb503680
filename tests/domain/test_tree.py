"""Trees: whatever forest it is, walked and counted as one would by hand."""

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convstore.domain import forest
from convstore.domain.pricing.cost import NOT_BILLED, Basis, Cost, Reason, unknown
from convstore.domain.tree import Figures, Lane, Leaf, Node, Place, Run, Tree, below, unbroken
from convstore.domain.usage import Usage
from convstore.errors import ThreadDamaged
from tests.domain.strategies import quick

amounts = st.decimals(0, 10**6, places=12)
prices = (
    st.none()
    | st.builds(Cost, st.sampled_from([Basis.REPORTED, Basis.ESTIMATED]), amounts, st.sampled_from(["USD", "EUR"]))
    | st.just(NOT_BILLED)
    | st.just(unknown(Reason.NO_PRICE))
)
usages = st.none() | st.builds(Usage, *[st.integers(0, 2**62)] * 6)


class Grown:
    """A forest as storage would give it, and what is to be seen of it, worked out exchange by exchange."""

    def __init__(self, parents: list[int | None], used: list[Usage | None], costs: list[Cost | None]) -> None:
        self.ids = [f"n{number:03d}" for number in range(len(parents))]
        self.parents = [None if parent is None else self.ids[parent] for parent in parents]
        self.used = dict(zip(self.ids, used, strict=True))
        self.costs = dict(zip(self.ids, costs, strict=True))
        self.spots = forest.spots(map(forest.Node, self.ids, self.parents))
        self.place = {own: (spot.lane, spot.depth) for own, spot in self.spots.items()}
        parent = dict(zip(self.ids, self.parents, strict=True))
        self.lanes = {
            own: Lane(own, spot.depth, self.place[parent[own]] if parent[own] else None)  # type: ignore[index]
            for own, spot in self.spots.items()
            if spot.lane == own
        }

    def children(self, own: str | None) -> list[str]:
        return [each for each, parent in zip(self.ids, self.parents, strict=True) if parent == own]

    def under(self, own: str, deepest: int = 10**6) -> list[str]:
        if self.spots[own].depth > deepest:
            return []
        return [own, *(each for child in self.children(own) for each in self.under(child, deepest))]

    def figures(self, owns: list[str]) -> Figures:
        found = Figures(tips=sum(not self.children(own) for own in owns))
        for own in owns:
            found.count(self.used[own], self.costs[own])
        return found

    def leaves(self, wanted: dict[str, int]) -> dict[str, list[Leaf]]:
        found: dict[str, list[Leaf]] = {}
        for own, (lane, depth) in sorted(self.place.items(), key=lambda each: each[1]):
            if lane in wanted and depth >= wanted[lane]:
                found.setdefault(lane, []).append(Leaf(own, lane, depth, self.used[own], self.costs[own]))
        return found

    def tree(self, wanted: dict[str, int], tops: list[Place]) -> Tree:
        runs = {}
        for lane, leaves in self.leaves(wanted).items():
            sums = Figures()
            for leaf in leaves:
                sums.count(leaf.usage, leaf.cost)
            runs[lane] = Run(leaves[0].depth, sums)
        return Tree({lane: self.lanes[lane] for lane in wanted}, runs, tops)

    def whole(self) -> Tree:
        tops = [self.place[root] for root in self.children(None)]
        return self.tree({lane.id: lane.depth for lane in self.lanes.values()}, tops)


@st.composite
def forests(draw: st.DrawFn) -> Grown:
    given = draw(st.lists(st.none() | st.integers(0, 10**6), min_size=1, max_size=40))
    parents = [None if n is None or not i else n % i for i, n in enumerate(given)]
    drawn = (draw(st.lists(each, min_size=len(parents), max_size=len(parents))) for each in (usages, prices))
    return Grown(parents, *drawn)


class TestWhole:
    @quick
    @given(forests())
    def test_each_exchange_stands_once_behind_its_parent_and_after_its_older_siblings(self, grown: Grown) -> None:
        expected = [own for root in grown.children(None) for own in grown.under(root)]
        tree = grown.whole()
        assert list(tree.walk()) == [grown.place[own] for own in expected]
        assert tree.total() == grown.figures(expected)
        assert [tree.is_tip(grown.place[own]) for own in grown.ids] == [not grown.children(own) for own in grown.ids]

    @quick
    @given(forests())
    def test_figures_are_those_of_all_that_hangs_below(self, grown: Grown) -> None:
        tree = grown.whole()
        found = {}
        for leaves in grown.leaves(dict.fromkeys(grown.lanes, 0)).values():
            found |= tree.figures(leaves)
        assert found == {grown.place[own]: grown.figures(grown.under(own)) for own in grown.ids}

    @quick
    @given(forests())
    def test_what_was_stored_meanwhile_is_not_counted(self, grown: Grown) -> None:
        tree = grown.whole()
        for leaves in grown.leaves(dict.fromkeys(grown.lanes, 0)).values():
            later = Leaf("later", leaves[-1].lane, leaves[-1].depth + 1, None)
            assert tree.figures([*leaves, later]) == tree.figures(leaves)

    def test_a_thread_may_be_longer_than_the_stack(self) -> None:
        grown = Grown([None, *range(4999)], [None] * 5000, [None] * 5000)
        assert sum(1 for _ in grown.whole().walk()) == 5000


class TestPart:
    @quick
    @given(forests(), st.integers(0, 10**6), st.integers(0, 5))
    def test_it_is_what_is_under_its_top(self, grown: Grown, number: int, levels: int) -> None:
        top = grown.ids[number % len(grown.ids)]
        under, place = grown.under(top), grown.place[top]
        wanted = below(grown.lanes, place)
        # Its lanes, each from where it comes into it.
        assert {leaf.id for leaves in grown.leaves(wanted).values() for leaf in leaves} == set(under)
        tree = grown.tree(wanted, [place])
        assert list(tree.walk()) == [grown.place[own] for own in under]
        deepest = place[1] + levels
        assert list(tree.walk(deepest)) == [grown.place[own] for own in grown.under(top, deepest)]
        assert tree.total() == grown.figures(under)


class TestFigures:
    @quick
    @given(st.lists(st.builds(Figures, *[st.integers(0, 2**62)] * 8), max_size=5))
    def test_they_add_up(self, each: list[Figures]) -> None:
        summed = Figures()
        for one in each:
            summed.add(one)
        counts = [astuple(one)[:-1] for one in (summed, *each)]
        assert counts[0] == tuple(map(sum, zip(*counts[1:], strict=True))) or not each


def thread(depths: Sequence[int], above: str | None = None) -> list[Node]:
    """Headers of exchanges at these depths, bare of all else; above: what the first one continues."""
    blank: dict[str, Any] = dict.fromkeys(Node.__slots__)
    return [
        Node(**{**blank, "id": f"n{depth}", "depth": depth, "parent_id": f"n{depth - 1}" if number else above})
        for number, depth in enumerate(depths)
    ]


class TestUnbroken:
    @pytest.mark.parametrize("nodes", [thread([0, 1, 2]), thread([4, 5], above="n3"), thread([7], above="n6")])
    def test_a_part_without_holes_is_given_back(self, nodes: list[Node]) -> None:
        assert unbroken(nodes, "n9", nodes[0].depth, nodes[-1].depth) == nodes

    def test_a_part_of_nothing_is_nothing(self) -> None:
        assert unbroken([], "n9", 5, 4) == []

    @pytest.mark.parametrize(
        "nodes",
        [thread([]), thread([0, 2]), thread([1, 2], above="n0"), thread([0, 1]), thread([0, 1, 2], above="n7")],
        ids=["nobody", "a hole", "no beginning", "no end", "a root that continues something"],
    )
    def test_holes_are_said(self, nodes: list[Node]) -> None:
        with pytest.raises(ThreadDamaged, match="'n2'"):
            unbroken(nodes, "n2", 0, 2)
