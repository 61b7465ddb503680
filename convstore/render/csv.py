"""Reports of costs as CSV, one line for each group and currency, for spreadsheets.

A spreadsheet takes a text that begins like a formula for one, and runs it: such a text gets an apostrophe in front. A
group's counts stand in the first of its lines only, so that columns can be added up.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from convstore.domain.costs import TOKENS

TYPE = "text/csv; charset=utf-8"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
# What else is said of a key or a conversation beside its id.
_NAMES = {"key": "name", "conversation": "title"}


def report(found: Mapping[str, Any]) -> str:
    """The API's JSON of a report as lines; without groups, its totals."""
    by: Sequence[str] = found["group_by"]
    has_other = found["what_if"] is not None
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\r\n")
    heads = [head for each in by for head in ([each, f"{each}_{_NAMES[each]}"] if each in _NAMES else [each])]
    other = ("what_if", "difference") if has_other else ()
    lines.writerow(
        [text(each) for each in heads]
        + ["exchanges", *TOKENS, "not_billed", "unpriced", "currency", "amount", "estimated", *other]
    )
    for entry in found["data"] if by else [{"group": {}, **found["totals"]}]:
        lines.writerows(_lines(by, entry, has_other=has_other))
    return out.getvalue()


def text(said: object) -> str:
    """A text that no spreadsheet takes for a formula."""
    words = "" if said is None else str(said).replace("\0", "\u2400")
    return f"'{words}" if words.startswith(_FORMULA) else words


def _lines(by: Sequence[str], entry: Mapping[str, Any], *, has_other: bool) -> Iterator[list[Any]]:
    group = [cell for each in by for cell in _cells(each, entry["group"][each])]
    counts: list[Any] = [entry["exchanges"], *(entry[name] for name in TOKENS)]
    counts += [entry["not_billed"], entry["unpriced"]["exchanges"]]
    own = {each["currency"]: each for each in entry["costs"]}
    other = {each["currency"]: each["amount"] for each in entry["what_if"]["costs"]} if has_other else {}
    change = {each["currency"]: each["amount"] for each in entry["difference"]} if has_other else {}
    for currency in sorted({*own, *other}) or [""]:
        amounts = [own.get(currency, {}).get(name, "") for name in ("amount", "estimated")]
        more = [other.get(currency, ""), change.get(currency, "")] if has_other else []
        yield [*group, *counts, text(currency), *amounts, *more]
        counts = [""] * len(counts)


def _cells(dimension: str, value: Any) -> list[str]:
    if dimension not in _NAMES:
        return [text(value)]
    return [text(value["id"]), text(value.get(_NAMES[dimension]))] if value else ["", ""]
