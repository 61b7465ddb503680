"""JSON bodies: read member by member, with the text of each, and looked at by their schemas."""

from collections.abc import Mapping
from functools import lru_cache

from marshmallow import INCLUDE, Schema, ValidationError

from convstore.domain import jsontext
from convstore.domain.jsontext import NotJson, Raw
from convstore.errors import InvalidRequest, UnsupportedParameter
from convstore.schemas import problems


class Open(Schema):
    """Members unknown to us pass: what is new on the wire tomorrow is not refused today."""

    class Meta:
        unknown = INCLUDE


def read(body: bytes, split: tuple[str, ...] = ()) -> dict[str, Raw]:
    """The members of a JSON body. Raises InvalidRequest, naming the member when it is known."""
    try:
        text = jsontext.decode(body)
        members = jsontext.members(text, split)
    except NotJson as error:
        raise InvalidRequest(
            "Invalid body: failed to parse JSON value. "
            f"Please check the value to ensure it is valid JSON. ({error.reason})",
            code="invalid_json",
            param=error.member,
        ) from error
    if "\\u" in text:
        for name, raw in members.items():
            reason = jsontext.unstorable(raw.text) or jsontext.unstorable(jsontext.dumps(name).decode())
            if reason:
                name = name.encode("ascii", "backslashreplace").decode()
                raise InvalidRequest(f"Invalid '{name}': it holds {reason}.", param=name, code="invalid_value")
    return members


def check(schema: type[Schema], members: Mapping[str, Raw]) -> None:
    """Load the members that are there, in the order of the schema. Raises InvalidRequest."""
    try:
        _only(schema, frozenset(members) & frozenset(schema._declared_fields)).load(
            {name: raw.value for name, raw in members.items()}
        )
    except ValidationError as error:
        raise problems.first(error) from error


def read_closed(schema: type[Schema], body: bytes) -> dict[str, Raw]:
    """The members of a body that has those of *schema* and no others, checked.

    For what limits or commands: a member that is not understood might have been meant to limit it.

    Raises InvalidRequest, UnsupportedParameter.
    """
    members = read(body)
    check(schema, members)
    unknown = [name for name in members if name not in schema._declared_fields]
    if unknown:
        raise UnsupportedParameter(f"Unknown parameter: '{unknown[0]}'.", param=unknown[0])
    return members


@lru_cache(maxsize=256)  # one for each set of members seen: clients send the same few sets again and again
def _only(schema: type[Schema], names: frozenset[str]) -> Schema:
    return schema(only=names)
