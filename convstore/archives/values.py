"""JSON of strangers as Python values: exact integers, lone surrogates kept, nothing that would break us later.

The standard library's parser: it refuses nesting before it costs anything (a streaming parser that spells out where
it is takes memory by the square of the depth), and it loses neither a big integer nor half a surrogate pair.
"""

import json
from collections.abc import Callable
from typing import Any, NoReturn

from convstore.domain.jsontext import DEEPEST

TOO_DEEP = "it is nested too deeply"


class Bad(ValueError):
    """It is not JSON that is taken. at: the character. is_cut: it may go on behind the end of the text."""

    def __init__(self, reason: str, at: int = 0, *, is_cut: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.at = at
        self.is_cut = is_cut


def _constant(name: str) -> NoReturn:
    raise Bad(f"{name} is not a JSON number")


_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder(parse_constant=_constant).scan_once  # type: ignore[attr-defined]

# The longest thing that a cut can leave unfinished without being a string: `\ud83d\ude00`, `-Infinity`.
UNFINISHED = 16


def parsed(text: str, at: int = 0) -> tuple[Any, int]:
    """The value that begins at *at*, and where it ends. Raises Bad."""
    try:
        value, end = _scan(text, at)
    except StopIteration as error:
        raise Bad("it is not JSON", error.value, is_cut=error.value > len(text) - UNFINISHED) from None
    except json.JSONDecodeError as error:
        is_cut = error.msg.startswith("Unterminated") or error.pos > len(text) - UNFINISHED
        raise Bad("it is not JSON", error.pos, is_cut=is_cut) from None
    except RecursionError:
        raise Bad(TOO_DEEP, at) from None
    except Bad:
        raise
    except ValueError:
        raise Bad("a number has too many digits", at) from None
    if end - at > DEEPEST and is_deep(value):
        raise Bad(TOO_DEEP, at)
    return value, end


def is_deep(value: Any) -> bool:
    """Whether it is nested deeper than what is written again further down can be."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(DEEPEST):
        inner = [part for each in level for part in (each.values() if isinstance(each, dict) else each)]
        level = [part for part in inner if isinstance(part, dict | list)]
        if not level:
            return False
    return True
