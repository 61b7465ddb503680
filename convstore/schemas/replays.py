"""The body and the query parameters of the replays' routes."""

from decimal import Decimal
from typing import Any

from marshmallow import Schema

from convstore.domain import jsontext
from convstore.domain.jsontext import Raw
from convstore.domain.replay import MODES, TOOL_OUTPUTS, Wanted
from convstore.schemas.bodies import Open, check, read
from convstore.schemas.branches import refuse
from convstore.schemas.fields import Array, Boolean, Integer, Number, Object, QueryInteger, Text, Word
from convstore.schemas.problems import bad_value
from convstore.schemas.responses import CreateResponse

MOST_MODELS = 16


class ReplayResponse(Open):
    """`POST /v1/responses/{id}/replay`."""

    models = Array(
        Text(shortest=1, longest=255, allow_none=False),
        expected="an array of strings",
        metadata={"description": f"{MOST_MODELS} at most, side by side; none: those that were asked."},
    )
    mode = Word(*MODES, metadata={"description": "thread: every turn, on the new answers; last: this turn alone."})
    tool_outputs = Word(
        *TOOL_OUTPUTS, metadata={"description": "recorded: used for calls that are the same; stop: never used."}
    )
    until = Text(longest=255, metadata={"description": "The last turn: an exchange of the thread, or a branch."})
    overrides = Object(metadata={"description": "Members of the create request that are to be different."})
    max_calls = Integer(least=1, metadata={"description": "Calls to upstreams at most, of all models together."})
    max_cost = Number(
        least=0, metadata={"description": "At most, in the currency of the prices; looked at before each call."}
    )
    dry_run = Boolean(metadata={"description": "Answer with the plan, and do nothing."})


# A word of the language, so it cannot be written as a member above.
ReplayResponse._declared_fields["from"] = Text(
    longest=255, metadata={"description": "The first turn: an exchange of the thread, or a branch."}
)


class ListReplays(Schema):
    """Query parameters of `GET /v1/replays`."""

    limit = QueryInteger(least=1, most=100, metadata={"description": "Replays a page, 20 unless told."})
    order = Word("asc", "desc", allow_none=False, metadata={"description": "desc (newest first) unless told."})
    after = Text(allow_none=False, metadata={"description": "The id of the last replay of the page before."})
    before = Text(allow_none=False, metadata={"description": "The id of the first replay of the page after."})


# What a replay decides for itself.
_FIXED = tuple("input previous_response_id conversation stream stream_options background store model".split())


def wanted(body: bytes) -> tuple[Wanted, bool]:
    """What is to be asked again, and whether it is only to be planned. Raises InvalidRequest."""
    members = read(body or b"{}")
    check(ReplayResponse, members)
    given: dict[str, Any] = {
        name: raw.value
        for name, raw in members.items()
        if name in ReplayResponse._declared_fields and raw.value is not None
    }
    dry = bool(given.pop("dry_run", False))
    if len(given.get("models", ())) > MOST_MODELS:
        raise bad_value(f"{len(given['models'])} models", (f"{MOST_MODELS} at most",))
    given.pop("overrides", None)
    made = Wanted(
        models=tuple(given.pop("models", ())),
        first=given.pop("from", None),
        overrides=_overrides(members.get("overrides")),
        max_cost=Decimal(members["max_cost"].text) if given.pop("max_cost", None) is not None else None,
        **given,
    )
    return made, dry


def _overrides(raw: Raw | None) -> dict[str, Raw]:
    if raw is None or raw.value is None:
        return {}
    members = jsontext.members(raw.text)
    refuse(members, _FIXED, "a replay")
    check(CreateResponse, members)
    return members
