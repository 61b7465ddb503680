"""Bytes to an upstream and back, over one requests.Session for each upstream.

A call is a prepared request whose URL and headers never change, so they are prepared once. Inside a gevent worker
the session's adapter is a lighter one (gevent_adapter.py); elsewhere it is requests' own. What comes back is a Reply
that gives bytes as they arrive, however the upstream frames them.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, IncompleteRead, ProtocolError, ReadTimeoutError

from convstore.config import UpstreamSettings
from convstore.errors import UpstreamCut, UpstreamError, UpstreamTimeout, UpstreamUnreachable

CHUNK = 65536


class Reply:
    """The head of an upstream's answer, and its body as it comes."""

    def __init__(self, response: requests.Response, deadline: float) -> None:
        self._response = response
        self._deadline = deadline
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    @property
    def is_stream(self) -> bool:
        return "text/event-stream" in self.headers.get("content-type", "")

    def limits(self) -> dict[str, str]:
        """What the upstream says of its rate limits: clients pace themselves by it."""
        return {name: value for name, value in self.headers.items() if name.lower().startswith("x-ratelimit-")}

    def chunks(self) -> Iterator[bytes]:
        """The body as it arrives. Raises UpstreamCut or UpstreamTimeout when it ends before its end."""
        read = self._response.raw.read1
        while True:
            if time.monotonic() > self._deadline:
                self.close()
                raise UpstreamTimeout("The model provider's answer took longer than the total time allowed.")
            try:
                chunk = read(CHUNK, decode_content=True)
            except (ReadTimeoutError, TimeoutError) as error:
                raise UpstreamTimeout("The model provider's answer stalled.") from error
            except (IncompleteRead, ProtocolError, HTTPError, OSError) as error:
                raise UpstreamCut from error
            if not chunk:
                return
            yield chunk

    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self.chunks())

    def close(self) -> None:
        """Give the connection back, or end it when the body was not read to its end."""
        self._response.close()


class Transport:
    """One upstream's connections. Safe to share between threads and greenlets."""

    def __init__(self, settings: UpstreamSettings, pool: int) -> None:
        self._settings = settings
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy or .netrc of the machine must not see provider keys
        adapter = _adapter(settings, pool)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        self._prepared: dict[tuple[str, str], requests.PreparedRequest] = {}

    def send(self, method: str, path: str, body: bytes | None = None, *, timeout_s: float | None = None) -> Reply:
        """One attempt. Raises UpstreamUnreachable, UpstreamTimeout or UpstreamCut; never tries twice."""
        request = self._request(method, path)
        if body is not None:
            request.body = body
            request.headers["Content-Length"] = str(len(body))
        read_s = timeout_s or self._settings.read_timeout_s
        deadline = time.monotonic() + self._settings.total_timeout_s
        try:
            response = self._session.send(
                request, stream=True, allow_redirects=False, timeout=(self._settings.connect_timeout_s, read_s)
            )
        except requests.ConnectTimeout as error:
            raise UpstreamUnreachable("The model provider could not be reached in time.") from error
        except requests.Timeout as error:
            raise UpstreamTimeout from error
        except requests.ConnectionError as error:
            raise _connection_error(error) from error
        except requests.RequestException as error:
            raise UpstreamUnreachable from error
        return Reply(response, deadline)

    def close(self) -> None:
        self._session.close()

    def _request(self, method: str, path: str) -> requests.PreparedRequest:
        known = self._prepared.get((method, path))
        if known is None:
            headers = {
                "Accept": "application/json, text/event-stream",
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
                "User-Agent": "convstore",
                **self._settings.headers,
            }
            if self._settings.key:
                headers.setdefault("Authorization", f"Bearer {self._settings.key}")
            known = requests.Request(method, self._settings.url + path, headers=headers).prepare()
            self._prepared[method, path] = known
        copy = requests.PreparedRequest()
        copy.method, copy.url, copy.hooks, copy._body_position = known.method, known.url, known.hooks, None  # type: ignore[attr-defined]
        copy._cookies = known._cookies  # type: ignore[attr-defined]
        copy.headers = known.headers.copy()
        return copy


def _connection_error(error: requests.ConnectionError) -> UpstreamError:
    """Refused before it was sent, or lost after: only the first is safe to try again."""
    text = str(error)
    if "NewConnectionError" in text or "NameResolutionError" in text or "Connection refused" in text:
        return UpstreamUnreachable()
    return UpstreamCut("The model provider closed the connection without an answer.")


def _adapter(settings: UpstreamSettings, pool: int) -> Any:
    if _is_gevent():
        from convstore.upstream.gevent_adapter import GeventAdapter

        return GeventAdapter(settings, pool)
    return HTTPAdapter(pool_connections=4, pool_maxsize=min(pool, 64), max_retries=0)


def _is_gevent() -> bool:
    """Whether this process runs greenlets: gunicorn's worker has patched the sockets."""
    try:
        from gevent import monkey
    except ModuleNotFoundError:
        return False
    return bool(monkey.is_module_patched("socket"))  # type: ignore[no-untyped-call]
