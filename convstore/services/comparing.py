"""Two threads compared: from their last common ancestor, turn by turn."""

from collections import defaultdict

from convstore.domain import comparison
from convstore.domain.comparison import Comparison, Side, Turn
from convstore.domain.exchange import Exchange
from convstore.domain.items import Item
from convstore.errors import ResponseNotFound
from convstore.services import naming
from convstore.services.deps import Deps
from convstore.storage import exchanges, threads
from convstore.storage.scope import Scope


def compare(deps: Deps, project_id: str, left_id: str, right_id: str) -> Comparison:
    """What differs between the threads that end at two exchanges, each given by its id or by a branch at it.

    Eleven statements, whatever the depth, and one more for each branch; only what lies behind the ancestor is read.
    Threads of different trees have no ancestor and are compared whole. Raises ResponseNotFound; its param says
    for which side.
    """
    with deps.database.reading(project_id) as scope:
        left, right = _named(scope, left_id, "left"), _named(scope, right_id, "right")
        if left.id == right.id:
            return comparison.compare(_side(left), _side(right), left.id)
        place = threads.parting(threads.lanes(scope, left.id), threads.lanes(scope, right.id))
        ancestor = threads.at(scope, *place) if place else None
        depth = place[1] if place else -1
        one, other = (_side(tip, _turns(scope, tip, depth)) for tip in (left, right))
    # Behind the transaction: thinking takes longer than reading.
    return comparison.compare(one, other, ancestor)


def _named(scope: Scope, name: str, side: str) -> Exchange:
    try:
        return naming.exchange(scope, name)
    except ResponseNotFound as error:
        error.param = side
        raise


def _side(tip: Exchange, turns: list[Turn] | None = None) -> Side:
    return Side(tip.id, tip.conversation_id, turns or [])


def _turns(scope: Scope, tip: Exchange, after: int) -> list[Turn]:
    """The turns of a thread that are deeper than *after*, without what was taken out of the conversation since."""
    if tip.depth <= after:
        return []
    items: dict[tuple[str, bool], list[tuple[str, Item]]] = defaultdict(list)
    for each in exchanges.remaining(exchanges.thread(scope, tip.id, first=after + 1)):
        items[each.exchange_id, each.output].append((each.shown_id, each.item))
    return [
        Turn(exchange, items[exchange.id, False], items[exchange.id, True])
        for exchange in threads.turns(scope, tip.id, after)
    ]
