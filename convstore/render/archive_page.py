"""Conversations as one page that needs nothing else: no server, no network, no other file.

Each exchange is a block of inert JSON; a script of the page's own reads them and shows what was said as text, never as
markup. The page's policy lets that script and that style sheet in by their digests, images only out of the page itself,
and nothing else: were anything said ever taken for markup, it could neither run nor ask anybody for anything.

The page is written block by block. A block is an array on two lines: the head is what a tree shows, the body what was
said.
"""

from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from importlib.resources import files
from typing import Any

from convstore.domain import costs, jsontext, usage
from convstore.domain.archive import Archived, ArchivedBranch, ArchivedConversation
from convstore.domain.exchange import ADDED
from convstore.render import blocks
from convstore.render.characters import on_a_line

_TEMPLATES = files("convstore.render") / "templates"
_SCRIPTS = ("archive_store.js", "archive_list.js", "archive_search.js", "archive_thread.js", "archive.js")
# What would end a block, begin markup, or be no character of a script's text in older browsers.
_INERT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def _read(name: str) -> str:
    return (_TEMPLATES / name).read_text("utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


STYLE = _read("archive.css")
SCRIPT = "\n".join(map(_read, _SCRIPTS))
POLICY = (
    f"default-src 'none'; script-src {_digest(SCRIPT)}; style-src {_digest(STYLE)}; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)
_HEAD, _TAIL = _read("archive.html").split("%DATA%")


class Page:
    """A page that is written block by block."""

    in_lanes = False

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}

    def begin(self) -> bytes:
        return _HEAD.replace("%POLICY%", POLICY).replace("%STYLE%", STYLE).encode()

    def conversation(self, found: ArchivedConversation, title: str | None, branches: Sequence[ArchivedBranch]) -> bytes:
        self._names = {}
        for branch in branches:
            self._names.setdefault(branch.tip_id, []).append(on_a_line(branch.name))
        is_deleted = found.deleted_at is not None
        told = {
            "id": found.id,
            "title": "Deleted conversation" if is_deleted else on_a_line(title or ""),
            "at": _moment(found.created_at),
            "deleted": is_deleted,
            "branches": [[on_a_line(branch.name), branch.tip_id] for branch in branches],
            "metadata": None if is_deleted else _written(found.metadata),
        }
        return _block("c", _inert(told))

    def exchange(self, found: Archived) -> bytes:
        return _block("x", f"[{_inert(_head(found, self._names.get(found.id, ())))},\n{_inert(_body(found))}]")

    def conversation_end(self) -> bytes:
        return b""

    def end(self) -> bytes:
        return _TAIL.replace("%SCRIPT%", SCRIPT).encode()


def _head(found: Archived, names: Sequence[str]) -> dict[str, Any]:
    """What lists and sums go by."""
    cost = costs.of_one(found.entry.cost if found.entry else None)
    ends = None if found.origin == ADDED else found.completed_at
    return {
        "id": found.id,
        "parent_id": found.parent_id,
        "lane": found.lane,
        "depth": found.depth,
        "status": found.status,
        "origin": found.origin,
        "origin_id": found.origin_id,
        "at": _moment(found.created_at),
        "ms": round((ends - found.created_at).total_seconds() * 1000) if ends else None,
        "model": on_a_line(found.model or found.requested_model),
        "tokens": list(usage.columns(found.usage)) if found.usage else None,
        "cost": cost["cost"],
        "currency": cost["currency"],
        "basis": cost["cost_basis"],
        "incomplete": found.incomplete_reason,
        "error": str(found.error.get("code") or "error") if found.error else None,
        "deleted": found.deleted_at is not None,
        "erased": found.erased_at is not None,
        "question": blocks.question(found),
        "answer": blocks.answer(found),
        "names": list(names),
    }


def _body(found: Archived) -> dict[str, Any]:
    """What was said."""
    is_gone = blocks.is_gone(found)
    message = found.error.get("message") if found.error and not is_gone else None
    return {
        "blocks": [[block.kind, block.title, [*map(list, block.pieces)]] for block in blocks.of(found)],
        "instructions": None if found.repeats_settings else blocks.instructions(found),
        "metadata": None if is_gone else _written(found.metadata),
        "error": blocks.text(message) if isinstance(message, str) else None,
    }


def _written(metadata: bytes | None) -> str | None:
    return None if metadata in (None, b"{}") else blocks.text(metadata.decode("utf-8", "replace"))


def _block(kind: str, written: str) -> bytes:
    return f'<script type="application/json" class="{kind}">{written}</script>\n'.encode()


def _inert(value: Any) -> str:
    """JSON text without a character that HTML would see anything in."""
    written = jsontext.dumps(value).decode()
    for character, escape in _INERT.items():
        if character in written:
            written = written.replace(character, escape)
    return written


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
