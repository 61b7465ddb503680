"""The body and the query parameters of the erasures' routes."""

from typing import Any

from marshmallow import Schema

from convstore.domain.erasure import SELECTORS, Wanted
from convstore.errors import InvalidRequest
from convstore.schemas import problems
from convstore.schemas.bodies import Open, read_closed
from convstore.schemas.fields import Boolean, QueryInteger, Text, Word
from convstore.schemas.responses import CreateResponse


class CreateErasure(Open):
    """`POST /v1/erasures`: one of what it can be by."""

    user = Text(longest=255, shortest=1, metadata={"description": "All that was asked for this user."})
    safety_identifier = Text(longest=255, shortest=1, metadata={"description": "The same by this identifier."})
    conversation_id = Text(longest=64, metadata={"description": "All of this conversation."})
    response_id = Text(longest=64, metadata={"description": "This response, and all that continues it."})
    metadata = CreateResponse._declared_fields["metadata"]
    copies = Boolean(metadata={"description": "Also branches and replays of it, which repeat it; true unless told."})
    purge = Boolean(metadata={"description": "Remove its traces from the file as well; true unless told."})
    dry_run = Boolean(metadata={"description": "Answer with what it would be about, and do nothing."})


class ListErasures(Schema):
    """Query parameters of `GET /v1/erasures`."""

    limit = QueryInteger(least=1, most=100, metadata={"description": "Erasures a page, 20 unless told."})
    order = Word("asc", "desc", allow_none=False, metadata={"description": "desc (newest first) unless told."})
    after = Text(allow_none=False, metadata={"description": "The id of the last erasure of the page before."})
    before = Text(allow_none=False, metadata={"description": "The id of the first erasure of the page after."})


def wanted_erasure(body: bytes) -> tuple[Wanted, bool]:
    """What is to be erased, and whether that is only asked. Raises InvalidRequest, UnsupportedParameter."""
    members = read_closed(CreateErasure, body or b"{}")
    given: dict[str, Any] = {name: raw.value for name, raw in members.items() if raw.value is not None}
    chosen = [name for name in SELECTORS if name in given]
    if not chosen:
        raise problems.missing(SELECTORS[0])
    if len(chosen) > 1:
        raise InvalidRequest(
            f"An erasure is by one thing: '{chosen[0]}' or '{chosen[1]}'.", param=chosen[1], code="invalid_value"
        )
    if given.get("metadata") == {}:
        raise InvalidRequest("Invalid 'metadata': one pair at least.", param="metadata", code="invalid_value")
    wanted = Wanted(chosen[0], given[chosen[0]], given.get("copies", True), given.get("purge", True))
    return wanted, given.get("dry_run", False)
