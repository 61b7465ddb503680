"""Differences of two objects, member by member, compared as JSON values: the order of keys and spaces do not count."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple

from convstore.domain import jsontext
from convstore.domain.words import Allowance

# Shown whatever else was: a stub in its place would be as long.
SHORT_BYTES = 120


class Value(NamedTuple):
    """A JSON value, and the one way to write it: equal values are written equally, and 1 is not true."""

    value: Any
    written: bytes


@dataclass(frozen=True, slots=True)
class Changes:
    """Names to values: those only on the right, those only on the left, and both values of the others that differ."""

    added: Mapping[str, Any] = field(default_factory=dict)
    removed: Mapping[str, Any] = field(default_factory=dict)
    changed: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def as_dict(self) -> dict[str, Any]:
        changed = {name: {"left": left, "right": right} for name, (left, right) in self.changed.items()}
        return {"added": dict(self.added), "removed": dict(self.removed), "changed": changed}

    def by_name(self) -> dict[str, dict[str, Any]]:
        """Both values under each name, null where there is none: for members of which null means not given."""
        both = {name: (None, value) for name, value in self.added.items()}
        both |= {name: (value, None) for name, value in self.removed.items()}
        both |= self.changed
        return {name: {"left": left, "right": right} for name, (left, right) in sorted(both.items())}


def of(members: Mapping[str, Any]) -> dict[str, Value]:
    """The members of an object, fit to be compared."""
    return {name: Value(value, jsontext.dumps_sorted(value)) for name, value in members.items()}


def changes(left: Mapping[str, Value], right: Mapping[str, Value], allowance: Allowance) -> Changes:
    """What differs. Of a value too large for what is left of the allowance only its size and digest are shown."""
    return Changes(
        {name: shown(value, allowance) for name, value in right.items() if name not in left},
        {name: shown(value, allowance) for name, value in left.items() if name not in right},
        {
            name: (shown(value, allowance), shown(right[name], allowance))
            for name, value in left.items()
            if name in right and value.written != right[name].written
        },
    )


def shown(value: Value, allowance: Allowance) -> Any:
    """The value, or `{"bytes", "sha256"}` of its JSON in its place."""
    size = len(value.written)
    if size > SHORT_BYTES:
        if size > allowance.value_bytes:
            return {"bytes": size, "sha256": sha256(value.written).hexdigest()}
        allowance.value_bytes -= size
    return value.value
