"""The bodies and query parameters of the retention routes."""

from typing import Any

from marshmallow import INCLUDE, Schema

from convstore.domain.retention import Wanted
from convstore.errors import InvalidRequest
from convstore.schemas import problems
from convstore.schemas.bodies import read_closed
from convstore.schemas.fields import Boolean, Integer, QueryInteger, Text
from convstore.schemas.responses import CreateResponse

# A hundred years: whoever wants more wants it for ever.
LONGEST_DAYS = 36_500


class ChangeRule(Schema):
    """`POST /v1/retention/rules/{id}`: what is given takes the place of what was there; null empties it."""

    class Meta:
        unknown = INCLUDE

    name = Text(longest=255, shortest=1, metadata={"description": "What it is called."})
    model = Text(longest=255, shortest=1, metadata={"description": "Only of these models; * stands for anything."})
    metadata = CreateResponse._declared_fields["metadata"]
    content_days = Integer(
        least=0, most=LONGEST_DAYS, metadata={"description": "Keep content so long; null: for ever."}
    )
    figures_days = Integer(
        least=0, most=LONGEST_DAYS, metadata={"description": "Keep figures so long, not less than content."}
    )
    keep_while_descendants = Boolean(
        metadata={"description": "true, unless told: keep content while that of what continues it is kept."}
    )
    priority = Integer(
        least=0, most=1_000_000, metadata={"description": "The rule with the least is asked first; 100 unless told."}
    )


class CreateRule(ChangeRule):
    """`POST /v1/retention/rules`."""


class PlanRetention(Schema):
    """Query parameters of `GET /v1/retention/plan`."""

    limit = QueryInteger(
        least=1, most=100_000, metadata={"description": "Exchanges to look at, 10,000 unless told: those old enough."}
    )
    after = Text(
        allow_none=False, pattern="resp_[0-9a-f]{32}", metadata={"description": "The last_id of the part before."}
    )


# Members that say something by being null.
_EMPTIED = ("model", "metadata", "content_days", "figures_days")


def wanted_rule(body: bytes) -> Wanted:
    """The rule that a body wants. Raises InvalidRequest, UnsupportedParameter."""
    members = _members(CreateRule, body)
    given = {name: value for name, value in members.items() if value is not None}
    if "name" not in given:
        raise problems.missing("name")
    # A rule that keeps all for ever is wanted before others; it has to say so.
    if "content_days" not in members:
        raise problems.missing("content_days")
    return Wanted(**given)


def changed_rule(body: bytes) -> dict[str, Any]:
    """The members of a rule that a body changes. Raises InvalidRequest, UnsupportedParameter."""
    given = _members(ChangeRule, body)
    return {name: value for name, value in given.items() if value is not None or name in _EMPTIED}


def _members(schema: type[Schema], body: bytes) -> dict[str, Any]:
    members = read_closed(schema, body)
    loaded: dict[str, Any] = schema().load({name: raw.value for name, raw in members.items()})
    if loaded.get("metadata") == {}:
        raise InvalidRequest("Invalid 'metadata': one pair at least.", param="metadata", code="invalid_value")
    return loaded
