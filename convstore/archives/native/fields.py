"""The members of a line of the native format, checked: a stranger may have written it.

Each reader takes a member's value, and gives what the store keeps. What does not fit is a Misfit, which names the
member and never says what stood in it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

from convstore import ids
from convstore.domain import jsontext, money, usage
from convstore.domain.items import column
from convstore.domain.jsontext import Raw
from convstore.domain.pricing import cost
from convstore.domain.pricing.cost import Cost
from convstore.domain.response import OURS
from convstore.domain.usage import LARGEST, Usage

Members = Mapping[str, Raw]
Texts = Callable[[], Members]
# Members of a request that are read with their insides.
_SETTINGS: Mapping[str, Any] = {
    "model": str,
    "instructions": str,
    "text": dict,
    "reasoning": dict,
    "tools": list,
    "tool_choice": (str, dict),
    "stream_options": dict,
    "include": list,
}
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 1, 1, tzinfo=UTC)


class Misfit(ValueError):
    """A member is missing, or is not what it should be."""

    def __init__(self, member: str, expected: str) -> None:
        super().__init__(f"'{member}': expected {expected}")


@dataclass(frozen=True, slots=True)
class Line:
    """The members of an object, by name. within: what the object is called, when it is part of another.

    texts: the members with the text of each. Of most objects nobody wants that, and it takes reading them again.
    """

    values: Mapping[str, Any]
    texts: Texts
    within: str = ""

    def has(self, name: str) -> bool:
        """Whether there is a member that is not null."""
        return self.values.get(name) is not None

    def value(self, name: str) -> Any:
        """A member's value; None where there is none."""
        return self.values.get(name)

    def need(self, name: str, read: Callable[["Line", str], Any]) -> Any:
        """A member that must be there."""
        if not self.has(name):
            raise self.misfit(name, "a value")
        return read(self, name)

    def misfit(self, name: str, expected: str) -> Misfit:
        return Misfit(f"{self.within}{name}", expected)

    # -- what a member can be ---------------------------------------------------------------------------------

    def text(self, name: str, longest: int = 255) -> str | None:
        """A text as columns take it."""
        found = self.value(name)
        if found is None:
            return None
        if not isinstance(found, str) or (found and column(found, longest) != found):
            raise self.misfit(name, f"a text of {longest} characters at most, without NUL")
        return found

    def word(self, name: str, *words: str) -> str | None:
        """One of some words."""
        found = self.value(name)
        if found is not None and found not in words:
            raise self.misfit(name, f"one of {', '.join(words)}")
        return found  # type: ignore[no-any-return]

    def id(self, name: str, prefix: str) -> str | None:
        """An id of ours."""
        found = self.value(name)
        if found is not None and (not isinstance(found, str) or ids.pack(prefix, found) is None):
            raise self.misfit(name, f"an id, {prefix}_ and 32 hexadecimal digits")
        return found

    def time(self, name: str) -> datetime | None:
        """A moment, in UTC to the microsecond."""
        found = self.value(name)
        if found is None:
            return None
        try:
            moment = datetime.fromisoformat(found)
        except (ValueError, TypeError):
            moment = None
        if moment is None or moment.tzinfo is None or not _EARLIEST <= moment <= _LATEST:
            raise self.misfit(name, "a moment, as 2026-11-22T12:00:00.000001Z")
        return moment.astimezone(UTC)

    def count(self, name: str, most: int = LARGEST) -> int | None:
        """A whole number that is not negative."""
        found = self.value(name)
        if found is not None and (not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= most):
            raise self.misfit(name, "a whole number, 0 or more")
        return found

    def digest(self, name: str, size: int) -> bytes | None:
        """Bytes in hexadecimal."""
        found = self.value(name)
        try:
            digest = None if found is None else bytes.fromhex(found)
        except (ValueError, TypeError):
            digest = b""
        if digest is not None and len(digest) != size:
            raise self.misfit(name, f"{2 * size} hexadecimal digits")
        return digest

    def raw(self, name: str, kind: type | tuple[type, ...] = dict) -> Raw | None:
        """JSON with its exact text: as it stands, or in a string under the name with `_text` behind it."""
        if name in self.values:
            if self.values[name] is None:
                return None
            raw = self.texts()[name]
        elif (found := self._of_string(f"{name}_text")) is not None:
            raw = found
        else:
            return None
        if not isinstance(raw.value, kind):
            raise self.misfit(name, "a JSON object")
        return raw

    def json(self, name: str) -> bytes | None:
        """The exact text of a JSON object."""
        raw = self.raw(name)
        return raw.text.encode() if raw else None

    def labels(self, name: str) -> bytes | None:
        """Names and texts, as databases take them."""
        raw = self.raw(name)
        if raw is None:
            return None
        if jsontext.unstorable(raw.text) or not all(isinstance(each, str) for each in raw.value.values()):
            raise self.misfit(name, "names and texts, without NUL and halves of characters")
        return raw.text.encode()

    def settings(self, name: str) -> bytes | None:
        """What a request said besides its input."""
        raw = self.raw(name)
        if raw is None:
            return None
        for member, value in raw.value.items():
            if value is not None and not isinstance(value, _SETTINGS.get(member, object)):
                raise self.misfit(f"{name}.{member}", "what a request can say")
            if member == "tools" and not all(isinstance(tool, dict) for tool in value or ()):
                raise self.misfit(f"{name}.tools", "a list of JSON objects")
        return raw.text.encode()

    def reply(self, name: str) -> bytes | None:
        """What an upstream said besides its answer."""
        raw = self.raw(name)
        if raw is None:
            return None
        if OURS & raw.value.keys():
            raise self.misfit(name, "no member that is ours to say")
        return raw.text.encode()

    def object(self, name: str) -> "Line | None":
        """An object, by its members."""
        found = self.value(name)
        if found is None:
            return None
        if not isinstance(found, dict):
            raise self.misfit(name, "a JSON object")
        return Line(found, lambda: jsontext.members(self.texts()[name].text), f"{self.within}{name}.")

    def objects(self, name: str) -> "list[Line]":
        """The objects of a list; the line was split there."""
        found = self.value(name)
        if found is None:
            return []
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise self.misfit(name, "a list of JSON objects")
        parts = self.texts()[name].elements or ()
        return [
            Line(each.value, partial(jsontext.members, each.text), f"{self.within}{name}[{at}].")
            for at, each in enumerate(parts)
        ]

    def usage(self, name: str) -> Usage | None:
        """Token counts."""
        found = self.object(name)
        if found is None:
            return None
        return Usage(*(found.count(each) or 0 for each in usage.COLUMNS))

    def cost(self, name: str) -> Cost:
        """What something cost."""
        found = self.object(name)
        if found is None:
            raise self.misfit(name, "a JSON object")
        amount = found._amount("amount")
        detail = found.object("detail")
        try:
            read = cost.of_detail(
                detail.values if detail else None,
                str(found.value("basis")),
                found.value("reason"),
                amount,
                found.text("currency", 16),
            )
        except (ValueError, TypeError, KeyError, InvalidOperation) as error:
            raise self.misfit(name, "a cost as it was exported") from error
        if (read.amount is None) != (read.basis == cost.Basis.UNKNOWN):
            raise self.misfit(name, "an amount where it is known, and nowhere else")
        return read

    def _amount(self, name: str) -> Decimal | None:
        found = self.text(name, 64)
        if found is None:
            return None
        try:
            amount = Decimal(found)
        except InvalidOperation:
            amount = Decimal(-1)
        if not (amount.is_finite() and 0 <= amount <= money.LARGEST and money.rounded(amount) == amount):
            raise self.misfit(name, "an amount of money with twelve places at most")
        return amount

    def _of_string(self, name: str) -> Raw | None:
        text = self.value(name)
        if text is None:
            return None
        if not isinstance(text, str):
            raise self.misfit(name, "a text that is JSON")
        try:
            (raw,) = jsontext.elements(f"[{text}]")
        except (jsontext.NotJson, ValueError) as error:
            raise self.misfit(name, "a text that is JSON") from error
        # As it came, with the space around it.
        return Raw(raw.value, text)
