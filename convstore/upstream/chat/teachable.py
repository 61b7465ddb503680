"""Items that a model can be taught by, put so that `messages_of` refuses none of them.

Messages of known roles with text, those of users with images too; calls of functions and custom tools, each with the
output that came for it. Of every item only what is told to the model is taken over. Everything else is left out.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from convstore.domain import jsontext
from convstore.domain.items import CALLS, OUTPUTS
from convstore.upstream.chat.parts import Json

_ROLES = frozenset({"user", "assistant", "system", "developer"})
_TEXTS = frozenset({"input_text", "output_text", "text"})
_PICTURES = frozenset({"input_image", "computer_screenshot"})
_PLACEHOLDERS = _PICTURES | {"input_file", "input_audio"}
_DETAILS = frozenset({"low", "high", "auto"})
_SHOWN = ("https://", "http://", "data:image/")
# What OpenAI takes for the name of a function.
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")


def teachable(items: Iterable[Mapping[str, Any]]) -> Iterator[Json]:
    """The items that can be taught, oldest first; a call with the last of several outputs that wait for its id."""
    kept: list[Json | None] = []
    # Call id → where the call stands that has no output yet. Ids come again: some servers count from one each turn.
    waiting: dict[str, int] = {}
    for item in items:
        kind, call_id = item.get("type"), item.get("call_id")
        if kind in (None, "message"):
            kept.append(_message(item))
        elif isinstance(call_id, str) and kind in CALLS and _can_be_called(item):
            if call_id in waiting:
                kept[waiting[call_id]] = None
            waiting[call_id] = len(kept)
            kept.append(_call(item))
        elif isinstance(call_id, str) and kind in OUTPUTS and call_id in waiting:
            del waiting[call_id]
            kept.append({"type": kind, "call_id": call_id, "output": _output(item.get("output"))})
    for place in waiting.values():
        kept[place] = None
    yield from (item for item in kept if item is not None)


def _message(item: Mapping[str, Any]) -> Json | None:
    role, content = item.get("role"), item.get("content")
    if not isinstance(role, str) or role not in _ROLES:
        return None
    given = [{"type": "text", "text": content}] if isinstance(content, str) else content
    parts = [part for each in (given if isinstance(given, list) else ()) if (part := _part(each, role))]
    return {"type": "message", "role": role, "content": parts} if parts else None


def _part(part: Any, role: str) -> Json | None:
    if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
        return None
    if part["type"] in _PICTURES and role == "user":
        return _picture(part)
    if part["type"] == "refusal" and role == "assistant":
        return _text(part.get("refusal"))
    return _text(part.get("text")) if part["type"] in _TEXTS else None


def _text(said: Any) -> Json | None:
    return {"type": "text", "text": said} if isinstance(said, str) and said else None


def _picture(part: Mapping[str, Any]) -> Json | None:
    url, detail = part.get("image_url"), part.get("detail")
    if not isinstance(url, str) or not url.startswith(_SHOWN):
        return None
    shown = {"type": "input_image", "image_url": url}
    return {**shown, "detail": detail} if isinstance(detail, str) and detail in _DETAILS else shown


def _can_be_called(item: Mapping[str, Any]) -> bool:
    """Whether the call has an id, and a name that can be told: in a namespace every name can."""
    name, namespace = item.get("name"), item.get("namespace")
    if not item.get("call_id") or not isinstance(name, str) or not name:
        return False
    return bool(NAME.match(name)) or (isinstance(namespace, str) and bool(namespace))


def _call(item: Mapping[str, Any]) -> Json:
    given = item.get(str(_GIVEN[item["type"]]))
    said = given if isinstance(given, str) else ("" if given is None else jsontext.dumps(given).decode())
    call = {"type": item["type"], "call_id": item["call_id"], "name": item["name"], _GIVEN[item["type"]]: said}
    namespace = item.get("namespace")
    return {**call, "namespace": namespace} if isinstance(namespace, str) and namespace else call


_GIVEN = {"function_call": "arguments", "custom_tool_call": "input"}


def _output(output: Any) -> Any:
    """Text, or parts that are text or leave a placeholder."""
    if output is None or isinstance(output, str):
        return output or ""
    if not isinstance(output, list):
        return jsontext.dumps(output).decode()
    return [part for each in output if (part := _output_part(each))]


def _output_part(part: Any) -> Json | None:
    if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
        return None
    return {"type": part["type"]} if part["type"] in _PLACEHOLDERS else _part(part, "tool")
