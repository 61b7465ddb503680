"""The bodies and query parameters of exports."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema

from convstore.domain.exporting import FORMATS, Extent
from convstore.errors import InvalidRequest, UnsupportedParameter
from convstore.schemas import history, problems
from convstore.schemas.bodies import Open, read_closed
from convstore.schemas.fields import Object, QueryInteger, Text, Word

# What lists are asked by, and files are not.
_NOT_OF_FILES = ("sort", "order", "limit", "after", "before", "fields")
_SCOPES = (str(Extent.TREE), str(Extent.THREAD))


class ExportConversation(Schema):
    """Query parameters of `GET /v1/conversations/{id}/export`."""

    format = Word(*FORMATS, allow_none=False, metadata={"description": "jsonl unless told."})


class ExportResponse(ExportConversation):
    """Query parameters of `GET /v1/responses/{id}/export`."""

    scope = Word(
        *_SCOPES,
        allow_none=False,
        metadata={"description": "thread: what leads to it, unless told; tree: its conversation."},
    )


class CreateExport(Open):
    """`POST /v1/exports`."""

    format = Word(*FORMATS, metadata={"description": "jsonl unless told."})
    scope = Word(
        *Extent,
        metadata={
            "description": "tree: conversations with a match; thread: what leads to each; response: matches alone."
        },
    )
    filters = Object(metadata={"description": "As the query parameters of GET /v1/responses; everything unless told."})


class ListExports(Schema):
    """Query parameters of `GET /v1/exports`."""

    limit = QueryInteger(least=1, most=100, metadata={"description": "Exports a page, 20 unless told."})
    order = Word("asc", "desc", allow_none=False, metadata={"description": "desc (newest first) unless told."})
    after = Text(allow_none=False, metadata={"description": "The id of the last export of the page before."})
    before = Text(allow_none=False, metadata={"description": "The id of the first export of the page after."})


def wanted_export(body: bytes) -> dict[str, Any]:
    """What a body asks for, in the words of services/exports.py. Raises InvalidRequest, UnsupportedParameter."""
    members = read_closed(CreateExport, body or b"{}")
    given = {name: raw.value for name, raw in members.items() if raw.value is not None}
    return request(given.get("format", "jsonl"), given.get("scope"), _named(given.get("filters", {})))


def request(format: str, scope: str | None, filters: Mapping[str, str]) -> dict[str, Any]:
    """The same for a format, how much (None: as usual for it), and filters as in a query string."""
    wanted = history.wanted(*history.read(filters))
    asked = {name: wanted[name] for name in ("text", "filters", "metadata")}
    return {"format": format, "extent": extent(format, scope), "filters": dict(filters), "asked": asked}


def extent(format: str, scope: str | None) -> Extent:
    """How much of conversations: as usual for the format, unless told. Raises InvalidRequest."""
    possible = FORMATS[format].extents
    if scope is None:
        return possible[0]
    if scope not in possible:
        choice = " or ".join(f"'{each}'" for each in possible)
        raise InvalidRequest(
            f"Invalid value: '{scope}'. The format {format} has the scope {choice}.",
            param="scope",
            code="invalid_value",
        )
    return Extent(scope)


def _named(filters: Mapping[str, Any]) -> dict[str, str]:
    """Filters of a body as those of a query string: texts by name."""
    found: dict[str, str] = {}
    for name, value in filters.items():
        if name == "metadata" and isinstance(value, Mapping):
            found |= {f"{history.LABEL}{label}": _text(f"metadata.{label}", each) for label, each in value.items()}
        elif name in _NOT_OF_FILES or (
            name not in history.ListResponses._declared_fields and not name.startswith(history.LABEL)
        ):
            raise UnsupportedParameter(f"Unknown filter: '{name}'.", param=f"filters.{name}")
        elif value is not None:
            found[name] = _text(name, value)
    return found


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise InvalidRequest(
        f"Invalid type for 'filters.{name}': expected a string or a number, but got {problems.kind_of(value)} instead.",
        param=f"filters.{name}",
        code="invalid_type",
    )
