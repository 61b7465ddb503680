"""The stream that a finished response would have been.

Used when a stored answer is streamed again, and when an upstream answers a streamed request with plain JSON. The
same response always gives the same events with the same numbers. Source: docs/api.md, order of events.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Event = dict[str, Any]

_TERMINAL = {
    "completed": "response.completed",
    "incomplete": "response.incomplete",
    # The API has no event of its own for it.
    "cancelled": "response.incomplete",
}
_STRINGS = {
    "function_call": ("response.function_call_arguments", "arguments"),
    "custom_tool_call": ("response.custom_tool_call_input", "input"),
}


def of_response(response: Mapping[str, Any]) -> Iterator[Event]:
    """The events of a response, numbered from 0; the last one is its terminal event."""
    for number, event in enumerate(_events(response)):
        yield {"type": event.pop("type"), "sequence_number": number, **event}


def of_output(output: list[Mapping[str, Any]]) -> Iterator[Event]:
    """The events of the output items alone, without numbers."""
    for index, item in enumerate(output):
        yield from _item(item, index)


def _events(response: Mapping[str, Any]) -> Iterator[Event]:
    begun = {
        **response,
        "status": "in_progress",
        "output": [],
        "usage": None,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
    }
    if response.get("background"):
        queued = {**begun, "status": "queued"}
        yield {"type": "response.created", "response": queued}
        yield {"type": "response.queued", "response": queued}
    else:
        yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    yield from of_output(response["output"])
    yield {"type": _TERMINAL.get(response["status"], "response.failed"), "response": dict(response)}


def _item(item: Mapping[str, Any], index: int) -> Iterator[Event]:
    place = {"item_id": item.get("id"), "output_index": index}
    yield {"type": "response.output_item.added", "output_index": index, "item": _begun(item)}
    kind = str(item.get("type"))
    if kind in _STRINGS:
        event, member = _STRINGS[kind]
        yield {"type": f"{event}.delta", **place, "delta": item.get(member) or ""}
        yield {"type": f"{event}.done", **place, member: item.get(member) or ""}
    for number, part in _parts(item, "summary"):
        yield from _summary_part(part, {**place, "summary_index": number})
    if kind in ("message", "reasoning"):
        for number, part in _parts(item, "content"):
            yield from _content_part(part, {**place, "content_index": number})
    yield {"type": "response.output_item.done", "output_index": index, "item": dict(item)}


def _begun(item: Mapping[str, Any]) -> Event:
    """The item as it was announced: nothing in it yet."""
    empty = {"content": [], "summary": [], "arguments": "", "input": "", "status": "in_progress"}
    kept = {key: empty[key] if key in empty and value is not None else value for key, value in item.items()}
    return kept if item.get("type") in ("message", "reasoning", *_STRINGS) else dict(item)


def _content_part(part: Mapping[str, Any], place: Event) -> Iterator[Event]:
    kind = part.get("type")
    extra: Event = {}
    if kind == "refusal":
        name, member = "response.refusal", "refusal"
    elif kind == "reasoning_text":
        name, member = "response.reasoning_text", "text"
    else:
        name, member, extra = "response.output_text", "text", {"logprobs": []}
    text = part.get(member) or ""
    bare = {**part, member: ""} | ({"annotations": []} if "annotations" in part else {})
    yield {"type": "response.content_part.added", **place, "part": bare}
    yield {"type": f"{name}.delta", **place, "delta": text, **extra}
    for number, annotation in enumerate(_list(part, "annotations")):
        yield {
            "type": "response.output_text.annotation.added",
            **place,
            "annotation_index": number,
            "annotation": annotation,
        }
    yield {"type": f"{name}.done", **place, member: text, **extra}
    yield {"type": "response.content_part.done", **place, "part": dict(part)}


def _summary_part(part: Mapping[str, Any], place: Event) -> Iterator[Event]:
    text = part.get("text") or ""
    yield {"type": "response.reasoning_summary_part.added", **place, "part": {**part, "text": ""}}
    yield {"type": "response.reasoning_summary_text.delta", **place, "delta": text}
    yield {"type": "response.reasoning_summary_text.done", **place, "text": text}
    yield {"type": "response.reasoning_summary_part.done", **place, "part": dict(part)}


def _parts(item: Mapping[str, Any], name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The parts that are parts, each with its index; what else stands there is told with the whole item."""
    return ((number, part) for number, part in enumerate(_list(item, name)) if isinstance(part, Mapping))


def _list(item: Mapping[str, Any], name: str) -> list[Any]:
    value = item.get(name)
    return value if isinstance(value, list) else []
