"""JSON with its text kept.

What a client or an upstream sent is stored and passed on as the exact text that came. So bodies are not only
parsed: each member of an object (and each element of an array) is returned with the slice of text it stood in, in
the same single pass. The parser is the standard library's: it keeps integers of any size.

Limits: NaN, Infinity and numbers beyond a double are refused, as is nesting deeper than DEEPEST.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

import orjson

SPACE = re.compile(r"[ \t\n\r]*")
SUSPECT = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)")
# Half of the interpreter's stack: what is let in here is read and written again further down, with less of it left.
DEEPEST = 500
_TOO_DEEP = "the value is nested too deeply"


class NotJson(ValueError):
    """The text is not JSON, or JSON this service does not take. `member` names where, when that is known."""

    def __init__(self, reason: str, member: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.member = member


@dataclass(frozen=True, slots=True)
class Raw:
    """A parsed value and the exact text it came from; `elements` when it is an array that was split."""

    value: Any
    text: str
    elements: "tuple[Raw, ...] | None" = None


def _constant(name: str) -> Any:
    raise NotJson(f"{name} is not a JSON number")


def _float(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise NotJson("a number is out of range")
    return number


_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder(parse_constant=_constant, parse_float=_float).scan_once  # type: ignore[attr-defined]


def decode(body: bytes) -> str:
    """The body as text. Raises NotJson when it is not UTF-8."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotJson(f"the body is not valid UTF-8 (byte {error.start})") from error


def members(text: str, split: Iterable[str] = ()) -> dict[str, Raw]:
    """The members of the object *text*, each with its own text; arrays named in *split* by element.

    One pass over the text. Of a repeated key the last one counts. Raises NotJson.
    """
    found: dict[str, Raw] = {}
    at = _space(text, 0)
    if text[at : at + 1] != "{":
        raise NotJson("expected a JSON object")
    at = _space(text, at + 1)
    if text[at : at + 1] == "}":
        _end(text, at + 1)
        return found
    key: str | None = None
    try:
        while True:
            if text[at : at + 1] != '"':
                raise NotJson(f"expected a member name at character {at}")
            key, at = scanstring(text, at + 1)
            if text[at : at + 1] != ":":
                at = _space(text, at)
                if text[at : at + 1] != ":":
                    raise NotJson(f"expected ':' at character {at}")
            start = at + 1
            if text[start : start + 1] in " \t\n\r":
                start = _space(text, start)
            if key in split and text[start : start + 1] == "[":
                found[key], at = _array(text, start)
            else:
                value, at = _scan(text, start)
                if at - start > DEEPEST and _is_deep(value, text, start, at):
                    raise NotJson(_TOO_DEEP)
                found[key] = Raw(value, text[start:at])
            mark = text[at : at + 1]
            if mark not in ",}":
                at = _space(text, at)
                mark = text[at : at + 1]
            if mark == "}":
                break
            if mark != ",":
                raise NotJson(f"expected ',' or '}}' at character {at}")
            at += 1
            if text[at : at + 1] != '"':
                at = _space(text, at)
    except (StopIteration, RecursionError, ValueError) as error:
        raise _explained(error, key) from None
    _end(text, at + 1)
    return found


def elements(text: str) -> tuple[Raw, ...]:
    """The elements of the array *text*, each with its own text. Raises NotJson."""
    start = _space(text, 0)
    if text[start : start + 1] != "[":
        raise NotJson("expected a JSON array")
    try:
        raw, end = _array(text, start)
    except (StopIteration, RecursionError, ValueError) as error:
        raise _explained(error, None) from None
    _end(text, end)
    return raw.elements or ()


def member_elements(text: str, name: str) -> tuple[Raw, ...] | None:
    """The elements of the array that the object *text*, known to be JSON, has under *name*; None when it has none.

    For big objects of which one array is wanted: where the name stands once, nothing else is read.
    """
    places = [found.end() for found in re.finditer(f'"{re.escape(name)}"[ \t\n\r]*:[ \t\n\r]*', text)]
    if len(places) == 1:
        at = places[0]
        return _array(text, at)[0].elements if text[at : at + 1] == "[" else None
    raw = members(text, split=(name,)).get(name)
    return raw.elements if raw else None


