"""Fetching one wheel with whatever pip there is.

A virtual environment made by uv has no pip, a Debian Python no ensurepip: several are tried, in the order
of how likely they are to be set up for this user. None of them installs anything.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# pip's own time-out is for silence; this one is for a connection that only trickles.
TIMEOUT_S = 900.0
OPTIONS = ("download", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--retries=1", "--quiet")


class DownloadFailed(Exception):
    """No pip could fetch the package; the message is one line."""


def download(requirement: str, folder: Path) -> None:
    """Put the wheel of *requirement* into *folder*. Raises DownloadFailed."""
    command = next(pips(), None)
    if command is None:
        raise DownloadFailed("there is no pip on this machine")
    try:
        done = subprocess.run(
            [*command, *OPTIONS, "--dest", str(folder), requirement],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise DownloadFailed(f"pip was not done after {TIMEOUT_S:.0f} s") from error
    if done.returncode:
        raise DownloadFailed(reason(done.stderr) or f"pip ended with exit code {done.returncode}")


def pips() -> Iterator[list[str]]:
    """The commands that run a pip here: our own, the one Python brings along, the ones on the PATH."""
    if importlib.util.find_spec("pip"):
        yield [sys.executable, "-m", "pip"]
    bundled = importlib.util.find_spec("ensurepip")
    for folder in bundled.submodule_search_locations or () if bundled else ():
        # A wheel is a zip file, and Python runs a package inside one.
        yield from ([sys.executable, str(wheel / "pip")] for wheel in Path(folder).glob("_bundled/pip-*.whl"))
    yield from ([found] for name in ("pip", "pip3") if (found := shutil.which(name)))


def reason(stderr: str) -> str:
    """pip's last complaint, on one line."""
    if "connection broken by" in stderr:
        # Without an index pip finds no version, and complains of that.
        return "the package index cannot be reached"
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines
    return errors[-1].removeprefix("ERROR:").strip() if errors else ""
