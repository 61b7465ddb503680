"""Forests: where exchanges lie follows from who continues whom."""

from hypothesis import given
from hypothesis import strategies as st

from convstore.domain import forest
from convstore.domain.forest import Node, Spot


@st.composite
def forests(draw: st.DrawFn) -> list[Node]:
    """Exchanges in the order they were made: each a root, or behind an older one."""
    parents = draw(
        st.lists(st.none() | st.integers(min_value=0), max_size=40).map(
            lambda given: [None if n is None or not i else n % i for i, n in enumerate(given)]
        )
    )
    return [Node(f"n{own}", None if parent is None else f"n{parent}") for own, parent in enumerate(parents)]


class TestSpots:
    def test_the_first_child_goes_on_and_the_others_open_lanes(self) -> None:
        nodes = [Node("a", None), Node("b", "a"), Node("c", "a"), Node("d", "c"), Node("e", None)]
        assert forest.spots(nodes) == {
            "a": Spot("a", 0, "a"),
            "b": Spot("a", 1, "a"),
            "c": Spot("c", 1, "a"),
            "d": Spot("c", 2, "a"),
            "e": Spot("e", 0, "e"),
        }

    def test_what_reaches_no_root_lies_nowhere(self) -> None:
        nodes = [Node("a", "lost"), Node("b", "a"), Node("c", "d"), Node("d", "c"), Node("e", "e")]
        assert forest.spots(nodes) == {}

    def test_a_thread_may_be_longer_than_the_stack(self) -> None:
        nodes = [Node("0", None), *(Node(str(n), str(n - 1)) for n in range(1, 5000))]
        assert forest.spots(nodes)["4999"] == Spot("0", 4999, "0")

    @given(forests())
    def test_every_place_follows_from_the_parents(self, nodes: list[Node]) -> None:
        found = forest.spots(nodes)
        assert found.keys() == {each.id for each in nodes}
        assert len({(lane, depth) for lane, depth, _ in found.values()}) == len(nodes)
        children: dict[str, list[str]] = {}
        for own, parent in nodes:
            if parent is None:
                assert found[own] == Spot(own, 0, own)
                continue
            children.setdefault(parent, []).append(own)
            above = found[parent]
            assert found[own].depth == above.depth + 1
            assert found[own].root == above.root
            assert found[own].lane == (above.lane if children[parent] == [own] else own)


class TestCycle:
    def test_a_ring_is_found_from_below_it(self) -> None:
        assert forest.cycle({"a": "b", "b": "c", "c": "b"}, "a") == ["b", "c"]

    @given(forests())
    def test_a_forest_has_none(self, nodes: list[Node]) -> None:
        assert all(forest.cycle(dict(nodes), each.id) is None for each in nodes)
