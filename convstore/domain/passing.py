"""Which events of a stream may pass on as the bytes they came in.

Deltas are most of a stream. One that is complete, numbered and of an item we know needs nothing but our id in place
of the upstream's (and our number, where the upstream counts otherwise: the stream of a background response has one
event more); and the next ones begin like it. So the beginning of one is learned, a run of others is recognised by it,
all of them are parsed at once (they must be JSON, and have what clients rely on), and the run goes on as one piece of
bytes. Everything else takes the long way through `stream.py`.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import orjson

from convstore.domain import items

# `type`, `sequence_number` and then the item's id, as OpenAI and most others write them.
_BEGINNING = re.compile(
    rb'(event: (response\.[a-z_.]+\.(?:delta|done))\ndata: )(\{"type":"\2","sequence_number":)(\d{1,15})'
    rb'(,(?:"output_index":\d+,|"(?:content|summary)_index":\d+,)*"item_id":"([^"\\]{1,255})")'
)
_ITEM_DONE = re.compile(
    rb'(event: response\.output_item\.done\ndata: )\{"type":"response\.output_item\.done","sequence_number":(\d{1,15}),'
    rb'"output_index":(\d{1,5}),"item":(?=\{)'
)
_IN_CONTENT = frozenset({"output_index", "content_index"})
_IN_TEXT = _IN_CONTENT | {"logprobs"}
_IN_SUMMARY = frozenset({"output_index", "summary_index"})
_IN_ITEM = frozenset({"output_index"})
# event → what the delta grows and the end repeats, and where that is
_KINDS = {
    "response.output_text": ("text", _IN_TEXT),
    "response.refusal": ("refusal", _IN_CONTENT),
    "response.reasoning_text": ("text", _IN_CONTENT),
    "response.reasoning_summary_text": ("text", _IN_SUMMARY),
    "response.function_call_arguments": ("arguments", _IN_ITEM),
    "response.custom_tool_call_input": ("input", _IN_ITEM),
    "response.mcp_call_arguments": ("arguments", _IN_ITEM),
    "response.code_interpreter_call_code": ("code", _IN_ITEM),
}


def text_member(kind: str) -> str | None:
    """The member that holds the text of an event: the piece of a delta, the whole of an end. None for others."""
    stem, _, step = kind.rpartition(".")
    if stem not in _KINDS or step not in ("delta", "done"):
        return None
    return "delta" if step == "delta" else _KINDS[stem][0]


def place(kind: str) -> frozenset[str]:
    """The members that say where an event belongs in its item."""
    stem = kind.rpartition(".")[0]
    if stem == "response.content_part":
        return _IN_CONTENT
    if stem == "response.reasoning_summary_part":
        return _IN_SUMMARY
    return _KINDS[stem][1] if stem in _KINDS else frozenset()


class Passing:
    """The way past for the events of one stream."""

    def __init__(self) -> None:
        self._head = self._tail = b""
        self._data_at = 0
        self._text = ""
        self._place: frozenset[str] = frozenset()
        self._rename = (b"", b"")
        # What our numbers are ahead of the upstream's.
        self._ahead = 0

    def run(self, blocks: Sequence[bytes], at: int, number: int, ours: Mapping[bytes, bytes]) -> tuple[int, bytes]:
        """Up to where blocks pass on, the first of them with this number; and what the client gets for them."""
        if not self._head and not self._learn(blocks[at], number, ours):
            return at, b""
        end = self._alike(blocks, at, number)
        if end == at and self._learn(blocks[at], number, ours):
            end = self._alike(blocks, at, number)
        if end == at or not self._are_whole(blocks[at:end]):
            return at, b""
        passed = self._numbered(blocks[at:end], number) if self._ahead else blocks[at:end]
        # No text can look like the member: quotes inside JSON strings are escaped.
        return end, (b"\n\n".join(passed) + b"\n\n").replace(*self._rename)

    def _learn(self, block: bytes, number: int, ours: Mapping[bytes, bytes]) -> bool:
        """Learn how an event begins, if events that begin so may pass at all."""
        self._head = b""
        found = _BEGINNING.match(block)
        if found is None or found[6] not in ours:
            return False
        kind = found[2].decode()
        text = text_member(kind)
        if text is None:
            return False
        self._head, self._tail = found[1] + found[3], found[5]
        self._data_at = len(found[1])
        self._ahead = number - int(found[4])
        self._text, self._place = text, place(kind)
        self._rename = (b'"item_id":"' + found[6] + b'"', b'"item_id":"' + ours[found[6]] + b'"')
        return True

    def _alike(self, blocks: Sequence[bytes], at: int, number: int) -> int:
        end = at
        number -= self._ahead
        for block in islice(blocks, at, None):
            if not block.startswith(b"%b%d%b" % (self._head, number, self._tail)):
                break
            number += 1
            end += 1
        return end

    def _numbered(self, blocks: Sequence[bytes], number: int) -> list[bytes]:
        """The blocks with our numbers, the first of them this one."""
        head, theirs = self._head, number - self._ahead
        return [
            b"%b%d%b" % (head, number + n, block[len(head) + len(str(theirs + n)) :]) for n, block in enumerate(blocks)
        ]

    def _are_whole(self, blocks: Sequence[bytes]) -> bool:
        """Whether each block is one JSON object with a text and a place."""
        start = self._data_at
        try:
            told = orjson.loads(b"[" + b",".join([block[start:] for block in blocks]) + b"]")
        except orjson.JSONDecodeError:
            return False
        text, where = self._text, self._place
        return len(told) == len(blocks) and all(
            type(event) is dict and type(event.get(text)) is str and where <= event.keys() for event in told
        )


def item_done(block: bytes, number: int) -> tuple[bytes, int, int, dict[str, Any]] | None:
    """(the event with this number, output index, where the item begins, the item) when an item's last event may pass.

    None when it may not.
    """
    found = _ITEM_DONE.match(block)
    if found is not None and int(found[2]) != number:
        block = b"%b%d%b" % (block[: found.start(2)], number, block[found.end(2) :])
        found = _ITEM_DONE.match(block)
    if found is None:
        return None
    try:
        item = orjson.loads(block[len(found[1]) :])["item"]
    except (orjson.JSONDecodeError, TypeError, KeyError):
        return None
    if not isinstance(item, dict) or items.filled_out(item) != item:
        return None
    return block, int(found[3]), found.end(), item
