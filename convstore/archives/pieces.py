"""What was said, as items of the API; and calls of tools with what came back, made to pair.

A thread goes on only when every call on it has an output and every output a call. Exports keep to that less than an API
does: a tool that answers without having been called gets a call without arguments, and a call that was not answered
gets an output that says so.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, TypeAlias

from convstore.archives.values import Bad, parsed
from convstore.domain import items, jsontext
from convstore.domain.items import Item

NO_OUTPUT = "(The archive that this was read from holds no output of this call.)"
# What the API takes as the name of a function; an upstream would refuse the thread for any other.
_UNNAMEABLE = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool. arguments: a JSON object, as text."""

    id: str
    name: str
    arguments: str

    def item(self) -> Item:
        name = _UNNAMEABLE.sub("_", self.name)[:_LONGEST_NAME] or "tool"
        call = {"type": "function_call", "call_id": self.id, "name": name, "arguments": self.arguments}
        return items.of_object({**call, "status": "completed"})


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool gave back: text, or parts. id: of its call, where that is known. key: what names this result."""

    output: str | Sequence[Mapping[str, Any]]
    key: str
    id: str | None = None
    name: str | None = None


Piece: TypeAlias = Item | Call | Result


def message(role: str, parts: Sequence[Mapping[str, Any]]) -> Item:
    """A message of these parts."""
    return items.of_object({"type": "message", "role": role, "content": list(parts)})


def thought(texts: Iterable[str]) -> Item:
    """What a model thought, as its summary: nothing of it is sealed."""
    return items.of_object({"type": "reasoning", "summary": [{"type": "summary_text", "text": text} for text in texts]})


def told(text: str, *, output: bool) -> dict[str, Any]:
    """A part that is text."""
    if output:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"type": "input_text", "text": text}


def arguments(given: Any, name: str = "input") -> str:
    """The arguments of a call: an object as it stands, everything else as the one member *name* of an object."""
    if isinstance(given, str):
        if _is_object(given):
            return given
        given = {name: given}
    return jsontext.dumps(given if isinstance(given, Mapping) else {name: given}).decode()


def call_id(*parts: str) -> str:
    """The id of a call that is known by these texts."""
    return "call_" + blake2b(jsontext.dumps(parts), digest_size=12).hexdigest()


def output_item(call: str, output: str | Sequence[Mapping[str, Any]]) -> Item:
    """What came back from a call."""
    return items.of_object({"type": "function_call_output", "call_id": call, "output": output, "status": "completed"})


def paired(pieces: Iterable[Piece], waiting: Sequence[Call]) -> tuple[list[Item], list[Call]]:
    """Items of *pieces*, and the calls that wait for an output then. waiting: those that do before."""
    found: list[Item] = []
    left = list(waiting)
    for piece in pieces:
        if isinstance(piece, Item):
            found.append(piece)
        elif isinstance(piece, Call):
            left.append(piece)
            found.append(piece.item())
        else:
            call = _called(piece, left)
            if call is None:
                call = Call(piece.id or call_id(piece.key), piece.name or "tool", "{}")
                found.append(call.item())
            else:
                left.remove(call)
            found.append(output_item(call.id, piece.output))
    return found, left


def unanswered(calls: Iterable[Call]) -> list[Item]:
    """Outputs for calls that nothing came back from."""
    return [output_item(call.id, NO_OUTPUT) for call in calls]


def _called(result: Result, waiting: Sequence[Call]) -> Call | None:
    """The call that a result is of: of its id, or else the last of its name, or else the last."""
    if result.id is not None:
        return next((call for call in reversed(waiting) if call.id == result.id), None)
    head = (result.name or "").partition(".")[0]
    named = (call for call in reversed(waiting) if call.name.partition(".")[0] == head)
    return next(named, waiting[-1] if waiting else None)


def _is_object(text: str) -> bool:
    try:
        value, end = parsed(text.strip())
    except Bad:
        return False
    return isinstance(value, dict) and end == len(text.strip())
