"""What is left of what was erased: markers in the place of items, and figures without words.

A marker has the shape of what stood there, so that a thread goes on making sense to whoever reads it and to the model
that is shown it: a call is still answered by its output, a message is still said by its role. It is made from what
pairs items alone (types, roles, call ids, names of tools): no other member of a body is taken over.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from hashlib import blake2b
from typing import Any

from convstore.domain import jsontext
from convstore.domain.items import REMOVAL, SEALED, Item

ERASED = "[erased]"
# No upstream can open what was erased: it is left out of every context, like what another one sealed.
SEALED_BY = ERASED
_STATUSES = frozenset({"completed", "incomplete", "in_progress"})
_CODE = re.compile(r"[a-z0-9_.-]{1,64}\Z")
# The least picture there is: one transparent pixel.
_PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
# Calls and outputs that stand for each other: one without the other is refused, so each keeps its type and call_id.
_PAIRED: Mapping[str, Mapping[str, Any]] = {
    "function_call": {"name": "", "arguments": "{}"},
    "function_call_output": {"output": ERASED},
    "custom_tool_call": {"name": "", "input": ERASED},
    "custom_tool_call_output": {"output": ERASED},
    "local_shell_call": {"action": {"type": "exec", "command": [ERASED], "env": {}}, "status": "completed"},
    "local_shell_call_output": {"output": ERASED},
    "shell_call": {"action": {"commands": [ERASED]}, "status": "completed"},
    "shell_call_output": {
        "output": [{"stdout": ERASED, "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
    },
    "apply_patch_call": {"operation": {"type": "delete_file", "path": ERASED}, "status": "completed"},
    "apply_patch_call_output": {"output": ERASED, "status": "completed"},
    "computer_call": {"action": {"type": "wait"}, "pending_safety_checks": [], "status": "completed"},
    "computer_call_output": {"output": {"type": "computer_screenshot", "image_url": _PIXEL}},
}


class What(StrEnum):
    """How much of an exchange is gone.

    content: what was said; its figures stay. all: everything. history: only how the items that were stored before it
    were sent along with it, because one of those was erased.
    """

    CONTENT = "content"
    ALL = "all"
    HISTORY = "history"


@dataclass(frozen=True, slots=True)
class Erased:
    """What a batch did; batches add up.

    bytes: of stored bodies. unfinished, held: exchanges that were left as they are, because they are still being
    answered, or must be kept. continued: left because others continue them. histories: exchanges of others that lost
    how erased items were sent to them. payloads and kept: shared bodies that went, and that others use, too.
    tables: rows changed or deleted, by table.
    """

    exchanges: int = 0
    items: int = 0
    payloads: int = 0
    bytes: int = 0
    unfinished: int = 0
    held: int = 0
    continued: int = 0
    histories: int = 0
    conversations: int = 0
    kept: int = 0
    tables: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: "Erased") -> "Erased":
        sums = {each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)[:-1]}
        names = {*self.tables, *other.tables}
        return Erased(**sums, tables={name: self.tables.get(name, 0) + other.tables.get(name, 0) for name in names})

    def as_dict(self) -> dict[str, Any]:
        """The form of the API and of the store."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)[:-1]}
        return {**plain, "tables": dict(sorted(self.tables.items()))}


def marker(item: Item, *, output: bool) -> Item:
    """What stands in the place of an item that was erased. Its id, if it is a client's, is gone as well."""
    if item.type == REMOVAL and not output:
        # It says which item is not there any more, and nothing else.
        return item
    said = _object(item.body)
    if item.type in _PAIRED:
        return _of_pair(item, said)
    if item.type in SEALED:
        body: dict[str, Any] = {"type": item.type, "summary": []} if item.type == "reasoning" else {"type": item.type}
        return Item(item.type, jsontext.dumps(body))
    is_model = item.role == "assistant" or (item.role is None and output)
    role = item.role if item.type == "message" and item.role else ("assistant" if output else "user")
    part = {"type": "output_text", "text": ERASED, "annotations": [], "logprobs": []}
    if not is_model:
        part = {"type": "input_text", "text": ERASED}
    message = {"type": "message", "status": _status(said), "role": role, "content": [part]}
    return Item("message", jsontext.dumps(message), role=role)


def settings(model: str) -> bytes:
    """The settings of an exchange that was erased."""
    return jsontext.dumps({"model": model}) if model else b"{}"


def error(given: Mapping[str, Any] | None) -> dict[str, str] | None:
    """The error that an exchange ended with: its code, if it is one."""
    if given is None:
        return None
    code = given.get("code")
    return {"code": code if isinstance(code, str) and _CODE.match(code) else "server_error", "message": ERASED}


def attempts(given: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Where it was tried to be answered: upstreams and codes, and nothing that came of it."""
    names = ("upstream", "status", "error")
    return [{name: each[name] for name in names if _is_plain(each.get(name))} for each in given]


def figures(given: Any) -> Any:
    """What an upstream reported, without words."""
    if isinstance(given, Mapping):
        return {name: figures(value) for name, value in given.items() if _CODE.match(name)}
    return given if isinstance(given, int | float) else None


def codes(given: Mapping[str, Any]) -> dict[str, Any]:
    """Of what is said of an end, the codes and figures."""
    return {name: value if _is_plain(value) else ERASED for name, value in given.items() if value is not None}


def code(given: str | None) -> str | None:
    """A reason, if it is one of an API's."""
    return given if given is not None and _CODE.match(given) else None


def digest(tombstones: Sequence[tuple[bytes, str, bytes | None]]) -> bytes:
    """What the entry of a batch commits to: which exchanges it erased, how much, and what is left of each."""
    rows = sorted([exchange.hex(), what, state.hex() if state else None] for exchange, what, state in tombstones)
    return blake2b(jsontext.dumps(rows), digest_size=16).digest()


def state(request: bytes | None, answer: bytes | None) -> bytes:
    """What stands for what is left of an exchange, from the digests of its two sides."""
    return blake2b((request or b"") + b"/" + (answer or b""), digest_size=16).digest()


def _of_pair(item: Item, said: Mapping[str, Any]) -> Item:
    call_id = said.get("call_id")
    # As it was sent, so that it still pairs with what others said of it; the column is cut.
    call_id = call_id if isinstance(call_id, str) else item.call_id
    body = {"type": item.type, **({"call_id": call_id} if call_id is not None else {}), **_PAIRED[item.type]}
    if "name" in body:
        body["name"] = said["name"] if isinstance(said.get("name"), str) else (item.name or "")
        body["status"] = _status(said)
    return Item(item.type, jsontext.dumps(body), call_id=item.call_id, name=item.name if "name" in body else None)


def _object(body: bytes) -> Mapping[str, Any]:
    value = jsontext.loads(body) if body else {}
    return value if isinstance(value, Mapping) else {}


def _status(said: Mapping[str, Any]) -> str:
    status = said.get("status")
    return status if isinstance(status, str) and status in _STATUSES else "completed"


def _is_plain(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and _CODE.match(value) is not None)
