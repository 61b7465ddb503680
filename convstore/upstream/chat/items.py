"""Output items and their parts, full in every field that SDKs read. Source: docs/api.md, items.

Ids are local: unique within one response, made of the kind and the place in the output. The core mints
the real ones.
"""

import secrets
from collections.abc import Sequence

import orjson

from convstore.upstream.chat.names import Tool
from convstore.upstream.chat.parts import Json

PREFIXES = {"reasoning": "rs", "message": "msg", "function_call": "fc", "custom_tool_call": "ctc"}


class CallIds:
    """The call ids of one response: the upstream's own, except where it is missing, empty or used already."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, given: str) -> str:
        call_id = given if given and given not in self._taken else f"call_{secrets.token_hex(12)}"
        self._taken.add(call_id)
        return call_id


def local_id(kind: str, index: int) -> str:
    return f"{PREFIXES[kind]}_{index}"


def reasoning_item(index: int, status: str, content: Sequence[Json]) -> Json:
    return {
        "id": local_id("reasoning", index),
        "type": "reasoning",
        "status": status,
        "summary": [],
        "content": list(content),
    }


def message_item(index: int, status: str, content: Sequence[Json]) -> Json:
    return {
        "id": local_id("message", index),
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": list(content),
    }


def function_item(index: int, status: str, call_id: str, tool: Tool, arguments: str) -> Json:
    return {
        "id": local_id("function_call", index),
        "type": "function_call",
        "status": status,
        "arguments": arguments,
        "call_id": call_id,
        "name": tool.name,
        **_namespace(tool),
    }


def custom_item(index: int, status: str, call_id: str, tool: Tool, told: str) -> Json:
    return {
        "id": local_id("custom_tool_call", index),
        "type": "custom_tool_call",
        "status": status,
        "call_id": call_id,
        "input": told,
        "name": tool.name,
        **_namespace(tool),
    }


def _namespace(tool: Tool) -> Json:
    return {"namespace": tool.namespace} if tool.namespace else {}


def text_part(text: str, annotations: Sequence[Json] = (), logprobs: Sequence[Json] = ()) -> Json:
    return {"type": "output_text", "annotations": list(annotations), "logprobs": list(logprobs), "text": text}


def refusal_part(text: str) -> Json:
    return {"type": "refusal", "refusal": text}


def reasoning_part(text: str) -> Json:
    return {"type": "reasoning_text", "text": text}


def custom_input(arguments: str) -> str:
    """A custom tool's input, out of the call that stood in for it; else the arguments as they are."""
    try:
        told = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return arguments
    text = told.get("input") if isinstance(told, dict) else None
    return text if isinstance(text, str) else arguments
