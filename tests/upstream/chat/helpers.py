"""How the tests play a stream and read what came of it.

The files in recordings/ were written by hand after the servers' formats: the same answer once whole (.json)
and once as a stream (.sse). They are not captures.
"""

import pathlib
from dataclasses import dataclass, field
from typing import Any

import orjson

from convstore.upstream.chat import ChatStream
from convstore.upstream.chat.names import NO_NAMES, Names

Json = dict[str, Any]

RECORDINGS = pathlib.Path(__file__).parent / "recordings"
NAMES = sorted(path.stem for path in RECORDINGS.glob("*.json"))
DONE = b"[DONE]"

_TEXT_FIELDS = {"output_text": "text", "reasoning_text": "text", "refusal": "refusal"}
_CALL_FIELDS = {"function_call": "arguments", "custom_tool_call": "input"}
_TERMINALS = ("response.completed", "response.incomplete", "response.failed")


def completion(name: str) -> Json:
    """A recorded completion."""
    return orjson.loads((RECORDINGS / f"{name}.json").read_bytes())


def stream(name: str) -> list[bytes]:
    """The data of each event of a recorded stream, [DONE] included."""
    blocks = (RECORDINGS / f"{name}.sse").read_bytes().split(b"\n\n")
    return [block.removeprefix(b"data: ") for block in blocks if block]


def chunk(delta: Json | None = None, finish: str | None = None, **more: Any) -> bytes:
    """One chunk, with what every server puts around the delta."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return orjson.dumps({"id": "c-1", "object": "chat.completion.chunk", "model": "m", "choices": choices, **more})


def call(index: int | None, arguments: str | None = None, **more: Any) -> Json:
    """A delta with one piece of a tool call; *more* is its id and name."""
    function = {"arguments": arguments, "name": more.get("name")}
    piece = {"index": index, "id": more.get("id"), "function": function}
    return {"tool_calls": [{name: value for name, value in piece.items() if value is not None}]}


def play(datas: list[bytes], tools: Names = NO_NAMES, *, end: bool = True) -> list[Json]:
    """The events of a whole stream."""
    chat = ChatStream(names=tools)
    events = [event for data in datas for event in chat.feed(data)]
    return events + chat.end() if end else events


def types(events: list[Json]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def deltas(events: list[Json]) -> list[str]:
    return [event["delta"] for event in events if event["type"].endswith(".delta")]


@dataclass
class Folded:
    """What a client holds after the events, gathered from deltas. Spec §5.3 is checked on the way."""

    output: list[Json] = field(default_factory=list)
    response: Json | None = None
    _item: Json | None = None
    _part: Json | None = None

    def __post_init__(self) -> None:
        self.ids: set[str] = set()


def fold(events: list[Json]) -> Folded:
    """Fold *events*, failing on the first that comes out of turn."""
    folded = Folded()
    for event in events:
        assert folded.response is None, "an event behind the terminal"
        _take(folded, event)
    return folded


def _take(folded: Folded, event: Json) -> None:
    kind = event["type"]
    if kind in _TERMINALS:
        folded.response = event["response"]
        assert kind == f"response.{folded.response['status']}"
    elif kind == "response.output_item.added":
        _add_item(folded, event)
    elif kind == "response.output_item.done":
        _end_item(folded, event)
    else:
        assert folded._item is not None
        assert event["item_id"] == folded._item["id"]
        assert event["output_index"] == len(folded.output)
        _take_inside(folded, folded._item, event)


def _add_item(folded: Folded, event: Json) -> None:
    item = event["item"]
    assert folded._item is None, "two items open at once"
    assert event["output_index"] == len(folded.output)
    assert item["status"] == "in_progress"
    assert item["id"] not in folded.ids
    assert not item.get("content") and not item.get(_CALL_FIELDS.get(item["type"], "content"))
    folded.ids.add(item["id"])
    folded._item = orjson.loads(orjson.dumps(item))


def _end_item(folded: Folded, event: Json) -> None:
    assert folded._item is not None and folded._part is None
    assert event["output_index"] == len(folded.output)
    assert event["item"] == folded._item | {"status": event["item"]["status"]}
    folded.output.append(event["item"])
    folded._item = None


def _take_inside(folded: Folded, item: Json, event: Json) -> None:
    kind = event["type"].removeprefix("response.")
    if "content_index" in event and kind != "content_part.added":
        assert folded._part is not None, "no part is open"
        assert event["content_index"] == len(item["content"]) - 1
    match kind.split("."):
        case ["content_part", "added"]:
            assert folded._part is None, "two parts open at once"
            assert event["content_index"] == len(item["content"])
            folded._part = orjson.loads(orjson.dumps(event["part"]))
            item["content"].append(folded._part)
            assert folded._part[_TEXT_FIELDS[folded._part["type"]]] == ""
        case ["content_part", "done"]:
            assert event["part"] == folded._part
            folded._part = None
        case ["output_text", "annotation", "added"]:
            assert event["annotation_index"] == len(folded._part["annotations"])
            folded._part["annotations"].append(event["annotation"])
        case ["function_call_arguments" | "custom_tool_call_input", action]:
            _take_text(item, _CALL_FIELDS[item["type"]], event, action)
        case [part, action]:
            assert part == folded._part["type"]
            _take_text(folded._part, _TEXT_FIELDS[part], event, action)


def _take_text(holder: Json, name: str, event: Json, action: str) -> None:
    if action == "delta":
        holder[name] += event["delta"]
        if "logprobs" in event:
            holder["logprobs"] += event["logprobs"]
    else:
        assert action == "done"
        assert event[name] == holder[name]
        assert event.get("logprobs") == (holder.get("logprobs") if "logprobs" in event else None)
