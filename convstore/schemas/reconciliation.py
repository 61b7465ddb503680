"""What goes with a provider's bill: how it is to be read."""

from collections.abc import Mapping

from marshmallow import EXCLUDE, Schema, ValidationError

from convstore.domain import calendar
from convstore.domain.billing import COLUMNS, Reading
from convstore.errors import InvalidRequest
from convstore.schemas import problems
from convstore.schemas.fields import QueryText

_NEEDED = ("day", "model")


class Reconcile(Schema):
    """Query parameters of `POST /v1/costs/reconcile`, whose body is CSV."""

    class Meta:
        unknown = EXCLUDE

    timezone = QueryText(longest=64, metadata={"description": "Of the bill's days; UTC unless told."})
    upstream = QueryText(longest=64, metadata={"description": "Only what was asked of this one."})
    currency = QueryText(longest=16, metadata={"description": "Of the amounts, where no column says it."})


def reading_of(given: Mapping[str, str]) -> tuple[Reading, str | None]:
    """How the file is to be read, and the upstream it is of, by query parameters. Raises InvalidRequest.

    `column.WHAT`: the name of the column that is it. `only.COLUMN`: the value that it must have.
    """
    try:
        asked = Reconcile().load(given)
    except ValidationError as error:
        raise problems.first(error) from error
    columns, only = _behind("column.", given), _behind("only.", given)
    for what in columns:
        if what not in COLUMNS:
            message = f"Unknown parameter: 'column.{what}'. A column can be one of: {', '.join(COLUMNS)}."
            raise InvalidRequest(message, param=f"column.{what}", code="unknown_parameter")
    for what in _NEEDED if columns else ():
        if what not in columns:
            raise problems.missing(f"column.{what}")
    name = asked.get("timezone") or "UTC"
    zone = calendar.named(name)
    if zone is None:
        message = f"Invalid 'timezone': '{name}' is no name of the IANA time zone database."
        raise InvalidRequest(message, param="timezone", code="invalid_value")
    return Reading(columns, only, zone, asked.get("currency")), asked.get("upstream")


def _behind(head: str, given: Mapping[str, str]) -> dict[str, str]:
    return {name[len(head) :]: value for name, value in given.items() if name.startswith(head)}


def bill_of(body: bytes) -> str:
    """The text of a file. Raises InvalidRequest."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"Invalid file: it is not UTF-8 text: {error.reason}.", code="invalid_file") from error
