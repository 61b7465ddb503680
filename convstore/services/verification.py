"""The audit log checked, a page at a time; and its heads, which are kept elsewhere.

A page is checked by itself: whatever an entry refers to is looked up, wherever it lies. So the log can be of any
length, and a check can go on where another one stopped. With it goes what the entries commit to: the stored exchanges.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from convstore import ids
from convstore.domain import jsontext, verification
from convstore.domain.audit import Commits, Point
from convstore.domain.verification import Problem, Raw, named
from convstore.errors import InvalidRequest
from convstore.services import tombstones
from convstore.services.deps import Deps
from convstore.services.tombstones import Tombstones
from convstore.storage import direct, evidence, strands

# Entries that are looked through for a head: older strands are linked by newer ones.
HEAD_LOOKS_AT = 5_000
# What the call is named that destroys the keys of a project.
SHRED = "projects.shred"
_LAST = b"\xff" * 16


@dataclass(slots=True)
class Checked:
    """A page of the log, checked. keyed: entries sealed with a key; exchanges: how often content was compared."""

    entries: int = 0
    keyed: int = 0
    exchanges: int = 0
    problems: list[Problem] = field(default_factory=list)
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The API's form."""
        return {
            "object": "audit.verification",
            "valid": not self.problems,
            "entries": self.entries,
            "unkeyed": self.entries - self.keyed,
            "exchanges": self.exchanges,
            "problems": [each.as_dict() for each in self.problems],
            "first_id": self.first_id,
            "last_id": self.last_id,
            "has_more": self.has_more,
        }


def head(deps: Deps, project_id: str) -> dict[str, Any]:
    """The newest entry of each strand, signed: whatever was there when it was made can be held against it."""
    with direct.reading(deps.database) as cursor:
        points = strands.newest(cursor, _project(project_id), HEAD_LOOKS_AT)
    said = {
        "object": "audit.head",
        "project_id": project_id,
        "created_at": deps.clock().timestamp(),
        "strands": [_shown(each) for each in sorted(points, key=lambda each: each.id)],
        "key_id": deps.audit.keyring.key_id.hex() if deps.audit.keyring.key_id else None,
    }
    signed = deps.audit.keyring.seal(jsontext.dumps_sorted(said), deps.audit.keyring.key_id)
    return {**said, "signature": signed.hex() if signed else None}


def verify(
    deps: Deps, project_id: str, after: str | None = None, limit: int = 1_000, against: Mapping[str, Any] | None = None
) -> Checked:
    """Check at most *limit* entries behind *after*, and everything they refer to. against: a head; its entries, too.

    Raises InvalidRequest for a cursor or a head that is none of this project's.
    """
    database, project = deps.database, _project(project_id)
    start = _cursor(deps, project, after)
    found: dict[tuple[str, str | None, str | None], Problem] = {}

    def note(problems: Iterator[Problem]) -> None:
        for each in problems:
            found.setdefault((each.kind, each.entry_id, each.object_id), each)

    if against is not None:
        note(_against(deps, project_id, against))
    rows = evidence.entries(database, project, start, limit + 1)
    has_more, rows = len(rows) > limit, rows[:limit]
    others = _others(deps, project, rows)
    for row in rows:
        note(verification.checked(deps.audit.keyring, row, others.get))
    compared = [row for row in rows if named(row)["commits"] in (Commits.REQUEST, Commits.ANSWER)]
    note(_contents(deps, project, compared))
    note(tombstones.of_entries(deps, project, rows))
    until = rows[-1][1] if has_more else _LAST
    for own in evidence.unrecorded(database, project, start, until, limit):
        note(iter([Problem("unrecorded", object_id=ids.unpack(ids.EXCHANGE, own))]))
    note(tombstones.unproved(deps, project, start, until, limit))
    return Checked(
        entries=len(rows),
        keyed=sum(named(row)["key_id"] is not None for row in rows),
        exchanges=len(compared),
        problems=list(found.values()),
        first_id=ids.unpack(ids.ENTRY, rows[0][1]) if rows else None,
        last_id=ids.unpack(ids.ENTRY, rows[-1][1]) if rows else None,
        has_more=has_more,
    )


def count(deps: Deps, project_id: str) -> int:
    """How many entries there are to check."""
    return evidence.count(deps.database, _project(project_id))


def _others(deps: Deps, project: bytes, rows: Sequence[Raw]) -> dict[bytes, Raw]:
    """The rows of a page and those that they refer to, by their ids."""
    here = {row[1]: row for row in rows}
    wanted = {point.id for row in rows for point in verification.referred(deps.audit.keyring, row)}
    return here | evidence.some(deps.database, project, wanted - set(here))


