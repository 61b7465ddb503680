"""Stored responses: read, listed item by item, streamed again, deleted."""

from convstore.domain.exchange import Exchange, Linked
from convstore.domain.response import FINISHED
from convstore.errors import InvalidRequest, ResponseNotFound
from convstore.services import histories, paging, queued, relay, streaming
from convstore.services.deps import Deps
from convstore.services.paging import Listing, Page
from convstore.services.principal import Principal
from convstore.services.streaming import Streamed
from convstore.storage import exchanges


def get(deps: Deps, principal: Principal, response_id: str) -> bytes:
    """The JSON of a stored response. Raises ResponseNotFound."""
    with deps.database.reading(principal.project_id) as scope:
        exchange = exchanges.get(scope, response_id)
        if exchange is None:
            raise ResponseNotFound(response_id)
        if exchange.status in FINISHED or not exchange.background:
            return relay.written(exchange, exchanges.output(scope, exchange)).body
    return queued.body(deps, exchange)


def stream(deps: Deps, principal: Principal, response_id: str, after: int = -1) -> Streamed:
    """The events of a response behind number *after*: of a finished one, or live of a background one.

    Raises ResponseNotFound, InvalidRequest.
    """
    exchange = _found(deps, principal, response_id)
    if exchange.background:
        return queued.follow(deps, principal.project_id, exchange, after)
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


def cancel(deps: Deps, principal: Principal, response_id: str) -> bytes:
    """End a background response, and give its JSON as it then is; one that has ended stays as it is.

    Raises ResponseNotFound, InvalidRequest.
    """
    exchange = _found(deps, principal, response_id)
    if not exchange.background:
        raise InvalidRequest("Cannot cancel a synchronous response.")
    if exchange.status not in FINISHED:
        queued.cancel(deps, principal.project_id, exchange)
    return get(deps, principal, response_id)


def input_items(deps: Deps, principal: Principal, response_id: str, page: Page, *, own: bool = False) -> Listing:
    """The items that stood in front of the model: the thread's, then the request's own; or only those.

    A request that brought the whole thread had it all as its own.
    Raises ResponseNotFound, and InvalidRequest for a cursor that is not in the list.
    """
    with deps.database.reading(principal.project_id) as scope:
        exchange = exchanges.get(scope, response_id)
        if exchange is None:
            raise ResponseNotFound(response_id)
        if exchange.linked == Linked.INFERRED:
            return paging.of_items(histories.sent_items(scope, exchange), page)
        placed = exchanges.own_input(scope, exchange)
        if not own and exchange.parent_id:
            placed = exchanges.history(scope, exchange) + placed
    return paging.of_items([(each.shown_id, each.item) for each in placed], page)


def _found(deps: Deps, principal: Principal, response_id: str) -> Exchange:
    with deps.database.reading(principal.project_id) as scope:
        exchange = exchanges.get(scope, response_id)
    if exchange is None:
        raise ResponseNotFound(response_id)
    return exchange
