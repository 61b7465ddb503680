"""Starting and ending processes, and what a tree of them has used.

CPU is user plus system time of the process, of its descendants and of those it has already buried, in
seconds; it only ever rises. Processes are ended by their own id, children included.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

READY_WITHIN_S = 60.0
STOP_WITHIN_S = 15.0
LOG_TAIL_CHARS = 3000


class StartFailed(RuntimeError):
    """A server of the benchmark did not come up, or a command before it failed."""


@dataclass(frozen=True)
class Memory:
    """Bytes held by a tree of processes. Shared pages count once in *pss*; None where the system does not
    tell."""

    pss: int | None
    rss: int


def tree(pid: int) -> list[psutil.Process]:
    """The process and its descendants; empty if it is gone."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_s(pid: int) -> float:
    """CPU seconds the tree has used so far."""
    used = 0.0
    for process in tree(pid):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        # Ticks know of threads that have ended, the scheduler's nanoseconds do not; neither says too much.
        used += max(times.user + times.system, scheduled_s(process.pid))
        # A child's time moves to its parent's `children_*` when it is buried: no child is counted twice.
        used += times.children_user + times.children_system
    return used


def scheduled_s(pid: int) -> float:
    """CPU seconds of the process's living threads by the scheduler's own account; 0.0 where there is none.

    Ticks are 10 ms, and each of PostgreSQL's forty processes would be wrong by one.
    """
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    try:
        return sum(int(one.read_text().split()[0]) for one in threads) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def memory(pid: int) -> Memory:
    """What the tree holds now. Takes a few milliseconds a process."""
    pss: int | None = 0
    rss = 0
    for process in tree(pid):
        try:
            rss += process.memory_info().rss
            pss = None if pss is None else pss + process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
        except (psutil.AccessDenied, AttributeError):
            pss = None
    return Memory(pss, rss)


def clean_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Our environment with *extra*, without proxies and without settings meant for another convstore."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith(("CONVSTORE_", "OPENAI_"))
    }
    return {**kept, **extra}


@contextmanager
def running(command: list[str], extra: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run *command* with its output in *log*; end it and its children on the way out."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=clean_environment(extra), stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end, then see to it that nothing of its tree is left."""
    family = tree(process.pid)
    process.terminate()
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for member in family[1:]:
        try:
            member.kill()  # psutil refuses if the id has passed to another process
        except psutil.NoSuchProcess:
            continue


def wait_until(is_ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when *is_ready* says so. Raises StartFailed with the end of the log."""
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if is_ready():
            return
        time.sleep(0.05)
    raise StartFailed(f"{process.args!r} did not come up:\n{log.read_text(errors='replace')[-LOG_TAIL_CHARS:]}")


def output_of(command: list[str], extra: Mapping[str, str]) -> str:
    """Run *command* to its end and return its standard output. Raises StartFailed with its errors."""
    done = subprocess.run(command, env=clean_environment(extra), capture_output=True, text=True, check=False)
    if done.returncode:
        raise StartFailed(f"{command!r} ended with {done.returncode}:\n{done.stderr[-LOG_TAIL_CHARS:]}")
    return done.stdout.strip()
