"""What the demo does with a conversation it has held: edits a question and carries on, asks it again, compares."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from convstore.cli.demo.talk import Turn
from convstore.cli.tree import build
from convstore.errors import ConvstoreError

if TYPE_CHECKING:
    from openai import OpenAI

Json = dict[str, Any]

EDIT = "Answer in one short sentence: "
TEMPERATURE = 1.3
# A thread of a few turns of a small model, and a worker that is just starting.
PATIENCE_S = 300.0
NAP_S = 0.1
# Of a comparison, which is printed beside everything else.
MOST_LINES = 40


def grow(console: Console, client: "OpenAI", turns: Sequence[Turn]) -> None:
    """Grow the tree of a conversation, and print it and what is different. Raises ConvstoreError, OpenAIError."""
    first, last = turns[0], turns[-1]
    say(console, f"Editing its first question ({EDIT!r} …) and carrying on with the others:")
    asked = {"input": EDIT + first.question, "carry": "inputs"}
    post(client, f"/responses/{first.response.id}/branch", asked)
    edited = ended(client, get(client, "/replays?limit=1")["data"][0]["id"])
    say(console, f"Asking it again at temperature {TEMPERATURE:g}:")
    replay = post(client, f"/responses/{last.response.id}/replay", {"overrides": {"temperature": TEMPERATURE}})
    again = ended(client, replay["id"])
    drawn, _ = build(get(client, f"/conversations/{again['conversation_id']}/tree"), full_ids=True)
    console.print(drawn)
    for title, run in (("The edit", edited["runs"][0]), ("The other temperature", again["runs"][0])):
        compare(console, client, title, run)


def compare(console: Console, client: "OpenAI", title: str, run: Json) -> None:
    """Print what one run made of the thread, beside what was recorded of the turns that it asked again."""
    if run["tip"] is None:
        say(console, f"{title} stopped before its first turn: {run['reason']}")
        return
    say(console, f"{title}, beside what was recorded ({run['done']} of {run['total']} turns asked again):")
    # The path begins at the service's root, and the client's own paths one step further down.
    address = client.base_url.join(f"{run['comparison']}&format=text")
    lines = client.get(str(address), cast_to=str).splitlines()
    for line in lines[:MOST_LINES]:
        console.print(Text(line), soft_wrap=True)
    if len(lines) > MOST_LINES:
        say(console, f"… and {len(lines) - MOST_LINES} lines more")


def ended(client: "OpenAI", replay_id: str) -> Json:
    """The replay, when it is over. Raises ConvstoreError."""
    return over(client, f"/replays/{replay_id}")


def over(client: "OpenAI", path: str) -> Json:
    """What a worker does, when it is over. Raises ConvstoreError."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = get(client, path)
        if found["status"] not in ("queued", "in_progress"):
            return found
        time.sleep(NAP_S)
    raise ConvstoreError(f"{path} was not done after {PATIENCE_S:.0f} s.")


def get(client: "OpenAI", path: str) -> Json:
    """What one of our own routes answers."""
    return client.get(path, cast_to=dict[str, Any])


def post(client: "OpenAI", path: str, body: Json) -> Json:
    """The same for one that does something."""
    return client.post(path, cast_to=dict[str, Any], body=dict(body))


def say(console: Console, words: str) -> None:
    """One line between others."""
    console.print()
    console.print(Text(words, style="bold"), soft_wrap=True)
