"""Lists on the wire: which page is asked for, and how it is written."""

from collections.abc import Mapping
from typing import Any

from convstore.domain import jsontext
from convstore.services.paging import Listing, Page


def page(asked: Mapping[str, Any]) -> Page:
    """The page that checked query parameters ask for."""
    return Page(**{name: asked[name] for name in ("limit", "order", "after", "before") if name in asked})


def written(listing: Listing) -> bytes:
    """The JSON of a page: its items, the ids of the first and the last, and whether there are more."""
    tail = {
        "first_id": listing.items[0][0] if listing.items else None,
        "last_id": listing.items[-1][0] if listing.items else None,
        "has_more": listing.has_more,
    }
    data = b",".join(item for _, item in listing.items)
    return b'{"object":"list","data":[' + data + b"]," + jsontext.dumps(tail)[1:]
