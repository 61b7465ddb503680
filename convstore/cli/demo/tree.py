"""A conversation on the terminal: a tree of its responses, each under the one it continues.

It is drawn from the API's objects alone; `previous_response_id` is all that links them. Texts are set as
they are (rich would take their brackets for markup) and cut at one line.
"""

from collections.abc import Sequence

from rich.text import Text
from rich.tree import Tree

from convstore.cli.demo.talk import Turn


def build(title: str, turns: Sequence[Turn]) -> Tree:
    """The tree of *turns*, parents before their children."""
    root = Tree(Text(title, style="bold"), guide_style="dim")
    branches: dict[str | None, Tree] = {None: root}
    for turn in turns:
        parent = branches[turn.response.previous_response_id]
        branches[turn.response.id] = parent.add(label(turn))
    return root


def label(turn: Turn) -> Text:
    """Four lines: the question, the id, the figures, the answer."""
    lines = (
        Text(f"Q  {first_line(turn.question)}", style="cyan"),
        Text(turn.response.id, style="bold"),
        Text(", ".join(figures(turn)), style="dim"),
        Text(f"A  {first_line(turn.response.output_text)}", style="green"),
    )
    text = Text("\n").join(lines)
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def figures(turn: Turn) -> list[str]:
    """Model, status, temperature, tokens and times, in that order."""
    response, timing = turn.response, turn.timing
    reason = response.incomplete_details and response.incomplete_details.reason
    parts = [response.model, f"{response.status} ({reason})" if reason else str(response.status)]
    if response.temperature is not None:
        parts.append(f"temperature {response.temperature:g}")
    if response.usage:
        parts.append(f"tokens {response.usage.input_tokens} in {response.usage.output_tokens} out")
    parts.append(f"{timing.total_s:.2f} s")
    if timing.first_token_s is not None:
        parts.append(f"first token {timing.first_token_s:.2f} s")
    return parts


def first_line(text: str) -> str:
    """The first line with something on it."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "(nothing)")
