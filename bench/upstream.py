"""A provider that costs next to nothing: one process, one loop, answers made beforehand.

`POST /v1/responses` is answered at once, streamed if the body asks for it. The model's name chooses the
answer: "slow" spreads the stream over `SLOW_S` seconds and writes the time of sending into each delta,
"steady" does so over `STEADY_S`, "chain" says 1 KB, any other name gives the ordinary turn. Every answer carries
ids of its own. `GET /v1/models` lists the names. It prints its port on standard output when it is ready. It leaves
out what our clients do not use: pipelining, chunked requests, `Expect`.
"""

import argparse
import asyncio
import gc
import secrets
import time
from itertools import count

from bench import answers

SLOW_S = 5.0
STEADY_S = 1.2  # fifty events a second: as fast as a model talks
BURST_GAP_S = 0.001  # between two bursts of a stream that is not slow: long enough to be two reads

MODEL = "gpt-5.4-mini"  # a name with a known price, so that pricing has its ordinary work to do
WORDS = [f"{answers.words(6)} " for _ in range(answers.DELTAS)]

TURN = answers.turn(MODEL, 400)
CHAIN = answers.turn("chain", 1000)
STREAM = answers.stream(MODEL, WORDS, "".join(WORDS))
SLOW = answers.stream("slow", [answers.CLOCK.decode()] * answers.DELTAS, answers.TEXT.decode())
STEADY = answers.stream("steady", [answers.CLOCK.decode()] * answers.DELTAS, answers.TEXT.decode())
MODELS = answers.document(
    {
        "object": "list",
        "data": [
            {"id": name, "object": "model", "created": 0, "owned_by": "bench"}
            for name in (MODEL, "chain", "slow", "steady")
        ],
    }
)
NOT_FOUND = answers.document({"error": {"message": "Not here.", "type": "invalid_request_error"}}, 404, b"Not Found")

# The keys we look for stand before or after `input`, never inside it: no need to search megabytes.
EDGE_BYTES = 2048

serial = count(secrets.randbits(190))


def fresh(answer: bytes) -> bytes:
    """*answer* with ids that no other answer has."""
    return answer.replace(answers.HOLE, b"%050x" % next(serial))


class Upstream(asyncio.Protocol):
    """One connection. Requests come one after another."""

    burst = answers.EVENTS  # events written together

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.missing: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Collect a request; answer it when its last byte is here."""
        self.parts.append(data)
        if self.missing is None:
            self.missing = missing_bytes(b"".join(self.parts))
        else:
            self.missing -= len(data)
        if self.missing is not None and self.missing <= 0:
            request, self.parts, self.missing = b"".join(self.parts), [], None
            self.answer(request)

    def answer(self, request: bytes) -> None:
        """Choose the answer and send it."""
        if not request.startswith(b"POST /v1/responses "):
            self.transport.write(MODELS if request.startswith(b"GET /v1/models ") else NOT_FOUND)
            return
        edges = request[:EDGE_BYTES] + request[-EDGE_BYTES:]
        if b'"slow"' in edges:
            Drip(self.transport, SLOW, 1, SLOW_S / (answers.EVENTS - 1)).step()
        elif b'"steady"' in edges:
            Drip(self.transport, STEADY, 1, STEADY_S / (answers.EVENTS - 1)).step()
        elif b'"stream":true' not in edges and b'"stream": true' not in edges:
            self.transport.write(fresh(CHAIN if b'"chain"' in edges else TURN))
        elif self.burst >= answers.EVENTS:
            self.transport.write(fresh(ALL_AT_ONCE))
        else:
            Drip(self.transport, STREAM, self.burst, BURST_GAP_S).step()


class Drip:
    """A stream that is sent *burst* events at a time, *gap_s* apart, on a schedule that does not drift."""

    def __init__(self, transport: asyncio.Transport, chunks: list[bytes], burst: int, gap_s: float) -> None:
        self.transport = transport
        core = b"%050x" % next(serial)
        chunks = [one.replace(answers.HOLE, core) for one in chunks]
        self.parts = [b"".join(chunks[at : at + burst]) for at in range(0, len(chunks), burst)]
        self.parts[0] = answers.STREAM_HEAD + self.parts[0]
        self.parts[-1] += answers.LAST_CHUNK
        self.loop = asyncio.get_running_loop()
        self.began, self.gap_s, self.sent = self.loop.time(), gap_s, 0
        self.stamps: list[bytes] = []

    def step(self) -> None:
        """Send what is due, then wait for the next time."""
        if self.transport.is_closing():
            return
        part = self.parts[self.sent]
        if answers.CLOCK in part:
            self.stamps.append(b"%017.6f" % time.monotonic())
            part = part.replace(answers.CLOCK, self.stamps[-1])
        elif answers.TEXT in part:
            part = part.replace(answers.TEXT, b"".join(self.stamps))
        self.transport.write(part)
        self.sent += 1
        if self.sent < len(self.parts):
            self.loop.call_at(self.began + self.sent * self.gap_s, self.step)


ALL_AT_ONCE = answers.STREAM_HEAD + b"".join(STREAM) + answers.LAST_CHUNK


def missing_bytes(received: bytes) -> int | None:
    """How many bytes of the request are still to come; None while its head is not whole."""
    head_ends = received.find(b"\r\n\r\n")
    if head_ends < 0:
        return None
    head = received[:head_ends].lower()
    at = head.find(b"\r\ncontent-length:")
    length = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
    return head_ends + 4 + length - len(received)


async def serve(port: int) -> None:
    """Listen on loopback until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=4096)
    gc.freeze()
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 lets the system choose")
    parser.add_argument("--burst", type=int, default=answers.EVENTS, help="events written together")
    options = parser.parse_args()
    Upstream.burst = options.burst
    asyncio.run(serve(options.port))


if __name__ == "__main__":
    main()
