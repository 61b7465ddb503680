"""A request on record: no answer leaves before the audit log has its entry."""

from collections.abc import Callable

from flask import Response, g

from convstore.api.errors import status_of
from convstore.domain import calls
from convstore.domain.audit import outcome_of, plain
from convstore.domain.calls import Call
from convstore.errors import ConvstoreError, StorageUnavailable
from convstore.services import audit
from convstore.services.deps import Deps


def on_record(deps: Deps, call: Call, answer: Callable[[], Response]) -> Response:
    """The answer to a call, with its entry on disk. Raises StorageUnavailable where it cannot be."""
    with calls.going_on(call):
        try:
            response = answer()
        except Exception as error:
            code = error.code if isinstance(error, ConvstoreError) else None
            try:
                audit.fail(deps, call, outcome_of(status_of(error)), plain(code, 64))
            except StorageUnavailable:
                # The first that went wrong is what the client hears of, if it is the same.
                if not isinstance(error, StorageUnavailable):
                    raise
            raise
        call.object = call.object or g.get("response_id")
        try:
            if response.status_code >= 400:
                audit.fail(deps, call, outcome_of(response.status_code), None)
            else:
                audit.finish(deps, call)
        except BaseException:
            response.close()
            raise
        return response
