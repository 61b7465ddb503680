"""A call to an upstream that somebody else may end: another thread hangs up, whatever the call is waiting for.

A thread that waits for a socket is not woken by closing it, only by shutting it down; so the socket is held here for
as long as it is the call's own. Calls of processes with greenlets are not held: closing theirs is enough.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from convstore.errors import UpstreamHungUp

_current: ContextVar["Line | None"] = ContextVar("line", default=None)


class Line:
    """One call, with all its attempts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hung_up = threading.Event()
        self._socket: socket.socket | None = None

    def hang_up(self) -> None:
        """End the call. From any thread, at any time, as often as one likes."""
        with self._lock:
            self._hung_up.set()
            if self._socket is not None:
                _shut_down(self._socket)

    def check(self) -> None:
        """Raises UpstreamHungUp when the call has been ended."""
        if self._hung_up.is_set():
            raise UpstreamHungUp

    def wait(self, seconds: float) -> None:
        """Wait, before another attempt. Raises UpstreamHungUp."""
        self._hung_up.wait(seconds)
        self.check()

    def hold(self, connection: socket.socket) -> None:
        """The call goes over this socket now."""
        with self._lock:
            self._socket = connection
            if self._hung_up.is_set():
                _shut_down(connection)

    def let_go(self) -> None:
        """The socket is the call's no more: the next one may have it."""
        with self._lock:
            self._socket = None

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Around a call: what it connects to is held."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)


def current() -> Line | None:
    """The line of the call that this thread is making, if it can be ended."""
    return _current.get()


def _shut_down(connection: socket.socket) -> None:
    with suppress(OSError):  # it may be closed already
        # Not TLS's own way, which takes the encryption off under the feet of whoever is reading.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
