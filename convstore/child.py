"""The worker that `convstore serve` has beside it: started with it, again when it dies, and ended with it.

gunicorn's master is its parent, and forks its own workers in the meantime: so this imports nothing but the standard
library. The worker looks after its side itself: it stops when its parent is gone, however that went.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

# The pause after a death, doubled with each that follows soon.
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
# Whoever lived for so long did not die of what it was born with.
GROWN_UP_S = 60.0
LOOK_EVERY_S = 0.1


class Child:
    """One worker at a time. say: where its deaths are told; died: told the process id of each.

    environment: its variables, if they are not ours.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        died: Callable[[int], None],
        command: tuple[str, ...] = (sys.executable, "-m", "convstore", "worker"),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._say = say
        self._died = died
        self._command = command
        self._environment = environment
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        # Held while one is being started.
        self._starting = threading.Lock()
        self._thread = threading.Thread(target=self._supervise, daemon=True)

    def start(self) -> None:
        """Start it, and see to it that there is one from now on."""
        # Nobody forks in the middle of a start: the fork would keep the pipe open at whose end the start waits.
        os.register_at_fork(
            before=self._starting.acquire,
            after_in_parent=self._starting.release,
            after_in_child=self._starting.release,
        )
        self._thread.start()

    def stop(self, *, graceful: bool = True) -> None:
        """Ask it to stop, now or with its jobs' ends; nothing takes its place. May be called again."""
        self._stopping.set()
        with self._starting:
            if self._process is not None:
                self._process.send_signal(signal.SIGTERM if graceful else signal.SIGINT)

    def wait(self, seconds: float) -> None:
        """Wait for its end, and bring it about when time is up."""
        self._thread.join(seconds)
        if self._thread.is_alive() and self._process is not None:
            self._process.kill()
            self._thread.join(LOOK_EVERY_S * 10)

    def _supervise(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            with self._starting:
                if self._stopping.is_set():
                    return
                # Named, so that one whose parent died before it could look does not take the next one for it.
                self._process = subprocess.Popen(
                    [*self._command, "--child-of", str(os.getpid())],
                    stdin=subprocess.DEVNULL,
                    env=self._environment,
                )
            started = time.monotonic()
            # gunicorn collects dead children, too, and may be first: then the exit code is not to be had.
            while self._process.poll() is None:
                time.sleep(LOOK_EVERY_S)
            with suppress(OSError):
                self._died(self._process.pid)
            if self._stopping.is_set():
                return
            if time.monotonic() - started > GROWN_UP_S:
                pause_s = FIRST_PAUSE_S
            self._say(f"The worker (pid:{self._process.pid}) has ended; starting another one in {pause_s} s.")
            self._stopping.wait(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
