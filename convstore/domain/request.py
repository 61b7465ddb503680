"""A create request: what a client asks, checked, with its exact text.

Its *settings* are what an agent sends unchanged turn after turn (model, instructions, tools, …): they are stored
once, under their digest. What changes with every turn (input, parent, metadata, users) stands apart.
Source: docs/api.md, create parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from convstore.domain import jsontext
from convstore.domain.items import Item
from convstore.domain.jsontext import Raw

MASK = "<redacted>"

# Kept for each exchange, in columns of its own or among its extras.
PER_TURN = frozenset(
    "input previous_response_id conversation store stream stream_options background metadata user "
    "safety_identifier prompt_cache_key client_metadata".split()
)
EXTRAS = ("prompt_cache_key", "client_metadata")
# Of a background request everything is kept that the upstream is to be sent: it is asked from what is stored.
BACKGROUND_EXTRAS = (*EXTRAS, "stream_options")


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """members: the request's members as sent, none of them null. items: its input."""

    members: Mapping[str, Raw]
    items: tuple[Item, ...]
    settings: bytes
    settings_hash: bytes

    @property
    def model(self) -> str:
        return str(self.value("model"))

    @property
    def stream(self) -> bool:
        return bool(self.value("stream", False))

    @property
    def background(self) -> bool:
        """Whether a worker is to answer it."""
        return bool(self.value("background", False))

    @property
    def store(self) -> bool:
        return bool(self.value("store", True))

    @property
    def previous_response_id(self) -> str | None:
        return self.value("previous_response_id")  # type: ignore[no-any-return]

    @property
    def conversation_id(self) -> str | None:
        """The conversation to append to."""
        given = self.value("conversation")
        return given["id"] if isinstance(given, Mapping) else given  # type: ignore[no-any-return]

    @property
    def truncates(self) -> bool:
        """Whether what does not fit may be left out."""
        return bool(self.value("truncation") == "auto")

    def value(self, name: str, default: Any = None) -> Any:
        """The parsed value of a member."""
        raw = self.members.get(name)
        return default if raw is None else raw.value

    def text(self, name: str) -> bytes | None:
        """The JSON text of a member."""
        raw = self.members.get(name)
        return None if raw is None else raw.text.encode()

    def extras(self) -> bytes | None:
        """The members that are kept but fit neither the settings nor a column."""
        names = BACKGROUND_EXTRAS if self.background else EXTRAS
        found = {name: self.members[name].text for name in names if name in self.members}
        return jsontext.join(found).encode() if found else None


def edited(members: Mapping[str, Raw], edits: Mapping[str, Raw], items: tuple[Item, ...]) -> CreateRequest:
    """The request with some of its members replaced; one that is replaced by null is left out."""
    return of_members({**members, **edits}, items)


def is_masked(members: Mapping[str, Raw]) -> bool:
    """Whether a request that was read back lacks a secret of an MCP server: none is stored."""
    return "tools" in members and f'"{MASK}"' in members["tools"].text


def of_members(members: Mapping[str, Raw], items: tuple[Item, ...]) -> CreateRequest:
    """The request made of checked members and its items."""
    given = {name: raw for name, raw in members.items() if raw.value is not None}
    kept = {name: raw.text for name, raw in given.items() if name not in PER_TURN}
    if "tools" in kept and any(_is_mcp(tool) for tool in given["tools"].value):
        kept["tools"] = jsontext.dumps([_masked(tool) for tool in given["tools"].value]).decode()
    settings = jsontext.join(kept).encode()
    return CreateRequest(given, items, settings, jsontext.digest(settings))


def secrets_of(tool: Any) -> list[str]:
    """The members of a tool that are masked wherever it is stored."""
    if not _is_mcp(tool):
        return []
    masked = _masked(tool)
    return [name for name in ("authorization", "headers") if tool.get(name) != masked.get(name)]


def _masked(tool: Any) -> Any:
    """An MCP tool without its secrets: they go upstream, and nowhere else."""
    if not _is_mcp(tool):
        return tool
    masked = dict(tool)
    if masked.get("authorization") is not None:
        masked["authorization"] = MASK
    if isinstance(masked.get("headers"), Mapping):
        masked["headers"] = dict.fromkeys(masked["headers"], MASK)
    return masked


def _is_mcp(tool: Any) -> bool:
    return isinstance(tool, Mapping) and tool.get("type") == "mcp"
