"""Records with ids of their own: a copy of what is somewhere else under its ids.

An id becomes another one that is made of it, of the same moment and for the same project: the same each time.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from convstore.domain.archive import Archived, ArchivedBranch, ArchivedConversation, Names, Record

SOURCE = "convstore"


def renamed(records: Iterable[Record], project_id: str) -> Iterator[Record]:
    """The same with other ids. What others' files hold has ids made for the project already; a copy has others."""
    names = Names(project_id, SOURCE)
    for record in records:
        yield replace(record, value=_renamed(record.value, names))


def _renamed(value: Any, names: Names) -> Any:
    if isinstance(value, Archived):
        own = _exchange(value.id, names)
        home = _conversation(value.conversation_id, names)
        entry = value.entry and replace(value.entry, exchange_id=own, conversation_id=home)
        parent_id, origin_id = _exchange(value.parent_id, names), _exchange(value.origin_id, names)
        return replace(value, id=own, conversation_id=home, parent_id=parent_id, origin_id=origin_id, entry=entry)
    if isinstance(value, ArchivedConversation):
        return replace(value, id=_conversation(value.id, names), tip_id=_exchange(value.tip_id, names))
    if isinstance(value, ArchivedBranch):
        home, tip = _conversation(value.conversation_id, names), _exchange(value.tip_id, names)
        return replace(value, conversation_id=home, tip_id=tip)
    return value


def _exchange(own: str | None, names: Names) -> Any:
    return None if own is None else names.exchange(_moment(own), own)


def _conversation(own: str, names: Names) -> str:
    return names.conversation(_moment(own), own)


def _moment(own: str) -> datetime:
    """When an id was made: it says so itself."""
    return datetime.fromtimestamp(int(own.partition("_")[2][:12], 16) / 1000, UTC)
