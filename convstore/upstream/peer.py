"""Another convstore, over HTTP: what the command line asks of a service that is running.

JSON goes out and comes in, events as they arrive. A refusal is raised as the error that the service had, in its own
words. The key goes into one header, and is in no error: not even where the service would say it back.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError, ProtocolError

from convstore import errors
from convstore.domain import jsontext, sse
from convstore.domain.jsontext import NotJson
from convstore.errors import ConvstoreError, Misconfigured, UpstreamError

CONNECT_S = 10.0
# Reading is soon done; a model may think for as long as the service lets it, and says nothing meanwhile.
READ_S = 120.0
THINKING_S = 3_600.0
# What a status means here; other failures are the service's own.
_CLASSES: Mapping[int, type[ConvstoreError]] = {
    400: errors.InvalidRequest,
    401: errors.Unauthenticated,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.Conflict,
    413: errors.BodyTooLarge,
}


class PeerUnreachable(ConvstoreError):
    """The service cannot be reached."""


class PeerFailed(ConvstoreError):
    """The service did not answer as a convstore does."""


class Answer:
    """What came back: JSON, text, or events."""

    def __init__(self, peer: "Peer", response: requests.Response) -> None:
        self._peer = peer
        self._response = response
        self.headers: Mapping[str, str] = response.headers

    @property
    def is_stream(self) -> bool:
        return "text/event-stream" in self.headers.get("content-type", "")

    def text(self) -> str:
        """The whole body. Raises PeerFailed when it ends before its end."""
        return self._body().decode(errors="replace")

    def json(self) -> Any:
        """The body's value. Raises PeerFailed."""
        try:
            return jsontext.loads(self._body())
        except NotJson as error:
            raise self._peer.failed("answered with something else than JSON") from error

    def events(self) -> Iterator[dict[str, Any]]:
        """The events as they arrive, up to the end of the stream. Raises PeerFailed when that breaks."""
        splitter = sse.Splitter()
        try:
            # As much as there is: a buffer that waits to be full would hold an answer back.
            while chunk := self._response.raw.read1(65536, decode_content=True):
                for block in splitter.feed(chunk):
                    data = sse.data_of(block)
                    if data:
                        yield jsontext.loads(data)
        except (requests.RequestException, OSError, HTTPError, NotJson) as error:
            raise self._peer.failed("broke its answer off") from error
        finally:
            self._response.close()

    def pieces(self) -> Iterator[bytes]:
        """The body as it arrives. Raises PeerFailed when it ends before its end."""
        try:
            yield from self._response.iter_content(2**20)
        except (requests.RequestException, OSError, HTTPError) as error:
            raise self._peer.failed("broke its answer off") from error
        finally:
            self._response.close()

    def _body(self) -> bytes:
        try:
            return self._response.content
        except requests.RequestException as error:
            raise self._peer.failed("broke its answer off") from error


class Peer:
    """A service at *url*, which may end in /v1, as somebody who has *key*. Raises Misconfigured."""

    def __init__(self, url: str, key: str | None) -> None:
        self._key = key or ""
        self._root = _root(url)
        if not (self._key.isascii() and (self._key.isprintable() or not self._key)):
            raise Misconfigured("The key has characters that no header can carry.")
        self._session = requests.Session()
        self._session.trust_env = False  # neither a proxy nor a .netrc of the machine is asked about our keys

    def get(self, path: str, **query: Any) -> Answer:
        """Raises what the service refuses it with, PeerUnreachable, PeerFailed."""
        given = {name: str(value) for name, value in query.items() if value is not None}
        return self._send("GET", path, READ_S, params=given)

    def post(
        self, path: str, body: bytes = b"{}", *, timeout_s: float = READ_S, query: Mapping[str, str] | None = None
    ) -> Answer:
        """The same for a body of JSON."""
        return self._send("POST", path, timeout_s, data=body, params=dict(query or {}))

    def upload(self, path: str, file: Path, *, query: Mapping[str, str]) -> Answer:
        """The same for a file, which is read as it is sent. Raises Unreadable, where it is not to be had."""
        headers = {"Content-Type": "application/octet-stream"}
        try:
            opened = file.open("rb")
        except OSError as error:
            raise errors.Unreadable("it cannot be opened") from error
        with opened:
            return self._send("POST", path, THINKING_S, data=opened, params=dict(query), headers=headers)

    def delete(self, path: str) -> Answer:
        """The same, for something to be deleted."""
        return self._send("DELETE", path, READ_S)

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()

    def failed(self, what: str) -> PeerFailed:
        """The error for a service that did something unexpected."""
        return PeerFailed(f"The service at {self._root} {what}.")

    def _send(self, method: str, path: str, timeout_s: float, **given: Any) -> Answer:
        headers = {"Content-Type": "application/json", "User-Agent": "convstore", **given.pop("headers", {})}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        try:
            response = self._session.request(
                method,
                self._root + path,
                headers=headers,
                stream=True,
                allow_redirects=False,  # the key is for this address and no other
                timeout=(CONNECT_S, timeout_s),
                **given,
            )
        except requests.ConnectTimeout as error:
            raise PeerUnreachable(f"The service at {self._root} cannot be reached in time.") from error
        except requests.Timeout as error:
            raise self.failed(f"did not answer within {timeout_s:.0f} s") from error
        except requests.RequestException as error:
            if isinstance(error.args[0] if error.args else None, ProtocolError):
                # It was there, and did not want to hear the end: so is refused, unread, what is too long.
                raise self.failed("hung up before it had answered") from error
            raise PeerUnreachable(f"The service at {self._root} cannot be reached.") from error
        answer = Answer(self, response)
        if response.status_code not in (200, 202):
            raise self._refused(response.status_code, answer)
        return answer

    def _refused(self, status: int, answer: Answer) -> ConvstoreError:
        try:
            said = jsontext.loads(answer.text())["error"]
            message, code, param = str(said["message"]), said.get("code"), said.get("param")
        except (NotJson, KeyError, TypeError, AttributeError, PeerFailed):
            return self.failed(f"answered with status {status} and no reason")
        if self._key:
            message = message.replace(self._key, "…")
        kind = _CLASSES.get(status, UpstreamError if status >= 500 else ConvstoreError)
        return kind(message, code=code, param=param)


def _root(url: str) -> str:
    """Where the paths begin. Raises Misconfigured, without what the address holds: it may be a password."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.username is not None or parts.query or parts.fragment:
        raise Misconfigured(
            "The address of the service is not like http://127.0.0.1:8080. Names and passwords have no place in it."
        )
    return url.rstrip("/").removesuffix("/v1").rstrip("/")
