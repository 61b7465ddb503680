"""The query parameters of the jobs' routes."""

from marshmallow import Schema

from convstore.domain.job import STATUSES
from convstore.schemas.fields import QueryInteger, QueryText, Word


class ListJobs(Schema):
    """Query parameters of `GET /v1/jobs`."""

    limit = QueryInteger(least=1, most=100, metadata={"description": "Jobs a page, 20 unless told."})
    order = Word("asc", "desc", allow_none=False, metadata={"description": "desc (newest first) unless told."})
    after = QueryText(metadata={"description": "The id of the last job of the page before."})
    before = QueryText(metadata={"description": "The id of the first job of the page after."})
    status = Word(*STATUSES, allow_none=False, metadata={"description": "Only jobs of this status."})
    kind = QueryText(longest=32, metadata={"description": "Only jobs of this kind."})
