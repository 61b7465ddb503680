"""The query parameters of the routes that read trees."""

from marshmallow import Schema

from convstore.schemas.fields import QueryBoolean, QueryInteger, Text, Word

_AFTER = Text(allow_none=False, longest=255, metadata={"description": "The id of the page before's last exchange."})


class ReadTree(Schema):
    """Query parameters of `GET /v1/conversations/{id}/tree`."""

    root = Text(
        allow_none=False,
        longest=255,
        metadata={"description": "Only what hangs below this exchange or branch, itself included."},
    )
    depth = QueryInteger(least=0, most=2**31 - 1, metadata={"description": "Only so many levels below the top."})
    limit = QueryInteger(least=1, most=10_000, metadata={"description": "Exchanges a page, 1,000 unless told."})
    after = _AFTER


class ListExchanges(Schema):
    """Query parameters of the routes that list children and tips."""

    limit = QueryInteger(least=1, most=1_000, metadata={"description": "Exchanges a page, 100 unless told."})
    after = _AFTER


class ReadThread(Schema):
    """Query parameters of `GET /v1/responses/{id}/thread`."""

    items = QueryBoolean(metadata={"description": "false: without what was asked and answered; figures only."})
    limit = QueryInteger(least=1, most=10_000, metadata={"description": "Exchanges a page, 1,000 unless told."})
    after = _AFTER


class ReadContext(Schema):
    """Query parameters of `GET /v1/responses/{id}/context`."""

    format = Word(
        "json", "input", allow_none=False, metadata={"description": "input: the array the model was shown, alone."}
    )
