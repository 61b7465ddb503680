"""What is said in an item: its texts, each with the field that it is listed under.

Texts are what people and models wrote: no ids, no base64, nothing that is sealed.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from convstore.domain import jsontext
from convstore.domain.items import CALLS, OUTPUTS, Item

# (field, text). The fields, in the order in which a person would look at them.
Said = tuple[str, str]
FIELDS = ("question", "answer", "reasoning", "tool", "arguments", "tool_output", "instructions")
_GIVEN = {"function_call": "arguments", "custom_tool_call": "input", "mcp_call": "arguments"}


def texts(item: Item, *, output: bool) -> Iterator[Said]:
    """The texts of an item. output: whether it is of an answer."""
    if item.name:
        yield "tool", item.name
    body = _body(item.body)
    if item.type == "message":
        field = "answer" if output or item.role == "assistant" else "question"
        yield from ((field, text) for text in _parts(body.get("content")))
    elif item.type == "reasoning":
        for member in ("summary", "content"):
            yield from (("reasoning", text) for text in _parts(body.get(member)))
    elif item.type in _GIVEN:
        yield from (("arguments", text) for text in _parts(body.get(_GIVEN[item.type])))
        yield from (("tool_output", text) for text in _parts(body.get("output")))
    elif item.type in OUTPUTS:
        yield from (("tool_output", text) for text in _parts(body.get("output")))


def instructions(settings: bytes) -> str | None:
    """The instructions of a request's settings."""
    if b'"instructions"' not in settings:
        return None
    found = _body(settings).get("instructions")
    return _readable(found) if isinstance(found, str) else None


def tools(item: Item) -> Iterator[str]:
    """What is called by an item of an answer: a tool's name, or what a hosted tool is called by."""
    if item.type in CALLS or item.type.endswith("_call"):
        yield item.name or item.type.removesuffix("_call")


def _parts(given: Any) -> Iterator[str]:
    """A string, or the texts of a list of parts."""
    if isinstance(given, str):
        yield _readable(given)
    for part in given if isinstance(given, list) else ():
        text = (part.get("text") or part.get("refusal")) if isinstance(part, Mapping) else None
        if isinstance(text, str):
            yield _readable(text)


def _readable(text: str) -> str:
    """JSON in a string, as tools write it, may have escaped what is no ASCII."""
    if "\\u" not in text or text[:1] not in ("{", "[", '"'):
        return text
    try:
        return jsontext.dumps(jsontext.loads(text)).decode()
    except jsontext.NotJson:
        return text


def _body(body: bytes) -> Mapping[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        # Integers beyond 64 bits, half a surrogate pair.
        try:
            found = jsontext.loads(body)
        except jsontext.NotJson:
            return {}
    return found if isinstance(found, Mapping) else {}
