"""Files in the shapes that others ship, made small: messages of each kind, and conversations of them."""

import gzip
import json
import zipfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from convstore.archives import formats
from convstore.archives.limits import Limits
from convstore.archives.task import Task
from convstore.domain.archive import Archived, ArchivedConversation, Broken, Names, Record
from convstore.storage import llm_database

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
ASKED_AT = 1_700_000_000.25
Json = dict[str, Any]


def task(source: str, project_id: str = "acme", **limits: int) -> Task:
    return Task(Names(project_id, source), NOW, Limits(**limits))


# -- ChatGPT --------------------------------------------------------------------------------------------------


def node(
    id: str,
    parent: str | None,
    role: str | None = None,
    text: str = "",
    *,
    children: Sequence[str] = (),
    name: str | None = None,
    **more: Any,
) -> Json:
    """A node of a mapping. more: members of the message, over those that every message has."""
    message = {
        "id": id,
        "author": {"role": role, "name": name, "metadata": {}},
        "create_time": ASKED_AT,
        "update_time": None,
        "content": {"content_type": "text", "parts": [text]},
        "status": "finished_successfully",
        "end_turn": None,
        "weight": 1.0,
        "metadata": {},
        "recipient": "all",
        **more,
    }
    return {"id": id, "message": message if role else None, "parent": parent, "children": list(children)}


def chat(*nodes: Json, **more: Any) -> Json:
    """A conversation of these nodes; each lists its children as the nodes say, where it lists none itself."""
    mapping = {each["id"]: each for each in nodes}
    for each in nodes:
        above = mapping.get(each["parent"])
        if above is not None and each["id"] not in above["children"]:
            above["children"].append(each["id"])
    return {
        "title": "A talk",
        "create_time": ASKED_AT - 1,
        "update_time": ASKED_AT + 60,
        "mapping": mapping,
        "current_node": nodes[-1]["id"] if nodes else None,
        "conversation_id": "conv-1",
        "id": "conv-1",
        "default_model_slug": "gpt-4o",
        **more,
    }


# -- Claude ---------------------------------------------------------------------------------------------------


def said(uuid: str, sender: str, text: str = "", *, parent: str | None = None, **more: Any) -> Json:
    """A message of Claude's export; in the older shape when it names no parent."""
    return {
        "uuid": uuid,
        "text": text,
        "content": [{"type": "text", "text": text, "citations": []}] if text else [],
        "sender": sender,
        "created_at": "2026-01-02T03:04:05.678901Z",
        "updated_at": "2026-01-02T03:04:05.678901Z",
        "attachments": [],
        "files": [],
        **({"parent_message_uuid": parent} if parent else {}),
        **more,
    }


def talk(*messages: Json, **more: Any) -> Json:
    return {
        "uuid": "talk-1",
        "name": "Ein Gespräch",
        "summary": "",
        "created_at": "2026-01-02T03:04:00Z",
        "updated_at": "2026-01-02T03:05:00Z",
        "account": {"uuid": "account-1"},
        "chat_messages": list(messages),
        **more,
    }


# -- files ----------------------------------------------------------------------------------------------------


def zipped(path: Path, **members: bytes) -> Path:
    """A zip of members by name; `__` stands for a slash and `_json` for the ending."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name.replace("__", "/").replace("_json", ".json"), body)
    return path


def gzipped(path: Path, body: bytes) -> Path:
    path.write_bytes(gzip.compress(body))
    return path


def as_lines(values: Iterable[Any]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in values)


# -- what comes out -------------------------------------------------------------------------------------------


def read(path: Path, format: str | None = None, limits: Limits = formats.DEFAULT_LIMITS) -> list[Record]:
    """All records of a file."""
    with formats.reading(
        path, format, project_id="acme", now=NOW, open_rows=llm_database.opened, limits=limits
    ) as reading:
        return list(reading.records)


def exchanges(records: Iterable[Record]) -> list[Archived]:
    return [each.value for each in records if isinstance(each.value, Archived)]


def conversations(records: Iterable[Record]) -> list[ArchivedConversation]:
    return [each.value for each in records if isinstance(each.value, ArchivedConversation)]


def broken(records: Iterable[Record]) -> list[Broken]:
    return [each.value for each in records if isinstance(each.value, Broken)]


def bodies(kept: Iterable[Any]) -> list[Json]:
    """The items of a side, as objects."""
    return [json.loads(each.item.body) for each in kept]


def texts(kept: Iterable[Any]) -> list[str]:
    """What the messages of a side say."""
    return [part["text"] for body in bodies(kept) for part in body.get("content", ()) if "text" in part]


def assert_paired(thread: Iterable[Archived]) -> None:
    """Every call on the thread has one output behind it, and every output a call before it."""
    waiting: list[str] = []
    for exchange in thread:
        for body in bodies((*exchange.input, *exchange.output)):
            if body["type"] == "function_call":
                assert body["call_id"] not in waiting
                waiting.append(body["call_id"])
            elif body["type"] == "function_call_output":
                assert body["call_id"] in waiting, "an output without a call"
                waiting.remove(body["call_id"])
    assert not waiting, "a call without an output"
