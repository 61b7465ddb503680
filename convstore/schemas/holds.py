"""The body and the query parameters of the holds' routes."""

from typing import Any

from marshmallow import INCLUDE, Schema

from convstore.domain.hold import SELECTORS, Wanted
from convstore.errors import InvalidRequest
from convstore.schemas import problems
from convstore.schemas.bodies import read_closed
from convstore.schemas.fields import QueryBoolean, QueryInteger, Text, Word
from convstore.schemas.responses import CreateResponse


class CreateHold(Schema):
    """`POST /v1/holds`: one of what it can be for."""

    class Meta:
        unknown = INCLUDE

    name = Text(longest=255, shortest=1, metadata={"description": "What it is called: a case, a file number."})
    reason = Text(longest=2_000, metadata={"description": "Why; for whoever decides on its release."})
    conversation_id = Text(longest=64, metadata={"description": "Keep this conversation."})
    response_id = Text(longest=64, metadata={"description": "Keep the conversation that this response is in."})
    user = Text(longest=255, shortest=1, metadata={"description": "Keep each conversation with a request of theirs."})
    safety_identifier = Text(longest=255, shortest=1, metadata={"description": "The same by this identifier."})
    metadata = CreateResponse._declared_fields["metadata"]


class ListHolds(Schema):
    """Query parameters of `GET /v1/holds`."""

    limit = QueryInteger(least=1, most=100, metadata={"description": "Holds a page, 20 unless told."})
    order = Word("asc", "desc", allow_none=False, metadata={"description": "desc (newest first) unless told."})
    after = Text(allow_none=False, metadata={"description": "The id of the last hold of the page before."})
    before = Text(allow_none=False, metadata={"description": "The id of the first hold of the page after."})
    released = QueryBoolean(allow_none=False, metadata={"description": "Only those that are released, or are not."})


def wanted_hold(body: bytes) -> Wanted:
    """The hold that a body wants. Raises InvalidRequest, UnsupportedParameter."""
    members = read_closed(CreateHold, body)
    loaded: dict[str, Any] = CreateHold().load({name: raw.value for name, raw in members.items()})
    given = {name: value for name, value in loaded.items() if value is not None}
    if "name" not in given:
        raise problems.missing("name")
    chosen = [name for name in SELECTORS if name in given]
    if not chosen:
        raise problems.missing(SELECTORS[0])
    if len(chosen) > 1:
        raise InvalidRequest(
            f"A hold is for one thing: '{chosen[0]}' or '{chosen[1]}'.", param=chosen[1], code="invalid_value"
        )
    if given.get("metadata") == {}:
        raise InvalidRequest("Invalid 'metadata': one pair at least.", param="metadata", code="invalid_value")
    return Wanted(**given)
