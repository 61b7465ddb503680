"""The query parameters of reports of costs."""

from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError

from convstore.domain import calendar
from convstore.domain.costs import Only, Wanted
from convstore.errors import InvalidRequest
from convstore.schemas import problems
from convstore.schemas.fields import Moment, QueryInteger, QueryText, Text, Word

MOST_GROUPED = 3
USUAL = 100
GROUPS = (
    "conversation", "branch", "model", "requested_model", "upstream", "key", "user", *calendar.UNITS,
    "origin", "status", "service_tier", "currency",
)  # fmt: skip
OF_METADATA = "metadata."
FILTERS = ("model", "requested_model", "upstream", "key", "user", "origin", "status", "conversation", "currency")


def _filter(what: str) -> Text:
    # No engine takes NUL in a text.
    return QueryText(longest=255, metadata={"description": what})


class ReadCosts(Schema):
    """Query parameters of `GET /v1/costs`; `metadata.NAME=VALUE` besides."""

    group_by = QueryText(
        metadata={"description": f"Up to three, joined by commas, of {', '.join(GROUPS)}, metadata.NAME."},
    )
    since = Moment(data_key="from", allow_none=False, metadata={"description": "Requests of this moment or later."})
    until = Moment(data_key="to", allow_none=False, metadata={"description": "Requests before this moment."})
    timezone = QueryText(
        longest=64,
        metadata={"description": "Whose days, weeks and months; else those of CONVSTORE_TIMEZONE."},
    )
    model = _filter("Answers of this model, as they name it.")
    requested_model = _filter("Requests for this model.")
    upstream = _filter("Answers of this upstream.")
    key = _filter("Requests with the key of this id.")
    user = _filter("Requests for this user.")
    origin = _filter("create, branch or replay.")
    status = _filter("completed, incomplete, failed or cancelled.")
    conversation = _filter("Exchanges of this conversation.")
    currency = _filter("Costs in this currency.")
    what_if = QueryText(
        longest=255,
        shortest=1,
        metadata={"description": "The same usage on another model: MODEL, UPSTREAM/MODEL or PROVIDER:MODEL."},
    )
    price_set = QueryText(longest=64, metadata={"description": "The same usage by the prices of this set."})
    sort = Word("amount", "group", allow_none=False, metadata={"description": "amount unless told; times by time."})
    limit = QueryInteger(
        least=1, most=10_000, metadata={"description": "Groups a page, 100 unless told; all in a CSV file."}
    )
    after = QueryText(metadata={"description": "The last_id of the page before."})
    format = Word("json", "csv", allow_none=False, metadata={"description": "json unless told."})


def wanted(asked: dict[str, Any], metadata: Sequence[tuple[str, str]]) -> Wanted:
    """The report that checked parameters ask for. Raises InvalidRequest."""
    zone = calendar.named(asked["timezone"]) if "timezone" in asked else None
    if zone is None and "timezone" in asked:
        raise InvalidRequest(
            f"Invalid 'timezone': '{asked['timezone']}' is no zone of the IANA's, like 'Europe/Berlin'.",
            param="timezone",
            code="invalid_value",
        )
    return Wanted(
        by=groups(asked.get("group_by")),
        only=only(asked, metadata),
        zone=zone,
        by_group=asked.get("sort") == "group",
        limit=asked.get("limit", None if asked.get("format") == "csv" else USUAL),
        after=asked.get("after"),
        what_if=asked.get("what_if"),
        price_set=asked.get("price_set"),
    )


def of_query(query: Mapping[str, str]) -> Wanted:
    """The report that unchecked parameters ask for. Raises InvalidRequest."""
    try:
        asked = ReadCosts(unknown=EXCLUDE).load(dict(query))
    except ValidationError as error:
        raise problems.first(error) from error
    metadata = [(n.removeprefix(OF_METADATA), value) for n, value in query.items() if n.startswith(OF_METADATA)]
    return wanted(asked, metadata)


def groups(text: str | None) -> tuple[str, ...]:
    """What a report is grouped by. Raises InvalidRequest."""
    if text is None or not text.strip():
        return ()
    found = tuple(each.strip() for each in text.split(","))
    for each in found:
        if each not in GROUPS and not (each.startswith(OF_METADATA) and len(each) > len(OF_METADATA)):
            choice = ", ".join(f"'{known}'" for known in GROUPS)
            raise _wrong(f"'{each[:64]}' is none of {choice}, 'metadata.NAME'.")
    if len(set(found)) < len(found):
        raise _wrong("a group is named twice.")
    if len(found) > MOST_GROUPED:
        raise _wrong(f"at most {MOST_GROUPED} groups at a time.")
    return found


def only(asked: dict[str, Any], metadata: Sequence[tuple[str, str]]) -> Only:
    """Which exchanges a report is about. Raises InvalidRequest."""
    since, until = asked.get("since"), asked.get("until")
    if since is not None and until is not None and until <= since:
        raise InvalidRequest("Invalid 'to': it is not after 'from'.", param="to", code="invalid_value")
    return Only(since, until, {name: asked[name] for name in FILTERS if name in asked}, tuple(metadata))


def _wrong(why: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid 'group_by': {why}", param="group_by", code="invalid_value")
