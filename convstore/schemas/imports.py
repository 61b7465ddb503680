"""The query parameters of imports."""

from marshmallow import Schema

from convstore.archives.formats import ALL
from convstore.schemas.fields import QueryBoolean, QueryInteger, Text, Word

IDS = ("keep", "new")


class CreateImport(Schema):
    """Query parameters of `POST /v1/imports`, whose body is the file."""

    format = Word(*ALL, allow_none=False, metadata={"description": "What the file is; told by its beginning else."})
    ids = Word(
        *IDS, allow_none=False, metadata={"description": "keep unless told; new makes a copy beside the original."}
    )
    dry_run = QueryBoolean(metadata={"description": "Say what would come of it, and keep nothing."})


class ListImports(Schema):
    """Query parameters of `GET /v1/imports`."""

    limit = QueryInteger(least=1, most=100, metadata={"description": "Imports a page, 20 unless told."})
    order = Word("asc", "desc", allow_none=False, metadata={"description": "desc (newest first) unless told."})
    after = Text(allow_none=False, metadata={"description": "The id of the last import of the page before."})
    before = Text(allow_none=False, metadata={"description": "The id of the first import of the page after."})
