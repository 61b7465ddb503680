"""An upstream's events, as they came off the wire.

Whole objects that will be stored, a finished item or the last event's response, keep the text that they came in: such
an event has it under a name of ours, "_item" or "_reply". Source: docs/api.md, streaming events.
"""

import re
from collections.abc import Mapping
from typing import Any

from convstore.domain import items, jsontext, reply
from convstore.domain.jsontext import NotJson, Raw
from convstore.domain.reply import Reply

TERMINAL = {"response.completed": "completed", "response.incomplete": "incomplete", "response.failed": "failed"}

# What stands before a terminal event's response.
_TERMINAL = re.compile(
    r'\{"type":"(response\.(?:completed|incomplete|failed))","sequence_number":\d+,"response":(?=\{)'
)


class StreamError(NotJson):
    """An upstream event that is no event of the API."""


def event(data: bytes) -> Mapping[str, Any]:
    """The event that is in the data of a block. Raises StreamError."""
    try:
        text = jsontext.decode(data)
        terminal = _TERMINAL.match(text)
        if terminal is not None and text.endswith("}}"):
            return {"type": terminal[1], "_reply": reply.of_text(text[terminal.end() : -1])}
        members = jsontext.members(text)
    except NotJson as error:
        raise StreamError(f"an event is not JSON: {error.reason}") from error
    kind = members.get("type")
    if kind is None or not isinstance(kind.value, str):
        if "error" in members:
            return {"type": "error", "error": members["error"].value}
        raise StreamError("an event has no type")
    if not (kind.value.isascii() and kind.value.isprintable()):
        raise StreamError("an event has a type that no event line can hold")
    read = {name: raw.value for name, raw in members.items()}
    if kind.value in TERMINAL:
        read["_reply"] = _reply(members)
    if kind.value == "response.output_item.done" and isinstance(read.get("item"), dict):
        read["_item"] = items.of_output(members["item"])
    return read


def error(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an `error` event says was wrong, in whichever of its forms."""
    nested = event.get("error")
    source = nested if isinstance(nested, Mapping) else event
    return {"code": source.get("code") or "server_error", "message": str(source.get("message") or "upstream error")}


def _reply(members: Mapping[str, Raw]) -> Reply:
    said = members.get("response")
    if said is None or not isinstance(said.value, dict):
        # The least an upstream can say: the answer is what its events were.
        return Reply("completed", (), {})
    try:
        return reply.of_text(said.text)
    except NotJson as error:
        raise StreamError(f"the last event's response is none: {error.reason}") from error
