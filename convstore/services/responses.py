"""Stored responses: read, listed item by item, streamed again, deleted."""

from collections.abc import Sequence
from dataclasses import dataclass

from convstore.domain.exchange import Exchange
from convstore.domain.items import listed, shown_id
from convstore.domain.response import FINISHED
from convstore.errors import InvalidRequest, ResponseNotFound
from convstore.services import relay, streaming
from convstore.services.deps import Deps
from convstore.services.principal import Principal
from convstore.services.streaming import Streamed
from convstore.storage import exchanges
from convstore.storage.exchanges import Placed


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


def get(deps: Deps, principal: Principal, response_id: str) -> bytes:
    """The JSON of a stored response. Raises ResponseNotFound."""
    with deps.database.reading(principal.project_id) as scope:
        exchange = exchanges.get(scope, response_id)
        if exchange is None:
            raise ResponseNotFound(response_id)
        return relay.written(exchange, exchanges.output(scope, exchange)).body


def stream(deps: Deps, principal: Principal, response_id: str, after: int = -1) -> Streamed:
    """A finished response as its events, those after number *after*. Raises ResponseNotFound, InvalidRequest."""
    exchange = _found(deps, principal, response_id)
    if exchange.status not in FINISHED:
        raise InvalidRequest(
            "This response is still being made and was not created with background=true, so it cannot be followed. "
            "Retrieve it once it is finished.",
            param="stream",
        )
    return streaming.stored(response_id, get(deps, principal, response_id), after)


def delete(deps: Deps, principal: Principal, response_id: str) -> None:
    """Hide a response. What continues it keeps its history. Raises ResponseNotFound."""
    with deps.database.writing(principal.project_id) as scope:
        if not exchanges.delete(scope, response_id, deps.clock()):
            raise ResponseNotFound(response_id)


def cancel(deps: Deps, principal: Principal, response_id: str) -> None:
    """Refuse: only background responses can be cancelled. Raises ResponseNotFound, InvalidRequest."""
    _found(deps, principal, response_id)
    raise InvalidRequest("Cannot cancel a synchronous response.")


def input_items(deps: Deps, principal: Principal, response_id: str, page: Page, *, own: bool = False) -> Listing:
    """The items that stood in front of the model: the thread's, then the request's own; or only those.

    Raises ResponseNotFound, and InvalidRequest for a cursor that is not in the list.
    """
    with deps.database.reading(principal.project_id) as scope:
        exchange = exchanges.get(scope, response_id)
        if exchange is None:
            raise ResponseNotFound(response_id)
        placed = exchanges.own_input(scope, exchange)
        if not own and exchange.parent_id:
            placed = exchanges.history(scope, exchange) + placed
    return _page([(_id(each), each) for each in placed], page)


def _found(deps: Deps, principal: Principal, response_id: str) -> Exchange:
    with deps.database.reading(principal.project_id) as scope:
        exchange = exchanges.get(scope, response_id)
    if exchange is None:
        raise ResponseNotFound(response_id)
    return exchange


def _page(everything: list[tuple[str, Placed]], page: Page) -> Listing:
    if page.order == "desc":
        everything = everything[::-1]
    places = {item_id: number for number, (item_id, _) in enumerate(everything)}
    start, end = 0, len(everything)
    if page.after is not None:
        start = _place(places, page.after, "after") + 1
    if page.before is not None:
        end = _place(places, page.before, "before")
        start = max(start, end - page.limit)
    chosen = everything[start : min(end, start + page.limit)]
    return Listing(
        [(item_id, listed(each.item, item_id)) for item_id, each in chosen],
        has_more=start > 0 if page.before is not None else start + len(chosen) < end,
    )


def _place(places: dict[str, int], item_id: str, param: str) -> int:
    if item_id not in places:
        raise InvalidRequest(f"Item with id '{item_id}' not found in this list.", param=param, code="invalid_value")
    return places[item_id]


def _id(placed: Placed) -> str:
    return shown_id(placed.item, placed.exchange_id, placed.position, output=placed.output)
