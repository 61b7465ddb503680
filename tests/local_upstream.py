"""A model provider on a real loopback socket, which does what a test tells it to.

    upstream.will(answer("Hello"))                 the next request gets this
    upstream.will(error(503), answer("Hello"))     several in a row
    upstream.asked[-1].body["input"]               what convstore sent

With nothing told, every request is answered with a message that says which number it has, streamed if asked;
requests to /chat/completions in that API's words.
"""

import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from convstore.domain import events, sse


@dataclass(frozen=True)
class Asked:
    """One request that arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    def header(self, name: str) -> str | None:
        """The value of a header, however its name was written."""
        return next((value for given, value in self.headers.items() if given.lower() == name.lower()), None)


class Exchange:
    """The server's side of one request, for a behaviour to answer on."""

    def __init__(self, handler: BaseHTTPRequestHandler, asked: Asked) -> None:
        self._handler = handler
        self.asked = asked

    def whole(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """An answer with a Content-Length."""
        self._head(status, {"Content-Type": "application/json", **(headers or {}), "Content-Length": str(len(body))})
        self._handler.wfile.write(body)

    def start_chunks(self, headers: Mapping[str, str] | None = None) -> None:
        """The head of a streamed answer."""
        self._head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked", **(headers or {})})

    def chunk(self, data: bytes) -> None:
        """One piece of a streamed answer."""
        self._handler.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self._handler.wfile.flush()

    def end_chunks(self) -> None:
        self._handler.wfile.write(b"0\r\n\r\n")

    def cut(self) -> None:
        """Break the connection, in the middle of whatever was said."""
        self._handler.close_connection = True
        self._handler.connection.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Break the connection so that the other side is told of an error, not of an end."""
        self._handler.close_connection = True
        self._handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._handler.connection.close()

    def say(self, data: bytes) -> None:
        """Bytes that need not be HTTP."""
        self._handler.wfile.write(data)
        self._handler.wfile.flush()
        self._handler.close_connection = True

    def end_connection(self) -> None:
        """Close the connection after this answer, which does not say so."""
        self._handler.close_connection = True

    def is_left_alone(self, seconds: float) -> bool:
        """Whether the other side hangs up within that time."""
        self._handler.connection.settimeout(seconds)
        try:
            return self._handler.connection.recv(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self._handler.send_response(status)
        for name, value in headers.items():
            self._handler.send_header(name, value)
        self._handler.end_headers()


Behaviour = Callable[[Exchange], None]


@dataclass
class LocalUpstream:
    """A running provider. url ends in /v1."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    models: list[str] = field(default_factory=lambda: ["gpt-5.4", "gpt-5.4-mini"])
    # Connections that were accepted, and those of them that have ended.
    accepted: int = 0
    ended: int = 0
    # What requests get for which nothing is told.
    otherwise: Behaviour | None = None
    _script: deque[Behaviour] = field(default_factory=deque)
    _server: ThreadingHTTPServer | None = None

    def will(self, *behaviours: Behaviour) -> None:
        """What the next requests get, in order."""
        self._script.extend(behaviours)

    @property
    def untold(self) -> int:
        """How many of the behaviours it was told are still waiting for a request."""
        return len(self._script)

    def forget(self) -> None:
        """Begin anew: nothing asked, nothing told."""
        self.asked.clear()
        self._script.clear()
        self.otherwise = None

    @property
    def port(self) -> int:
        assert self._server is not None
        return self._server.server_port

    @property
    def questions(self) -> list[Asked]:
        """The requests to a model, without those for the list of models."""
        return [each for each in self.asked if each.method == "POST"]

    def __enter__(self) -> Self:
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                upstream._answer(self)

            def do_GET(self) -> None:
                upstream._answer(self)

            def setup(self) -> None:
                upstream.accepted += 1
                super().setup()

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_: Any) -> None:
                """A client that hangs up is part of the test."""

            def shutdown_request(self, request: Any) -> None:
                super().shutdown_request(request)
                upstream.ended += 1

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        raw = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        asked = Asked(handler.command, handler.path, dict(handler.headers.items()), raw)
        self.asked.append(asked)
        exchange = Exchange(handler, asked)
        if asked.method == "GET" and asked.path.endswith("/models"):
            data = [{"id": name, "object": "model", "created": 1, "owned_by": "local"} for name in self.models]
            exchange.whole(200, json.dumps({"object": "list", "data": data}).encode())
            return
        if self._script:
            self._script.popleft()(exchange)
            return
        if self.otherwise is not None:
            self.otherwise(exchange)
            return
        speak = chat_answer if asked.path.endswith("/chat/completions") else answer
        speak(f"Answer {len(self.questions)}.")(exchange)


