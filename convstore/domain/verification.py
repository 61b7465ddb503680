"""Checking the audit log: what can be wrong with it, and how entries are held against one another.

An entry is right when it is as it was sealed, the one before it is there and has the seal that it names, and so are
those that it links. So an entry that was changed, taken out, moved, or cut off at the end is found by any other that
refers to it; what nothing refers to yet is what a head is for (services/verification.py).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from convstore import ids
from convstore.domain.audit import COLUMNS, Keyring, Point, is_whole, linked

Raw = Sequence[Any]

# What can be wrong, in a sentence.
KINDS = {
    "altered": "The entry is not as it was sealed.",
    "missing": "The entry is not there, but another one refers to it.",
    "replaced": "The entry is another one than that which was referred to.",
    "unknown_key": "The entry is sealed with a key that is not here.",
    "unkeyed": "The entry is sealed without a key, behind others that have one.",
    "content_altered": "What is stored of the exchange is not what the entry commits to.",
    "content_missing": "The exchange that the entry commits to is not there.",
    "content_erased": "What the entry commits to was erased; no entry says so.",
    "content_restored": "The exchange was erased; what is there now is not what was left of it.",
    "erasure_unproved": "The exchange is said to be erased, but no entry that is right says so.",
    "erasure_altered": "What is said to be erased is not what the entry commits to.",
    "content_shredded": "The key of what the entry commits to is destroyed; no entry says so.",
    "unrecorded": "The exchange is in no entry.",
    "head_forged": "The head is not signed with a key that is here, or was changed.",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and with which entry. found_by: the id of the entry (or "head") that gave it away."""

    kind: str
    entry_id: str | None = None
    strand: str | None = None
    number: int | None = None
    request_id: str | None = None
    object_id: str | None = None
    found_by: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The API's form."""
        return {**asdict(self), "message": KINDS[self.kind]}


def named(row: Raw) -> dict[str, Any]:
    """An entry's members by name."""
    return dict(zip(COLUMNS, row, strict=True))


def point_of(row: Raw) -> Point:
    """An entry as others refer to it, whatever stands in its row."""
    return Point(row[1], row[2], row[3], row[-1])


def problem(kind: str, row: Raw, **more: Any) -> Problem:
    """A problem of an entry that is there."""
    said = named(row)
    return Problem(
        kind,
        entry_id=_id(ids.ENTRY, said["id"]),
        strand=said["strand"].hex() if isinstance(said["strand"], bytes) else str(said["strand"]),
        number=said["number"],
        request_id=_id(ids.REQUEST, said["request_id"]),
        **{"object_id": said["object"], **more},
    )


def before(row: Raw) -> Point | None:
    """The entry that one stands behind; None when it is the first of its strand."""
    said = named(row)
    if said["number"] == 0:
        return None
    return Point(said["previous_id"], said["strand"], said["number"] - 1, said["previous_seal"])


def referred(keyring: Keyring, row: Raw) -> list[Point]:
    """The entries that one refers to; none when it was altered: then it says nothing of others."""
    if is_whole(keyring, row) is not True:
        return []
    behind = before(row)
    return [*([behind] if behind is not None else []), *linked(named(row)["links"])]


def checked(keyring: Keyring, row: Raw, others: Callable[[bytes], Raw | None]) -> Iterator[Problem]:
    """What is wrong with an entry, or with those that it refers to. others: finds them by their ids."""
    whole = is_whole(keyring, row)
    if whole is not True:
        yield problem("altered" if whole is False else "unknown_key", row)
        return
    points = referred(keyring, row)
    known = [others(point.id) for point in points]
    if named(row)["key_id"] is None and any(each is not None and named(each)["key_id"] for each in known):
        yield problem("unkeyed", row)
    for point, other in zip(points, known, strict=True):
        found = against(keyring, point, other)
        if found is not None:
            yield Problem(**{**found, "found_by": _id(ids.ENTRY, row[1])})


def against(keyring: Keyring, point: Point, row: Raw | None) -> Mapping[str, Any] | None:
    """What is wrong with an entry that is referred to; an altered one speaks for itself."""
    where = {"entry_id": _id(ids.ENTRY, point.id), "strand": point.strand.hex(), "number": point.number}
    if row is None:
        return {"kind": "missing", **where}
    if point_of(row) == point or is_whole(keyring, row) is False:
        return None
    return {"kind": "replaced", **where, "request_id": _id(ids.REQUEST, named(row)["request_id"])}


def _id(prefix: str, packed: Any) -> str | None:
    return ids.unpack(prefix, packed) if isinstance(packed, bytes) else None
