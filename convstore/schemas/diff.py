"""The query parameters of a comparison."""

from typing import Any

from marshmallow import Schema

from convstore.schemas.fields import Text, Word
from convstore.schemas.problems import Problem

FORMATS = ("json", "text", "html")

_MISSING = Problem("missing_required_parameter", "Missing required parameter: '{param}'.")
# A name is not empty, and no engine takes NUL in a text.
_NAME: dict[str, Any] = {
    "required": True,
    "allow_none": False,
    "shortest": 1,
    "longest": 255,
    "pattern": "[^\\u0000]+",
    "error_messages": {"required": [_MISSING]},
}


class Compare(Schema):
    """Query parameters of `GET /v1/diff`."""

    left = Text(**_NAME, metadata={"description": "The id of a response, or the name of a branch."})
    right = Text(**_NAME, metadata={"description": "The same, of what it is compared with."})
    format = Word(*FORMATS, allow_none=False, metadata={"description": "json unless told; text or html, to be read."})
