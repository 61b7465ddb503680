"""The context: what the model is shown, and the rules it keeps."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convstore.domain import context
from convstore.domain.context import ContextItem
from convstore.domain.items import REMOVAL, Item
from convstore.errors import CallWithoutOutput, DuplicateItem, OutputWithoutCall
from tests.domain.strategies import thorough


def thread(*exchanges: str) -> list[ContextItem]:
    """A thread in shorthand, one string an exchange, inputs before `>` and outputs after it.

    u: user message, m: assistant message, r: reasoning, c1: call 1, o1: its output, k: compaction.
    The upstream that sealed an item stands after `@`.
    """
    found = []
    for depth, exchange in enumerate(exchanges):
        inputs, _, outputs = exchange.partition(">")
        for output, side in ((False, inputs), (True, outputs)):
            found += [_item(depth, output, word) for word in side.split()]
    return found


def _item(depth: int, output: bool, word: str) -> ContextItem:
    what, _, sealed_by = word.partition("@")
    kind = {
        "u": "message",
        "m": "message",
        "r": "reasoning",
        "c": "function_call",
        "o": "function_call_output",
        "C": "custom_tool_call",
        "O": "custom_tool_call_output",
        "k": "compaction",
    }[what[0]]
    call_id = what[1:] or None
    body = json.dumps({"type": kind, "word": word, "depth": depth}).encode()
    item_id = None if kind == "message" else f"{word}{depth}"
    return ContextItem(depth, output, kind, item_id, call_id, sealed_by or None, body)


def asked(words: str) -> list[Item]:
    """A request's own items, in the same shorthand."""
    made = [_item(99, False, word) for word in words.split()]
    return [Item(each.type, each.body, each.item_id, call_id=each.call_id) for each in made]


def words(bodies: Sequence[bytes]) -> str:
    return " ".join(json.loads(body)["word"] for body in bodies)


def removal(depth: int, place: str, *, output: bool = False) -> ContextItem:
    """What the item at *place* leaves behind when it is taken out."""
    return ContextItem(depth, output, REMOVAL, None, place, None, b"{}")


class TestRemaining:
    def test_without_removals_it_is_all_of_it(self) -> None:
        history = thread("u u > m", "u > m")
        assert context.remaining(history) is history

    def test_what_was_taken_out_is_not_there_and_nor_is_the_removal(self) -> None:
        history = [*thread("u c1 > m r", "o1 > k"), removal(2, "0.1"), removal(3, "0.3"), removal(4, "1.0")]
        assert words([item.body for item in context.remaining(history)]) == "u m k"

    def test_an_upstream_takes_nothing_out(self) -> None:
        history = [*thread("u > m"), removal(0, "0.0", output=True)]
        assert context.remaining(history) == history
        assert context.remaining([*history, removal(1, "0.1")]) == [history[0], history[2]]


class TestCheck:
    @pytest.mark.parametrize(
        ("history", "request_"),
        [
            ([], "u"),
            ([], ""),
            ([], "u c1 o1 m u"),
            ([], "c1 c2 o2 o1"),
            ([], "C1 O1"),
            (["u > m"], "u"),
            (["u > m"], ""),
            (["u > c1"], "o1"),
            (["u > r c1 c2"], "o2 o1"),
            (["u > c1"], "o1 u"),
            (["u > c1"], "u o1"),
            (["u > C1"], "O1"),
            (["u > c1", "o1 > m"], "u"),
            (["u > c1", "o1 > c1"], "o1"),
            (["u > c1", "o1"], "u"),
            (["u > c1", "o1 > m"], "o1"),
            (["u > c1", "o1 > m", "u > m"], "c1 o1"),
            (["u", "u > m"], "u"),
        ],
    )
    def test_a_call_and_its_output_are_a_pair(self, history: list[str], request_: str) -> None:
        context.check(thread(*history), asked(request_))

    @pytest.mark.parametrize(
        ("history", "request_", "call"),
        [
            ([], "c1", "1"),
            ([], "c1 u", "1"),
            ([], "c1 o1 c2", "2"),
            ([], "C1", "1"),
            (["u > c1"], "u", "1"),
            (["u > c1"], "", "1"),
            (["u > r c1 c2"], "o1", "2"),
            (["u > c1 c2"], "o2 u", "1"),
            (["u > c1", "o1 > c1"], "u", "1"),
            (["u > m", "u > c7"], "u", "7"),
        ],
    )
    def test_a_call_without_its_output_is_refused(self, history: list[str], request_: str, call: str) -> None:
        with pytest.raises(CallWithoutOutput) as refused:
            context.check(thread(*history), asked(request_))
        assert refused.value.message == f"No tool output found for function call {call}."
        assert refused.value.param == "input"

    @pytest.mark.parametrize(
        ("history", "request_"),
        [([], "o1"), ([], "u o1"), (["u > m"], "o1"), (["u > c1"], "o1 o2"), ([], "O1")],
    )
    def test_an_output_without_its_call_is_refused(self, history: list[str], request_: str) -> None:
        with pytest.raises(OutputWithoutCall) as refused:
            context.check(thread(*history), asked(request_))
        assert refused.value.message.startswith("No tool call found for function call output with call_id ")

    @pytest.mark.parametrize(
        ("history", "request_"),
        [
            (["u c1", "u > m", "o1"], "u"),
            (["c1"], "o1"),
            (["u > c1", "o1 > m", "u"], "o1"),
            ([], "c1 o1"),
            (["u > m"], ""),
        ],
    )
    def test_a_history_changed_by_hand_is_checked_as_a_whole(self, history: list[str], request_: str) -> None:
        context.check(thread(*history), asked(request_), whole=True)

    @pytest.mark.parametrize(
        ("history", "request_", "error"),
        [
            (["u c1", "u > m"], "u", CallWithoutOutput),
            (["c1"], "", CallWithoutOutput),
            (["u > c1", "u > m"], "u", CallWithoutOutput),
            (["u", "o1 > m"], "u", OutputWithoutCall),
            (["C1 C2", "O1"], "u", CallWithoutOutput),
        ],
    )
    def test_whatever_it_lacks_is_found(self, history: list[str], request_: str, error: type[Exception]) -> None:
        context.check(thread(*history), asked(request_))
        with pytest.raises(error):
            context.check(thread(*history), asked(request_), whole=True)

    def test_the_first_open_call_is_named(self) -> None:
        with pytest.raises(CallWithoutOutput, match=r"call 3\."):
            context.check(thread("u > c3 c1 c2"), asked("o1"))

    def test_an_item_may_not_stand_twice_in_a_request(self) -> None:
        one = Item("message", b"{}", "msg_1")
        with pytest.raises(DuplicateItem, match=r"^Duplicate item found with id msg_1\. Remove duplicate items"):
            context.check([], [one, Item("message", b"{}"), one])

    def test_nor_once_more_after_the_thread(self) -> None:
        history = [ContextItem(0, False, "message", "msg_1", None, None, b"{}")]
        with pytest.raises(DuplicateItem):
            context.check(history, [Item("message", b"{}", "msg_1")])

    def test_an_upstreams_id_is_no_clients_id(self) -> None:
        """Output items are known to clients under our ids; an upstream may reuse its own."""
        history = [ContextItem(0, True, "message", "msg_1", None, None, b"{}")]
        context.check(history, [Item("message", b"{}", "msg_1"), Item("message", b"{}"), Item("message", b"{}")])


