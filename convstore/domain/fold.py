"""The fold of a response stream.

Events go in, one at a time; at any moment `output` is what a client that followed the stream would hold. Unknown
events change nothing. Source: docs/api.md, streaming events.
"""

from collections.abc import Mapping
from typing import Any

# event → (member of the item that grows, member of the event that holds the whole at the end)
_STRINGS = {
    "response.function_call_arguments": ("arguments", "arguments"),
    "response.custom_tool_call_input": ("input", "input"),
    "response.mcp_call_arguments": ("arguments", "arguments"),
    "response.code_interpreter_call_code": ("code", "code"),
}
# event → (list of the item, index member, member of the part that grows)
_PARTS = {
    "response.output_text": ("content", "content_index", "text"),
    "response.refusal": ("content", "content_index", "refusal"),
    "response.reasoning_text": ("content", "content_index", "text"),
    "response.reasoning_summary_text": ("summary", "summary_index", "text"),
}
_PART_LISTS = {
    "response.content_part": ("content", "content_index"),
    "response.reasoning_summary_part": ("summary", "summary_index"),
}


class Fold:
    """The output items of a stream that is still running."""

    def __init__(self) -> None:
        self._items: dict[int, dict[str, Any]] = {}

    def add(self, event: Mapping[str, Any]) -> None:
        """Apply one event."""
        kind, _, step = str(event.get("type", "")).rpartition(".")
        if kind == "response.output_item":
            self._items[_index(event, "output_index")] = _copied(event.get("item"))
            return
        item = self._items.get(_index(event, "output_index"))
        if item is None:
            return
        if kind in _STRINGS:
            _grow(item, *_STRINGS[kind], step, event)
        elif kind in _PARTS:
            members, index, name = _PARTS[kind]
            _grow(_part(item, members, _index(event, index)), name, name, step, event)
        elif kind in _PART_LISTS:
            members, index = _PART_LISTS[kind]
            _part(item, members, _index(event, index)).update(_copied(event.get("part")))
        elif kind == "response.output_text.annotation" and step == "added":
            part = _part(item, "content", _index(event, "content_index"))
            if not isinstance(part.get("annotations"), list):
                part["annotations"] = []
            part["annotations"].append(event.get("annotation"))

    @property
    def so_far(self) -> list[dict[str, Any]]:
        """The items so far, in their order, each with the status that it has at this moment."""
        return [item for _, item in sorted(self._items.items())]

    @property
    def output(self) -> list[dict[str, Any]]:
        """The items so far, in their order; one that had not ended is "incomplete"."""
        return [
            {**item, "status": "incomplete"} if item.get("status") == "in_progress" else item
            for _, item in sorted(self._items.items())
        ]


def _grow(holder: dict[str, Any], name: str, whole: str, step: str, event: Mapping[str, Any]) -> None:
    if step == "delta":
        holder[name] = str(holder.get(name) or "") + str(event.get("delta") or "")
    elif step == "done" and isinstance(event.get(whole), str):
        holder[name] = event[whole]


def _part(item: dict[str, Any], members: str, index: int) -> dict[str, Any]:
    parts = item.get(members)
    if not isinstance(parts, list):
        parts = item[members] = []
    if index >= len(parts):
        index = len(parts)
        parts.append({})
    elif not isinstance(parts[index], dict):
        parts[index] = {}  # no part of the API: what follows is
    return parts[index]  # type: ignore[no-any-return]


def _index(event: Mapping[str, Any], name: str) -> int:
    value = event.get(name, 0)
    return value if isinstance(value, int) and 0 <= value < 1_000_000 else 0


def _copied(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {}
    return {key: list(part) if isinstance(part, list) else part for key, part in value.items()}
