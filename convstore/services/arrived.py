"""What has arrived of an answer that is not finished, from the journal."""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from convstore.domain import items, stream
from convstore.domain.fold import Fold
from convstore.domain.items import Item
from convstore.domain.jsontext import NotJson
from convstore.storage import direct, journals
from convstore.storage.database import Database
from convstore.storage.journals import Part

# Responses that are polled at the same time, in one process.
REMEMBERED = 100
PAGE = 1000


def output(parts: Iterable[bytes]) -> list[Item]:
    """The output items in a journal that nothing is added to any more; those that had not ended are "incomplete".

    An event that cannot be read is left out: the rest is worth keeping.
    """
    folded = Fold()
    _add(folded, parts)
    return [items.of_object(item) for item in folded.output]


@dataclass(slots=True)
class _Read:
    """What was read of one journal: up to this part."""

    folded: Fold = field(default_factory=Fold)
    part: int = -1


class Arrived:
    """What has arrived of responses that are polled: each poll reads only what is new."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._read: OrderedDict[str, _Read] = OrderedDict()

    def items(self, exchange_id: str) -> list[Item]:
        """The output items so far, each with its status at this moment."""
        with self._lock:
            # Taken out, it is this poll's own: another one at the same time reads anew.
            read = self._read.pop(exchange_id, None) or _Read()
        read = self._updated(exchange_id, read)
        found = [items.of_object(item) for item in read.folded.so_far]
        with self._lock:
            self._read[exchange_id] = read
            while len(self._read) > REMEMBERED:
                self._read.popitem(last=False)
        return found

    def _updated(self, exchange_id: str, read: _Read) -> _Read:
        with direct.reading(self._database) as cursor:
            # The last part is read again: when it is gone, the answer has been begun anew.
            parts = journals.after(cursor, exchange_id, read.part - 1, PAGE)
            if read.part >= 0 and (not parts or parts[0].number != read.part):
                read = _Read()
                parts = journals.after(cursor, exchange_id, -1, PAGE)
            while parts:
                _add(read.folded, _events(part for part in parts if part.number > read.part))
                read.part = parts[-1].number
                parts = journals.after(cursor, exchange_id, read.part, PAGE) if len(parts) == PAGE else []
        return read


def _events(parts: Iterable[Part]) -> list[bytes]:
    return [part.events for part in parts]


def _add(folded: Fold, parts: Iterable[bytes]) -> None:
    for part in parts:
        for block in part.split(b"\n\n"):
            with suppress(NotJson):
                stream.fold([block], into=folded)
