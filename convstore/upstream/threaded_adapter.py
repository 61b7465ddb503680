"""requests' own adapter, with a limit on the whole answer: its head as well as its body.

urllib3 limits the time between two reads, so an upstream that sends a byte now and then is waited for without end.
"""

import io
from functools import partial
from http.client import HTTPResponse
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from convstore.config import UpstreamSettings
from convstore.upstream import line
from convstore.upstream.limit import Limit


class ThreadedAdapter(HTTPAdapter):
    """For one upstream. Each response has the `limit` of its answer."""

    def __init__(self, settings: UpstreamSettings, pool: int) -> None:
        self._total_s = settings.total_timeout_s
        super().__init__(pool_connections=4, pool_maxsize=min(pool, 64), max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make urllib3's pools, of connections that limit their answers."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            "http": partial(_PlainPool, total_s=self._total_s),
            "https": partial(_TlsPool, total_s=self._total_s),
        }

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """The response, with its answer's limit."""
        response = super().build_response(req, resp)
        response.limit = resp._original_response.limit  # type: ignore[attr-defined]
        return response


class _Limited:
    """A pool whose connections read answers within a limit."""

    def __init__(self, *args: Any, total_s: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._total_s = total_s

    def _new_conn(self) -> Any:
        connection = super()._new_conn()  # type: ignore[misc]
        connection.response_class = partial(_Answer, total_s=self._total_s)
        return connection


class _PlainPool(_Limited, HTTPConnectionPool):
    pass


class _TlsPool(_Limited, HTTPSConnectionPool):
    pass


class _Answer(HTTPResponse):
    def __init__(self, sock: Any, *args: Any, total_s: float, **kwargs: Any) -> None:
        self.limit = Limit(sock.gettimeout(), total_s)
        self._line = line.current()
        if self._line is not None:
            self._line.hold(sock)
        super().__init__(_Source(sock, self.limit), *args, **kwargs)  # type: ignore[arg-type]

    def _close_conn(self) -> None:
        # The answer is read: before anybody else can get the connection.
        if self._line is not None:
            self._line.let_go()
        super()._close_conn()  # type: ignore[misc]


class _Source:
    """What an answer wants of its socket: a file to read."""

    def __init__(self, sock: Any, limit: Limit) -> None:
        self._sock, self._limit = sock, limit

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reading(self._sock, self._limit))


class _Reading(io.RawIOBase):
    def __init__(self, sock: Any, limit: Limit) -> None:
        super().__init__()
        self._sock, self._limit = sock, limit
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._limit.left())
        return self._raw.readinto(buffer)  # type: ignore[no-any-return]

    def close(self) -> None:
        self._raw.close()
        super().close()
