"""An output item while it is being said.

A draft takes in pieces at any time, and tells the client of them only between `open` and `close`: the
API's events run one item after another (docs/api.md, order of events), while chat chunks may mix several.
"""

from abc import ABC, abstractmethod
from typing import Any

from convstore.upstream.chat.items import local_id
from convstore.upstream.chat.parts import Json


class Draft(ABC):
    """One item to be; `index` is its place in the output, -1 until the client has been told of it."""

    kind: str

    def __init__(self) -> None:
        self.index = -1
        self.item_id = ""

    @property
    def opened(self) -> bool:
        """The client has been told of it."""
        return self.index >= 0

    @property
    def ready(self) -> bool:
        """Enough is known to tell the client of it."""
        return True

    @property
    def settled(self) -> bool:
        """Nothing more can belong to it once another item has begun."""
        return True

    def open(self, index: int) -> Json:
        self.index = index
        self.item_id = local_id(self.kind, index)
        return {"type": "response.output_item.added", "output_index": index, "item": self.blank()}

    def close(self, status: str, events: list[Json]) -> Json:
        """The finished item; the events that end it go to *events*."""
        self.end(events)
        item = self.item(status)
        events.append({"type": "response.output_item.done", "output_index": self.index, "item": item})
        return item

    def event(self, kind: str, **fields: Any) -> Json:
        """An event about this item."""
        return {"type": kind, "item_id": self.item_id, "output_index": self.index, **fields}

    @abstractmethod
    def blank(self) -> Json:
        """The item with nothing said yet."""

    @abstractmethod
    def flush(self, events: list[Json]) -> None:
        """Tell what came in since the last time."""

    @abstractmethod
    def end(self, events: list[Json]) -> None:
        """Tell that nothing more will come in."""

    @abstractmethod
    def item(self, status: str) -> Json:
        """The item as far as it has been said."""
