"""Moments as strangers write them: seconds since 1970, or the words of ISO 8601. Nonsense is no moment."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
# The year 2200: whoever counts milliseconds is beyond it.
_LATEST_S = 7_258_118_400
# Python's own reader knows six digits of a second; others write up to nine.
_FRACTION = re.compile(r"(\.\d{6})\d+")
_LONGEST = 40


def moment(value: Any) -> datetime | None:
    """Aware, in UTC. What names no zone is taken to be in UTC."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _counted(value)
    return _written(value) if isinstance(value, str) and len(value) <= _LONGEST else None


def first(*values: Any) -> datetime | None:
    """The first of them that is a moment."""
    return next((found for found in map(moment, values) if found), None)


def _counted(seconds: float) -> datetime | None:
    # Also false of what is not a number.
    if not 0 < seconds < _LATEST_S:
        return None
    return _BEGINNING + timedelta(microseconds=round(seconds * 1_000_000))


def _written(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(_FRACTION.sub(r"\1", text.strip()))
        found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return found if 0 < (found - _BEGINNING).total_seconds() < _LATEST_S else None
