"""A provider's bill: what it says it was used for, by day and model, read from its CSV.

OpenAI's two exports are known by their columns; for others somebody says which column is what. What a file does not
say is None, and is not compared.
Source: the exports of OpenAI's usage page, whose columns are those of its usage and costs API.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal, InvalidOperation

from convstore.errors import BillUnreadable

OPENAI_USAGE = {
    "day": "start_time",
    "model": "model",
    "requests": "num_model_requests",
    "input_tokens": "input_tokens",
    "cached_tokens": "input_cached_tokens",
    "output_tokens": "output_tokens",
}
OPENAI_COSTS = {"day": "start_time", "model": "line_item", "amount": "amount_value", "currency": "amount_currency"}
# By what one tells them apart.
_KNOWN = {
    "openai-usage": (OPENAI_USAGE, {"start_time", "model", "num_model_requests", "input_tokens"}),
    "openai-costs": (OPENAI_COSTS, {"start_time", "line_item", "amount_value"}),
}
_LARGEST = 10**15
# No bill is of that year, or of a later one.
_NEVER = 3000


# What was used of a model in a day: those of FIGURES that are said.
Used = Mapping[str, Decimal]
FIGURES = ("requests", "input_tokens", "cached_tokens", "output_tokens", "total_tokens", "amount")
# What a column can be taken for.
COLUMNS = ("day", "model", *FIGURES, "currency")


@dataclass(frozen=True, slots=True)
class Place:
    """A day of a model, and the currency where money is spoken of."""

    day: date
    model: str
    currency: str | None


@dataclass(frozen=True, slots=True)
class Bill:
    """format: which export it is, or "mapped". used: by place."""

    format: str
    used: Mapping[Place, Used]

    @property
    def days(self) -> tuple[date, date]:
        """The first and the last."""
        days = [place.day for place in self.used]
        return min(days), max(days)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is to be read.

    columns: which column (value) is what (key of COLUMNS); empty: it is one of OpenAI's. only: values that columns must
    have, else a line is passed over. zone: of days that come with a time. currency: where no column says it.
    """

    columns: Mapping[str, str]
    only: Mapping[str, str]
    zone: tzinfo = UTC
    currency: str | None = None


def read(text: str, reading: Reading) -> Bill:
    """The bill in a CSV. Raises BillUnreadable, which names the line and the column."""
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        names = list(rows.fieldnames or ())
    except csv.Error as error:
        raise BillUnreadable(1, None, f"it is not CSV: {error}") from error
    kind, columns = _columns(names, reading)
    used: dict[Place, Used] = {}
    for line, row in _rows(rows):
        if any(row.get(name) != value for name, value in reading.only.items()):
            continue
        place, figures = _line(row, columns, reading, line)
        used[place] = plus(used.get(place, {}), figures)
    if not used:
        raise BillUnreadable(rows.line_num, None, "no line of the file is left to be compared")
    return Bill(kind, used)


def plus(one: Used, other: Used) -> Used:
    """The sums, figure by figure."""
    return {name: one.get(name, 0) + other.get(name, Decimal(0)) for name in FIGURES if name in one or name in other}


def _columns(names: list[str], reading: Reading) -> tuple[str, Mapping[str, str]]:
    """What the file is, and which column is what. Raises BillUnreadable."""
    for name in reading.only:
        if name not in names:
            raise BillUnreadable(1, name, f"there is no column '{name}' ({_listed(names)})")
    if reading.columns:
        for name in reading.columns.values():
            if name not in names:
                raise BillUnreadable(1, name, f"there is no column '{name}' ({_listed(names)})")
        return "mapped", reading.columns
    for kind, (columns, needed) in _KNOWN.items():
        if needed <= set(names):
            return kind, {what: name for what, name in columns.items() if name in names}
    raise BillUnreadable(
        1, None, f"these are no columns of an export that is known ({_listed(names)}): say which is what"
    )


def _rows(rows: "csv.DictReader[str]") -> Iterator[tuple[int, dict[str, str]]]:
    try:
        for row in rows:
            if None in row or None in row.values():
                raise BillUnreadable(rows.line_num, None, "it has another number of values than there are columns")
            yield rows.line_num, row
    except csv.Error as error:
        raise BillUnreadable(rows.line_num, None, f"it is not CSV: {error}") from error


def _line(row: Mapping[str, str], columns: Mapping[str, str], reading: Reading, line: int) -> tuple[Place, Used]:
    def told(what: str) -> str | None:
        return row[columns[what]].strip() or None if what in columns else None

    def number(what: str) -> Decimal | None:
        said = told(what)
        if said is None:
            return None
        try:
            amount = Decimal(said.replace(",", ""))
        except InvalidOperation:
            amount = Decimal("NaN")
        if not amount.is_finite() or abs(amount) > _LARGEST:
            raise BillUnreadable(line, columns[what], f"'{said[:40]}' is no number")
        if what != "amount" and (amount != int(amount) or amount < 0):
            raise BillUnreadable(line, columns[what], f"'{said[:40]}' is no whole number of 0 or more")
        return amount

    model = told("model")
    if model is None:
        raise BillUnreadable(line, columns["model"], "the model is missing")
    currency = (told("currency") or reading.currency or "").upper() or None
    if columns["model"] == OPENAI_COSTS["model"]:
        model = model.partition(",")[0].strip()  # "gpt-5.4, cached input"
    day = _day(told("day"), columns["day"], reading.zone, line)
    figures = {what: amount for what in FIGURES if (amount := number(what)) is not None}
    return Place(day, model, currency if "amount" in figures else None), figures


def _day(said: str | None, column: str, zone: tzinfo, line: int) -> date:
    unreadable = BillUnreadable(line, column, f"'{(said or '')[:40]}' is no day")
    try:
        if said is not None and said.isdigit() and len(said) != 8:
            day = datetime.fromtimestamp(int(said), UTC).astimezone(zone).date()
        else:
            moment = datetime.fromisoformat((said or "").replace("/", "-").replace(" UTC", "+00:00"))
            day = moment.date() if moment.tzinfo is None else moment.astimezone(zone).date()
    except (ValueError, OverflowError, OSError) as error:
        raise unreadable from error
    # Days at the ends of the calendar have no day beside them, in any zone.
    if not 1970 <= day.year < _NEVER:
        raise unreadable
    return day


def _listed(names: list[str]) -> str:
    return "columns: " + ", ".join(name[:40] for name in names[:20])
