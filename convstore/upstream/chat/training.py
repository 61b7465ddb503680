"""A thread as one line of OpenAI's fine-tuning format: {"messages", "tools", "parallel_tool_calls"} as JSON.

The line holds what the model was shown on the way to its last complete answer: items that were taken out later are not
in it, those of deleted exchanges are. It ends with that answer. The tools are those of the last request, and of earlier
ones what was called. Left out, because fine-tuning takes text, images of users and function calls only: reasoning,
hosted tools and their calls, files, audio, item types that nobody here knows, a call without its output and an output
without its call. So there is a line for whatever is stored, or none; nothing is ever refused.
Source: OpenAI's API description, FineTuneChatRequestInput.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from convstore.domain import jsontext
from convstore.domain.archive import Archived
from convstore.domain.context import ContextItem, remaining
from convstore.upstream.chat.flavour import PLAIN
from convstore.upstream.chat.messages import messages_of
from convstore.upstream.chat.offers import offered
from convstore.upstream.chat.parts import Json
from convstore.upstream.chat.teachable import teachable
from convstore.upstream.chat.tools import names_of

# Half a surrogate pair is no character, and JSON parsers refuse it. Pairs, and what only looks like an escape, stay.
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)


def line(exchanges: Iterable[Archived]) -> bytes | None:
    """The line of a thread, root to tip, with the newline at its end; None when there is no answer to learn from."""
    thread = list(exchanges)
    items = _items(thread)
    answered = {item.depth for item, value in items if item.output and _says_something(value)}
    while thread and not (_ended_well(thread[-1]) and thread[-1].depth in answered):
        thread.pop()
    if not thread:
        return None
    last = thread[-1].depth
    return _line(thread, [value for item, value in items if item.depth <= last])


def _line(thread: Sequence[Archived], items: Sequence[Json]) -> bytes | None:
    settings = _object(thread[-1].settings)
    earlier = (_object(each.settings) for each in reversed(thread[:-1]) if not each.repeats_settings)
    tools = offered(settings, earlier, {name for item in items if isinstance(name := item.get("name"), str)})
    names = names_of({"tools": tools.known})
    instructions = settings.get("instructions")
    messages = messages_of(
        instructions if isinstance(instructions, str) else None,
        list(teachable(items)),
        PLAIN,
        names,
        tools=bool(tools.known),
        thinks=False,
    )
    while messages and not _is_answer(messages[-1]):
        messages.pop()
    if not messages:
        return None
    told = tools.told(names, _called(messages))
    return jsontext.dumps({"messages": messages, **told}) + b"\n"


def _items(thread: Sequence[Archived]) -> list[tuple[ContextItem, Json]]:
    """What is left of the thread's items, each with what it says."""
    placed = [
        ContextItem(each.depth, output, kept.item.type, None, kept.item.call_id, None, kept.item.body)
        for each in thread
        for output, side in ((False, each.input), (True, each.output))
        for kept in side
    ]
    return [(item, _object(item.body)) for item in remaining(placed)]


def _ended_well(exchange: Archived) -> bool:
    return exchange.status == "completed" and not exchange.error and exchange.erased_at is None


def _says_something(item: Json) -> bool:
    return item.get("role") == "assistant" and any(teachable([item]))


def _is_answer(message: Json) -> bool:
    return message["role"] == "assistant" and not message.get("tool_calls")


def _called(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for message in messages:
        for call in message.get("tool_calls") or ():
            yield call["function"]["name"]


def _object(body: bytes) -> Json:
    """A JSON object as it came, all of it characters; nothing where it is none."""
    text = body.decode("utf-8", "replace")
    if "\\u" in text:
        text = _ESCAPE.sub(lambda found: "\\ufffd" if found[1] else found[0], text)
    try:
        found = jsontext.loads(text)
    except jsontext.NotJson:
        return {}
    return found if isinstance(found, dict) else {}
