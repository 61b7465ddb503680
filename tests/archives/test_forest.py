"""Links between messages: whatever they say, each message stands in one place, and nothing is endless."""

from hypothesis import given
from hypothesis import strategies as st

from convstore.archives.forest import children_of
from tests.domain.strategies import thorough

names = st.sampled_from("abcdefgh")
links = st.dictionaries(names, st.one_of(st.none(), names, st.just("missing")), max_size=8)


class TestChildrenOf:
    def test_siblings_stand_in_the_order_of_the_links(self):
        parents = {"root": None, "b": "root", "a": "root"}
        assert children_of(parents, parents) == {None: ["root"], "root": ["b", "a"]}

    def test_what_is_not_kept_is_passed_over(self):
        parents = {"root": None, "empty": "root", "a": "empty", "b": "empty"}
        assert children_of(parents, {"a", "b"}) == {None: ["a", "b"]}
        assert children_of(parents, {"root", "b"}) == {None: ["root"], "root": ["b"]}

    def test_one_whose_parent_is_missing_begins_a_tree(self):
        assert children_of({"a": "gone", "b": "a"}, {"a", "b"}) == {None: ["a"], "a": ["b"]}

    def test_a_ring_is_cut_where_it_is_met_first(self):
        parents = {"tail": "c", "a": "b", "b": "c", "c": "a"}
        assert children_of(parents, parents) == {None: ["c"], "c": ["tail", "b"], "b": ["a"]}

    def test_one_that_names_itself_begins_a_tree(self):
        assert children_of({"a": "a"}, {"a"}) == {None: ["a"]}

    def test_a_chain_may_be_longer_than_a_stack_is_deep(self):
        parents = {str(n): str(n - 1) if n else None for n in range(100_000)}
        found = children_of(parents, {"0", "99999"})
        assert found == {None: ["0"], "0": ["99999"]}

    @thorough
    @given(links, st.sets(names))
    def test_each_message_stands_in_one_place(self, parents, kept):
        found = children_of(parents, kept)
        listed = [each for children in found.values() for each in children]
        assert sorted(listed) == sorted(kept & parents.keys())

    @thorough
    @given(links)
    def test_all_of_them_are_reached_from_the_beginning(self, parents):
        found = children_of(parents, parents)
        ahead, seen = list(found.get(None, ())), []
        while ahead:
            seen.append(ahead.pop())
            ahead += found.get(seen[-1], ())
        assert sorted(seen) == sorted(parents)
