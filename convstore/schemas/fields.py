"""Fields that are as strict as the API: no string is taken for a number, and null is always "not given"."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from marshmallow import Schema, ValidationError, fields

from convstore.schemas.problems import bad_value, invalid, wrong_type


class _Field(fields.Field[Any]):
    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("allow_none", True)
        super().__init__(**kwargs)


class Text(_Field):
    """A string, with a length and a pattern if they matter."""

    def __init__(
        self, *, longest: int | None = None, shortest: int = 0, pattern: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.longest = longest
        self.shortest = shortest
        self.pattern = re.compile(pattern) if pattern else None

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise wrong_type("a string", value)
        if self.longest is not None and len(value) > self.longest:
            raise invalid(
                "string_above_max_length",
                f"Invalid '{{param}}': string too long. Expected a string with maximum length {self.longest}, "
                f"but got a string with length {len(value)} instead.",
            )
        if len(value) < self.shortest:
            raise invalid(
                "string_below_min_length",
                f"Invalid '{{param}}': string too short. Expected a string with minimum length {self.shortest}, "
                f"but got a string with length {len(value)} instead.",
            )
        if self.pattern is not None and not self.pattern.fullmatch(value):
            raise invalid(
                "invalid_value",
                "Invalid '{param}': string does not match pattern. Expected a string that matches the pattern "
                f"'^{self.pattern.pattern}$'.".replace("{param}", "\0")
                .replace("{", "{{")
                .replace("}", "}}")
                .replace("\0", "{param}"),
            )
        return value


class QueryText(Text):
    """One of a query string, where null does not occur. PostgreSQL has no text with a NUL in it."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("pattern", r"[^\x00]*")
        super().__init__(allow_none=False, **kwargs)


class Boolean(_Field):
    """true or false."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise wrong_type("a boolean", value)
        return value


class Number(_Field):
    """A number in a range, ends included."""

    kind, expected = "decimal", "a decimal"

    def __init__(self, *, least: float | None = None, most: float | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.least = least
        self.most = most

    def accepts(self, value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not self.accepts(value):
            raise wrong_type(self.expected, value)
        if self.least is not None and value < self.least:
            raise self._outside("below_min", "below minimum", ">=", self.least, value)
        if self.most is not None and value > self.most:
            raise self._outside("above_max", "above maximum", "<=", self.most, value)
        return value

    def _outside(self, code: str, words: str, sign: str, bound: float, value: Any) -> ValidationError:
        return invalid(
            f"{self.kind}_{code}_value",
            f"Invalid '{{param}}': {self.kind} {words} value. Expected a value {sign} {bound}, "
            f"but got {str(value)[:40]} instead.",
        )


class Integer(Number):
    """A whole number in a range. Up to 2^53: beyond, clients in JavaScript no longer agree on it."""

    kind, expected = "integer", "an integer"

    def __init__(self, *, least: int | None = None, most: int = 2**53, **kwargs: Any) -> None:
        super().__init__(least=least, most=most, **kwargs)

    def accepts(self, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool)


class QueryInteger(Integer):
    """The same, written as text in a query string."""

    def accepts(self, value: Any) -> bool:
        return True

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not re.fullmatch(r"-?[0-9]{1,18}", str(value)):
            raise wrong_type("an integer", value)
        return super()._deserialize(int(value), attr, data, **kwargs)


class QueryBoolean(_Field):
    """true or false, written as text in a query string."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if str(value).lower() not in ("true", "false", "1", "0"):
            raise wrong_type("a boolean", value)
        return str(value).lower() in ("true", "1")


