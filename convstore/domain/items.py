"""Items: what a request brings and an answer holds, kept as the exact JSON that came.

An item's body is its JSON text without its id. The id stands beside it, because the id shown to clients is ours
while the model is shown none (ids of ours mean nothing to an upstream); so a stored body is joined into an upstream
request, or shown to a client, without being parsed. Item types and keys unknown to us survive.
Source: docs/api.md, items.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from convstore import ids
from convstore.domain import jsontext
from convstore.domain.jsontext import Raw

CALLS = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}
OUTPUTS = {output: call for call, output in CALLS.items()}

# Bound to whoever made it: useless, or refused, at any other upstream.
SEALED = ("reasoning", "compaction")

# What a conversation's items leave behind when they are taken out: an item whose call_id is the removed one's place on
# the thread, "depth.position". Clients never see it, and cannot send it.
REMOVAL = "convstore.removal"

# Columns hold this many characters; the API's own roles have nine.
LONGEST_ROLE = 32


@dataclass(frozen=True, slots=True)
class Item:
    """One input or output item.

    body is compact UTF-8 JSON without the id; item_id is the client's own id, or the upstream's for an output
    item (None when it gave none); the rest is extracted for queries.
    """

    type: str
    body: bytes
    item_id: str | None = None
    role: str | None = None
    call_id: str | None = None
    name: str | None = None

    def shown(self, item_id: str) -> bytes:
        """The item as clients see it: with an id."""
        # A client's own id may hold any character.
        head = b'{"id":' + jsontext.dumps(item_id)
        return head + b"}" if self.body == b"{}" else head + b"," + self.body[1:]


def of_text(text: Raw) -> Item:
    """The user message that a plain string input stands for."""
    body = '{"type":"message","role":"user","content":[{"type":"input_text","text":' + text.text + "}]}"
    return Item("message", body.encode(), role="user")


def of_raw(raw: Raw) -> Item:
    """An item of a request, as it was sent."""
    value: Mapping[str, Any] = raw.value
    text = jsontext.without(raw.text, "id") if "id" in value else raw.text
    item = _item(value, text.encode())
    if value.get("type") is None and "role" not in value and "content" not in value:
        return replace(item, type="item_reference")  # an object with nothing but an id is one, too
    return item


def of_output(raw: Raw) -> Item:
    """An item of an answer, completed where the upstream left out what clients rely on."""
    value: Mapping[str, Any] = raw.value
    if _is_thin(value):
        return of_object(value)
    text = jsontext.without(raw.text, "id") if "id" in value else raw.text
    # Upstream text may hold escaped surrogates (plain ASCII here), never bare ones.
    return _item(value, text.encode())


def of_object(value: Mapping[str, Any]) -> Item:
    """An item of an answer that exists as an object only: translated, folded, or thin."""
    filled = filled_out(value)
    return _item(filled, jsontext.dumps({key: part for key, part in filled.items() if key != "id"}))


def filled_out(value: Mapping[str, Any]) -> dict[str, Any]:
    """The item with what every official client reads: type, status and role of messages, annotations of texts."""
    item = dict(value)
    _default(item, "type", "message")
    if item["type"] == "message":
        _default(item, "status", "completed")
        _default(item, "role", "assistant")
        content = item.get("content")
        if isinstance(content, str):
            content = [{"type": "output_text", "text": content}]
        item["content"] = [filled_part(part) for part in content] if isinstance(content, list) else []
    return item


def filled_part(part: Any) -> Any:
    """A text part with its annotations and logprobs, even when there are none."""
    if not _is_thin_part(part):
        return part
    given = {name: value for name, value in part.items() if name != "type" and value is not None}
    return {"type": "output_text", "annotations": [], "logprobs": [], **given}


def with_status(item: Item, status: str) -> Item:
    """The same item with another status, in its body too."""
    return replace(item, body=jsontext.dumps({**jsontext.loads(item.body), "status": status}))


def listed(item: Item, item_id: str) -> bytes:
    """The item as the list endpoints show it: short messages in their long form, every status filled in."""
    if item.type == "message":
        message = jsontext.loads(item.body)
        is_short = message.get("type") is None or message.get("status") is None
        if is_short or isinstance(message.get("content"), str):
            return jsontext.dumps({"id": item_id, **_long_form(message)})
    elif item.type in CALLS or item.type in OUTPUTS:
        value = jsontext.loads(item.body)
        if value.get("status") is None:
            return jsontext.dumps({"id": item_id, **value, "status": "completed"})
    return item.shown(item_id)


def _long_form(message: dict[str, Any]) -> dict[str, Any]:
    kind = "output_text" if message.get("role") == "assistant" else "input_text"
    content = message.get("content")
    if isinstance(content, str):
        content = [filled_part({"type": kind, "text": content})]
    named = {"type": "message", "status": "completed"}
    return {**named, **{name: value for name, value in message.items() if value is not None}, "content": content}


def _item(value: Mapping[str, Any], body: bytes) -> Item:
    return Item(
        type=column(value.get("type")) or "message",
        body=body,
        item_id=column(value.get("id")),
        role=column(value.get("role"), LONGEST_ROLE),
        call_id=column(value.get("call_id")),
        name=column(value.get("name")),
    )


def column(value: Any, longest: int = 255) -> str | None:
    """A value fit for a text column: a string, without what PostgreSQL refuses, of a bounded length."""
    if not isinstance(value, str) or not value:
        return None
    return value.replace("\0", "").encode("utf-8", "replace").decode()[:longest] or None


def _is_thin(value: Mapping[str, Any]) -> bool:
    if value.get("type") != "message":
        return value.get("type") is None
    if value.get("status") is None or value.get("role") is None or not isinstance(value.get("content"), list):
        return True
    return any(_is_thin_part(part) for part in value["content"])


def _is_thin_part(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") in ("output_text", "text") and part.get("annotations") is None


def _default(item: dict[str, Any], name: str, value: str) -> None:
    if item.get(name) is None:
        item[name] = value


def shown_id(item: Item, exchange_id: str, position: int, *, output: bool) -> str:
    """The id a client sees: its own for what it sent, ours for everything else."""
    if item.item_id and not output:
        return item.item_id
    return ids.item(item.type, exchange_id, position)
