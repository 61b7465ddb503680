"""Drafts of tool calls, and which call a piece belongs to."""

import orjson

from convstore.upstream.chat import items
from convstore.upstream.chat.draft import Draft
from convstore.upstream.chat.names import Names, Tool
from convstore.upstream.chat.parts import Json
from convstore.upstream.chat.pieces import CallPiece


class Called(Draft):
    """A function call, or a custom tool's.

    A function's arguments go to the client as they come. A custom tool's input is inside the arguments'
    JSON, so it goes out in one delta when it is whole.
    """

    def __init__(self, ids: items.CallIds, names: Names) -> None:
        super().__init__()
        self._ids = ids
        self._names = names
        self._tool = Tool("")
        self._texts: list[str] = []
        self._told = 0
        self._whole: bool | None = None
        self.given_id = ""
        self.name = ""
        self.call_id = ""

    @property
    def ready(self) -> bool:
        return bool(self.name)

    @property
    def settled(self) -> bool:
        """Its arguments are a JSON object: a server that mixes its calls can have nothing more to add."""
        if self._whole is None:
            self._whole = _is_object("".join(self._texts))
        return self._whole

    def hear(self, piece: CallPiece) -> None:
        """Take in a piece. Names and ids count once: some servers repeat them in every piece.

        What comes after `close` is not told. The arguments were whole then: it can only be them once more.
        """
        self.name = self.name or piece.name
        self.given_id = self.given_id or piece.call_id
        if piece.arguments:
            self._texts.append(piece.arguments)
            self._whole = None

    def open(self, index: int) -> Json:
        self.call_id = self._ids.take(self.given_id)
        self._tool = self._names.tool(self.name)
        self.kind = "custom_tool_call" if self._tool.is_custom else "function_call"
        return super().open(index)

    def blank(self) -> Json:
        return self._item("in_progress", "")

    def flush(self, events: list[Json]) -> None:
        if self._told == len(self._texts) or self.kind == "custom_tool_call":
            return
        delta = "".join(self._texts[self._told :])
        self._told = len(self._texts)
        events.append(self.event("response.function_call_arguments.delta", delta=delta))

    def end(self, events: list[Json]) -> None:
        if self.kind == "custom_tool_call":
            self._end_custom(events)
            return
        if not self._texts:
            self._texts.append("{}")
            self.flush(events)
        events.append(self.event("response.function_call_arguments.done", arguments="".join(self._texts)))

    def _end_custom(self, events: list[Json]) -> None:
        told = items.custom_input("".join(self._texts))
        if told:
            events.append(self.event("response.custom_tool_call_input.delta", delta=told))
        events.append(self.event("response.custom_tool_call_input.done", input=told))

    def item(self, status: str) -> Json:
        return self._item(status, "".join(self._texts))

    def _item(self, status: str, arguments: str) -> Json:
        if self.kind == "custom_tool_call":
            told = items.custom_input(arguments)
            return items.custom_item(self.index, status, self.call_id, self._tool, told)
        return items.function_item(self.index, status, self.call_id, self._tool, arguments)


class Calls:
    """The calls of one reply, found again by what servers put on their pieces."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._ids = items.CallIds()
        self._by_slot: dict[int | None, Called] = {}

    def find(self, piece: CallPiece) -> tuple[Called, bool]:
        """The call that *piece* belongs to, and whether it is a new one."""
        call = self._by_slot.get(piece.slot)
        if call is not None and _continues(call, piece):
            return call, False
        # None stands for the latest call: pieces without an index continue that one.
        call = self._by_slot[piece.slot] = self._by_slot[None] = Called(self._ids, self._names)
        return call, True


def _continues(call: Called, piece: CallPiece) -> bool:
    """Whether a piece with this call's index is more of it.

    Gemini's and older Ollama's servers give every call the index 0, or none: there a name begins a new call,
    unless it comes with the same id, or repeats the name of a call that is not whole yet. An id alone begins
    nothing, since older vLLM makes one up for every piece.
    """
    if not piece.name or not call.name:
        return True
    if piece.call_id and call.given_id:
        return piece.call_id == call.given_id
    return piece.name == call.name and not (piece.arguments and call.settled)


def _is_object(arguments: str) -> bool:
    if not arguments.rstrip().endswith("}"):
        return False
    try:
        return isinstance(orjson.loads(arguments), dict)
    except orjson.JSONDecodeError:
        return False
