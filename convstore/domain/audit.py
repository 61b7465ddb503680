"""The audit log's entries: what one says, how it is sealed, and how a seal is checked.

Entries hang together in *strands*, one for each writer there is at a time: nobody waits for anybody. An entry holds the
seal of the one before it in its strand, and its own seal is an HMAC over all that it says. Now and then an entry
*links* the other strands: it holds the seals of their newest entries (docs/decisions/0014-audit.md).

Entries are rows of bytes, texts and numbers in the order of COLUMNS: they are sealed, stored and read back as such.
"""

import hashlib
import hmac
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from convstore.domain import jsontext

# Of what is sealed the salt is left out: it goes when what it salts is erased, and the seal stays good.
COLUMNS = tuple(
    "project_id id strand number previous_id previous_seal at actor api_key_id action object outcome detail remote "
    "agent request_id commits digest links key_id salt seal".split()
)
_SEALED = len(COLUMNS) - 2
_NUMBERS = ("number", "at")
_TEXTS = ("actor", "action", "object", "outcome", "detail", "remote", "agent", "commits")
_KINDS = {name: int if name in _NUMBERS else str if name in _TEXTS else bytes for name in COLUMNS}
# 128 bits of an HMAC-SHA-256 are as good as the key; every entry carries two of them.
SEAL_BYTES = 16
_FORM = 1
_LINK = struct.Struct(">16s8sQ16s")


class Commits(StrEnum):
    """What an entry commits to: the content of a side of an exchange, or which exchanges were erased."""

    REQUEST = "request"
    ANSWER = "answer"
    ERASURE = "erasure"


class Outcome(StrEnum):
    """What became of a call: it was refused when the caller could change it, else it failed."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


def outcome_of(status: int) -> Outcome:
    """The outcome that an HTTP status stands for."""
    return Outcome.DONE if status < 400 else Outcome.REFUSED if status < 500 else Outcome.FAILED


@dataclass(slots=True)
class Entry:
    """What an entry says, before it has its place in a strand. at: microseconds since 1970. Ids are the 16 bytes."""

    id: bytes
    at: int
    actor: str
    action: str
    outcome: str
    object: str | None = None
    detail: str | None = None
    api_key_id: bytes | None = None
    remote: str | None = None
    agent: str | None = None
    request_id: bytes | None = None
    commits: str | None = None
    digest: bytes | None = None
    salt: bytes | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """An entry as others refer to it."""

    id: bytes
    strand: bytes
    number: int
    seal: bytes


class Keyring:
    """The key that entries are sealed with, and older ones that still check. Without a key a seal is a plain hash."""

    def __init__(self, key: str = "", old: Sequence[str] = ()) -> None:
        self.key_id = _key_id(key) if key else None
        # Begun, to be copied: that is a third cheaper than a new HMAC for each entry.
        self._begun = {
            _key_id(each): hmac.new(each.encode(), digestmod="sha256") for each in (*old, *((key,) if key else ()))
        }

    def __repr__(self) -> str:
        return f"Keyring({self.key_id.hex() if self.key_id else None})"

    def seal(self, message: bytes, key_id: bytes | None) -> bytes | None:
        """The seal under one of the keys; None when it is not here."""
        if key_id is None:
            return hashlib.sha256(message).digest()[:SEAL_BYTES]
        begun = self._begun.get(key_id)
        if begun is None:
            return None
        hashed = begun.copy()
        hashed.update(message)
        return hashed.digest()[:SEAL_BYTES]


def sealed(keyring: Keyring, project_id: bytes, entry: Entry, before: Point, links: bytes | None) -> tuple[Any, ...]:
    """The row of an entry behind *before*; the first of a strand stands behind a point without a seal, number -1."""
    said = (
        project_id,
        entry.id,
        before.strand,
        before.number + 1,
        before.id or None,
        before.seal or None,
        entry.at,
        entry.actor,
        entry.api_key_id,
        entry.action,
        entry.object,
        entry.outcome,
        entry.detail,
        entry.remote,
        entry.agent,
        entry.request_id,
        entry.commits,
        entry.digest,
        links,
        keyring.key_id,
    )
    return (*said, entry.salt, keyring.seal(message(said), keyring.key_id))


def message(said: Sequence[Any]) -> bytes:
    """What is sealed: a JSON array, bytes in hexadecimal."""
    return jsontext.dumps([_FORM, *(each.hex() if type(each) is bytes else each for each in said)])


def is_whole(keyring: Keyring, row: Sequence[Any]) -> bool | None:
    """Whether a row is as it was sealed; None when the key is not here. Whatever somebody put into it by hand."""
    for name, value in zip(COLUMNS, row, strict=True):
        if value is not None and type(value) is not _KINDS[name]:
            return False
    key_id, seal = row[_SEALED - 1], row[-1]
    expected = keyring.seal(message(row[:_SEALED]), key_id)
    if expected is None:
        return None
    return isinstance(seal, bytes) and hmac.compare_digest(expected, seal)


def links(points: Sequence[Point]) -> bytes | None:
    """The stored form of the entries that one links."""
    return b"".join(_LINK.pack(each.id, each.strand, each.number, each.seal) for each in points) or None


def linked(stored: bytes | None) -> Iterator[Point]:
    """The entries that one links."""
    for place in range(0, len(stored or b"") // _LINK.size * _LINK.size, _LINK.size):
        yield Point(*_LINK.unpack_from(stored or b"", place))


def plain(text: str | None, longest: int) -> str | None:
    """A text of a client's as every database takes it."""
    if text is None:
        return None
    return text[:longest].encode("utf-8", "replace").decode().replace("\0", "?")


def digest(salt: bytes, values: Sequence[Any], bodies: Sequence[bytes]) -> bytes:
    """16 bytes that stand for the content of one side of an exchange, and say nothing about it without the salt."""
    # Numbers for booleans: one engine knows those, the other does not.
    plain = [each.hex() if (kind := type(each)) is bytes else int(each) if kind is bool else each for each in values]
    head = jsontext.dumps([[len(body) for body in bodies], plain])
    hashed = hashlib.blake2b(len(head).to_bytes(8, "big"), key=salt, digest_size=16)
    hashed.update(head)
    for body in bodies:
        hashed.update(body)
    return hashed.digest()


def _key_id(key: str) -> bytes:
    return hmac.digest(key.encode(), b"convstore audit key", "sha256")[:4]
