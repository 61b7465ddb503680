"""Errors on the wire: the four-key envelope, the status, and whether trying again can help.

The only place that knows both our errors and HTTP. Source: docs/api.md, errors.
"""

import math

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from convstore import errors
from convstore.domain import jsontext
from convstore.errors import ConvstoreError, UpstreamError
from convstore.telemetry import logs

# The first class that fits. Those that cannot change by trying again say so in a header that the SDKs obey.
_STATUSES: tuple[tuple[type[ConvstoreError], int, str, bool], ...] = (
    (errors.BodyTooLarge, 413, "invalid_request_error", False),
    (errors.ConversationLocked, 400, "invalid_request_error", True),
    (errors.InvalidRequest, 400, "invalid_request_error", False),
    (errors.Unauthenticated, 401, "invalid_request_error", False),
    (errors.Forbidden, 403, "invalid_request_error", False),
    (errors.BudgetExhausted, 429, "insufficient_quota", False),
    (errors.NotFound, 404, "invalid_request_error", False),
    (errors.IdempotencyMismatch, 409, "invalid_request_error", False),
    (errors.ContentUnreadable, 409, "invalid_request_error", False),
    (errors.ContentShredded, 410, "invalid_request_error", False),
    (errors.Conflict, 409, "invalid_request_error", True),
    (errors.AnswerNotStored, 503, "service_unavailable_error", False),
    (errors.StorageUnavailable, 503, "service_unavailable_error", True),
    (errors.UpstreamTimeout, 504, "server_error", True),
    (errors.UpstreamBusy, 503, "service_unavailable_error", True),
    (errors.UpstreamError, 502, "server_error", True),
    (ConvstoreError, 500, "server_error", True),
)
_UPSTREAM_TYPES = {429: "rate_limit_error", 503: "service_unavailable_error"}


def register(app: Flask) -> None:
    """Answer every failure in the API's form."""
    app.register_error_handler(ConvstoreError, _ours)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)


def status_of(error: Exception) -> int:
    """The status that an error is answered with."""
    if isinstance(error, UpstreamError) and error.passed_on and error.status is not None:
        return error.status
    if isinstance(error, HTTPException):
        return error.code or 500
    return next((status for cls, status, _, _ in _STATUSES if isinstance(error, cls)), 500)


def envelope(
    status: int, message: str, kind: str, *, param: str | None = None, code: str | None = None, retry: bool = False
) -> Response:
    """`{"error": {message, type, param, code}}`: all four keys, always."""
    body = jsontext.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})
    response = Response(body, status, content_type="application/json")
    if not retry and (status != 429 or code == "insufficient_quota"):
        response.headers["x-should-retry"] = "false"
    return response


def _ours(error: ConvstoreError) -> Response:
    status, kind, retry = next((s, k, r) for cls, s, k, r in _STATUSES if isinstance(error, cls))
    if not isinstance(error, UpstreamError):
        if status >= 500:
            logs.get().error("unavailable", code=error.code, reason=error.message, cause=repr(error.__cause__)[:300])
        return envelope(status, error.message, kind, param=error.param, code=error.code, retry=retry)
    if error.passed_on and error.status is not None:
        status = error.status
        kind = error.error_type or _UPSTREAM_TYPES.get(status, "invalid_request_error")
    elif error.status == 503:
        status, kind = 503, "service_unavailable_error"
    response = envelope(
        status, error.message, kind, param=error.param, code=error.code, retry=retry and not error.permanent
    )
    if error.permanent:
        response.headers["x-should-retry"] = "false"
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    return response


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    if isinstance(error, NotFound):
        return envelope(404, f"Invalid URL ({request.method} {request.path})", "invalid_request_error")
    if isinstance(error, MethodNotAllowed):
        response = envelope(
            405,
            f"Not allowed to {request.method} on {request.path}.",
            "invalid_request_error",
            code="method_not_supported",
        )
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        return response
    if isinstance(error, RequestEntityTooLarge):
        too_large = errors.BodyTooLarge()
        return envelope(413, too_large.message, "invalid_request_error", code=too_large.code)
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return envelope(status, error.description or error.name, kind, retry=status >= 500)


def _unexpected(error: Exception) -> Response:
    logs.get().exception("unexpected_error", error=type(error).__name__)
    message = "The server had an error while processing your request. Sorry about that!"
    return envelope(500, message, "server_error", code="server_error", retry=True)
