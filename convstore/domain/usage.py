"""Token usage, whatever the upstream calls it.

Three shapes are in the wild: the Responses API's own (input_tokens …), Chat Completions' (prompt_tokens …), which
some Responses gateways send too, and DeepSeek's cache fields beside the latter. All become one; so do the figures of
gateways that count cached input as Anthropic does, or reasoning apart from the output.
Source: docs/api.md, usage.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LARGEST = 2**62  # fits every integer column with room for sums; a bigger figure is a provider's mistake
# Where a Usage is kept, in the order of its fields.
COLUMNS = tuple("input_tokens cached_tokens cache_write_tokens output_tokens reasoning_tokens total_tokens".split())


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one exchange. `input` includes `cached`; `output` includes `reasoning`."""

    input: int
    cached: int
    cache_write: int
    output: int
    reasoning: int
    total: int

    def as_api(self) -> dict[str, Any]:
        """The shape of the Responses API, complete: clients fail on missing keys."""
        return {
            "input_tokens": self.input,
            "input_tokens_details": {"cached_tokens": self.cached, "cache_write_tokens": self.cache_write},
            "output_tokens": self.output,
            "output_tokens_details": {"reasoning_tokens": self.reasoning},
            "total_tokens": self.total,
        }


NOTHING = Usage(0, 0, 0, 0, 0, 0)


def normalise(reported: Any) -> Usage | None:
    """One shape for every upstream's figures; None when they hold no token counts at all."""
    if not isinstance(reported, Mapping):
        return None
    input_tokens = _count(reported, "input_tokens", "prompt_tokens")
    output_tokens = _count(reported, "output_tokens", "completion_tokens")
    if input_tokens is None and output_tokens is None:
        return None
    into_details = _details(reported, "input_tokens_details", "prompt_tokens_details")
    out = _details(reported, "output_tokens_details", "completion_tokens_details")
    cached = _count(into_details, "cached_tokens")
    if cached is None:
        cached = _count(reported, "prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")
    written = _count(into_details, "cache_write_tokens", "cache_creation_tokens")
    if written is None:
        written = _count(reported, "cache_creation_input_tokens")
    reasoning = _count(out, "reasoning_tokens") or 0
    into, made = input_tokens or 0, output_tokens or 0
    total = _count(reported, "total_tokens")
    apart = (cached or 0) + (written or 0)
    if _counts_caches_apart(reported, into_details) and total in (None, into + apart + made):
        into += apart
    if reasoning and total == into + made + reasoning:
        made += reasoning  # counted apart, as the sum shows
    return Usage(
        input=into,
        cached=cached or 0,
        cache_write=written or 0,
        output=made,
        reasoning=reasoning,
        total=total if total is not None else into + made,
    )


def _counts_caches_apart(reported: Mapping[str, Any], details: Mapping[str, Any]) -> bool:
    """Whether these are Anthropic's figures, whose input_tokens are those beside the cached ones."""
    names = ("cache_read_input_tokens", "cache_creation_input_tokens")
    return "input_tokens" in reported and not details and any(name in reported for name in names)


def of_columns(*counts: int | None) -> Usage | None:
    """The Usage kept in its COLUMNS; None when nothing was reported."""
    if counts[0] is None:
        return None
    return Usage(*(count or 0 for count in counts))


def columns(usage: Usage | None) -> tuple[int | None, ...]:
    """What a Usage is in its COLUMNS."""
    if usage is None:
        return (None,) * len(COLUMNS)
    return usage.input, usage.cached, usage.cache_write, usage.output, usage.reasoning, usage.total


def _details(reported: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        if isinstance(reported.get(name), Mapping):
            return reported[name]  # type: ignore[no-any-return]
    return {}


def _count(reported: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = reported.get(name)
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # some gateways count in floats
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST:
            return value
    return None