# -- what a provider says -------------------------------------------------------------------------------------


def message(text: str, item_id: str = "msg_upstream_1") -> dict[str, Any]:
    """An assistant message, complete."""
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    return {"id": item_id, "type": "message", "status": "completed", "role": "assistant", "content": [part]}


def function_call(call_id: str = "call_1", name: str = "add", arguments: str = '{"x":3}') -> dict[str, Any]:
    """A function call, complete."""
    return {
        "id": f"fc_{call_id}",
        "type": "function_call",
        "status": "completed",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    }


def reasoning(text: str = "Hm.", encrypted: str | None = "gAAAA-sealed") -> dict[str, Any]:
    """A reasoning item with its sealed content."""
    item = {"id": "rs_upstream_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": text}]}
    return {**item, "encrypted_content": encrypted} if encrypted else item


USAGE = {
    "input_tokens": 13,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 18,
}


def response(*output: dict[str, Any], **members: Any) -> dict[str, Any]:
    """A Response object of a provider, with the fields the gateway of the first users sends, and more if given."""
    return {
        "id": "resp_upstream_1",
        "object": "response",
        "created_at": 1755000000,
        "status": "completed",
        "model": "gpt-5.4-2026-03-05",
        "output": list(output),
        "usage": USAGE,
        **members,
    }


