"""Run as a process of its own, because gevent changes all of it: what three calls over one transport bring.

Reads {"name": [parts in base64]} from standard input: what the server says to every request, part by part. Writes
{"name": {"bodies": [text], "connections": number}}; a body that could not be read is null.
"""

# ruff: noqa: E402 -- gevent must come first
from gevent import monkey

monkey.patch_all()

import base64
import json
import socket
import sys
import threading
from collections.abc import Sequence

import gevent

from convstore.config import UpstreamSettings
from convstore.errors import UpstreamError
from convstore.upstream.transport import Transport

CALLS = 3


class Server:
    """Says the same parts to every request, on as many connections as come."""

    def __init__(self, parts: Sequence[bytes]) -> None:
        self.connections = 0
        self._parts = parts
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/v1"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        while self._request(connection):
            for part in self._parts:
                connection.sendall(part)
                gevent.sleep(0.005)  # so that each part is a read of its own

    def _request(self, connection: socket.socket) -> bytes:
        said = b""
        while not said.endswith(b"\r\n\r\n{}"):
            piece = connection.recv(65536)
            if not piece:
                return b""
            said += piece
        return said


def called(parts: Sequence[bytes]) -> dict[str, object]:
    """What the calls bring, one after the other."""
    server = Server(parts)
    transport = Transport(UpstreamSettings(name="local", url=server.url), 8)
    bodies: list[str | None] = []
    for _ in range(CALLS):
        try:
            reply = transport.send("POST", "/responses", b"{}")
            bodies.append(reply.body().decode())
            reply.close()
        except UpstreamError:
            bodies.append(None)
    return {"bodies": bodies, "connections": server.connections}


if __name__ == "__main__":
    given = json.load(sys.stdin)
    json.dump({name: called([base64.b64decode(part) for part in parts]) for name, parts in given.items()}, sys.stdout)