class Amount(_Field):
    """A decimal in a range, as text or as a number: money, and prices. Text is exact."""

    expected = "a decimal, as text or as a number"

    def __init__(self, *, places: int, most: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.places = places
        self.most = most

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise wrong_type(self.expected, value)
        if not re.fullmatch(r"-?[0-9]{1,30}(\.[0-9]{1,30})?([eE]-?[0-9]{1,2})?", str(value)):
            raise invalid("invalid_value", "Invalid '{param}': expected a decimal like '2.50'.")
        amount = Decimal(str(value))
        if not 0 <= amount <= self.most:
            raise invalid(
                "decimal_out_of_range", f"Invalid '{{param}}': expected a value from 0 to {self.most}, not {amount:f}."
            )
        if amount != amount.quantize(Decimal(1).scaleb(-self.places)):
            raise invalid("invalid_value", f"Invalid '{{param}}': at most {self.places} places after the point.")
        return amount


class Moment(_Field):
    """A moment: ISO 8601 with a time zone, a date (its beginning in UTC), or seconds since 1970."""

    expected = "a moment, like '2026-12-01T00:00:00Z', '2026-12-01' or seconds since 1970"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise wrong_type(self.expected, value)
        try:
            if re.fullmatch(r"[0-9]{1,11}", str(value)):
                return datetime.fromtimestamp(int(value), UTC)
            moment = datetime.fromisoformat(str(value))
            if re.fullmatch(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}", str(value)):
                moment = moment.replace(tzinfo=UTC)
            moment = moment if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise self._unreadable() from error
        if moment.tzinfo is None or moment.year < 1970:
            raise self._unreadable()
        return moment

    def _unreadable(self) -> ValidationError:
        return invalid("invalid_value", f"Invalid '{{param}}': expected {self.expected}.")


class Word(_Field):
    """One of a few words."""

    def __init__(self, *allowed: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.allowed = allowed

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise wrong_type(f"one of {_listed(self.allowed)}", value)
        if value not in self.allowed:
            raise bad_value(value, self.allowed)
        return value


class QueryWords(_Field):
    """Some of a few words, in a query string: the parameter repeated, with `[]` or without, or joined by commas."""

    def __init__(self, *allowed: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.words = Array(Word(*allowed, allow_none=False))

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        return self.words.deserialize([word for part in value for word in part.split(",") if word])


class Object(_Field):
    """An object; of a shape, when a schema is given."""

    def __init__(self, shape: type[Schema] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shape = shape() if shape else None

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, Mapping):
            raise wrong_type("an object", value)
        if self.shape is not None:
            self.shape.load(value)
        return value


class Array(_Field):
    """An array of values that one field checks."""

    def __init__(self, inner: fields.Field[Any], *, expected: str = "an array", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = inner
        self.expected = expected

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, list):
            raise wrong_type(self.expected, value)
        for number, part in enumerate(value):
            try:
                if part is None:
                    raise wrong_type(_expected(self.inner), part)
                self.inner.deserialize(part)
            except ValidationError as error:
                raise ValidationError({number: error.messages}) from error
        return value


class Checked(_Field):
    """A value that a function checks: for shapes that are one of several."""

    def __init__(
        self, check: Callable[[Any], None], *, one_of: Sequence[Mapping[str, Any]] = (), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.check = check
        self.one_of = one_of

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        self.check(value)
        return value


def _expected(field: fields.Field[Any]) -> str:
    return getattr(field, "expected", {Text: "a string", Object: "an object"}.get(type(field), "a value"))


def _listed(words: Sequence[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


def describe(field: fields.Field[Any], **_: Any) -> dict[str, Any]:
    """What OpenAPI says of our fields (a hook of apispec's marshmallow plugin)."""
    if isinstance(field, QueryBoolean | Boolean):
        return {"type": ["boolean", "null"] if isinstance(field, Boolean) else "boolean"}
    if isinstance(field, Number):
        bounds = {"minimum": field.least, "maximum": field.most}
        kind = "integer" if isinstance(field, Integer) else "number"
        shown = kind if isinstance(field, QueryInteger) else [kind, "null"]
        return {"type": shown, **{name: bound for name, bound in bounds.items() if bound is not None}}
    if isinstance(field, Amount):
        return {"type": ["string", "number", "null"], "description": "A decimal."}
    if isinstance(field, Moment):
        return {
            "type": ["string", "integer", "null"],
            "description": field.expected,
        }
    if isinstance(field, Text):
        limits = {"maxLength": field.longest, "minLength": field.shortest or None}
        pattern = {"pattern": f"^{field.pattern.pattern}$"} if field.pattern else {}
        return {"type": ["string", "null"], **{k: v for k, v in limits.items() if v is not None}, **pattern}
    if isinstance(field, Word):
        return {"enum": [*field.allowed, None]} if field.allow_none else {"type": "string", "enum": list(field.allowed)}
    if isinstance(field, QueryWords):
        return {"type": "array", "items": describe(field.words.inner)}
    if isinstance(field, Array):
        return {"type": ["array", "null"], "items": describe(field.inner)}
    if isinstance(field, Checked):
        return {"oneOf": [*field.one_of, {"type": "null"}]} if field.one_of else {}
    if isinstance(field, Object):
        return {"type": ["object", "null"]}
    return {}
