"""The native format, read: each line becomes a record, or says what is wrong with it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from convstore import ids
from convstore.archives.native import BRANCH, CONVERSATION, EXCHANGE, HEAD, VERSION
from convstore.archives.native.fields import Line, Misfit
from convstore.domain import items, jsontext, manifest
from convstore.domain.archive import Archived, ArchivedBranch, ArchivedConversation, Broken, Kept, Record
from convstore.domain.exchange import ADDED, NOTHING, Background, Linked, Sent
from convstore.domain.items import REMOVAL
from convstore.domain.jsontext import NotJson
from convstore.domain.ledger import Entry
from convstore.domain.response import FINISHED
from convstore.errors import InvalidRequest

ORIGINS = ("create", "branch", "replay", "import", ADDED)
_ENDS = tuple(sorted(FINISHED))
# Integers of the store.
_MOST = 2**31 - 1
_SPLIT = ("input", "output")


class UnknownVersion(InvalidRequest):
    """The file is of a newer version of convstore: it takes that one to import it."""

    code = "unknown_version"


def read(lines: Iterable[tuple[int, bytes]]) -> Iterator[Record]:
    """The records of numbered lines. Raises UnknownVersion."""
    for number, line in lines:
        if line.strip():
            found = _read(line)
            if found is not None:
                yield Record(f"line {number}", found)


def _read(text: bytes) -> Any:
    """What a line says; None of those that say something of the file."""
    own: str | None = None
    try:
        members = jsontext.members(jsontext.decode(text), split=_SPLIT)
        line = Line({name: raw.value for name, raw in members.items()}, lambda: members)
        own = _named(line)
        kind = line.value("object")
        if kind in (HEAD, manifest.OBJECT):
            if line.value("version") != VERSION:
                raise UnknownVersion
            return None
        if not isinstance(kind, str) or kind not in _READERS:
            return Broken("unknown_object", "'object': expected conversation, exchange or branch", own)
        return _READERS[kind](line)
    except NotJson as error:
        # Where it stops being JSON can be told without saying what stands there.
        return Broken("not_json", f"The line is not a JSON object: {_without_words(error)}.", own)
    except Misfit as error:
        return Broken("invalid", str(error), own)


def _named(line: Line) -> str | None:
    """What a record calls itself, if it is an id of ours."""
    found = line.value("id")
    known = isinstance(found, str) and any(ids.pack(prefix, found) for prefix in (ids.EXCHANGE, ids.CONVERSATION))
    return found if known else None


def _without_words(error: NotJson) -> str:
    return error.reason if error.member is None else "one of its members is none"


def _conversation(line: Line) -> ArchivedConversation:
    return ArchivedConversation(
        id=line.need("id", lambda at, name: at.id(name, ids.CONVERSATION)),
        created_at=line.need("created_at", Line.time),
        title=line.text("title", 10_000),
        metadata=line.labels("metadata"),
        tip_id=line.id("tip_id", ids.EXCHANGE),
        deleted_at=line.time("deleted_at"),
    )


def _branch(line: Line) -> ArchivedBranch:
    return ArchivedBranch(
        name=line.need("name", Line.text),
        conversation_id=line.need("conversation_id", lambda at, name: at.id(name, ids.CONVERSATION)),
        tip_id=line.need("tip_id", lambda at, name: at.id(name, ids.EXCHANGE)),
        created_at=line.need("created_at", Line.time),
        moved_at=line.need("moved_at", Line.time),
    )


def _exchange(line: Line) -> Archived:
    parent_id, settings = line.id("parent_id", ids.EXCHANGE), line.settings("settings")
    if settings is None and parent_id is None:
        raise line.misfit("settings", "a JSON object: there is no parent that could have the same")
    own = line.need("id", lambda at, name: at.id(name, ids.EXCHANGE))
    # What its entry in the ledger says, too.
    known = {
        "conversation_id": line.need("conversation_id", lambda at, name: at.id(name, ids.CONVERSATION)),
        "created_at": line.need("created_at", Line.time),
        "status": line.need("status", lambda at, name: at.word(name, *_ENDS)),
        "origin": line.need("origin", lambda at, name: at.word(name, *ORIGINS)),
        "requested_model": line.text("requested_model") or "",
        "api_key_id": line.id("api_key_id", ids.KEY),
    }
    return Archived(
        id=own,
        **known,
        parent_id=parent_id,
        origin_id=line.id("origin_id", ids.EXCHANGE),
        input=_side(line, "input", output=False),
        output=_side(line, "output", output=True),
        settings=settings or b"",
        repeats_settings=settings is None,
        metadata=line.labels("metadata"),
        user=line.text("user"),
        safety_identifier=line.text("safety_identifier"),
        extras=line.json("extras"),
        request_id=line.id("request_id", ids.REQUEST),
        linked=line.word("linked", *Linked),
        background=line.word("background", *Background),
        context_sha256=line.digest("context_sha256", 32),
        context_cut=line.count("context_cut", _MOST),
        sent=_sent(line.object("sent")),
        model=line.text("model"),
        upstream=line.text("upstream", 64),
        upstream_response_id=line.text("upstream_response_id"),
        reply=line.reply("reply") or NOTHING,
        error=_error(line),
        incomplete_reason=line.text("incomplete_reason", 64),
        attempts=_attempts(line),
        usage=line.usage("usage"),
        reported_usage=line.value("reported_usage"),
        first_event_at=line.time("first_event_at"),
        completed_at=line.time("completed_at"),
        deleted_at=line.time("deleted_at"),
        erased_at=line.time("erased_at"),
        last_event=line.count("last_event", _MOST),
        entry=_entry(line.object("ledger"), own, known),
    )


def _entry(line: Line | None, exchange_id: str, known: Mapping[str, Any]) -> Entry | None:
    if line is None:
        return None
    return Entry(
        exchange_id=exchange_id,
        **known,
        # Whoever puts it back knows his own.
        day=known["created_at"].date(),
        user=line.text("user"),
        model=line.text("model"),
        upstream=line.text("upstream", 64),
        usage=line.usage("usage"),
        cost=line.cost("cost"),
        service_tier=line.text("service_tier", 32),
        calls=_calls(line.object("calls")),
    )


def _calls(line: Line | None) -> dict[str, int]:
    if line is None:
        return {}
    return {name: line.count(name, _MOST) or 0 for name in line.values}


def _side(line: Line, name: str, *, output: bool) -> list[Kept]:
    return [_item(each, output=output) for each in line.objects(name)]


def _item(line: Line, *, output: bool) -> Kept:
    body = line.raw("body")
    if body is None:
        raise line.misfit("body", "a JSON object")
    if "\0" in body.text:
        raise line.misfit("body", "JSON without NUL")
    for name in ("type", "role", "call_id", "name"):
        if body.value.get(name) is not None and not isinstance(body.value[name], str):
            raise line.misfit(f"body.{name}", "a text")
    # What stands in columns is read from the body again: nobody can have them say something else.
    item = items.of_raw(body)
    own = line.text("id")
    if item.type == REMOVAL and not output:
        return Kept(replace(item, call_id=line.text("call_id")))
    return Kept(item if item.item_id == own else replace(item, item_id=own), line.text("sealed_by", 64))


def _sent(line: Line | None) -> Sent | None:
    if line is None:
        return None
    count = line.need("count", lambda at, name: at.count(name, _MOST))
    return Sent(count, line.need("digest", lambda at, name: at.digest(name, 16)), line.json("forms"))


def _error(line: Line) -> Any:
    found = line.value("error")
    if found is not None and not isinstance(found, dict):
        raise line.misfit("error", "a JSON object")
    return found


def _attempts(line: Line) -> Any:
    found = line.value("attempts")
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise line.misfit("attempts", "a list of JSON objects")
    return found


_READERS = {CONVERSATION: _conversation, EXCHANGE: _exchange, BRANCH: _branch}
