"""Input items: checked where the API checks, passed on where it does not.

Written as tables rather than schemas: a client that sends its whole history sends thousands of them. Item types
unknown here pass through as they are; an unknown *content part* is refused, because no upstream could show it to a
model. Source: docs/api.md, items and content parts.
"""

from collections.abc import Callable, Mapping
from typing import Any

from marshmallow import ValidationError

from convstore.schemas.problems import bad_value, invalid, wrong_type

ROLES = ("user", "assistant", "system", "developer")
INPUT_PARTS = ("input_text", "input_image", "input_file", "input_audio")
MESSAGE_PARTS = (
    *INPUT_PARTS,
    "output_text",
    "refusal",
    "text",
    "summary_text",
    "reasoning_text",
    "computer_screenshot",
)

# Columns hold 255 characters; OpenAI's own ids have 53 to 64.
LONGEST_ID = 255

# How many items may be put into a conversation at once.
MOST_ADDED = 20
# What says something to the service rather than to a model.
_NOT_KEPT = ("item_reference", "compaction_trigger")
# Types of the service's own, which it keeps among the items.
_OURS = "convstore."


def check_input(value: Any) -> None:
    """Raises ValidationError unless *value* is a string or an array of items."""
    if isinstance(value, str):
        return
    if not isinstance(value, list):
        raise wrong_type("one of a string or array of input items", value)
    _check_each(value, _check_item)


def check_added(value: Any) -> None:
    """Raises ValidationError unless *value* is an array of few enough items, all of which can be kept."""
    if not isinstance(value, list):
        raise wrong_type("an array of input items", value)
    if len(value) > MOST_ADDED:
        raise invalid(
            "array_above_max_length",
            f"Invalid '{{param}}': array too long. Expected an array with maximum length {MOST_ADDED}, "
            f"but got an array with length {len(value)} instead.",
        )
    _check_each(value, _check_kept)


def _check_each(items: list[Any], check: Callable[[Any], object]) -> None:
    for number, item in enumerate(items):
        try:
            check(item)
        except ValidationError as error:
            raise ValidationError({number: error.messages}) from None


def _check_kept(item: Any) -> None:
    kind = _check_item(item)
    if kind in _NOT_KEPT:
        raise _at("type", invalid("invalid_value", f"Invalid value: '{kind}'. A conversation cannot hold such items."))


def _check_item(item: Any) -> str:
    """The item's type, once it is checked."""
    if not isinstance(item, Mapping):
        raise wrong_type("an object", item)
    kind = item.get("type")
    if kind is None:
        kind = "message" if "role" in item or "content" in item else "item_reference" if "id" in item else None
        if kind is None:
            raise _missing("type")
    elif not isinstance(kind, str):
        raise _at("type", wrong_type("a string", kind))
    elif kind.startswith(_OURS):
        raise _at("type", invalid("invalid_value", f"Invalid '{{param}}': types that begin with '{_OURS}' are taken."))
    _identifier(item, "id", required=kind == "item_reference")
    check = _CHECKS.get(kind)
    if check is not None:
        check(item)
    return kind


def _message(item: Mapping[str, Any]) -> None:
    role = _string(item, "role")
    if role not in ROLES:
        raise _at("role", bad_value(role, ROLES))
    if "content" not in item:
        raise _missing("content")
    _content(item["content"], "content", MESSAGE_PARTS)


def _function_call(item: Mapping[str, Any]) -> None:
    _identifier(item, "call_id", required=True)
    _string(item, "name")
    _string(item, "arguments")


def _custom_call(item: Mapping[str, Any]) -> None:
    _identifier(item, "call_id", required=True)
    _string(item, "name")
    _string(item, "input")


def _call_output(item: Mapping[str, Any]) -> None:
    _identifier(item, "call_id", required=True)
    if "output" not in item:
        raise _missing("output")
    _content(item["output"], "output", (*INPUT_PARTS, "output_text", "text"))


def _reasoning(item: Mapping[str, Any]) -> None:
    summary = item.get("summary")
    if summary is not None and not isinstance(summary, list):
        raise _at("summary", wrong_type("an array of objects", summary))
    content = item.get("content")
    if content is not None:
        _content(content, "content", ("reasoning_text", "text"))


def _content(value: Any, name: str, parts: tuple[str, ...]) -> None:
    if isinstance(value, str):
        return
    if not isinstance(value, list):
        raise _at(name, wrong_type("one of an array of objects or string", value))
    for number, part in enumerate(value):
        try:
            _part(part, parts)
        except ValidationError as error:
            raise ValidationError({name: {number: error.messages}}) from None


def _part(part: Any, allowed: tuple[str, ...]) -> None:
    if not isinstance(part, Mapping):
        raise wrong_type("an object", part)
    kind = _string(part, "type")
    if kind not in allowed:
        raise _at("type", bad_value(kind, allowed))
    if kind in ("input_text", "output_text", "text", "summary_text", "reasoning_text"):
        _string(part, "text")
    elif kind == "refusal":
        _string(part, "refusal")
    elif kind == "input_image":
        _given(part, "image_url", "file_id")
    elif kind == "input_file":
        _given(part, "file_id", "file_data", "file_url")


def _given(part: Mapping[str, Any], *names: str) -> None:
    """At least one of the members, and each a string."""
    found = [name for name in names if part.get(name) is not None]
    if not found:
        raise _missing(names[0])
    for name in found:
        _string(part, name)


def _string(item: Mapping[str, Any], name: str) -> str:
    if name not in item:
        raise _missing(name)
    value = item[name]
    if not isinstance(value, str):
        raise _at(name, wrong_type("a string", value))
    return value


def _identifier(item: Mapping[str, Any], name: str, *, required: bool) -> None:
    if item.get(name) is None:
        if required:
            raise _missing(name)
        return
    value = _string(item, name)
    if not 1 <= len(value) <= LONGEST_ID:
        raise _at(name, invalid("invalid_value", f"Invalid '{{param}}': expected 1 to {LONGEST_ID} characters."))


def _missing(name: str) -> ValidationError:
    return _at(name, invalid("missing_required_parameter", "Missing required parameter: '{param}'."))


def _at(name: str, error: ValidationError) -> ValidationError:
    return ValidationError({name: error.messages})


_CHECKS: dict[str, Callable[[Mapping[str, Any]], None]] = {
    "message": _message,
    "function_call": _function_call,
    "function_call_output": _call_output,
    "custom_tool_call": _custom_call,
    "custom_tool_call_output": _call_output,
    "reasoning": _reasoning,
}
