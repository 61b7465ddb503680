"""Threads of Chat Completions, one a line: what logs of requests hold, and files for training.

    {"messages": […], "tools": […], "parallel_tool_calls": …, "model": …, "metadata": {…}, "created": …}
    {"input": {"messages": […], "tools": […]}, "preferred_output": […], "non_preferred_output": […]}

An exchange is what one request brought that the one before had not, and the answer to it: outputs of tools stand in the
input, as whoever ran them sent them. System messages at the front are the instructions; metadata is the last
exchange's.

Exchanges are known by all that was said up to them. So lines that begin in the same way are one tree, told once more
with each line, whatever the moments they name: those go into created_at, and not into ids. Two answers to the first
question are two roots of one conversation.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from itertools import takewhile
from typing import Any

from convstore.archives import completions_messages, pieces
from convstore.archives.conversations import NO_ANSWER, broken, kept
from convstore.archives.detection import is_completion
from convstore.archives.lines import objects
from convstore.archives.moments import moment
from convstore.archives.pieces import Call
from convstore.archives.streams import Stream
from convstore.archives.task import Task
from convstore.domain import jsontext
from convstore.domain.archive import Archived, ArchivedConversation, Record
from convstore.errors import Unreadable

UPSTREAM = "import:completions"
MODEL = "unknown"
Messages = Sequence[Mapping[str, Any]]


def records(file: Stream, task: Task) -> Iterator[Record]:
    """What the file holds. Raises Unreadable."""
    for place, given in objects(file, task.limits.longest):
        if isinstance(given, Unreadable):
            yield broken(place, "not_json", given.reason)
            continue
        if not isinstance(given, Mapping) or not is_completion(given):
            yield broken(place, "no_messages", "it is not a thread: it has no messages")
            continue
        request = given["input"] if "messages" not in given else given
        messages = request["messages"]
        ways = [way for name in ("preferred_output", "non_preferred_output") if (way := given.get(name))] or [[]]
        wrong = _wrong([messages, *ways])
        if wrong:
            yield broken(place, "invalid_messages", wrong)
        else:
            yield from _thread(place, {**given, **request}, messages, ways, task)


def _wrong(lists: Sequence[Any]) -> str | None:
    for each in lists:
        if not isinstance(each, list):
            return "its messages are not a list"
        wrong = next((number for number, one in enumerate(each, 1) if not completions_messages.is_message(one)), None)
        if wrong:
            return f"message {wrong} is not an object with a role"
    return None


def _thread(
    place: str, given: Mapping[str, Any], messages: Messages, ways: Sequence[Messages], task: Task
) -> Iterator[Record]:
    orders = list(takewhile(lambda each: each["role"] in completions_messages.ORDERS, messages))
    rest = messages[len(orders) :]
    first = _cut(rest if ways == [[]] else [*rest, *ways[0]])
    if not first:
        yield broken(place, "empty", "nothing is said in this thread")
        return
    path = _begun(given, orders, first[0][0], task)
    yield Record(place, ArchivedConversation(path.conversation_id, path.created_at))
    # The history of the second way is told with the first.
    told: set[str] = set()
    for way in ways:
        turns = _cut([*rest, *way])
        on = path
        for number, (asked, answers) in enumerate(turns, 1):
            exchange, on = _exchange(on, asked, answers)
            if exchange.id not in told:
                told.add(exchange.id)
                yield Record(place, replace(exchange, metadata=_metadata(given)) if number == len(turns) else exchange)


def _cut(messages: Messages) -> list[tuple[Messages, Messages]]:
    """Runs of questions, each with the run of answers behind it."""
    found: list[tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]] = []
    was_answer = True
    for each in messages:
        is_answer = completions_messages.is_answer(each)
        if not found or (was_answer and not is_answer):
            found.append(([], []))
        found[-1][is_answer].append(each)
        was_answer = is_answer
    return list(found)


@dataclass(frozen=True, slots=True)
class _Path:
    """A thread up to an exchange. said: the digest of all of it. waiting: calls that have no output yet."""

    task: Task
    conversation_id: str
    created_at: datetime
    settings: Mapping[str, Any]
    said: bytes
    parent_id: str | None = None
    waiting: Sequence[Call] = ()


def _begun(given: Mapping[str, Any], orders: Messages, question: Messages, task: Task) -> _Path:
    settings: dict[str, Any] = {"model": task.model(given.get("model"), MODEL)}
    instructions = "\n\n".join(filter(None, map(completions_messages.text_of, orders)))
    if instructions:
        settings["instructions"] = instructions
    if tools := completions_messages.tools_of(given):
        settings["tools"] = tools
    if isinstance(given.get("parallel_tool_calls"), bool):
        settings["parallel_tool_calls"] = given["parallel_tool_calls"]
    said = _digest(b"", [jsontext.dumps_sorted(settings)])
    items, _ = pieces.paired(_pieces(question, said), ())
    key = _digest(said, [item.body for item in items]).hex()
    created_at = moment(given.get("created")) or moment(given.get("created_at")) or task.now
    return _Path(task, task.names.conversation(None, key), created_at, settings, said)


def _exchange(path: _Path, asked: Messages, answers: Messages) -> tuple[Archived, _Path]:
    """The next exchange, and the path behind it."""
    taken, waiting = pieces.paired(_pieces(asked, path.said), path.waiting)
    before = [call for call in waiting if call in path.waiting]
    # What was called for comes with the next request, or not at all. The last answer's calls may still be answered.
    taken = [*pieces.unanswered(before), *taken]
    given, waiting = pieces.paired(_pieces(answers, path.said + b"!"), ())
    said = _digest(path.said, [item.body for item in taken], [item.body for item in given])
    exchange = Archived(
        id=path.task.names.exchange(None, said.hex()),
        conversation_id=path.conversation_id,
        created_at=path.created_at,
        requested_model=path.settings["model"],
        parent_id=path.parent_id,
        status="completed" if given else "incomplete",
        settings=jsontext.dumps(path.settings),
        repeats_settings=path.parent_id is not None,
        model=path.settings["model"] if given else None,
        upstream=UPSTREAM,
        error=None if given else NO_ANSWER,
        completed_at=path.created_at,
        input=kept(taken, UPSTREAM),
        output=kept(given, UPSTREAM),
    )
    return exchange, replace(path, said=said, parent_id=exchange.id, waiting=waiting)


def _pieces(messages: Messages, said: bytes) -> list[pieces.Piece]:
    """The pieces of messages; what names each is what was said before it, and its place."""
    return [
        piece
        for place, each in enumerate(messages)
        for piece in completions_messages.pieces_of(each, f"{said.hex()}/{place}")
    ]


def _digest(before: bytes, *runs: Sequence[bytes]) -> bytes:
    """16 bytes for what was said before and these runs of it."""
    found = blake2b(before, digest_size=16)
    for run in runs:
        for body in run:
            found.update(len(body).to_bytes(8, "big") + body)
        found.update(b"\xff" * 8)
    return found.digest()


def _metadata(given: Mapping[str, Any]) -> bytes | None:
    """The line's metadata as the API has it: texts, each under a name."""
    metadata = given.get("metadata")
    if not isinstance(metadata, Mapping) or not metadata:
        return None
    return jsontext.dumps(
        {name: value if isinstance(value, str) else jsontext.dumps(value).decode() for name, value in metadata.items()}
    )
