"""What can be exported: in which formats, and how much of a conversation."""

from dataclasses import dataclass
from enum import StrEnum


class Extent(StrEnum):
    """How much goes along with what is asked for.

    tree: the conversations, whole. thread: with each response what it continues. response: nothing.
    """

    TREE = "tree"
    THREAD = "thread"
    RESPONSE = "response"


@dataclass(frozen=True, slots=True)
class Format:
    """A format: what it is called on the wire and at the end of a file's name.

    extents: how much of a conversation it can be of, the usual one first. manifest: whether that stands in the file.
    """

    type: str
    ending: str
    extents: tuple[Extent, ...]
    manifest: bool = False


_CONVERSATIONS = (Extent.TREE, Extent.THREAD)
_FIGURES = (Extent.RESPONSE, Extent.TREE, Extent.THREAD)
FORMATS: dict[str, Format] = {
    "jsonl": Format("application/x-ndjson", "jsonl", _CONVERSATIONS, manifest=True),
    "markdown": Format("text/markdown; charset=utf-8", "md", _CONVERSATIONS, manifest=True),
    "html": Format("text/html; charset=utf-8", "html", _CONVERSATIONS, manifest=True),
    "openai-chat": Format("application/x-ndjson", "chat.jsonl", (Extent.THREAD, Extent.TREE)),
    "csv": Format("text/csv; charset=utf-8", "csv", _FIGURES),
    "parquet": Format("application/vnd.apache.parquet", "parquet", _FIGURES),
}
