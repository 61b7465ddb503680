"""The query parameters of the audit log's routes. Unknown ones are refused: no filter may be lost."""

from collections.abc import Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError

from convstore import ids
from convstore.domain import jsontext
from convstore.domain.audit import Outcome
from convstore.domain.jsontext import NotJson
from convstore.errors import InvalidRequest
from convstore.schemas import problems
from convstore.schemas.fields import Moment, QueryInteger, QueryText, Text, Word


def _id(prefix: str, what: str) -> Text:
    return QueryText(pattern=f"{prefix}_[0-9a-f]{{32}}", metadata={"description": what})


class _Strict(Schema):
    class Meta:
        unknown = RAISE


class ListEntries(_Strict):
    """Query parameters of `GET /v1/audit`."""

    limit = QueryInteger(least=1, most=1_000, metadata={"description": "Entries a page, 20 unless told."})
    order = Word("asc", "desc", allow_none=False, metadata={"description": "desc (newest first) unless told."})
    after = _id(ids.ENTRY, "The id of the last entry of the page before.")
    before = _id(ids.ENTRY, "The id of the first entry of the page after.")
    action = QueryText(
        longest=64,
        pattern=r"[a-z_]+\.[a-z_]+",
        metadata={"description": "Noun and verb: responses.create, keys.revoke, …"},
    )
    object = QueryText(longest=255, shortest=1, metadata={"description": "What it was about, by its id."})
    key = _id(ids.KEY, "The API key whose call it was.")
    outcome = Word(*map(str, Outcome), allow_none=False, metadata={"description": "What became of it."})
    request_id = _id(ids.REQUEST, "The x-request-id of the answer.")
    since = Moment(allow_none=False, metadata={"description": "From this moment on."})
    until = Moment(allow_none=False, metadata={"description": "Up to this moment."})


class VerifyEntries(_Strict):
    """Query parameters of `/v1/audit/verify`."""

    limit = QueryInteger(least=1, most=10_000, metadata={"description": "Entries to check, 1,000 unless told."})
    after = _id(ids.ENTRY, "Go on behind this entry: the last_id of the check before.")


def asked(schema: type[Schema], given: Mapping[str, str]) -> dict[str, Any]:
    """Checked query parameters. Raises InvalidRequest, which names the one that is wrong or unknown."""
    known = schema()
    unknown = sorted(set(given) - set(known.fields))
    if unknown:
        message = f"Unknown parameter: '{unknown[0]}'."
        raise InvalidRequest(message, param=unknown[0], code="unknown_parameter")
    try:
        return dict(known.load(dict(given)))
    except ValidationError as error:
        raise problems.first(error) from error


def head_of(content: bytes) -> dict[str, Any] | None:
    """The head that a check is to be held against; None where nothing was sent. Raises InvalidRequest."""
    if not content.strip():
        return None
    try:
        head = jsontext.loads(content)
    except NotJson as error:
        raise InvalidRequest("The body is not JSON.") from error
    if not isinstance(head, dict):
        raise InvalidRequest("The body is not a head: an object is expected.")
    return head
