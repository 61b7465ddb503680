"""ChatGPT's account export: conversations.json, a list of conversations, each a tree of messages.

    user, system                      questions; instructions for all conversations speak as a developer
    assistant, to everybody           the answer: thoughts as reasoning, everything else as a message
    assistant, to somebody            a call of the tool that it is addressed to
    tool                              the output of that call

Messages in which nothing is said are passed over. Nothing tells what an answer took, so nothing is said of it here.
Source: exports of 2023 to 2026, and public viewers of them; there is no specification.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from convstore.archives import chatgpt_parts, conversations, pieces
from convstore.archives.conversations import Conversation, broken
from convstore.archives.elements import elements
from convstore.archives.moments import first, moment
from convstore.archives.pieces import Call, Piece, Result
from convstore.archives.streams import Stream
from convstore.archives.task import Task
from convstore.archives.turns import Message
from convstore.domain import jsontext
from convstore.domain.archive import Record

UPSTREAM = "import:chatgpt"
MODEL = "chatgpt"
_ROLES = {"user": "user", "system": "system"}
_EVERYBODY = (None, "", "all")
# finish_details.type → the API's reason.
_CUT = {"max_tokens": conversations.CUT_SHORT, "interrupted": "interrupted"}


def records(file: Stream, task: Task) -> Iterator[Record]:
    """What the file holds. Raises Unreadable."""
    for number, given in elements(file, task.limits.longest, task.inside):
        place = f"{task.inside}conversation {number}"
        if not isinstance(given, Mapping) or not isinstance(given.get("mapping"), Mapping):
            yield broken(place, "no_mapping", "it is not a conversation: it has no mapping of messages")
            continue
        mapping: Mapping[str, Any] = given["mapping"]
        messages = {key: found for key, node in mapping.items() if (found := _message(key, node))}
        yield from conversations.records(place, _conversation(given, task), messages, _parents(mapping))


def _conversation(given: Mapping[str, Any], task: Task) -> Conversation:
    key = given.get("conversation_id") or given.get("id")
    model = given.get("default_model_slug")
    return Conversation(
        names=task.names,
        # One without an id is known by its messages.
        key=key if isinstance(key, str) else jsontext.digest(jsontext.dumps(list(given["mapping"]))).hex(),
        upstream=UPSTREAM,
        model=task.model(model, MODEL),
        now=task.now,
        title=given.get("title"),
        moment=first(given.get("create_time"), given.get("update_time")),
    )


def _parents(mapping: Mapping[str, Any]) -> dict[str, str | None]:
    """The parent of each node, as it says itself; else the one that names it. Siblings in the order of their parent."""
    claimed: dict[str, tuple[str, int]] = {}
    for key, node in mapping.items():
        children = node.get("children") if isinstance(node, Mapping) else None
        for place, child in enumerate(children if isinstance(children, list) else ()):
            if isinstance(child, str) and child != key:
                claimed.setdefault(child, (key, place))
    last = len(mapping)
    ranked = sorted(mapping, key=lambda key: claimed[key][1] if key in claimed else last)
    return {key: _parent(key, mapping, claimed) for key in ranked}


def _parent(key: str, mapping: Mapping[str, Any], claimed: Mapping[str, tuple[str, int]]) -> str | None:
    node = mapping[key]
    named = node.get("parent") if isinstance(node, Mapping) else None
    if isinstance(named, str) and named in mapping:
        return named
    return claimed[key][0] if key in claimed else None


def _message(key: str, node: Any) -> Message | None:
    """The message of a node; None when nothing is said in it."""
    given = node.get("message") if isinstance(node, Mapping) else None
    if not isinstance(given, Mapping):
        return None
    author, metadata = _object(given, "author"), _object(given, "metadata")
    role = author.get("role")
    is_context = _object(given, "content").get("content_type") in chatgpt_parts.CONTEXTS
    is_answer = role in ("assistant", "tool") and not is_context
    said = _answered(key, given, author, metadata) if is_answer else _asked(given, author, metadata)
    if not said:
        return None
    slug, cut = metadata.get("model_slug"), _object(metadata, "finish_details").get("type")
    return Message(
        id=key,
        is_answer=is_answer,
        pieces=said,
        moment=moment(given.get("create_time")),
        model=slug if isinstance(slug, str) else None,
        cut=_CUT.get(cut) if isinstance(cut, str) else None,
    )


def _asked(given: Mapping[str, Any], author: Mapping[str, Any], metadata: Mapping[str, Any]) -> list[Piece]:
    content, role = _object(given, "content"), author.get("role")
    parts = chatgpt_parts.parts_of(given.get("content"), output=False)
    parts += chatgpt_parts.attached(metadata, parts)
    # Where exports of 2023 keep the instructions for all conversations, beside an empty message.
    about = metadata.get("user_context_message_data")
    if not parts and isinstance(about, Mapping):
        parts = [pieces.told(text, output=False) for text in about.values() if isinstance(text, str) and text.strip()]
        role = None
    if content.get("content_type") in chatgpt_parts.CONTEXTS:
        role = None
    said = _ROLES.get(role, "developer") if isinstance(role, str) else "developer"
    return [pieces.message(said, parts)] if parts else []


def _answered(
    key: str, given: Mapping[str, Any], author: Mapping[str, Any], metadata: Mapping[str, Any]
) -> list[Piece]:
    content, recipient = given.get("content"), given.get("recipient")
    kind = _object(given, "content").get("content_type")
    if author.get("role") == "tool":
        return _result(key, content, author.get("name"))
    if isinstance(recipient, str) and recipient not in _EVERYBODY:
        asked = chatgpt_parts.text_of(content)
        arguments = pieces.arguments(asked, "code" if kind == "code" else "input") if asked else "{}"
        return [Call(pieces.call_id(key), recipient, arguments)]
    if kind in chatgpt_parts.THOUGHTS:
        thoughts = chatgpt_parts.thoughts_of(_object(given, "content"))
        return [pieces.thought(thoughts)] if thoughts else []
    parts = chatgpt_parts.annotated(chatgpt_parts.parts_of(content, output=True), metadata)
    return [pieces.message("assistant", parts)] if parts else []


def _result(key: str, content: Any, name: Any) -> list[Piece]:
    parts = chatgpt_parts.parts_of(content, output=False)
    if not parts:
        return []
    texts = [part["text"] for part in parts if part["type"] == "input_text"]
    output = "\n".join(texts) if len(texts) == len(parts) else parts
    return [Result(output, key, name=name if isinstance(name, str) else None)]


def _object(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = given.get(name)
    return found if isinstance(found, Mapping) else {}