class TestShown:
    def test_the_thread_and_then_the_request(self) -> None:
        shown = context.shown(thread("u > r@up m", "u > m"), asked("u"), "up")
        assert words(shown.bodies) == "u r@up m u m u"
        assert shown.dropped == 0

    def test_nothing_in_front_of_a_first_request(self) -> None:
        assert words(context.shown([], asked("u"), "up").bodies) == "u"

    def test_what_another_upstream_sealed_is_left_out(self) -> None:
        shown = context.shown(thread("u > r@up m", "u > r@other c1", "o1 > m"), asked("u"), "up")
        assert words(shown.bodies) == "u r@up m u c1 o1 m u"
        assert shown.dropped == 1

    def test_what_a_client_brought_is_sealed_by_nobody(self) -> None:
        assert words(context.shown(thread("r u > m"), asked("u"), "up").bodies) == "r u m u"

    def test_a_compaction_stands_for_all_before_it(self) -> None:
        shown = context.shown(thread("u > m", "u > k@up m", "u > m"), asked("u"), "up")
        assert words(shown.bodies) == "k@up m u m u"
        assert shown.dropped == 3

    def test_the_last_compaction_counts(self) -> None:
        assert words(context.shown(thread("u > k@up m", "u > k@up m"), asked("u"), "up").bodies) == "k@up m u"

    def test_one_that_cannot_be_opened_stands_for_nothing(self) -> None:
        """Moved to another upstream, the model is shown what was compacted, not a hole."""
        history = thread("u > m", "u > k@other m", "u > m")
        assert words(context.shown(history, asked("u"), "up").bodies) == "u m u m u m u"

    def test_an_older_one_that_can_be_opened_does(self) -> None:
        history = thread("u > m", "u > k@up m", "u > k@other m")
        assert words(context.shown(history, asked("u"), "up").bodies) == "k@up m u m u"


class TestTurns:
    @pytest.mark.parametrize(
        ("exchanges", "pieces"),
        [
            ([], []),
            (["u > m"], ["u m"]),
            (["u > m", "u > m"], ["u m", "u m"]),
            (["u > c1", "o1 > m", "u > m"], ["u c1 o1 m", "u m"]),
            (["u > c1", "o1 > c2", "o2 > m", "u > m"], ["u c1 o1 c2 o2 m", "u m"]),
            (["u > c1", "u o1 > m", "u > m"], ["u c1 u o1 m", "u m"]),
            (["u > m", "u c1 o1 > m"], ["u m", "u c1 o1 m"]),
            (["u > c1", "o1", "u > m"], ["u c1 o1", "u m"]),
            (["u", "u", "u > m"], ["u", "u", "u m"]),
        ],
    )
    def test_a_thread_is_cut_where_no_call_is_cut_from_its_output(
        self, exchanges: list[str], pieces: list[str]
    ) -> None:
        cut = context.turns(thread(*exchanges))
        assert [words([item.body for item in piece]) for piece in cut] == pieces

    @given(
        st.lists(
            st.sampled_from(
                ["u > m", "u > r m", "u > c1", "o1 > m", "o1 > c1", "u o1 > m", "u c2 o2 > m", "u", "o1 u"]
            ),
            max_size=8,
        )
    )
    @thorough
    def test_any_number_of_the_newest_can_be_shown(self, exchanges: list[str]) -> None:
        history = thread(*exchanges)
        pieces = context.turns(history)
        assert [item for piece in pieces for item in piece] == history
        calls = {(item.call_id, at) for at, item in enumerate(history) if item.type == "function_call"}
        for start in range(1, len(pieces)):
            kept = [item for piece in pieces[start:] for item in piece]
            first = len(history) - len(kept)
            for at, item in enumerate(history[first:], first):
                if item.type == "function_call_output":
                    before = [place for call_id, place in calls if call_id == item.call_id and place < at]
                    assert not before or max(before) >= first
