"""A conversation, as clients know it: apart from its items."""

from dataclasses import dataclass
from datetime import datetime

from convstore.domain import jsontext


@dataclass(frozen=True, slots=True)
class Conversation:
    """metadata: a JSON object."""

    id: str
    created_at: datetime
    metadata: bytes = b"{}"

    def write(self, **more: str | None) -> bytes:
        """The conversation in the words of the API. more: what ours say besides."""
        head = {"id": self.id, "object": "conversation", "created_at": int(self.created_at.timestamp()), **more}
        return jsontext.dumps(head)[:-1] + b',"metadata":' + self.metadata + b"}"
