"""The printed tree: who hangs under whom, and what a node says."""

import io
from typing import Any

from openai.types.responses import Response
from rich.console import Console

from convstore.cli.demo import tree
from convstore.cli.demo.talk import Timing, Turn


def turn(response_id: str, parent_id: str | None = None, *, text: str = "Yes.", **changes: Any) -> Turn:
    """A turn as the API's objects tell it."""
    part = {"type": "output_text", "text": text, "annotations": []}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }
    body = {
        "id": response_id,
        "object": "response",
        "created_at": 1_700_000_000,
        "status": "completed",
        "model": "small",
        "previous_response_id": parent_id,
        "temperature": 0.2,
        "output": [message],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 44,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 25,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 69,
        },
    }
    return Turn(Response.model_validate({**body, **changes}), f"Why {response_id}?", Timing(1.25))


def printed(*turns: Turn, width: int = 110) -> list[str]:
    """The lines of the tree, without their spaces at the end."""
    console = Console(file=io.StringIO(), width=width)
    console.print(tree.build("A title", turns))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


class TestBuild:
    def test_a_node_says_question_id_figures_and_answer(self) -> None:
        assert printed(turn("resp_1")) == [
            "A title",
            "└── Q  Why resp_1?",
            "    resp_1",
            "    small, completed, temperature 0.2, tokens 44 in 25 out, 1.25 s",
            "    A  Yes.",
        ]

    def test_a_fork_is_two_nodes_under_one(self) -> None:
        lines = printed(turn("resp_1"), turn("resp_2", "resp_1"), turn("resp_3", "resp_1"))

        assert "    ├── Q  Why resp_2?" in lines
        assert "    └── Q  Why resp_3?" in lines

    def test_a_thread_goes_deeper_at_every_turn(self) -> None:
        lines = printed(turn("resp_1"), turn("resp_2", "resp_1"), turn("resp_3", "resp_2"))

        assert "        └── Q  Why resp_3?" in lines

    def test_brackets_are_text_and_not_markup(self) -> None:
        assert "    A  [echo, no model] [red]no[/red] [/]" in printed(
            turn("resp_1", text="[echo, no model] [red]no[/red] [/]")
        )

    def test_a_long_answer_is_cut_at_the_width(self) -> None:
        lines = printed(turn("resp_1", text="word " * 100), width=60)

        assert lines[-1].endswith("…")
        assert max(map(len, lines)) <= 60
        assert len(lines) == 5


class TestFigures:
    def test_an_answer_cut_short_says_why(self) -> None:
        cut = turn("resp_1", status="incomplete", incomplete_details={"reason": "max_output_tokens"})

        assert tree.figures(cut)[1] == "incomplete (max_output_tokens)"

    def test_a_stream_says_when_its_first_token_came(self) -> None:
        streamed = Turn(turn("resp_1").response, "Why?", Timing(1.25, 0.5))

        assert tree.figures(streamed)[-2:] == ["1.25 s", "first token 0.50 s"]

    def test_what_is_not_known_is_not_said(self) -> None:
        bare = turn("resp_1", usage=None, temperature=None)

        assert tree.figures(bare) == ["small", "completed", "1.25 s"]


class TestFirstLine:
    def test_empty_lines_before_it_do_not_count(self) -> None:
        assert tree.first_line("\n\n  The first.\nThe second.") == "The first."

    def test_nothing_is_said_to_be_nothing(self) -> None:
        assert tree.first_line(" \n") == "(nothing)"
