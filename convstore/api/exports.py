"""Exports: a conversation or a thread at once, and `/v1/exports`: many, made by a worker and downloaded."""

import re
from collections.abc import Iterator
from itertools import chain

from flask import Response, request
from flask_smorest import Blueprint

from convstore.api import paging
from convstore.api.requests import body, deps, guard, json, principal, query
from convstore.domain import jsontext
from convstore.domain.exporting import FORMATS, Extent
from convstore.domain.manifest import Tally
from convstore.errors import InvalidRequest
from convstore.schemas.exports import (
    CreateExport,
    ExportConversation,
    ExportResponse,
    ListExports,
    extent,
    wanted_export,
)
from convstore.services import exporting, exports, selecting
from convstore.services.exports import Request
from convstore.services.principal import Right
from convstore.services.selecting import Wanted

blueprint = Blueprint("exports", __name__, url_prefix="/v1", description="Conversations that leave.")
_RANGE = re.compile(r"bytes=(\d{1,15})-(\d{1,15})?\Z")


@blueprint.route("/conversations/<conversation_id>/export", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": ExportConversation}])
@blueprint.response(200, description="The file, as it is made.")
@guard(Right.READ)
def conversation(conversation_id: str) -> Response:
    """Export a conversation: its whole tree."""
    asked = query(ExportConversation)
    wanted = selecting.conversation(deps(), principal().project_id, conversation_id, Extent.TREE)
    return _file(asked.get("format", "jsonl"), wanted, conversation_id)


@blueprint.route("/responses/<response_id>/export", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": ExportResponse}])
@blueprint.response(200, description="The file, as it is made.")
@guard(Right.READ)
def response(response_id: str) -> Response:
    """Export the thread that leads to a response, or the whole conversation it is in."""
    asked = query(ExportResponse)
    kind = asked.get("format", "jsonl")
    much = extent(kind, asked.get("scope", str(Extent.THREAD)))
    wanted = selecting.response(deps(), principal().project_id, response_id, much)
    return _file(kind, wanted, response_id)


@blueprint.route("/exports", methods=["POST"])
@blueprint.doc(requestBody={"content": {"application/json": {"schema": CreateExport}}})
@blueprint.response(202, description="The export, which a worker makes.")
@guard(Right.READ)
def create() -> Response:
    """Export what filters find, or everything."""
    wanted = Request.of(wanted_export(body()))
    return json(exports.as_json(exports.create(deps(), principal(), wanted)), 202)


@blueprint.route("/exports", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": ListExports}])
@blueprint.response(200, description="A page of exports.")
@guard(Right.READ)
def index() -> Response:
    """List the project's exports."""
    return json(paging.written(exports.listed(deps(), principal().project_id, paging.page(query(ListExports)))))


@blueprint.route("/exports/<export_id>", methods=["GET"])
@blueprint.response(200, description="The export: how it stands, and its manifest.")
@guard(Right.READ)
def get(export_id: str) -> Response:
    """Return an export."""
    return json(exports.as_json(exports.get(deps(), principal().project_id, export_id)))


@blueprint.route("/exports/<export_id>", methods=["DELETE"])
@blueprint.response(200, description="That it is gone.")
@guard(Right.WRITE)
def delete(export_id: str) -> Response:
    """Delete an export and its file; one that is being made is cancelled."""
    exports.delete(deps(), principal().project_id, export_id)
    return json(jsontext.dumps({"id": export_id, "object": "export", "deleted": True}))


@blueprint.route("/exports/<export_id>/content", methods=["GET"])
@blueprint.response(200, description="The file.")
@blueprint.alt_response(206, description="The part of it that a Range asked for.")
@guard(Right.READ)
def content(export_id: str) -> Response:
    """Download the file of an export, or go on with a download that broke off."""
    project_id = principal().project_id
    found = exports.get(deps(), project_id, export_id)
    size = found.size or 0
    part = _part(size)
    start, end = part or (0, size)
    pieces = exports.content(deps(), project_id, export_id, start, end)
    answer = _attached(pieces, found.format, export_id)
    answer.status_code = 206 if part else 200
    answer.headers["Content-Length"] = str(end - start)
    answer.headers["Accept-Ranges"] = "bytes"
    if part:
        answer.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return answer


def _part(size: int) -> tuple[int, int] | None:
    """Where the part begins and ends that is asked for; None: all of it is. Raises InvalidRequest."""
    asked = request.headers.get("Range")
    if asked is None:
        return None
    found = _RANGE.match(asked)
    start = int(found[1]) if found else 0
    end = min(size, int(found[2]) + 1) if found and found[2] else size
    if found is None or start >= end:
        raise InvalidRequest(
            f"Invalid header 'Range': expected bytes=FIRST- or bytes=FIRST-LAST within {size} bytes.",
            param="Range",
            code="invalid_value",
        )
    return start, end


def _file(format: str, wanted: Wanted, name: str) -> Response:
    exporting.check(format)
    return _attached(exporting.pieces(deps(), principal().project_id, format, wanted, Tally(format)), format, name)


def _attached(pieces: Iterator[bytes], format: str, name: str) -> Response:
    """A file as it is made, or read. What is wrong with its beginning is said in an error, not in the file."""
    known = FORMATS[format]
    answer = Response(chain([next(pieces, b"")], pieces), content_type=known.type)
    # Names of branches may hold anything; a header does not.
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:100]
    answer.headers["Content-Disposition"] = f'attachment; filename="{plain}.{known.ending}"'
    return answer
