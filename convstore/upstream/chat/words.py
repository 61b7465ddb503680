"""Items that Chat Completions has no form for, put into words.

Hosted and local tools (mcp_call, web_search_call, shell_call …) and item types of the future. What is
dropped by design: ids, statuses, encrypted content, and the bytes behind data URLs.
"""

import re
from collections.abc import Mapping
from typing import Any

from convstore.domain import jsontext

# What is worth telling of each known type; of unknown types everything but _BOOKKEEPING is told.
_TELLING = {
    "apply_patch_call": ("operation",),
    "apply_patch_call_output": ("status", "output"),
    "code_interpreter_call": ("code", "outputs"),
    "computer_call": ("action", "actions"),
    "file_search_call": ("queries", "results"),
    "image_generation_call": ("revised_prompt",),
    "local_shell_call": ("action",),
    "mcp_approval_request": ("server_label", "name", "arguments"),
    "mcp_approval_response": ("approve", "reason"),
    "mcp_call": ("server_label", "name", "arguments", "output", "error"),
    "program": ("code",),
    "program_output": ("result",),
    "shell_call": ("action",),
    "shell_call_output": ("output",),
    "web_search_call": ("action",),
}
_BOOKKEEPING = frozenset(
    ("type", "id", "call_id", "status", "encrypted_content", "created_by", "fingerprint"),
)

# Megabytes of base64 are no words.
_DATA_URL = re.compile(r"data:([\w.+/-]+);base64,[A-Za-z0-9+/=_-]+")


def role_of(kind: str) -> str:
    """Who said an item of this type: what a client answered is the user's, all the rest the assistant's."""
    return "user" if kind.endswith(("_output", "_response")) else "assistant"


def words_of(item: Mapping[str, Any]) -> str:
    """The item as lines: its type in brackets, then `field: value`."""
    kind = str(item["type"])
    names = _TELLING.get(kind) or [name for name in item if name not in _BOOKKEEPING]
    lines = [f"{name}: {_value(item[name])}" for name in names if item.get(name) is not None]
    return "\n".join([f"[{kind}]", *lines])


def _value(value: object) -> str:
    text = value if isinstance(value, str) else jsontext.dumps(value).decode()
    return _DATA_URL.sub(r"data:\1;…", text)
