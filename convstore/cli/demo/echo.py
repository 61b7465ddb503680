"""An upstream without a model: it speaks Chat Completions and says the question back.

    python -m convstore.cli.demo.echo PORT

Every answer begins with "[echo, no model]" and the model is called `echo`, so that nobody takes it for
more. The same messages give the same answer, whatever the temperature, and the answer counts the user's
messages: it shows that the whole context came. A token is a word here. Standard library only.
"""

import hashlib
import json
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL_NAME = "echo"
LABEL = "[echo, no model]"

Json = dict[str, Any]


class BadRequest(Exception):
    """The request cannot be answered; the message says why."""


def text_of(message: Json) -> str:
    """A message's text, of either form of `content`."""
    content = message.get("content") or ""
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


def answer(request: Json) -> tuple[list[str], str]:
    """The words of the answer, and its finish_reason."""
    asked = [text_of(message) for message in request["messages"] if message.get("role") == "user"]
    words = [*LABEL.split(), *f"Your message {len(asked)} was: {asked[-1] if asked else ''}".split()]
    limit = request.get("max_completion_tokens") or request.get("max_tokens") or len(words)
    # The label stays, however short the answer has to be.
    kept = words[: max(limit, len(LABEL.split()))]
    return kept, "stop" if kept == words else "length"


def usage(request: Json, words: list[str]) -> Json:
    """Words counted as tokens."""
    prompt = sum(len(text_of(message).split()) for message in request["messages"])
    return {"prompt_tokens": prompt, "completion_tokens": len(words), "total_tokens": prompt + len(words)}


def head(request: Json, kind: str) -> Json:
    """What a completion and each of its chunks begin with. Equal messages have equal ids."""
    digest = hashlib.sha256(json.dumps(request["messages"], sort_keys=True).encode()).hexdigest()
    return {"id": f"chatcmpl-{digest[:24]}", "object": kind, "created": int(time.time()), "model": MODEL_NAME}


def completion(request: Json) -> Json:
    """The whole answer as one object."""
    words, finish_reason = answer(request)
    message = {"role": "assistant", "content": " ".join(words)}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": None}
    return {**head(request, "chat.completion"), "choices": [choice], "usage": usage(request, words)}


def chunks(request: Json) -> Iterator[Json]:
    """The answer word by word, then why it ended, then (if asked for) what it took."""
    words, finish_reason = answer(request)
    start = head(request, "chat.completion.chunk")
    for position, word in enumerate(words):
        delta = {"content": f" {word}"} if position else {"role": "assistant", "content": word}
        yield {**start, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**start, "choices": [{"index": 0, "delta": {}, "finish_reason": finish_reason}]}
    if (request.get("stream_options") or {}).get("include_usage"):
        yield {**start, "choices": [], "usage": usage(request, words)}


class Handler(BaseHTTPRequestHandler):
    """The two doors: the list of models, and a completion, streamed or not."""

    protocol_version = "HTTP/1.1"
    # An event is a small write; without this each one waits for the client's acknowledgement.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """List the one model there is not."""
        model = {"id": MODEL_NAME, "object": "model", "created": 0, "owned_by": "convstore"}
        if self.path == "/v1/models":
            self.send(200, {"object": "list", "data": [model]})
        else:
            self.refuse(404, f"There is no {self.path} here.")

    def do_POST(self) -> None:
        """Answer a conversation."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != "/v1/chat/completions":
            self.refuse(404, f"There is no {self.path} here.")
            return
        try:
            request = parse(body)
        except BadRequest as error:
            self.refuse(400, str(error))
            return
        if request.get("stream"):
            self.stream(request)
        else:
            self.send(200, completion(request))

    def send(self, status: int, body: Json) -> None:
        """One JSON object."""
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, status: int, message: str) -> None:
        """An error in the API's envelope."""
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
        self.send(status, {"error": error})

    def stream(self, request: Json) -> None:
        """Server-sent events, in HTTP chunks so that the connection stays usable."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for data in (*map(json.dumps, chunks(request)), "[DONE]"):
            event = f"data: {data}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
        self.wfile.write(b"0\r\n\r\n")


def parse(body: bytes) -> Json:
    """The request of a completion. Raises BadRequest."""
    try:
        request = json.loads(body)
    except ValueError as error:
        raise BadRequest("The body is not JSON.") from error
    messages = request.get("messages") if isinstance(request, dict) else None
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise BadRequest("`messages` must be a list of objects.")
    return dict(request)


class Server(ThreadingHTTPServer):
    """One thread per connection; a client that leaves is no event worth a traceback."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report everything but a connection cut from the other side."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def server(port: int) -> Server:
    """A server on the loopback address, not started; port 0 means any free one."""
    return Server(("127.0.0.1", port), Handler)


if __name__ == "__main__":
    server(int(sys.argv[1])).serve_forever()
