"""The story of names.py: what a tool is called on either side."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convstore.upstream.chat.names import LONGEST, Names, Tool

FIT = re.compile(r"[a-zA-Z0-9_-]{1,64}")

words = st.text("ab_.é", min_size=1, max_size=4) | st.text("ab_", min_size=60, max_size=70)
tools = st.lists(st.builds(Tool, words, st.none() | words, st.booleans()), max_size=12, unique_by=lambda tool: tool[:2])


class TestTold:
    def test_a_tool_of_no_namespace_keeps_its_name(self):
        assert Names([Tool("add")]).told("add", None) == "add"

    def test_a_namespace_stands_in_front(self):
        assert Names([Tool("add", "docs")]).told("add", "docs") == "docs__add"

    @pytest.mark.parametrize(
        ("tool", "told"), [(Tool("find", "mcp.docs"), "mcp_docs__find"), (Tool("é", "a b"), "a_b___")]
    )
    def test_what_servers_refuse_is_replaced(self, tool, told):
        assert Names([tool]).told(tool.name, tool.namespace) == told

    def test_a_long_one_is_shortened_to_the_limit(self):
        names = Names([Tool("x" * 60, "docs"), Tool("x" * 61, "docs"), Tool("x" * 58, "docs")])
        first, second, whole = (names.told("x" * length, "docs") for length in (60, 61, 58))
        assert whole == "docs__" + "x" * 58
        assert len(first) == len(second) == LONGEST
        assert first != second
        assert first.startswith("docs__xxx")

    def test_a_name_that_is_taken_goes_to_nobody_else(self):
        given = [Tool("c", "a__b"), Tool("b__c", "a"), Tool("a__b__c")]
        names = Names(given)
        told = [names.told(tool.name, tool.namespace) for tool in given]
        assert told[2] == "a__b__c"
        assert len(set(told)) == 3
        assert [names.tool(name) for name in told] == given

    def test_a_tool_that_is_not_offered_has_one_as_well(self):
        names = Names([Tool("docs__add")])
        told = names.told("add", "docs")
        assert told == names.told("add", "docs") != "docs__add"
        assert names.told("sub", "docs") == "docs__sub"

    @given(tools)
    def test_each_has_its_own_that_servers_take_and_it_leads_back(self, given):
        names = Names(given)
        told = [names.told(tool.name, tool.namespace) for tool in given]
        assert len(set(told)) == len(given)
        assert all(FIT.fullmatch(name) for name, tool in zip(told, given, strict=True) if tool.namespace)
        assert [names.tool(name) for name in told] == given
        assert [Names(given).told(tool.name, tool.namespace) for tool in given] == told


class TestInside:
    def test_it_is_the_tools_of_one_namespace(self):
        names = Names([Tool("add"), Tool("add", "docs"), Tool("sub", "docs"), Tool("add", "other")])
        assert names.inside("docs") == {"docs__add", "docs__sub"}
        assert names.inside("nowhere") == set()
