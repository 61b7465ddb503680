"""What an item says, apart from how it was sent: what two items are compared by.

Ids, call ids, the status of what is complete, log probabilities and sealed content (which no two answers share) do not
count; a message of plain text is one with a text part, and arguments are JSON values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convstore.domain import jsontext, values
from convstore.domain.items import OUTPUTS, Item
from convstore.domain.values import Value

_NOISE = frozenset({"id", "type", "role", "name", "call_id", "encrypted_content"})
_PART_NOISE = frozenset({"type", "text", "refusal", "logprobs"})


@dataclass(frozen=True, slots=True)
class Content:
    """An item, read. id: as clients know it.

    text: what is to be read, None of items without; arguments: those of a call, when they are an object;
    members: the rest of it.
    """

    id: str
    type: str
    role: str | None
    name: str | None
    text: str | None
    arguments: Mapping[str, Value] | None
    members: Mapping[str, Value]

    @property
    def kind(self) -> tuple[str, str | None, str | None]:
        return self.type, self.role, self.name

    @property
    def form(self) -> tuple[Any, ...]:
        """Equal for items that say the same."""
        return *self.kind, self.text, tuple(sorted((name, value.written) for name, value in self.members.items()))

    def as_dict(self) -> dict[str, Any]:
        return {"id": self.id, "type": self.type, "role": self.role, "name": self.name}


def of(shown_id: str, item: Item) -> Content:
    """The content of an item with this id. One that is no object, or no JSON, has none."""
    try:
        body = jsontext.loads(item.body)
    except jsontext.NotJson:
        body = {}
    rest = {name: value for name, value in body.items() if name not in _NOISE and value is not None}
    if rest.get("status") == "completed":
        del rest["status"]
    text, arguments = _read(item.type, rest)
    return Content(shown_id, item.type, item.role, item.name, text, arguments, values.of(rest))


def _read(kind: str, rest: dict[str, Any]) -> tuple[str | None, Mapping[str, Value] | None]:
    """Takes out of *rest* what is text or arguments."""
    if kind == "function_call" and isinstance(rest.get("arguments"), str):
        return _arguments(rest.pop("arguments"))
    if kind == "custom_tool_call" and isinstance(rest.get("input"), str):
        return rest.pop("input"), None
    if kind == "reasoning":
        texts = [_texts(name, rest) for name in ("summary", "content")]
        return "\n".join(text for text in texts if text), None
    if kind == "message":
        return _texts("content", rest), None
    if kind in OUTPUTS:
        return _texts("output", rest), None
    return None, None


def _arguments(written: str) -> tuple[str, Mapping[str, Value] | None]:
    try:
        found = jsontext.loads(written)
    except jsontext.NotJson:
        return written, None
    if not isinstance(found, dict):
        return written, None
    return jsontext.dumps_sorted(found).decode(), values.of(found)


def _texts(name: str, rest: dict[str, Any]) -> str | None:
    """The text of a member that is a string or a list of parts; what parts say beside it stays in *rest*."""
    given = rest.get(name)
    if isinstance(given, str):
        return str(rest.pop(name))
    if not isinstance(given, Sequence) or not all(isinstance(part, Mapping) for part in given):
        return None
    del rest[name]
    more = [_more(part) for part in given]
    if any(more):
        rest[name] = more
    return "\n".join(_text(part) for part in given)


def _text(part: Mapping[str, Any]) -> str:
    found = part.get("text", part.get("refusal"))
    return found if isinstance(found, str) else f"[{part.get('type')}]"


def _more(part: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name not in _PART_NOISE and value not in (None, [])}
