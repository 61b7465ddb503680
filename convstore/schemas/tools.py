"""Tools, and which of them the model is to call. Source: docs/api.md, create parameters."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError

from convstore.schemas import problems
from convstore.schemas.bodies import Open
from convstore.schemas.fields import Boolean, Object, Text
from convstore.schemas.problems import bad_value, wrong_type

_NAME = r"[a-zA-Z0-9_-]{1,128}"


def check_tool(value: Any) -> None:
    """Raises ValidationError unless *value* is a tool, of a kind that may be unknown to us."""
    if not isinstance(value, Mapping):
        raise wrong_type("an object", value)
    kind = value.get("type")
    if kind is None:
        raise ValidationError(
            {"type": [problems.Problem("missing_required_parameter", "Missing required parameter: '{param}'.")]}
        )
    if not isinstance(kind, str):
        raise ValidationError({"type": wrong_type("a string", kind).messages})
    shape = _SHAPES.get(kind)
    if shape is not None:
        shape.load(value)


def check_tool_choice(value: Any) -> None:
    """Raises ValidationError unless *value* is a word of the API or an object with a type."""
    if isinstance(value, str):
        if value not in ("none", "auto", "required"):
            raise bad_value(value, ("none", "auto", "required"))
    elif not isinstance(value, Mapping):
        raise wrong_type("one of a string or an object", value)
    elif not isinstance(value.get("type"), str):
        raise ValidationError(
            {"type": [problems.Problem("missing_required_parameter", "Missing required parameter: '{param}'.")]}
        )


class _Named(Open):
    name = Text(required=True, allow_none=False, pattern=_NAME)
    description = Text()
    strict = Boolean()
    parameters = Object()


class _Custom(Open):
    name = Text(required=True, allow_none=False, shortest=1, longest=128)
    description = Text()
    format = Object()


class _Mcp(Open):
    server_label = Text(required=True, allow_none=False, shortest=1)


_SHAPES: dict[str, Schema] = {"function": _Named(), "custom": _Custom(), "mcp": _Mcp()}
