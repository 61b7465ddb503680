"""What the upstream of the benchmark says, as bytes made once.

Shaped like OpenAI's own answers: a full Response object, and a stream of `EVENTS` events that ends with it.
The bytes carry marks of fixed length (`HOLE`, `CLOCK`, `TEXT`), so that ids, send times and texts are filled
in by one `bytes.replace` without touching a length. HTTP heads are included; transport is others' work.
Source: Responses API, the Response object and streaming events.
"""

import json
import random
import time

EVENTS = 60
DELTAS = EVENTS - 8  # four events open a stream, four close it

HOLE = b"@" * 50  # the hexadecimal part of every id: the same for a response and its message
CLOCK = b"~" * 17  # a delta's send time, `time.monotonic()` as "0000000123.456789"
TEXT = b"^" * (DELTAS * len(CLOCK))  # the whole text of a stream of send times

JSON_HEAD = b"HTTP/1.1 %d %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
)
LAST_CHUNK = b"0\r\n\r\n"

dice_of_answers = random.Random(60)
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def words(size: int, dice: random.Random = dice_of_answers) -> str:
    """About *size* characters of random lower-case words: nothing compresses or repeats by luck."""
    text = ""
    while len(text) < size:
        text += "".join(dice.choices(ALPHABET, k=dice.randint(3, 9))) + " "
    return text[:size].strip()


def dump(value: object) -> bytes:
    """Compact JSON, as providers send it."""
    return json.dumps(value, separators=(",", ":")).encode()


def message(text: str) -> dict[str, object]:
    """The one output item: an assistant's message."""
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    item_id = f"msg_{HOLE.decode()}"
    return {"id": item_id, "type": "message", "status": "completed", "role": "assistant", "content": [part]}


def response(model: str, status: str, output: list[dict[str, object]]) -> dict[str, object]:
    """A Response object with all the fields that were recorded on the wire."""
    is_done = status == "completed"
    now = int(time.time())
    later = now if is_done else None
    usage = {
        "input_tokens": 48,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 104,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 152,
    }
    return {
        "id": f"resp_{HOLE.decode()}", "object": "response", "created_at": now, "status": status,
        "background": False, "completed_at": later, "error": None, "frequency_penalty": 0.0,
        "incomplete_details": None, "instructions": None, "max_output_tokens": None, "max_tool_calls": None,
        "model": model, "output": output, "parallel_tool_calls": True, "presence_penalty": 0.0,
        "previous_response_id": None, "prompt_cache_key": None, "prompt_cache_retention": "in_memory",
        "reasoning": {"context": None, "effort": None, "summary": None}, "safety_identifier": None,
        "service_tier": "default" if is_done else "auto", "store": True, "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"}, "tool_choice": "auto", "tools": [],
        "top_logprobs": 0, "top_p": 1.0, "truncation": "disabled", "usage": usage if is_done else None,
        "user": None, "metadata": {},
    }  # fmt: skip


def document(value: object, status: int = 200, reason: bytes = b"OK") -> bytes:
    """A whole HTTP answer with *value* as its JSON body."""
    body = dump(value)
    return JSON_HEAD % (status, reason, len(body)) + body


def turn(model: str, size: int) -> bytes:
    """A whole HTTP answer to a request that is not streamed; *size* is the length of its text."""
    return document(response(model, "completed", [message(words(size))]))


def chunk(data: bytes) -> bytes:
    """*data* as one piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def stream(model: str, deltas: list[str], text: str) -> list[bytes]:
    """The chunks of a stream, one event each: created … completed. *deltas* should add up to *text*."""
    where = {"item_id": f"msg_{HOLE.decode()}", "output_index": 0, "content_index": 0}
    item = message(text)
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    opened = response(model, "in_progress", [])
    empty_item = item | {"status": "in_progress", "content": []}
    events: list[dict[str, object]] = [
        {"type": "response.created", "response": opened},
        {"type": "response.in_progress", "response": opened},
        {"type": "response.output_item.added", "output_index": 0, "item": empty_item},
        {"type": "response.content_part.added", **where, "part": part | {"text": ""}},
        *({"type": "response.output_text.delta", **where, "delta": delta, "logprobs": []} for delta in deltas),
        {"type": "response.output_text.done", **where, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **where, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": response(model, "completed", [item])},
    ]
    return [chunk(event(number, fields)) for number, fields in enumerate(events)]


def event(number: int, fields: dict[str, object]) -> bytes:
    """One server-sent event; its data begins with the type and the sequence number."""
    kind = fields["type"]
    data = dump({"type": kind, "sequence_number": number} | fields)
    return b"event: %b\ndata: %b\n\n" % (str(kind).encode(), data)
