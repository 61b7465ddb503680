"""Bytes to an upstream and back, over one requests.Session for each upstream.

A call is a prepared request whose URL and headers never change, so they are prepared once. Inside a gevent worker
the session's adapter is a lighter one (gevent_adapter.py); elsewhere it is requests' own (threaded_adapter.py). What
comes back is a Reply that gives bytes as they arrive, however the upstream frames them.
"""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext, suppress
from typing import Any

import requests
from urllib3.exceptions import HTTPError, IncompleteRead, ProtocolError, ReadTimeoutError

from convstore.config import UpstreamSettings
from convstore.errors import UpstreamCut, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from convstore.upstream.limit import Limit
from convstore.upstream.line import Line
from convstore.upstream.threaded_adapter import ThreadedAdapter

CHUNK = 65536
# How long the end of a body may take, once the upstream's last word is in, in seconds.
REST_S = 1.0


class Reply:
    """The head of an upstream's answer, and its body as it comes."""

    def __init__(self, response: requests.Response) -> None:
        self._response = response
        self._limit: Limit = response.limit  # type: ignore[attr-defined]  # both adapters set it
        self._is_read = False
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
            try:
                chunk = read(CHUNK, decode_content=True)
            except (ReadTimeoutError, TimeoutError) as error:
                if self._limit.is_over:
                    raise UpstreamTimeout("The model provider's answer took longer than the total time.") from error
                raise UpstreamTimeout("The model provider's answer stalled.") from error
            except (IncompleteRead, ProtocolError, HTTPError, OSError) as error:
                raise UpstreamCut from error
            if not chunk:
                self._is_read = True
                return
            yield chunk

    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self.chunks())

    def close(self) -> None:
        """Give the connection back, or end it when the body was not read to its end."""
        if self._is_read:
            self._response.raw.release_conn()
        else:
            self._response.close()

    def finish(self) -> None:
        """Close it after the upstream's last word: what is left of the body is nothing but its end, and soon here."""
        self._limit.shorten(REST_S)
        with suppress(UpstreamError):
            for _ in self.chunks():
                pass
        self.close()


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

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        timeout_s: float | None = None,
        line: Line | None = None,
    ) -> Reply:
        """One attempt. Raises UpstreamUnreachable, UpstreamTimeout or UpstreamCut; never tries twice.

        line: what the call can be ended by; then it raises UpstreamHungUp.
        """
        request = self._request(method, path)
        if body is not None:
            request.body = body
            request.headers["Content-Length"] = str(len(body))
        read_s = timeout_s or self._settings.read_timeout_s
        if line is not None:
            line.check()
        try:
            with line.in_use() if line else nullcontext():
                response = self._session.send(
                    request, stream=True, allow_redirects=False, timeout=(self._settings.connect_timeout_s, read_s)
                )
        except requests.ConnectTimeout as error:
            raise UpstreamUnreachable("The model provider could not be reached in time.") from error
        except requests.Timeout as error:
            raise UpstreamTimeout from error
        except requests.ConnectionError as error:
            if line is not None:
                line.check()
            raise _connection_error(error) from error
        except requests.RequestException as error:
            raise UpstreamUnreachable from error
        return Reply(response)

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
    return ThreadedAdapter(settings, pool)


def _is_gevent() -> bool:
    """Whether this process runs greenlets: gunicorn's worker has patched the sockets."""
    try:
        from gevent import monkey
    except ModuleNotFoundError:
        return False
    return bool(monkey.is_module_patched("socket"))  # type: ignore[no-untyped-call]
