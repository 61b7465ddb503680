"""Sealing what is stored: the keys, and the form of what they seal.

A *master key* is the installation's; it is never stored. It wraps the *data keys*, of which every project has its own;
those seal what was said. What is sealed names its data key by number and can be opened with that key, for that project,
and as the kind of thing that it was: AES-256-GCM, with a random nonce, under the context it was sealed in.

    0x01  number (4 bytes)  nonce (12)  ciphertext and tag (16 more than what was sealed)

0x01 begins neither JSON nor a zstd frame. Texts have the same in a form that every column takes.
See docs/decisions/0017-encryption.md.
"""

import base64
import binascii
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_NONCE = 12
_HEAD = 5
# Shorter than this nothing is sealed: raw digests, which may begin with any byte, are 16 or 32 bytes.
_LEAST = _HEAD + _NONCE + 16
_MARK = b"\x01"
_TEXT_HEAD = 9


class Unopened(Exception):
    """It was not sealed with this key, for this project, as this; or it was changed since."""


class Masters:
    """The master key that wraps data keys, and older ones that still unwrap them. Without the first nothing is sealed.

    Keys are 64 hexadecimal digits.
    """

    def __init__(self, key: str = "", old: Sequence[str] = ()) -> None:
        given = [bytes.fromhex(each) for each in (*old, *([key] if key else []))]
        self.key_id = master_id(given[-1]) if key else None
        self._ciphers = {master_id(each): AESGCM(each) for each in given}

    def __repr__(self) -> str:
        return f"Masters({self.key_id.hex() if self.key_id else None})"

    def __contains__(self, key_id: bytes) -> bool:
        return key_id in self._ciphers

    def __len__(self) -> int:
        return len(self._ciphers)

    def wrap(self, secret: bytes, context: bytes) -> tuple[bytes, bytes]:
        """The id of the master key, and the secret as it wraps it."""
        assert self.key_id is not None
        nonce = os.urandom(_NONCE)
        return self.key_id, nonce + self._ciphers[self.key_id].encrypt(nonce, secret, context)

    def unwrap(self, key_id: bytes, wrapped: bytes, context: bytes) -> bytes | None:
        """What was wrapped; None when the master key is not here. Raises Unopened."""
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            return None
        try:
            return cipher.decrypt(wrapped[:_NONCE], wrapped[_NONCE:], context)
        except (InvalidTag, ValueError) as error:
            raise Unopened from error


def master_id(key: bytes) -> bytes:
    """Four bytes that a master key is known by."""
    return hmac.digest(key, b"convstore storage key", "sha256")[:4]


@dataclass(frozen=True, slots=True)
class DataKey:
    """A project's key: what seals, and what marks. Rotation makes another one that marks alike; shredding does not."""

    number: int
    secret: bytes = field(repr=False)
    _cipher: AESGCM = field(repr=False)

    @classmethod
    def of(cls, number: int, secret: bytes) -> "DataKey":
        """The key of this secret: 32 bytes that seal, and 32 that mark."""
        return cls(number, secret, AESGCM(secret[:KEY_BYTES]))

    @classmethod
    def new(cls, number: int, marks_like: "DataKey | None" = None) -> "DataKey":
        """A random one."""
        marks = marks_like.secret[KEY_BYTES:] if marks_like else os.urandom(KEY_BYTES)
        return cls.of(number, os.urandom(KEY_BYTES) + marks)

    def mark(self, digest: bytes) -> bytes:
        """What stands for a digest in the store: whoever has no key cannot tell of what it is one."""
        return blake2b(digest, key=self.secret[KEY_BYTES:], digest_size=len(digest)).digest()

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """The sealed form of bytes. context: whose they are, and what."""
        nonce = os.urandom(_NONCE)
        return self.head() + nonce + self._cipher.encrypt(nonce, plain, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """What was sealed. Raises Unopened."""
        try:
            return self._cipher.decrypt(sealed[_HEAD : _HEAD + _NONCE], sealed[_HEAD + _NONCE :], context)
        except (InvalidTag, ValueError) as error:
            raise Unopened from error

    def head(self) -> bytes:
        """What everything begins with that this key seals."""
        return _MARK + self.number.to_bytes(4, "big")

    def text_head(self) -> str:
        """The same, of texts."""
        return f"\x01{self.number:08x}"


def is_sealed(stored: bytes) -> bool:
    """Whether these bytes are sealed."""
    return stored[:1] == _MARK and len(stored) >= _LEAST


def number_of(sealed: bytes) -> int:
    """The number of the data key that sealed these bytes."""
    return int.from_bytes(sealed[1:_HEAD], "big")


def as_text(sealed: bytes) -> str:
    """Sealed bytes as a text."""
    return f"\x01{sealed[1:_HEAD].hex()}{base64.b64encode(sealed[_HEAD:]).decode()}"


def of_text(stored: str) -> bytes | None:
    """The sealed bytes of a text; None when it is a plain one."""
    if stored[:1] != "\x01":
        return None
    try:
        sealed = _MARK + bytes.fromhex(stored[1:_TEXT_HEAD]) + base64.b64decode(stored[_TEXT_HEAD:], validate=True)
    except (ValueError, binascii.Error):
        return None
    return sealed if is_sealed(sealed) else None
