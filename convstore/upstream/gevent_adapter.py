"""A requests adapter over geventhttpclient: its pool, its TLS and its C parser, under requests' face.

requests' own adapter takes three to four times the CPU for one call, most of it in building requests and parsing
heads. The library's pool checks a connection before it is used again, so a server that closed idle ones costs
nothing but a reconnect; nothing is ever sent twice.
"""

import socket
import ssl
import zlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from gevent import monkey
from geventhttpclient.connectionpool import ConnectionPool, SSLConnectionPool
from geventhttpclient.response import HTTPParseError, HTTPSocketPoolResponse
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from convstore.config import UpstreamSettings
from convstore.upstream.limit import Limit

CHUNK = 65536
_poll: Any = monkey.get_original("select", "poll")  # type: ignore[no-untyped-call]
_POLLIN = 1


class _Checked:
    """An idle connection with something to read has been closed by the other side (or lied to)."""

    def _is_socket_alive(self, sock: Any) -> bool:
        # The library asks select(), which knows no descriptor above 1023: the thousandth stream would reconnect.
        if sock is None or sock.fileno() < 0:
            return False
        poll = _poll()
        poll.register(sock.fileno(), _POLLIN)
        return not poll.poll(0)


class _PlainPool(_Checked, ConnectionPool):
    def after_connect(self, sock: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _TlsPool(_Checked, SSLConnectionPool):
    def after_connect(self, sock: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _Body(HTTPSocketPoolResponse):
    """An answer that gives its body as it arrives, within a limit."""

    _decoder: Any = None
    _status = 0

    def __init__(self, sock: Any, pool: ConnectionPool, limit: Limit, method: str) -> None:
        self._limit = limit
        super().__init__(sock, pool, block_size=CHUNK, method=method)

    @property
    def status_code(self) -> int:
        return self._status

    def read1(self, amount: int = CHUNK, decode_content: bool = False) -> bytes:
        """The next bytes, at least one; b"" at the end. Raises urllib3's errors."""
        if not decode_content or str(self.get("content-encoding", "")).lower() not in ("gzip", "deflate"):
            return self._next(amount)
        # Nobody asked for it, but some upstreams compress all the same.
        if self._decoder is None:
            self._decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)
        while chunk := self._next(amount):
            try:
                if plain := self._decoder.decompress(chunk):
                    return bytes(plain)
            except zlib.error as error:
                raise ProtocolError("the compressed body is broken") from error
        return b""

    def _next(self, amount: int) -> bytes:
        while not self._body_buffer:
            if self.message_complete or self._sock is None:
                return b""
            try:
                data = self._receive(amount)
                if not data and not self._ends_at_close():
                    raise ProtocolError("the connection was closed in the middle of the body")
                if not data:
                    self.release()
                    return b""
                self.feed(data)
            except TimeoutError as error:
                self.release()
                raise ReadTimeoutError(None, None, "read timed out") from error  # type: ignore[arg-type]
            except (OSError, HTTPParseError) as error:
                self.release()
                raise ProtocolError("the connection broke") from error
        data = bytes(self._body_buffer)
        self._body_buffer.clear()
        return data

    def _ends_at_close(self) -> bool:
        return self.content_length is None and "chunked" not in str(self.get("transfer-encoding", "")).lower()

    def release_conn(self) -> None:
        """Nothing to do: a connection goes back as soon as its answer is read."""

    def close(self) -> None:
        self.release()

    # -- the library's hooks

    def feed(self, data: str | bytes) -> None:
        """Parse what came. The connection goes back when nothing stands behind the answer, not as soon as it ends."""
        try:
            super().feed(data)
        except HTTPParseError:
            if not self._trailing_data_dropped:
                raise
        if self._is_over():
            self.release()

    def _read_headers(self, pre_buffered: bytes = b"") -> None:
        try:
            while not self._status:
                data = self._receive(CHUNK)
                if not data:
                    raise HTTPParseError("the connection was closed before the end of the head")
                self.feed(data)
        except BaseException:
            self.release()
            raise

    def _receive(self, amount: int) -> bytes:
        sock = self._sock
        assert sock is not None
        sock.settimeout(self._limit.left())
        return bytes(sock.recv(amount))

    def _on_headers_complete(self) -> int | bool | None:
        code = self.get_code()
        self._status = code if code >= 200 else 0  # an interim answer is none
        return super()._on_headers_complete()

    def _on_message_begin(self) -> None:
        if self._is_over():
            # Nobody asked for more. It must not be taken for the answer of whoever uses the connection next.
            self._trailing_data_dropped = True
            raise HTTPParseError("bytes behind the answer")
        super()._on_message_begin()

    def _on_message_complete(self) -> None:
        self.message_complete = True

    def _is_over(self) -> bool:
        return self.message_complete and bool(self._status)


class GeventAdapter(BaseAdapter):
    """Mounted in a requests.Session for one upstream. Reads answers as streams only."""

    def __init__(self, settings: UpstreamSettings, pool: int) -> None:
        super().__init__()
        parts = urlsplit(settings.url)
        host = parts.hostname or ""
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        kind = _TlsPool if secure else _PlainPool
        self._pool: ConnectionPool = kind(
            host,
            port,
            host,
            port,
            size=pool,
            connection_timeout=settings.connect_timeout_s,
            network_timeout=settings.read_timeout_s,
        )
        self._total_s = settings.total_timeout_s
        self._host = parts.netloc.rpartition("@")[2].encode("ascii", "replace")
        self._heads: dict[tuple[str, str], bytes] = {}

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send once and read the head of the answer."""
        body = request.body or b""
        if isinstance(body, str):
            body = body.encode()
        head = self._head(request, len(body))
        try:
            sock = self._pool.get_socket()
        except TimeoutError as error:
            raise requests.ConnectTimeout("connect timed out", request=request) from error
        except (OSError, ssl.SSLError) as error:
            raise requests.ConnectionError(f"NewConnectionError: {error}", request=request) from error
        limit = Limit(kwargs["timeout"][1], self._total_s)
        try:
            sock.settimeout(limit.left())
            if len(body) < CHUNK:
                sock.sendall(head + body)  # one packet where it fits
            else:
                sock.sendall(head)
                sock.sendall(body)
        except OSError as error:
            self._pool.release_socket(sock)
            raise requests.ConnectionError("the connection broke while sending", request=request) from error
        except BaseException:
            self._pool.release_socket(sock)
            raise
        try:
            answer = _Body(sock, self._pool, limit, request.method or "GET")
        except TimeoutError as error:
            raise requests.ReadTimeout("read timed out", request=request) from error
        except (OSError, HTTPParseError) as error:
            raise requests.ConnectionError("the connection broke before the answer", request=request) from error
        return _response(request, answer, limit)

    def close(self) -> None:
        self._pool.close()

    def _head(self, request: requests.PreparedRequest, length: int) -> bytes:
        """The request line and headers. They differ between calls by the length alone, so they are made once."""
        key = (request.method or "GET", request.url or "")
        known = self._heads.get(key)
        if known is None:
            parts = urlsplit(key[1])
            target = parts.path or "/"
            lines = [f"{key[0]} {target}{'?' + parts.query if parts.query else ''} HTTP/1.1".encode("ascii")]
            lines.append(b"Host: " + self._host)
            lines += [
                f"{name}: {value}".encode("latin-1")
                for name, value in request.headers.items()
                if name.lower() not in ("content-length", "host")
            ]
            known = self._heads[key] = b"\r\n".join(lines) + b"\r\nContent-Length: "
        return known + str(length).encode() + b"\r\n\r\n"


def _response(request: requests.PreparedRequest, answer: _Body, limit: Limit) -> requests.Response:
    response = requests.Response()
    response.limit = limit  # type: ignore[attr-defined]
    response.status_code = answer.status_code
    response.headers = CaseInsensitiveDict(_headers(answer))
    response.raw = answer
    response.request = request
    response.url = request.url or ""
    return response


def _headers(answer: _Body) -> Mapping[str, str]:
    return {name: value if isinstance(value, str) else ", ".join(value) for name, value in answer.items()}