def _array(text: str, start: int) -> tuple[Raw, int]:
    parts: list[Raw] = []
    at = _space(text, start + 1)
    if text[at : at + 1] == "]":
        return Raw([], text[start : at + 1], ()), at + 1
    while True:
        value, end = _scan(text, at)
        if end - at > DEEPEST and _is_deep(value, text, at, end):
            raise NotJson(_TOO_DEEP)
        parts.append(Raw(value, text[at:end]))
        at = _space(text, end)
        mark = text[at : at + 1]
        if mark == "]":
            return Raw([part.value for part in parts], text[start : at + 1], tuple(parts)), at + 1
        if mark != ",":
            raise NotJson(f"expected ',' or ']' at character {at}")
        at = _space(text, at + 1)


def _is_deep(value: Any, text: str, start: int, end: int) -> bool:
    if text.count("[", start, end) + text.count("{", start, end) <= DEEPEST:
        return False  # nearly always: too few brackets to nest that deep
    level = [value]
    for _ in range(DEEPEST):
        nested = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        level = [part for parts in nested for part in parts]
    return any(isinstance(each, dict | list) for each in level)


def _explained(error: Exception, member: str | None) -> NotJson:
    if isinstance(error, StopIteration):
        return NotJson(f"expected a value at character {error.value}", member)
    if isinstance(error, RecursionError):
        return NotJson(_TOO_DEEP, member)
    # JSONDecodeError, NotJson, or an integer of more digits than Python converts.
    return NotJson(error.reason if isinstance(error, NotJson) else str(error), member)


def _space(text: str, at: int) -> int:
    if text[at : at + 1] not in " \t\n\r":  # also true at the end, where match() gives `at` back
        return at
    found = SPACE.match(text, at)
    return found.end() if found else at


def _end(text: str, at: int) -> None:
    if at != len(text) and _space(text, at) != len(text):
        raise NotJson(f"unexpected text after the end of the value at character {at}")


def unstorable(text: str) -> str | None:
    """What in this JSON text no database column or UTF-8 encoder takes: a NUL character, or half a surrogate pair."""
    if not SUSPECT.search(text):
        return None
    high_at = -1  # where the escape after an unpaired high surrogate must begin
    for escape in ESCAPE.finditer(text):
        unit = int(escape[1], 16) if escape[1] else -1
        if unit == 0:
            return "a NUL character (\\u0000)"
        is_low = 0xDC00 <= unit <= 0xDFFF
        if is_low != (high_at == escape.start()) or (high_at >= 0 and not is_low):
            return "a lone surrogate"
        high_at = escape.end() if 0xD800 <= unit <= 0xDBFF else -1
    return "a lone surrogate" if high_at >= 0 else None


def without(text: str, name: str) -> str:
    """The object *text* without its member *name*; everything else as it stands."""
    if text.startswith('{"' + name + '":"'):
        end = text.find('"', len(name) + 5)
        # A second member of that name would still be there.
        if text[end - 1] != "\\" and text[end + 1 : end + 2] == "," and text.find('"' + name + '"', end) < 0:
            return "{" + text[end + 2 :]
    return join({key: raw.text for key, raw in members(text).items() if key != name})


def join(texts: Mapping[str, str]) -> str:
    """An object of members that are JSON texts already."""
    return "{" + ",".join(f"{json.dumps(key, ensure_ascii=False)}:{text}" for key, text in texts.items()) + "}"


def dumps(value: Any) -> bytes:
    """Compact JSON. The fast encoder first; the standard library's for what that one refuses."""
    try:
        return orjson.dumps(value)
    except TypeError:
        # An integer over 64 bits, or a lone surrogate: escaped, it is plain ASCII.
        return json.dumps(value, separators=(",", ":")).encode("ascii")


def dumps_sorted(value: Any) -> bytes:
    """The same with the members of every object in order: equal values give equal bytes."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return json.dumps(value, separators=(",", ":"), sort_keys=True).encode("ascii")


def loads(text: str | bytes) -> Any:
    """A value of ours or of an upstream's, integers of any size intact. Raises NotJson."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from error


def digest(text: bytes) -> bytes:
    """16 bytes that stand for *text*."""
    return hashlib.blake2b(text, digest_size=16).digest()
