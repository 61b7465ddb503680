"""Fingerprints: what a thread is recognised by when a client sends it whole.

A fingerprint is 16 bytes that stand for a project, whose the thread is, and its items in order. Two items are the
same when a model could not tell them apart: ids, statuses, phases, annotations, log probabilities and members that
are null do not count, nor whether a message's text is a string or a part; everything else does, to the last byte.

Reasoning is the exception. Many clients do not send it back, so a thread has two fingerprints: with it and without.
A history is looked up by what it holds: with reasoning it finds only that very reasoning.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

from convstore.domain import jsontext

SIZE = 16
# Not the same to us and the same to the model.
_IGNORED = frozenset({"id", "status", "phase"})
_IGNORED_OF_PARTS = frozenset({"annotations", "logprobs"})
_TEXTS = frozenset({"text", "input_text", "output_text"})
# A history is sent again with every turn; texts longer than this are cheaper to hash than to keep.
_REMEMBERED_TO = 4096


class Said(Protocol):
    """An item of a thread: its type, and its JSON without an id."""

    @property
    def type(self) -> str: ...

    @property
    def body(self) -> bytes: ...


class Sent(Protocol):
    """An item as a client wrote it: the id it gave it, and its JSON without it."""

    @property
    def item_id(self) -> str | None: ...

    @property
    def body(self) -> bytes: ...


class Thread(NamedTuple):
    """The fingerprint of a thread so far: with its reasoning, and without."""

    whole: bytes
    spoken: bytes

    def after(self, items: Sequence[Said]) -> "Thread":
        """The thread with these items at its end."""
        return deque(self.growing(items), maxlen=1).pop() if items else self

    def growing(self, items: Iterable[Said]) -> "Iterator[Thread]":
        """The thread after each of these items."""
        whole, spoken = self
        for item in items:
            mark = of_body(item.body)
            before, whole = whole, _next(whole, mark)
            if item.type != "reasoning":
                spoken = whole if spoken == before else _next(spoken, mark)
            yield Thread(whole, spoken)

    def pack(self) -> bytes:
        """One fingerprint, or both when they differ."""
        return b"".join(self.each())

    def each(self) -> tuple[bytes, ...]:
        """The different ones."""
        return (self.whole,) if self.whole == self.spoken else (self.whole, self.spoken)


def start(project_id: str, user: str | None = None, safety_identifier: str | None = None) -> Thread:
    """A thread without items. What one person said is never taken for the beginning of what another says."""
    seed = jsontext.digest(jsontext.dumps([project_id, user, safety_identifier]))
    return Thread(seed, seed)


def unpack(packed: bytes) -> Thread:
    """The thread that `pack` packed."""
    return Thread(packed[:SIZE], packed[SIZE:] or packed[:SIZE])


def of_body(body: bytes) -> bytes:
    """What stands for one item, as a model understands it."""
    return _known(body)[0] if len(body) <= _REMEMBERED_TO else _mark(body)


def of_text(items: Sequence[Sent]) -> bytes:
    """What stands for these items as they were written: the ids they came with, and every byte."""
    exact = [_known(item.body)[1] if len(item.body) <= _REMEMBERED_TO else jsontext.digest(item.body) for item in items]
    names = b"\n".join((item.item_id or "").encode() for item in items)
    return jsontext.digest(b"".join(exact) + names)


@lru_cache(maxsize=4096)
def _known(body: bytes) -> tuple[bytes, bytes]:
    return _mark(body), jsontext.digest(body)


def _mark(body: bytes) -> bytes:
    return jsontext.digest(jsontext.dumps_sorted(canonical(jsontext.loads(body))))


def canonical(item: Mapping[str, Any]) -> dict[str, Any]:
    """The item without what makes no difference."""
    kept = {name: value for name, value in item.items() if value is not None and name not in _IGNORED}
    kept.setdefault("type", "message")
    if kept["type"] == "message" and "content" in kept:
        kept["content"] = _content(kept["content"])
    return kept


def _content(content: Any) -> Any:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [_part(part) for part in content] if isinstance(content, list) else content


def _part(part: Any) -> Any:
    kind = part.get("type") if isinstance(part, Mapping) else None
    # An upstream may say anything, also what is in no set.
    if not isinstance(kind, str) or kind not in _TEXTS:
        return part
    kept = {name: value for name, value in part.items() if value is not None and name not in _IGNORED_OF_PARTS}
    return {**kept, "type": "text"}


def _next(state: bytes, mark: bytes) -> bytes:
    return blake2b(state + mark, digest_size=SIZE).digest()
