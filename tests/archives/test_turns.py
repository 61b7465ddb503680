"""Trees of messages cut into exchanges: what ends one, and what it hands to its children."""

import pytest

from convstore.archives import pieces
from convstore.archives.pieces import Call, Result
from convstore.archives.turns import Message, Tangled, turns


def asked(name: str) -> Message:
    return Message(name, False, [pieces.message("user", [pieces.told(name, output=False)])])


def answered(name: str, *said: pieces.Piece) -> Message:
    return Message(name, True, said or [pieces.message("assistant", [pieces.told(name, output=True)])])


def cut(children: dict[str | None, list[str]], *messages: Message):
    return list(turns({each.id: each for each in messages}, children))


def outline(found):
    """(parent, ids of the questions, ids of the answers) of each."""
    return [(each.parent, [one.id for one in each.asked], [one.id for one in each.answers]) for each in found]


class TestTurns:
    def test_a_run_of_questions_and_the_run_of_answers_behind_it(self):
        line = {None: ["q"], "q": ["r"], "r": ["a"], "a": ["b"], "b": ["s"]}
        found = cut(line, asked("q"), asked("r"), answered("a"), answered("b"), asked("s"))
        assert outline(found) == [(None, ["q", "r"], ["a", "b"]), (0, ["s"], [])]

    def test_an_answer_may_come_first(self):
        assert outline(cut({None: ["a"], "a": ["q"]}, answered("a"), asked("q"))) == [(None, [], ["a"]), (0, ["q"], [])]

    def test_each_answer_to_a_question_is_a_turn_beside_the_others(self):
        fork = {None: ["q"], "q": ["a", "b", "r"]}
        found = cut(fork, asked("q"), answered("a"), answered("b"), asked("r"))
        assert outline(found) == [(None, ["q"], ["a"]), (None, ["q"], ["b"]), (None, ["q", "r"], [])]

    def test_an_answer_that_forks_ends_there(self):
        fork = {None: ["q"], "q": ["a"], "a": ["b", "r"]}
        found = cut(fork, asked("q"), answered("a"), answered("b"), asked("r"))
        assert outline(found) == [(None, ["q"], ["a"]), (0, [], ["b"]), (0, ["r"], [])]

    def test_the_first_branch_is_told_to_its_end_before_the_second(self):
        fork = {None: ["q"], "q": ["a", "b"], "a": ["r"], "r": ["c"]}
        found = cut(fork, asked("q"), answered("a"), answered("b"), asked("r"), answered("c"))
        assert outline(found) == [(None, ["q"], ["a"]), (0, ["r"], ["c"]), (None, ["q"], ["b"])]

    def test_a_call_before_a_fork_waits_for_its_output_behind_it(self):
        call, result = Call("c", "f", "{}"), Result("out", "k", "c")
        fork = {None: ["q"], "q": ["a"], "a": ["b", "r"]}
        first, goes_on, question = cut(fork, asked("q"), answered("a", call), answered("b", result), asked("r"))
        assert [item.type for item in first.output] == ["function_call"]
        assert [item.type for item in goes_on.output] == ["function_call_output"]
        assert [item.type for item in question.input] == ["function_call_output", "message"]

    def test_a_call_that_a_question_follows_is_answered_where_it_was_made(self):
        line = {None: ["q"], "q": ["a"], "a": ["r"]}
        first, second = cut(line, asked("q"), answered("a", Call("c", "f", "{}")), asked("r"))
        assert [item.type for item in first.output] == ["function_call", "function_call_output"]
        assert [item.type for item in second.input] == ["message"]

    def test_a_call_within_a_question_is_answered_within_it(self):
        question = Message("q", False, [Call("c", "f", "{}")])
        (found,) = cut({None: ["q"]}, question)
        assert [item.type for item in found.input] == ["function_call", "function_call_output"]

    def test_what_would_be_told_without_end_is_not(self):
        messages, children = [asked("q0")], {None: ["q0"]}
        for number in range(1, 3000):
            messages += [asked(f"q{number}"), answered(f"a{number}")]
            children[f"q{number - 1}"] = [f"a{number}", f"q{number}"]
        with pytest.raises(Tangled):
            cut(children, *messages)
