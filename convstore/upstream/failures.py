"""What an upstream's error answer means for us and for our client.

An upstream's words are passed on where they are about the client's request, and never where they are about our key.
Only JSON errors are quoted; pages of HTML are not. Configured keys are struck out of every quotation.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any

from convstore.domain import jsontext
from convstore.domain.jsontext import NotJson
from convstore.errors import UpstreamError, UpstreamRefused

# About the request itself: the same again gives the same.
_CLIENTS_FAULT = frozenset({400, 404, 405, 409, 413, 415, 422})
_NO_CREDIT = frozenset({"insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached"})
_TOO_LONG = re.compile(
    r"context (?:window|length)|maximum context|too many tokens|exceeds? the (?:available )?context", re.I
)
_QUOTED = 2000
_YEAR_S = 366 * 86400.0


def of_status(status: int, headers: Mapping[str, str], body: bytes, secrets: tuple[str, ...]) -> UpstreamError:
    """The error that an HTTP answer of 300 or more stands for."""
    said = _said(body)
    message = _clean(said.get("message"), secrets)
    code = _word(said.get("code"), secrets)
    retry_after_s = retry_after(headers)
    if status in (401, 403):
        return _credentials(status)
    if status in _CLIENTS_FAULT:
        if code is None and message and _TOO_LONG.search(message):
            code = "context_length_exceeded"
        return UpstreamRefused(
            message or f"The model provider rejected the request with status {status}.",
            status=status,
            permanent=True,
            param=_word(said.get("param"), secrets),
            code=code,
            error_type=_word(said.get("type"), secrets),
            passed_on=True,
        )
    if status == 429 or status == 402:
        return UpstreamRefused(
            message or "The model provider is limiting the rate of requests.",
            status=429,
            permanent=status == 402 or code in _NO_CREDIT,
            retry_after_s=retry_after_s,
            code=code or ("insufficient_quota" if status == 402 else "rate_limit_exceeded"),
            error_type=_word(said.get("type"), secrets),
            passed_on=True,
        )
    return UpstreamRefused(
        message or f"The model provider answered with status {status}.",
        status=status,
        permanent=status < 500,
        retry_after_s=retry_after_s,
        code=code or "upstream_error",
    )


def discreet(error: UpstreamRefused, secrets: tuple[str, ...]) -> UpstreamRefused:
    """The error without our own keys in it, and without a word of it where it is about them."""
    if error.status in (401, 403):
        return _credentials(error.status)
    return UpstreamRefused(
        _clean(error.message, secrets),
        status=error.status,
        permanent=error.permanent,
        retry_after_s=error.retry_after_s,
        param=_word(error.param, secrets),
        code=_word(error.code, secrets),
        error_type=_word(error.error_type, secrets),
        passed_on=error.passed_on,
    )


def of_error(error: Mapping[str, Any], secrets: tuple[str, ...]) -> UpstreamError:
    """The error that an upstream sent in a stream, or in a body with status 200."""
    code = _word(error.get("code"), secrets)
    message = _clean(error.get("message"), secrets) or "The model provider reported an error."
    return UpstreamRefused(message, code=code or "server_error", permanent=code == "context_length_exceeded")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from retry-after-ms or Retry-After in either of its forms; None for what is no such time."""
    seconds = _seconds(headers.get("retry-after-ms"), 0.001)
    if seconds is not None:
        return seconds
    value = headers.get("retry-after")
    seconds = _seconds(value)
    if value is None or seconds is not None:
        return seconds
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def without(text: str, secrets: tuple[str, ...]) -> str:
    """The text with our own keys struck out."""
    for secret in secrets:
        text = text.replace(secret, "<redacted>")
    return text


def _seconds(value: str | None, unit_s: float = 1.0) -> float | None:
    """The number in a header, a year at most; infinity is none."""
    try:
        number = float(value or "")
    except ValueError:
        return None
    return min(max(0.0, number * unit_s), _YEAR_S) if isfinite(number) else None


def _credentials(status: int) -> UpstreamRefused:
    return UpstreamRefused(
        "The model provider refused this service's credentials. Ask the operator to check the upstream's key.",
        status=status,
        permanent=True,
        code="upstream_authentication_failed",
    )


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


def _word(value: Any, secrets: tuple[str, ...]) -> str | None:
    return without(value, secrets)[:64] if isinstance(value, str) and value else None
