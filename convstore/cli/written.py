"""Files that a command writes: whole, or not at all."""

import os
import secrets
from collections.abc import Iterable
from pathlib import Path


def whole(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file, under another name until it is complete: what stands under its own stays until then.

    What is no file (a pipe, a device) is written as it is. Raises OSError, and what *pieces* raise.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as out:
            out.writelines(pieces)
        return
    # Through a link, to what it points at.
    target = path.resolve()
    part = target.with_name(f".convstore-{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as out:
            out.writelines(pieces)
            out.flush()
            os.fsync(out.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
