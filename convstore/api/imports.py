"""`/v1/imports`: conversations that come, from a file of ours or of others."""

from io import BytesIO
from typing import Any, BinaryIO, cast

from flask import Response, request
from flask_smorest import Blueprint

from convstore.api import paging
from convstore.api.requests import deps, guard, json, principal, query
from convstore.errors import BodyTooLarge, InvalidRequest
from convstore.schemas.imports import CreateImport, ListImports
from convstore.services import imports
from convstore.services.imports import Wanted
from convstore.services.principal import Right

blueprint = Blueprint("imports", __name__, url_prefix="/v1/imports", description="Conversations that come.")
_FILE = {"schema": {"type": "string", "format": "binary"}}


@blueprint.route("", methods=["POST"])
@blueprint.doc(
    parameters=[{"in": "query", "schema": CreateImport}],
    requestBody={"required": True, "content": {"application/octet-stream": _FILE}},
)
@blueprint.response(202, description="The import, which a worker brings in.")
@guard(Right.WRITE)
def create() -> Response:
    """Import the file that is the body, or the part `file` of a form."""
    asked = query(CreateImport)
    wanted = Wanted(asked.get("format"), asked.get("ids", imports.KEEP), asked.get("dry_run", False))
    with _uploaded() as file:
        return json(imports.as_json(imports.create(deps(), principal(), wanted, file)), 202)


@blueprint.route("", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": ListImports}])
@blueprint.response(200, description="A page of imports.")
@guard(Right.READ)
def index() -> Response:
    """List the project's imports."""
    return json(paging.written(imports.listed(deps(), principal().project_id, paging.page(query(ListImports)))))


@blueprint.route("/<import_id>", methods=["GET"])
@blueprint.response(200, description="The import: how it stands, and what came of the records so far.")
@guard(Right.READ)
def get(import_id: str) -> Response:
    """Return an import."""
    return json(imports.as_json(imports.get(deps(), principal().project_id, import_id)))


def _uploaded() -> BinaryIO:
    """What was sent, to be read as it arrives. Raises InvalidRequest, BodyTooLarge."""
    if request.content_encoding not in (None, "", "identity"):
        raise InvalidRequest("Compressed request bodies are not supported. Send the file as it is.")
    # A file may be longer than any other body.
    longest = deps().max_import_bytes or None
    if longest is not None and (request.content_length or 0) > longest:
        raise BodyTooLarge
    if request.mimetype == "multipart/form-data":
        request.max_content_length = longest
        sent = request.files.get("file")
        if sent is None:
            raise InvalidRequest("The form has no part 'file'.", param="file", code="missing_required_parameter")
        return cast(BinaryIO, sent.stream)
    return cast(BinaryIO, _Body(request.environ["wsgi.input"], request.content_length))


class _Body(BytesIO):
    """The body, straight from the server: no more than it announced, and an error where it ends before."""

    def __init__(self, stream: Any, length: int | None) -> None:
        super().__init__()
        self._stream = stream
        self._left = length

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = size if size is not None and size >= 0 else 2**20
        if self._left is not None:
            wanted = min(wanted, self._left)
        try:
            block: bytes = self._stream.read(wanted) if wanted else b""
        except OSError as error:
            raise InvalidRequest("The connection broke before the file was complete.") from error
        if self._left is not None:
            if wanted and not block:
                raise InvalidRequest("The file ended before its Content-Length.")
            self._left -= len(block)
        return block
