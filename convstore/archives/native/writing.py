"""The native format, written. The same exchanges give the same bytes, whatever store they come from."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from convstore.archives.native import BRANCH, CONVERSATION, EXCHANGE, HEAD, VERSION
from convstore.domain import jsontext, money, usage
from convstore.domain.archive import Archived, ArchivedBranch, ArchivedConversation, Kept
from convstore.domain.exchange import NOTHING
from convstore.domain.items import REMOVAL
from convstore.domain.ledger import Entry
from convstore.domain.pricing.cost import Cost
from convstore.domain.usage import Usage

_PLAIN = tuple(
    "origin_id requested_model user safety_identifier api_key_id request_id linked background last_event context_cut "
    "model upstream upstream_response_id incomplete_reason".split()
)
_TIMES = ("first_event_at", "completed_at", "deleted_at", "erased_at")


class Native:
    """See Document (domain/archive.py)."""

    in_lanes = False

    def __init__(self) -> None:
        self._branches: Sequence[ArchivedBranch] = ()

    def begin(self) -> bytes:
        return _line({"object": HEAD, "version": VERSION})

    def conversation(self, found: ArchivedConversation, title: str | None, branches: Sequence[ArchivedBranch]) -> bytes:
        self._branches = branches
        head = {"object": CONVERSATION, "id": found.id, "created_at": time(found.created_at), "title": found.title}
        tail = {"tip_id": found.tip_id, "deleted_at": time(found.deleted_at)}
        return _line(head, _json("metadata", found.metadata), tail)

    def exchange(self, found: Archived) -> bytes:
        head = {
            "object": EXCHANGE,
            "id": found.id,
            "conversation_id": found.conversation_id,
            "parent_id": found.parent_id,
            "created_at": time(found.created_at),
            "status": found.status,
            "origin": found.origin,
            **{name: getattr(found, name) for name in _PLAIN},
            **{name: time(getattr(found, name)) for name in _TIMES},
        }
        said = (
            b"" if found.repeats_settings else _json("settings", found.settings),
            _json("metadata", found.metadata),
            _json("extras", found.extras),
            _side("input", found.input),
            _side("output", found.output),
            _json("reply", found.reply if found.reply != NOTHING else None),
            _sent(found),
        )
        tail = {
            "error": found.error,
            "attempts": list(found.attempts) or None,
            "usage": _usage(found.usage),
            "reported_usage": found.reported_usage,
            "ledger": _entry(found.entry) if found.entry else None,
        }
        return _line(head, b",".join(part for part in said if part), tail)

    def conversation_end(self) -> bytes:
        return b"".join(
            _line(
                {
                    "object": BRANCH,
                    "name": each.name,
                    "conversation_id": each.conversation_id,
                    "tip_id": each.tip_id,
                    "created_at": time(each.created_at),
                    "moved_at": time(each.moved_at),
                }
            )
            for each in self._branches
        )

    def end(self) -> bytes:
        return b""


def time(moment: datetime | None) -> str | None:
    """To the microsecond, as the store has it."""
    return None if moment is None else moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _line(head: Mapping[str, Any], said: bytes = b"", tail: Mapping[str, Any] | None = None) -> bytes:
    """A line of members, of which those in the middle are written already."""
    ends = [
        jsontext.dumps({name: value for name, value in each.items() if value is not None})
        for each in (head, tail or {})
    ]
    return b"{" + b",".join(part for part in (ends[0][1:-1], said, ends[1][1:-1]) if part) + b"}\n"


def _json(name: str, text: bytes | None) -> bytes:
    """A member that is JSON already; nothing where there is none."""
    if text is None:
        return b""
    if b"\n" in text or b"\r" in text:
        return b'"%b_text":%b' % (name.encode(), jsontext.dumps(text.decode()))
    return b'"%b":%b' % (name.encode(), text)


def _side(name: str, items: Iterable[Kept]) -> bytes:
    written = b",".join(map(_item, items))
    return b'"%b":[%b]' % (name.encode(), written) if written else b""


def _item(kept: Kept) -> bytes:
    item = kept.item
    # What was removed stands in no body.
    place = item.call_id if item.type == REMOVAL else None
    told = {"id": item.item_id, "call_id": place, "sealed_by": kept.sealed_by}
    head = jsontext.dumps({name: value for name, value in told.items() if value is not None})[1:-1]
    return b"{" + (head + b"," if head else b"") + _json("body", item.body) + b"}"


def _sent(found: Archived) -> bytes:
    told = [
        b'"context_sha256":"%b"' % found.context_sha256.hex().encode() if found.context_sha256 is not None else b"",
    ]
    if found.sent is not None:
        head = b'"count":%d,"digest":"%b"' % (found.sent.count, found.sent.digest.hex().encode())
        forms = _json("forms", found.sent.forms)
        told.append(b'"sent":{%b}' % b",".join(part for part in (head, forms) if part))
    return b",".join(part for part in told if part)


def _usage(counted: Usage | None) -> dict[str, int | None] | None:
    return None if counted is None else dict(zip(usage.COLUMNS, usage.columns(counted), strict=True))


def _entry(entry: Entry) -> dict[str, Any]:
    told = {
        "model": entry.model,
        "upstream": entry.upstream,
        "user": entry.user,
        "service_tier": entry.service_tier,
        "usage": _usage(entry.usage),
        "calls": dict(entry.calls) or None,
    }
    return {**{name: value for name, value in told.items() if value is not None}, "cost": _cost(entry.cost)}


def _cost(cost: Cost) -> dict[str, Any]:
    told = {
        "basis": str(cost.basis),
        "reason": str(cost.reason) if cost.reason else None,
        "amount": money.plain(cost.amount) if cost.amount is not None else None,
        "currency": cost.currency,
        "detail": cost.detail(),
    }
    return {name: value for name, value in told.items() if value is not None}
