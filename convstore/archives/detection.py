"""What a file is, told by its beginning."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

from convstore.archives.elements import elements
from convstore.archives.limits import Limits
from convstore.archives.lines import objects
from convstore.archives.sources import Packing, Source
from convstore.archives.streams import Guarded
from convstore.domain.jsontext import SPACE
from convstore.errors import Unreadable

CONVSTORE, CHATGPT, CLAUDE, COMPLETIONS, LLM = "convstore", "chatgpt", "claude", "completions", "llm"
# What each is on the outside.
ARRAYS, LINES, DATABASES = (CHATGPT, CLAUDE), (CONVSTORE, COMPLETIONS), (LLM,)
# A broken record at the beginning does not hide what the file is.
LOOKED_AT = 20


def detected(source: Source, limits: Limits, wanted: str | None = None) -> str:
    """The format of a file. wanted: what somebody says it is, which counts where the file does not say otherwise.

    Raises Unreadable: it is something else, or cannot be told.
    """
    possible, found = _looked_at(source, limits)
    if wanted is None:
        if found is None:
            raise Unreadable("what it is cannot be told: say its format, if it is one of " + ", ".join(possible))
        return found
    if wanted not in possible or found not in (None, wanted):
        raise Unreadable(f"it is not of the format '{wanted}'" + (f" but of '{found}'" if found else ""))
    return wanted


def _looked_at(source: Source, limits: Limits) -> tuple[tuple[str, ...], str | None]:
    """What it may be, and what it is when that shows."""
    if source.packing is Packing.DATABASE:
        return DATABASES, LLM
    for inside, stream in source.streams():
        shown = Peeked(stream)
        if shown.mark == "[":
            found = _of_elements(shown, limits, inside)
            if found or source.packing is not Packing.ZIP:
                return ARRAYS, found
        elif source.packing is Packing.ZIP:
            raise Unreadable("it is not a JSON array", inside.removesuffix(", "))
        elif shown.mark == "{":
            return LINES, _of_lines(shown, limits)
        else:
            raise Unreadable("it is neither JSON nor an SQLite database" if shown.mark else "it is empty")
    return ARRAYS, None


def _of_elements(stream: "Peeked", limits: Limits, inside: str) -> str | None:
    for _, each in islice(elements(stream, limits.longest, inside), LOOKED_AT):
        for name, member in ((CHATGPT, "mapping"), (CLAUDE, "chat_messages")):
            if isinstance(each, Mapping) and member in each:
                return name
    return None


def _of_lines(stream: "Peeked", limits: Limits) -> str | None:
    for number, (_, value) in enumerate(islice(objects(stream, limits.longest), LOOKED_AT)):
        if isinstance(value, Mapping):
            if number == 0 and value.get("object") == "convstore.export":
                return CONVSTORE
            if is_completion(value):
                return COMPLETIONS
    return None


def is_completion(value: Mapping[str, Any]) -> bool:
    """Whether this is a thread of Chat Completions, or two answers to one of which the first is preferred."""
    given = value.get("input")
    return "messages" in value or (isinstance(given, Mapping) and "messages" in given)


class Peeked:
    """A stream of which the first character that is no space is known, and which still begins at its beginning."""

    def __init__(self, stream: Guarded) -> None:
        self._stream = stream
        self._head = b""
        self.mark = ""
        # Whoever pads a file with spaces for longer than this is not understood.
        while not self.mark and len(self._head) < 2**16 and (block := stream.read(2**16)):
            self._head += block
            text = self._head.decode("latin-1")
            space = SPACE.match(text)
            self.mark = text[space.end() : space.end() + 1] if space else ""

    def read(self, size: int, /) -> bytes:
        block, self._head = self._head[:size], self._head[size:]
        return block or self._stream.read(size)
