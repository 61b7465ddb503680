"""Replays: what is stored of a plan is the plan, and outputs go where the same calls are."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convstore.domain import jsontext
from convstore.domain.items import Item
from convstore.domain.replay import MODES, TOOL_OUTPUTS, Diverged, Plan, load, matched
from tests.domain.strategies import objects, quick, spellings, texts

plans = st.builds(
    Plan,
    turns=st.lists(texts, max_size=4).map(tuple),
    parent_id=st.none() | texts,
    after=st.none() | texts,
    mode=st.sampled_from(MODES),
    tool_outputs=st.sampled_from(TOOL_OUTPUTS),
    overrides=st.dictionaries(texts, spellings(), max_size=3),
    branch=st.none() | texts,
    max_calls=st.none() | st.integers(1, 10**9),
    max_cost=st.none() | st.decimals(0, 10**6, allow_nan=False, places=6),
)


def call(call_id: str, name: str, arguments: str) -> Item:
    body = {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
    return Item("function_call", jsontext.dumps(body), call_id=call_id, name=name)


def output(call_id: str, result: str) -> Item:
    body = {"type": "function_call_output", "call_id": call_id, "output": result}
    return Item("function_call_output", jsontext.dumps(body), call_id=call_id, item_id="fc_own")


def question(text: str) -> Item:
    return Item("message", jsontext.dumps({"type": "message", "role": "user", "content": text}), role="user")


class TestPlan:
    @quick
    @given(plans)
    def test_what_was_stored_is_what_is_loaded(self, plan: Plan) -> None:
        assert load(plan.dump()) == plan

    def test_costs_are_kept_to_the_last_digit(self) -> None:
        assert load(replace(Plan(("a",)), max_cost=Decimal("0.10")).dump()).max_cost == Decimal("0.10")


# Which calls a turn had: what for, and with which arguments.
asked = st.lists(
    st.tuples(st.sampled_from(["add", "look"]), st.dictionaries(texts, st.integers(), max_size=3)), max_size=5
)


class TestMatched:
    @quick
    @given(asked, texts, st.randoms(use_true_random=False))
    def test_each_output_goes_to_a_call_of_the_same_name_and_arguments(
        self, calls: list[tuple[str, dict[str, int]]], words: str, dice: object
    ) -> None:
        recorded = [call(f"old_{n}", name, json.dumps(value)) for n, (name, value) in enumerate(calls)]
        # Today they come in another order, their arguments too.
        order = list(range(len(calls)))
        dice.shuffle(order)  # type: ignore[attr-defined]
        made = []
        for n in order:
            name, value = calls[n]
            shuffled = dict(reversed(value.items()))
            made.append(call(f"new_{n}", name, json.dumps(shuffled, indent=1)))
        own = [*(output(f"old_{n}", f"result {n}") for n in range(len(calls))), question(words)]
        found = matched(own, recorded, made, use_recorded=True)
        assert found[-1] == own[-1]
        assert sorted(str(each.call_id) for each in found[:-1]) == sorted(str(each.call_id) for each in made)
        for each, (name, value), n in zip(found, calls, range(len(calls)), strict=False):
            body = jsontext.loads(each.body)
            assert (body["call_id"], body["output"], each.item_id) == (each.call_id, f"result {n}", None)
            assert calls[int(str(each.call_id).removeprefix("new_"))] == (name, value)

    @quick
    @given(asked.filter(bool), st.integers(0, 10**6), objects)
    def test_a_call_more_or_less_or_another_leads_elsewhere(
        self, calls: list[tuple[str, dict[str, int]]], number: int, other: dict[str, object]
    ) -> None:
        recorded = [call(f"old_{n}", name, json.dumps(value)) for n, (name, value) in enumerate(calls)]
        own = [output(f"old_{n}", "r") for n in range(len(calls))]
        made = [replace(each, call_id=f"new_{n}") for n, each in enumerate(recorded)]
        for wrong in (
            [*made, call("new", "add", "{}")],
            made[:-1],
            [*made[:-1], call("new", "another", json.dumps(other))],
        ):
            with pytest.raises(Diverged):
                matched(own, recorded, wrong, use_recorded=True)
        with pytest.raises(Diverged):
            matched(own, recorded, made, use_recorded=False)

    @quick
    @given(st.lists(texts, max_size=3), st.booleans())
    def test_without_tools_nothing_is_changed(self, words: list[str], use_recorded: bool) -> None:
        own = [question(each) for each in words]
        assert matched(own, [question("was")], [question("is")], use_recorded=use_recorded) == own

    def test_what_brings_its_own_call_keeps_it(self) -> None:
        own = [call("c", "add", "{}"), output("c", "1")]
        assert matched(own, [call("c", "add", "{}")], [], use_recorded=True) == own
