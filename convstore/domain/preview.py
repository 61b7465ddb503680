"""The first line of what was asked and of what was answered: what a tree shows of an exchange without its bodies."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from convstore.domain import jsontext
from convstore.domain.items import CALLS, Item

# A tree shows a line; what is kept of it counts for every turn.
LONGEST = 80
# A longer body is not parsed for its first line: that is looked for in so many bytes of its beginning.
PARSED = 16_384
_TEXT = re.compile(rb'"(?:text|content)":\s*("(?:[^"\\]|\\.){1,400})')
_LINE = re.compile(r"[^\n\r]*\S[^\n\r]*")


def of_question(items: Sequence[Item]) -> str | None:
    """The first line of a request's last user message; of its last item, when it has none."""
    asked = [item for item in items if item.role == "user"] or items
    return _of(asked[-1]) if asked else None


def of_answer(items: Sequence[Item]) -> str | None:
    """The first line of an answer's last message; what it calls, when it has none."""
    said = [item for item in items if item.type == "message"] or [item for item in items if item.type in CALLS] or items
    return _of(said[-1]) if said else None


def _of(item: Item) -> str | None:
    if item.type == "message":
        return _line(_text(item.body))
    return _line(f"[{item.type} {item.name}]" if item.name else f"[{item.type}]")


def _text(body: bytes) -> str:
    if len(body) > PARSED:
        found = _TEXT.search(body, 0, PARSED)
        # What is cut off in the middle of an escape is closed without it.
        return _closed(found[1]) if found else ""
    message = jsontext.loads(body)
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(map(_of_part, content)) if isinstance(content, list) else ""


def _closed(text: bytes) -> str:
    decoded = text.decode("utf-8", "ignore")
    for end in range(len(decoded), max(len(decoded) - 8, 0), -1):
        try:
            return str(jsontext.loads(decoded[:end] + '"'))
        except jsontext.NotJson:
            continue
    return ""


def _of_part(part: Any) -> str:
    if not isinstance(part, Mapping):
        return ""
    for name in ("text", "refusal"):
        if isinstance(part.get(name), str):
            return str(part[name])
    return f"[{part.get('type')}]"


def _line(text: str) -> str | None:
    """The first line that says anything, its spaces made one; None when there is none."""
    for found in _LINE.finditer(text):
        # Columns take neither NUL nor half a surrogate pair; nobody wants control characters in a list.
        line = found[0]
        if not line.isprintable():
            line = "".join(c if c.isprintable() else " " for c in line)
        line = " ".join(line.split())
        if line:
            return line if len(line) <= LONGEST else line[: LONGEST - 1].rstrip() + "…"
    return None