def stream_of(body: Mapping[str, Any], deltas: int = 1) -> list[bytes]:
    """The blocks of a response's stream, as a provider sends them; text in that many deltas."""
    blocks: list[dict[str, Any]] = []
    for event in events.of_response(body):
        if event["type"].endswith("output_text.delta") and deltas > 1:
            text, size = event["delta"], max(1, len(event["delta"]) // deltas)
            blocks += [{**event, "delta": text[at : at + size]} for at in range(0, len(text), size)]
        else:
            blocks.append(event)
    return [sse.encode({**event, "sequence_number": number}) for number, event in enumerate(blocks)]


# -- behaviours -----------------------------------------------------------------------------------------------


def answer(*output: str | dict[str, Any], **members: Any) -> Behaviour:
    """The answer to a request as it was asked: in one piece, or streamed."""
    body = response(*[message(each) if isinstance(each, str) else each for each in output], **members)

    def behave(exchange: Exchange) -> None:
        if exchange.asked.body.get("stream"):
            stream(stream_of(body))(exchange)
        else:
            exchange.whole(200, json.dumps(body).encode())

    return behave


CHAT_USAGE = {
    "prompt_tokens": 13,
    "completion_tokens": 5,
    "total_tokens": 18,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


def chat_call(call_id: str = "call_1", name: str = "add", arguments: str = '{"x":3}') -> dict[str, Any]:
    """A function call, as Chat Completions writes it."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def chat_answer(content: str | None = None, *calls: dict[str, Any], **message: Any) -> Behaviour:
    """The answer of a Chat Completions server, as it was asked: in one piece, or in chunks."""
    said = {"role": "assistant", "content": content, **({"tool_calls": list(calls)} if calls else {}), **message}
    finish = "tool_calls" if calls else "stop"

    def behave(exchange: Exchange) -> None:
        if exchange.asked.body.get("stream"):
            blocks = [*_chat_chunks(said, finish), "[DONE]"]
            stream([b"data: " + block.encode() + b"\n\n" for block in blocks])(exchange)
            return
        choice = {"index": 0, "message": said, "finish_reason": finish}
        exchange.whole(200, _chat("chat.completion", [choice], usage=CHAT_USAGE).encode())

    return behave


def _chat_chunks(said: Mapping[str, Any], finish: str) -> Iterator[str]:
    """The JSON of each chunk: text in halves, each call with its arguments in halves."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for name in ("reasoning_content", "content", "refusal"):
        deltas += [{name: half} for half in _halves(said.get(name) or "")]
    for index, call in enumerate(said.get("tool_calls", [])):
        first, second = _halves(call["function"]["arguments"])
        head = {**call, "index": index, "function": {**call["function"], "arguments": first}}
        deltas += [{"tool_calls": [head]}, {"tool_calls": [{"index": index, "function": {"arguments": second}}]}]
    for delta in deltas:
        yield _chat("chat.completion.chunk", [{"index": 0, "delta": delta, "finish_reason": None}])
    yield _chat("chat.completion.chunk", [{"index": 0, "delta": {}, "finish_reason": finish}])
    yield _chat("chat.completion.chunk", [], usage=CHAT_USAGE)


def _chat(kind: str, choices: list[dict[str, Any]], **members: Any) -> str:
    head = {"id": "chatcmpl-upstream-1", "object": kind, "created": 1755000000, "model": "chat-1-2026-03-05"}
    return json.dumps({**head, "choices": choices, **members})


def _halves(text: str) -> list[str]:
    middle = len(text) // 2
    return [text[:middle], text[middle:]] if text else []


def whole(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Behaviour:
    """An answer in one piece: JSON of an object, or bytes as they are."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda exchange: exchange.whole(status, content, headers)


def error(status: int, message: str = "No.", headers: Mapping[str, str] | None = None, **members: Any) -> Behaviour:
    """An error in the API's envelope."""
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **members}}
    return whole(body, status, headers)


def stream(
    blocks: Sequence[bytes], *, cut_after: int | None = None, gates: Sequence[threading.Event] = ()
) -> Behaviour:
    """A streamed answer; broken off after so many blocks; block n waits for gate n."""

    def behave(exchange: Exchange) -> None:
        exchange.start_chunks()
        for number, block in enumerate(blocks):
            if cut_after is not None and number >= cut_after:
                exchange.cut()
                return
            if number < len(gates):
                assert gates[number].wait(30)
            exchange.chunk(block)
        exchange.end_chunks()

    return behave


def broken_off(behaviour: Behaviour, after: int, *, politely: bool = False) -> Behaviour:
    """The first chunks of a streamed answer; then the connection breaks, or politely ends."""

    def behave(exchange: Exchange) -> None:
        speak, left = exchange.chunk, iter(range(after))

        def chunk(data: bytes) -> None:
            if next(left, None) is None:
                (exchange.end_chunks if politely else exchange.cut)()
                raise ConnectionAbortedError("enough was said")
            speak(data)

        exchange.chunk = chunk  # type: ignore[method-assign]
        behaviour(exchange)

    return behave


def silence(until: threading.Event) -> Behaviour:
    """No answer until told; then the connection is closed."""

    def behave(exchange: Exchange) -> None:
        until.wait(60)
        exchange.cut()

    return behave


def hang_up(exchange: Exchange) -> None:
    """The connection is closed without an answer."""
    exchange.cut()


def wait_until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The first true value of *condition*, asked again and again. For what another process does in its own time."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def blocks_of(body: bytes) -> Iterator[dict[str, Any]]:
    """The events in the body of a stream."""
    splitter = sse.Splitter()
    for block in splitter.feed(body):
        yield json.loads(sse.data_of(block))
