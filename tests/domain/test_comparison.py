"""Two threads compared, turn by turn."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convstore.domain import jsontext
from convstore.domain.comparison import Comparison, Side, Turn, compare
from convstore.domain.items import Item
from convstore.domain.words import Allowance
from tests.domain.strategies import quick
from tests.domain.threads import call, item, said, thread, turn, user


def compared(left: Turn | Side, right: Turn | Side) -> Comparison:
    sides = (each if isinstance(each, Side) else thread(each) for each in (left, right))
    return compare(*sides, ancestor=None)


def outputs(left: Sequence[Item], right: Sequence[Item]) -> list[tuple[str, str | None, str | None]]:
    """(status, the left one, the right one) of the output items, by text or name."""
    (pair,) = compared(turn(answered=left), turn(answered=right)).turns
    return [
        (each.status, *(side and (side.name or side.text or side.type) for side in (each.left, each.right)))
        for each in pair.output
    ]


def one_item(left: Item, right: Item) -> dict[str, Any]:
    (pair,) = compared(turn(answered=[left]), turn(answered=[right])).turns
    (found,) = pair.output
    return found.as_dict()


def numbers(found: Comparison, left: Side, right: Side) -> list[tuple[int | None, int | None, str | None]]:
    """Which turn was compared with which, counted from 0, and why."""

    def number(side: Side, one: Turn | None) -> int | None:
        return None if one is None else [id(each) for each in side.turns].index(id(one))

    return [(number(left, pair.left), number(right, pair.right), pair.paired_by) for pair in found.turns]


class TestTurns:
    def test_one_by_one(self) -> None:
        left, right = thread(turn("a"), turn("b")), thread(turn("a"), turn("c"), turn("d"))
        found = compared(left, right)
        assert numbers(found, left, right) == [(0, 0, "order"), (1, 1, "order"), (None, 2, None)]
        assert [pair.status for pair in found.turns] == ["same", "changed", "right"]
        assert [pair.number for pair in found.turns] == [1, 2, 3]

    def test_one_that_was_asked_again_is_compared_with_what_it_was(self) -> None:
        left = thread(turn("a"), turn("b"), turn("c"))
        right = thread(turn("b", origin_id=left.turns[1].exchange.id), turn("c"))
        assert numbers(compared(left, right), left, right) == [
            (0, None, None),
            (1, 0, "origin"),
            (2, 1, "order"),
        ]
        assert numbers(compared(right, left), right, left)[1] == (0, 1, "origin")

    def test_two_replays_of_one_source_are_compared_with_each_other(self) -> None:
        source = turn("b").exchange.id
        left, right = thread(turn("a"), turn("b", origin_id=source)), thread(turn("b", origin_id=source))
        assert numbers(compared(left, right), left, right) == [(0, None, None), (1, 0, "origin")]

    def test_origins_out_of_order_do_not_turn_a_thread_around(self) -> None:
        left = thread(turn("a"), turn("b"))
        ids = [each.exchange.id for each in left.turns]
        right = thread(turn("b", origin_id=ids[1]), turn("a", origin_id=ids[0]))
        pairs = numbers(compared(left, right), left, right)
        assert sum(why == "origin" for *_, why in pairs) == 1
        for side in (0, 1):
            assert [pair[side] for pair in pairs if pair[side] is not None] == [0, 1]

    def test_one_without_any(self) -> None:
        found = compared(thread(), thread(turn("a", "b")))
        (pair,) = found.turns
        assert (pair.status, pair.left, found.is_same) == ("right", None, False)
        assert [each.status for each in (*pair.input, *pair.output)] == ["right", "right"]


class TestItems:
    def test_how_it_was_sent_makes_no_difference(self) -> None:
        plain = user("Hello")
        parts = user([{"type": "input_text", "text": "Hello"}])
        assert one_item(plain, parts)["status"] == "same"
        assert one_item(call("add", "call_1", x=1, y=2), call("add", "call_2", y=2, x=1))["status"] == "same"
        sealed = [item("reasoning", summary=[], encrypted_content=each) for each in "xy"]
        assert one_item(*sealed)["status"] == "same"

    def test_the_most_alike_are_compared(self) -> None:
        left = [said("Let me see."), call("add", x=1), said("The sum is 3.")]
        right = [call("add", x=2), said("The sum is 4.")]
        assert outputs(left, right) == [
            ("left", "Let me see.", None),
            ("changed", "add", "add"),
            ("changed", "The sum is 3.", "The sum is 4."),
        ]

    def test_a_call_rather_with_one_of_its_name(self) -> None:
        left, right = [call("search", x=2), call("add", x=1)], [call("add", x=2)]
        assert outputs(left, right) == [("left", "search", None), ("changed", "add", "add")]
        assert outputs([call("search", q="x")], right) == [("changed", "search", "add")]

    def test_types_and_roles_are_not_mixed(self) -> None:
        left, right = [said("x")], [item("reasoning", summary=[{"type": "summary_text", "text": "x"}])]
        assert [status for status, *_ in outputs(left, right)] == ["left", "right"]

    def test_many_of_them(self) -> None:
        left = [call("add", x=number) for number in range(300)]
        right = [call("add", x=-number) for number in range(1, 301)]
        assert [status for status, *_ in outputs(left, right)] == ["changed"] * 300

    def test_arguments_are_json_values(self) -> None:
        found = one_item(call("add", same=[1], x=1, y=2, flag=1), call("add", same=[1], x=3, z=None, flag=True))
        assert found["arguments"] == {
            "added": {"z": None},
            "removed": {"y": 2},
            "changed": {"x": {"left": 1, "right": 3}, "flag": {"left": 1, "right": True}},
        }

    def test_arguments_that_are_none_are_compared_as_text(self) -> None:
        broken = item("function_call", name="add", call_id="c", arguments='{"x": 1')
        found = one_item(broken, call("add", x=1))
        assert (found["status"], found["arguments"]) == ("changed", None)
        assert {each["op"] for each in found["text"]["segments"]} >= {"equal", "insert"}

    def test_what_is_no_text_is_compared_too(self) -> None:
        images = [user([{"type": "input_image", "image_url": f"data:{each}"}]) for each in "xy"]
        found = one_item(*images)
        assert found["members"]["content"]["left"] == [{"image_url": "data:x"}]
        searches = [item("web_search_call", action={"query": each}) for each in "xy"]
        assert one_item(*searches)["members"] == {"action": {"left": {"query": "x"}, "right": {"query": "y"}}}
        assert one_item(*searches)["text"] is None

    @pytest.mark.parametrize("body", [b"", b"[", b"{}", b'{"content": 3}', b'{"content": [1, null]}'])
    def test_nothing_an_item_may_hold_stops_it(self, body: bytes) -> None:
        assert one_item(Item("message", body, role="assistant"), said("x"))["status"] == "changed"


class TestSettings:
    def test_those_that_differ(self) -> None:
        (pair,) = compared(turn(temperature=0.2, top_p=1, seed=None), turn(temperature=0.9, top_p=1, tools=[])).turns
        assert pair.status == "changed"
        assert pair.as_dict()["settings"] == {
            "temperature": {"left": 0.2, "right": 0.9},
            "tools": {"left": None, "right": []},
        }

    def test_large_ones_are_shown_while_there_is_room(self) -> None:
        large = [turn(instructions=letter * 1000) for letter in "xy"]
        (pair,) = compare(*map(thread, large), ancestor=None, allowance=Allowance(value_bytes=1500)).turns
        shown = pair.as_dict()["settings"]["instructions"]
        assert shown["left"] == "x" * 1000
        assert (set(shown["right"]), shown["right"]["bytes"]) == ({"bytes", "sha256"}, 1002)

    def test_status_and_model_count(self) -> None:
        assert compared(turn(), turn(status="incomplete")).turns[0].status == "changed"
        assert compared(turn(), turn(answered_by="gpt-5.4-mini")).turns[0].status == "changed"


class TestFigures:
    def test_of_a_turn(self) -> None:
        found = compared(turn(tokens=10, seconds=2), turn(tokens=15, seconds=1.5)).turns[0].as_dict()
        assert (found["status"], found["left"]["input_tokens"], found["right"]["latency_ms"]) == ("same", 10, 1500)
        assert (found["delta"]["total_tokens"], found["delta"]["latency_ms"]) == (10, -500)
        assert (found["left"]["cost"], found["left"]["cost_basis"]) == (None, None)

    def test_in_total(self) -> None:
        left = thread(turn(tokens=10, seconds=1), turn(tokens=20, seconds=2))
        found = compared(left, thread(turn(tokens=7, seconds=1))).totals()
        assert (found["left"]["turns"], found["left"]["total_tokens"], found["left"]["latency_ms"]) == (2, 60, 3000)
        assert (found["delta"]["turns"], found["delta"]["input_tokens"]) == (-1, -23)
        assert found["delta"]["costs"] == []

    def test_what_is_not_known_is_not_nothing(self) -> None:
        found = compared(thread(turn(tokens=10), turn()), turn()).totals()
        assert (found["left"]["total_tokens"], found["left"]["turns_without_usage"]) == (20, 1)
        assert (found["right"]["total_tokens"], found["delta"]["total_tokens"]) == (None, None)

    def test_items_added_by_hand_took_nothing(self) -> None:
        added = turn("x", [], origin="items", seconds=0)
        found = compared(thread(added, turn(tokens=1)), thread()).totals()
        assert (found["left"]["turns"], found["left"]["turns_without_usage"]) == (1, 0)


_items = st.one_of(
    st.sampled_from(["Hello there", "Hello, you", "天气", ""]).map(said),
    st.sampled_from(["x", "y"]).map(user),
    st.builds(lambda name, x: call(name, x=x), st.sampled_from(["add", "search"]), st.integers(0, 2)),
    st.just(item("web_search_call", action={})),
)
_turns = st.builds(
    lambda asked, answered, heat: turn(asked, answered, temperature=heat),
    st.lists(_items, max_size=3),
    st.lists(_items, max_size=5),
    st.sampled_from([0.1, 0.2]),
)


@st.composite
def two_threads(draw: st.DrawFn) -> tuple[Side, Side]:
    """Some of the turns on the right came from turns on the left."""
    left, right = draw(st.lists(_turns, max_size=4)), draw(st.lists(_turns, max_size=4))
    for number, one in enumerate(right):
        if left and draw(st.booleans()):
            origin_id = draw(st.sampled_from(left)).exchange.id
            right[number] = replace(one, exchange=replace(one.exchange, origin_id=origin_id))
    return thread(*left), thread(*right)


class TestLaws:
    @quick
    @given(two_threads())
    def test_everything_stands_there_once_and_in_order(self, sides: tuple[Side, Side]) -> None:
        found = compare(*sides, ancestor=None)
        for name, side in zip(("left", "right"), sides, strict=True):
            turns = [getattr(pair, name) for pair in found.turns if getattr(pair, name)]
            assert [id(each) for each in turns] == [id(each) for each in side.turns]
            for pair in found.turns:
                one = getattr(pair, name)
                items = [getattr(each, name) for each in (*pair.input, *pair.output)]
                given_ids = [own for own, _ in (*one.input, *one.output)] if one else []
                assert [each.id for each in items if each] == given_ids

    @quick
    @given(two_threads())
    def test_a_thread_does_not_differ_from_itself(self, sides: tuple[Side, Side]) -> None:
        found = compare(sides[0], sides[0], ancestor=None)
        assert found.is_same
        assert all(each.status == "same" for pair in found.turns for each in (*pair.input, *pair.output))
        assert not any(pair.settings for pair in found.turns)

    @quick
    @given(two_threads())
    def test_swapping_the_sides_swaps_what_is_found(self, sides: tuple[Side, Side]) -> None:
        there, back = compare(*sides, ancestor=None), compare(*sides[::-1], ancestor=None)

        def matched(found: Comparison, left: str, right: str) -> set[Any]:
            pairs: set[Any] = set()
            for pair in found.turns:
                pairs.add((id(getattr(pair, left)), id(getattr(pair, right)), pair.paired_by))
                for each in (*pair.input, *pair.output):
                    one, other = getattr(each, left), getattr(each, right)
                    pairs.add((one and one.id, other and other.id))
            return pairs

        assert matched(there, "left", "right") == matched(back, "right", "left")
        assert there.is_same == back.is_same
        for name, value in there.totals()["delta"].items():
            other = back.totals()["delta"][name]
            assert value == (-other if isinstance(other, int) else other)

    @quick
    @given(two_threads())
    def test_it_can_be_written(self, sides: tuple[Side, Side]) -> None:
        written = jsontext.loads(jsontext.dumps(compare(*sides, ancestor=None).as_dict()))
        assert written["object"] == "comparison"
