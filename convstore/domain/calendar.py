"""Days, weeks and months of a time zone, told from quarters of an hour of UTC: every zone's days begin with one."""

from datetime import UTC, date, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

UNITS = ("day", "week", "month")


@lru_cache(maxsize=100_000)
def unit(quarter: int, unit: str, zone: tzinfo) -> str:
    """The day ("2026-11-22"), the week ("2026-W47", as ISO 8601 counts) or the month ("2026-11") of a quarter."""
    day = datetime.fromtimestamp(quarter * 900, UTC).astimezone(zone).date()
    return _week(day) if unit == "week" else day.isoformat() if unit == "day" else f"{day:%Y-%m}"


def named(name: str) -> ZoneInfo | None:
    """The zone of an IANA name; None when there is none."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        return None


def _week(day: date) -> str:
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02}"