def _contents(deps: Deps, project: bytes, rows: Sequence[Raw]) -> Iterator[Problem]:
    """What is wrong with the exchanges that these entries commit to; an altered entry commits to nothing."""
    due: dict[str, dict[bytes, Raw]] = {Commits.REQUEST: {}, Commits.ANSWER: {}}
    for row in rows:
        said = named(row)
        is_request = said["commits"] == Commits.REQUEST
        exchange = said["id"] if is_request else ids.pack(ids.EXCHANGE, str(said["object"]))
        if said["commits"] in due and exchange is not None:
            due[said["commits"]][exchange] = row
    sides = evidence.contents(deps.database, project, due[Commits.REQUEST], due[Commits.ANSWER])
    erased = Tombstones(deps, project, {own for one in due.values() for own in one})
    shared = {
        each
        for stored, one in zip(sides, due.values(), strict=True)
        for own in one
        for each in stored.payloads(own, history=not erased.lost_history(own))
    }
    broken = evidence.broken_payloads(deps.database, project, shared)
    for stored, one in zip(sides, due.values(), strict=True):
        for exchange, row in one.items():
            kind = _compared(stored, exchange, named(row), broken, erased)
            if kind == "content_shredded" and evidence.tells_of(deps.database, project, SHRED):
                # An entry of the log explains it.
                kind = None
            if kind is not None:
                yield verification.problem(kind, row, object_id=ids.unpack(ids.EXCHANGE, exchange))


def _compared(
    stored: evidence.Contents, exchange: bytes, said: Mapping[str, Any], broken: set[bytes], erased: Tombstones
) -> str | None:
    payloads = stored.payloads(exchange, history=not erased.lost_history(exchange))
    if erased.is_erased(exchange):
        kind = erased.kind(exchange, is_there=stored.has(exchange), is_salted=said["salt"] is not None)
        return "content_restored" if kind is None and payloads & broken else kind
    if said["salt"] is None:
        return "content_erased"
    if stored.is_shredded(exchange):
        return "content_shredded"
    if not isinstance(said["salt"], bytes) or not 0 < len(said["salt"]) <= 64:
        return "content_altered"
    found = stored.digest(exchange, said["salt"])
    if found is None:
        return "content_missing"
    return "content_altered" if found != said["digest"] or payloads & broken else None


# -- heads ----------------------------------------------------------------------------------------------------


def _against(deps: Deps, project_id: str, head: Mapping[str, Any]) -> Iterator[Problem]:
    said = {name: value for name, value in head.items() if name != "signature"}
    if said.get("object") != "audit.head":
        raise _no_head("object")
    if said.get("project_id") != project_id:
        raise InvalidRequest("The head is another project's.", param="project_id", code="invalid_value")
    points = list(_points(said.get("strands")))
    key_id = _bytes(said["key_id"], "key_id") if said.get("key_id") is not None else None
    signed = deps.audit.keyring.seal(jsontext.dumps_sorted(said), key_id)
    if signed is None or signed.hex() != head.get("signature"):
        yield Problem("head_forged", found_by="head")
        return
    rows = evidence.some(deps.database, _project(project_id), {each.id for each in points})
    for point in points:
        found = verification.against(deps.audit.keyring, point, rows.get(point.id))
        if found is not None:
            yield Problem(**{**found, "found_by": "head"})


def _points(listed: Any) -> Iterator[Point]:
    if not isinstance(listed, list):
        raise _no_head("strands")
    for number, each in enumerate(listed):
        where = f"strands[{number}]"
        if not isinstance(each, Mapping) or not isinstance(each.get("number"), int):
            raise _no_head(f"{where}.number")
        own = ids.pack(ids.ENTRY, str(each.get("entry_id")))
        if own is None:
            raise _no_head(f"{where}.entry_id")
        strand, seal = (_bytes(each.get(name), f"{where}.{name}") for name in ("strand", "seal"))
        yield Point(own, strand, each["number"], seal)


def _shown(point: Point) -> dict[str, Any]:
    return {
        "strand": point.strand.hex(),
        "number": point.number,
        "entry_id": ids.unpack(ids.ENTRY, point.id),
        "seal": point.seal.hex(),
    }


def _bytes(text: Any, where: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except (TypeError, ValueError) as error:
        raise _no_head(where) from error


def _no_head(where: str) -> InvalidRequest:
    message = f"Invalid '{where}': this is not a head as GET /v1/audit/head gives it."
    return InvalidRequest(message, param=where, code="invalid_value")


def _cursor(deps: Deps, project: bytes, after: str | None) -> bytes:
    if after is None:
        return b""
    own = ids.pack(ids.ENTRY, after)
    if own is None or not evidence.some(deps.database, project, [own]):
        raise InvalidRequest(f"Entry with id '{after}' not found in this log.", param="after", code="invalid_value")
    return own


def _project(project_id: str) -> bytes:
    return ids.pack(ids.PROJECT, project_id) or b""
