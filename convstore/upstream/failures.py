"""What an upstream's error answer means for us and for our client.

An upstream's words are passed on where they are about the client's request, and never where they are about our key.
Only JSON errors are quoted; pages of HTML are not. Configured keys are struck out of every quotation.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from convstore.domain import jsontext
from convstore.domain.jsontext import NotJson
from convstore.errors import UpstreamError, UpstreamRefused

# About the request itself: the same again gives the same.
_CLIENTS_FAULT = frozenset({400, 404, 405, 409, 413, 415, 422})
_NO_CREDIT = frozenset({"insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached"})
_TOO_LONG = re.compile(r"context (?:window|length)|maximum context|too many tokens|exceeds? the (?:available )?context", re.I)
_QUOTED = 2000


def of_status(status: int, headers: Mapping[str, str], body: bytes, secrets: tuple[str, ...]) -> UpstreamError:
    """The error that an HTTP answer of 300 or more stands for."""
    said = _said(body)
    message = _clean(said.get("message"), secrets)
    code = _word(said.get("code"))
    retry_after_s = retry_after(headers)
    if status in (401, 403):
        return UpstreamRefused(
            "The model provider refused this service's credentials. Ask the operator to check the upstream's key.",
            status=status,
            permanent=True,
            code="upstream_authentication_failed",
        )
    if status in _CLIENTS_FAULT:
        if code is None and message and _TOO_LONG.search(message):
            code = "context_length_exceeded"
        return UpstreamRefused(
            message or f"The model provider rejected the request with status {status}.",
            status=status,
            permanent=True,
            param=_word(said.get("param")),
            code=code,
            error_type=_word(said.get("type")),
            passed_on=True,
        )
    if status == 429 or status == 402:
        return UpstreamRefused(
            message or "The model provider is limiting the rate of requests.",
            status=429,
            permanent=status == 402 or code in _NO_CREDIT,
            retry_after_s=retry_after_s,
            code=code or ("insufficient_quota" if status == 402 else "rate_limit_exceeded"),
            error_type=_word(said.get("type")),
            passed_on=True,
        )
    return UpstreamRefused(
        message or f"The model provider answered with status {status}.",
        status=status,
        permanent=status < 500,
        retry_after_s=retry_after_s,
        code=code or "upstream_error",
    )


def of_error(error: Mapping[str, Any], secrets: tuple[str, ...]) -> UpstreamError:
    """The error that an upstream sent in a stream, or in a body with status 200."""
    code = _word(error.get("code"))
    message = _clean(error.get("message"), secrets) or "The model provider reported an error."
    return UpstreamRefused(message, code=code or "server_error", permanent=code == "context_length_exceeded")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from retry-after-ms or Retry-After in either of its forms."""
    milliseconds = headers.get("retry-after-ms")
    try:
        if milliseconds is not None:
            return max(0.0, float(milliseconds) / 1000)
    except ValueError:
        pass
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def without(text: str, secrets: tuple[str, ...]) -> str:
    """The text with our own keys struck out."""
    for secret in secrets:
        text = text.replace(secret, "<redacted>")
    return text


def _said(body: bytes) -> Mapping[str, Any]:
    try:
        parsed = jsontext.loads(body)
    except NotJson:
        return {}
    if not isinstance(parsed, Mapping):
        return {}
    error = parsed.get("error", parsed)
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, Mapping) else {}


def _clean(message: Any, secrets: tuple[str, ...]) -> str | None:
    if not isinstance(message, str) or not message:
        return None
    return without(message, secrets).encode("utf-8", "replace").decode().replace("\0", "")[:_QUOTED]


def _word(value: Any) -> str | None:
    return value[:64] if isinstance(value, str) and value else None
