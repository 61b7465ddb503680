"""The guard: runs one command, and ends it when whoever started the guard is gone.

    python guard.py COMMAND ARGUMENT…

Standard input is a pipe that nobody writes to. It ends when the starter closes it or dies, even by kill -9;
the guard then asks the command to stop, gives it time, and ends what is left of its process group, of which
the guard must be the leader. This works wherever there are process groups (Linux's PDEATHSIG does not) and
reaches the command's own children too. When the command ends by itself, the guard ends with its exit code.

Standard library only, and run by its path: it must start at once, without importing the service.
"""

import os
import select
import signal
import subprocess
import sys
from typing import NoReturn

# Longer than an answer of the demo takes, so that the service can record the one it is reading.
GRACE_S = 8.0
STDIN = 0


def main(command: list[str]) -> NoReturn:
    """Run *command* to its end, or to the end of our standard input."""
    # Handlers that do nothing, not SIG_IGN, which the command would inherit.
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    while child.poll() is None:
        ready, _, _ = select.select([STDIN, read], [], [])
        if STDIN in ready or set(os.read(read, 64)) & {signal.SIGTERM, signal.SIGINT}:
            stop(child)
    signal_group(signal.SIGTERM)
    sys.exit(child.returncode if child.returncode >= 0 else 128 - child.returncode)


def stop(child: subprocess.Popen[bytes]) -> None:
    """Ask *child* to end; when it does not, end the whole group, ourselves with it."""
    child.terminate()
    try:
        child.wait(timeout=GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        signal_group(signal.SIGKILL)


def signal_group(number: signal.Signals) -> None:
    """Signal what is left of our process group; a group that we do not lead is not ours to end."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, number)


if __name__ == "__main__":
    main(sys.argv[1:])
