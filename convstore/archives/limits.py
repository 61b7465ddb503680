"""How much of a file is believed: what a reader holds at a time, and what packed bytes may become."""

from dataclasses import dataclass

MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """longest: of one line, in bytes, or of one conversation, in characters: what is held in memory at a time.

    unpacked: bytes that a packed file may become in all. ratio: how many times as much as it was, once it has become
    `trusted` bytes. directory: bytes of a zip's list of members.
    """

    # The longest conversation seen in an account export has 40 MB.
    longest: int = 128 * MEBIBYTE
    unpacked: int = 64 * 1024 * MEBIBYTE
    # JSON of conversations shrinks to a tenth; what shrinks to a thousandth says nothing.
    ratio: int = 500
    trusted: int = 64 * MEBIBYTE
    # 80,000 members; a long-kept account has 20,000 pictures.
    directory: int = 8 * MEBIBYTE
