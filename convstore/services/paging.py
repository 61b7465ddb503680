"""Pages of items: what a list shows of a thread. Cursors are ids of items, and exclusive."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from convstore.domain.items import Item, listed
from convstore.errors import InvalidRequest

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page:
    """Where in a list to look, and how far. after and before are ids of items, exclusive."""

    limit: int = 20
    order: str = "desc"
    after: str | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of items as (id, JSON), and whether there are more."""

    items: Sequence[tuple[str, bytes]]
    has_more: bool


def of_items(items: Sequence[tuple[str, Item]], page: Page) -> Listing:
    """A page of these items, given oldest first. Raises InvalidRequest for a cursor that is not among them."""
    chosen, has_more = cut(items, page)
    return Listing([(item_id, listed(item, item_id)) for item_id, item in chosen], has_more)


def chosen(found: Sequence[T], page: Page) -> tuple[Sequence[T], bool]:
    """What a page shows of what was looked up for it, one more than its limit; and whether there are more."""
    from_the_end = page.before is not None and page.after is None
    return (found[-page.limit :] if from_the_end else found[: page.limit]), len(found) > page.limit


def cut(entries: Sequence[tuple[str, T | None]], page: Page) -> tuple[list[tuple[str, T]], bool]:
    """What a page shows of the entries, given oldest first; and whether there are more.

    None stands where something was taken out: it is not shown, but a page may still begin or end there, so whoever
    takes out what a page shows can ask for the next one. Raises InvalidRequest for a cursor that is not there.
    """
    if page.order == "desc":
        entries = entries[::-1]
    places = {item_id: number for number, (item_id, entry) in enumerate(entries) if entry is None}
    places |= {item_id: number for number, (item_id, entry) in enumerate(entries) if entry is not None}
    start, end = 0, len(entries)
    if page.after is not None:
        start = _place(places, page.after, "after") + 1
    if page.before is not None:
        end = _place(places, page.before, "before")
    there = [(item_id, entry) for item_id, entry in entries[start:end] if entry is not None]
    chosen = there[: page.limit] if page.before is None else there[-page.limit :]
    return chosen, len(chosen) < len(there)


def _place(places: dict[str, int], item_id: str, param: str) -> int:
    if item_id not in places:
        raise InvalidRequest(f"Item with id '{item_id}' not found in this list.", param=param, code="invalid_value")
    return places[item_id]
