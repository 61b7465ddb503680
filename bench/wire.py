"""HTTP/1.1 as the load client needs it: whole requests out, whole answers in, little work per answer.

It knows answers with a length and chunked ones, and asks one thing at a time. Times are `time.perf_counter()`
seconds, except the send times inside slow streams, which are `time.monotonic()`.
"""

import asyncio
import re
import time
from dataclasses import dataclass

from bench.servers import HOST, Server

LAST_CHUNK = b"0\r\n\r\n"
STAMP = re.compile(rb'"delta": ?"(\d{10}\.\d{6})"')
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


@dataclass(slots=True)
class Answer:
    """One answer as it came over the wire."""

    raw: bytes
    body_at: int
    is_chunked: bool
    seconds: float
    first_byte_s: float

    @property
    def status(self) -> int:
        """The HTTP status."""
        return int(self.raw[9:12])

    def body(self) -> bytes:
        """The body without the frames of a chunked transfer."""
        if not self.is_chunked:
            return self.raw[self.body_at :]
        pieces, at = list[bytes](), self.body_at
        while True:
            line_ends = self.raw.index(b"\r\n", at)
            size = int(self.raw[at:line_ends].split(b";", 1)[0], 16)
            if size == 0:
                return b"".join(pieces)
            pieces.append(self.raw[line_ends + 2 : line_ends + 2 + size])
            at = line_ends + 4 + size

    def says(self, mark: bytes) -> bool:
        """Whether the answer is a 200 that holds *mark*, wherever the frames fall."""
        return self.status == 200 and (mark in self.raw or (self.is_chunked and mark in self.body()))


class Connection(asyncio.Protocol):
    """One connection; one request at a time. With *late_s* given, notes there how late each delta came."""

    def __init__(self, late_s: list[float] | None = None) -> None:
        self.late_s = late_s
        self.done: asyncio.Future[Answer] | None = None
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.is_open = transport, True

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits will wait in vain: say so."""
        self.is_open = False
        if self.done and not self.done.done():
            self.done.set_exception(ConnectionResetError("the server closed the connection before the end"))

    def ask(self, message: bytes) -> asyncio.Future[Answer]:
        """Send a whole request."""
        self.done = asyncio.get_running_loop().create_future()
        self.buffer = bytearray()
        self.body_at = self.scanned = 0
        self.started = time.perf_counter()
        self.transport.write(message)
        return self.done

    def data_received(self, data: bytes) -> None:
        """Collect; look at the head once, and at the end of the answer each time."""
        if not self.buffer:
            self.first_byte = time.perf_counter()
        self.buffer += data
        if not self.body_at and not self.read_head():
            return
        if self.late_s is not None:
            self.note_stamps(self.late_s)
        # JSON and events never hold a carriage return, so the last chunk cannot be the middle of something.
        is_whole = self.buffer.endswith(LAST_CHUNK) if self.is_chunked else len(self.buffer) >= self.ends_at
        if is_whole and self.done and not self.done.done():
            took, first = time.perf_counter() - self.started, self.first_byte - self.started
            self.done.set_result(Answer(bytes(self.buffer), self.body_at, self.is_chunked, took, first))
            if self.closes:
                self.is_open = False
                self.transport.close()

    def read_head(self) -> bool:
        """Find out where the answer ends; False while the head is not whole."""
        at = self.buffer.find(b"\r\n\r\n")
        if at < 0:
            return False
        head, self.body_at = self.buffer[: at + 2], at + 4
        length = LENGTH.search(head)
        self.is_chunked = CHUNKED.search(head) is not None
        self.closes = CLOSE.search(head) is not None
        self.ends_at = self.body_at + (int(length[1]) if length else 0)
        return True

    def note_stamps(self, late_s: list[float]) -> None:
        """Compare the send times that have just come in with the clock."""
        now = time.monotonic()
        for stamp in STAMP.finditer(self.buffer, self.scanned):
            late_s.append(now - float(stamp[1]))
            self.scanned = stamp.end()


@dataclass
class Caller:
    """A client that keeps one connection to a server and opens another when it has to."""

    server: Server
    late_s: list[float] | None = None
    connection: Connection | None = None

    async def ask(self, message: bytes) -> Answer:
        """Send a request and wait for its whole answer. Only a kept connection that has gone stale is tried
        twice."""
        if self.connection and self.connection.is_open:
            try:
                return await self.connection.ask(message)
            except ConnectionError:
                if self.connection.buffer:
                    raise
        loop = asyncio.get_running_loop()
        _, self.connection = await loop.create_connection(lambda: Connection(self.late_s), HOST, self.server.port)
        return await self.connection.ask(message)

    def close(self) -> None:
        """Give the connection up."""
        if self.connection:
            self.connection.transport.close()
            self.connection = None


def request(server: Server, body: bytes | None, path: str = "/v1/responses") -> bytes:
    """A whole HTTP request: a POST with *body*, or a GET without one."""
    head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n"
    head += f"Authorization: Bearer {server.key}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body or b'')}\r\n\r\n".encode() + (body or b"")
