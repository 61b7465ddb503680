"""What is wrong with a request, in the API's words.

A field raises a ValidationError with a Problem; where it stands in the request is known only at the top, so the
message is put together there. Source: docs/api.md, errors.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError

from convstore.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Problem:
    """code is the API's; `{param}` in the message becomes the path of the value, like `tools[0].name`."""

    code: str | None
    message: str


def invalid(code: str | None, message: str) -> ValidationError:
    """The error a field raises."""
    return ValidationError([Problem(code, message)])


def wrong_type(expected: str, value: Any) -> ValidationError:
    """*expected* with its article: "a string"."""
    return invalid(
        "invalid_type", f"Invalid type for '{{param}}': expected {expected}, but got {kind_of(value)} instead."
    )


def bad_value(value: Any, allowed: Iterable[str]) -> ValidationError:
    """A value that is not one of the allowed words."""
    quoted = [f"'{word}'" for word in allowed]
    choice = f"{', '.join(quoted[:-1])} and {quoted[-1]}" if len(quoted) > 1 else quoted[0]
    shown = str(value)[:100].replace("{", "{{").replace("}", "}}")
    return invalid("invalid_value", f"Invalid value: '{shown}'. Supported values are: {choice}.")


def missing(name: str) -> InvalidRequest:
    """A required parameter that is not there."""
    return InvalidRequest(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")


def kind_of(value: Any) -> str:
    """What a JSON value is, with its article."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int):
        return "an integer"
    if isinstance(value, float):
        return "a decimal"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "an object"


def first(error: ValidationError) -> InvalidRequest:
    """The first problem of a failed load, as the error the client gets."""
    path, problem = _first(error.messages, "")
    if isinstance(problem, Problem):
        return InvalidRequest(problem.message.format(param=path), param=path or None, code=problem.code)
    return InvalidRequest(f"Invalid '{path}': {problem}", param=path or None, code="invalid_value")


def _first(messages: Any, path: str) -> tuple[str, Any]:
    if isinstance(messages, Mapping):
        key, inner = next(iter(messages.items()))
        # What marshmallow itself says of a whole object is a text; ours about a member of that name is a Problem.
        if key == "_schema" and isinstance(inner, list) and isinstance(inner[0], str):
            return _first(inner, path)
        step = f"[{key}]" if isinstance(key, int) else f".{key}" if path else str(key)
        return _first(inner, path + step)
    if isinstance(messages, list) and messages:
        return _first(messages[0], path)
    return path, messages
