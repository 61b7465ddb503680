"""The query parameters of `GET /v1/responses`."""

from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import Schema, ValidationError

from convstore.domain import money
from convstore.errors import InvalidRequest
from convstore.schemas import problems
from convstore.schemas.fields import Amount, Moment, QueryBoolean, QueryInteger, QueryText, QueryWords, Word
from convstore.schemas.responses import ListInputItems

STATUSES = ("queued", "in_progress", "completed", "incomplete", "failed", "cancelled")
ORIGINS = ("create", "branch", "replay", "import")
MEMBERS = (
    "id object created_at status model requested_model upstream conversation_id previous_response_id depth children"
    " origin origin_id question answer incomplete_reason error usage first_event_ms latency_ms cost currency"
    " cost_basis cost_reason metadata user safety_identifier key_id snippets input output"
).split()
LABEL = "metadata."
# What says how to list, and not what.
_MANNERS = ("q", "sort", "order", "limit", "after", "before", "fields")


def _name(description: str) -> QueryText:
    return QueryText(shortest=1, longest=255, metadata={"description": description})


def _figure(description: str) -> QueryInteger:
    return QueryInteger(least=0, metadata={"description": description})


class ListResponses(Schema):
    """Query parameters of `GET /v1/responses`; `metadata.NAME=VALUE` besides."""

    q = QueryText(shortest=1, longest=1_000, metadata={"description": "Words, all of which are to be there."})
    sort = Word("time", "relevance", allow_none=False, metadata={"description": "relevance: for q; time unless told."})
    order = ListInputItems._declared_fields["order"]
    limit = QueryInteger(least=1, most=100, metadata={"description": "Responses a page, 20 unless told."})
    after = _name("The last_id of the page before.")
    before = _name("The first_id of the page after.")
    # marshmallow has its own name of fields, on what is made of this class.
    fields = QueryWords(  # type: ignore[assignment]
        *MEMBERS, metadata={"description": "The members to show; id and object always are."}
    )
    since = Moment(allow_none=False, metadata={"description": "Asked at this moment or later."})
    until = Moment(allow_none=False, metadata={"description": "Asked before this moment."})
    model = _name("The model that answered.")
    requested_model = _name("The model that was asked for.")
    upstream = _name("The name of the upstream.")
    status = Word(*STATUSES, allow_none=False)
    origin = Word(*ORIGINS, allow_none=False)
    key = _name("The id of the API key that asked.")
    user = _name("The request's user.")
    safety_identifier = _name("The request's safety identifier.")
    tool = _name("A tool that was called.")
    error = _name("The code of the error that it ended with.")
    finish_reason = _name("Why it is incomplete, as max_output_tokens.")
    min_input_tokens = _figure("So many input tokens at least.")
    max_input_tokens = _figure("So many at most.")
    min_output_tokens = _figure("So many output tokens at least.")
    max_output_tokens = _figure("So many at most.")
    min_total_tokens = _figure("So many tokens at least.")
    max_total_tokens = _figure("So many at most.")
    min_latency_ms = _figure("It took so many milliseconds at least.")
    max_latency_ms = _figure("So many at most.")
    min_cost = Amount(places=12, most=int(money.LARGEST), metadata={"description": "It cost so much at least."})
    max_cost = Amount(places=12, most=int(money.LARGEST), metadata={"description": "So much at most."})
    currency = QueryText(pattern="[A-Z][A-Z0-9_]{1,15}", metadata={"description": "It was billed in this currency."})
    min_depth = QueryInteger(least=0, most=2**31 - 1, metadata={"description": "So many stand before it at least."})
    max_depth = QueryInteger(least=0, most=2**31 - 1, metadata={"description": "So many at most."})
    has_children = QueryBoolean(metadata={"description": "Whether anything continues it."})
    conversation = _name("The id of its conversation.")
    ancestor = _name("An exchange, or a branch: only that and what hangs below it.")
    descendant = _name("An exchange, or a branch: only that and what it continues.")


def wanted(asked: Mapping[str, Any], metadata: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """What checked parameters want of the history, in the words of services/history.py. Raises InvalidRequest."""
    by_relevance = asked.get("sort") == "relevance"
    if by_relevance and "q" not in asked:
        raise InvalidRequest(
            "Only what is searched for has a relevance: 'q' is missing.", param="sort", code="invalid_value"
        )
    return {
        "text": asked.get("q"),
        "filters": filters(asked),
        "metadata": metadata,
        "by_relevance": by_relevance,
        "fields": asked.get("fields"),
    }


def read(given: Mapping[str, str]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The checked parameters, and the labels, of what was given by name. Raises InvalidRequest."""
    known = ListResponses()
    own = {
        name: [value] if name == "fields" else value
        for name, value in given.items()
        if name in ListResponses._declared_fields
    }
    labels = [(name[len(LABEL) :], value) for name, value in given.items() if name.startswith(LABEL)]
    try:
        return dict(known.load(own)), labels
    except ValidationError as error:
        raise problems.first(error) from error


def filters(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The filters among checked parameters. Raises InvalidRequest for an empty range."""
    found = {name: value for name, value in asked.items() if name not in _MANNERS}
    pairs = [(name, name.replace("min_", "max_")) for name in found if name.startswith("min_")]
    for least, most in (*pairs, ("since", "until")):
        if least in found and most in found and found[least] > found[most]:
            raise InvalidRequest(
                f"Invalid '{most}': {found[most]} is less than '{least}', which is {found[least]}.",
                param=most,
                code="invalid_value",
            )
    return found
