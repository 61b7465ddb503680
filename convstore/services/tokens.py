"""Counting the input tokens of a request that is not made.

An upstream that can count is asked, with everything the model would be shown; else the count is our own estimate.
"""

from dataclasses import dataclass

from convstore.domain import context, windows
from convstore.domain.request import CreateRequest
from convstore.errors import PreviousResponseNotFound
from convstore.services.deps import Deps
from convstore.services.principal import Principal
from convstore.storage import direct, turns


@dataclass(frozen=True, slots=True)
class Count:
    """Tokens, and whether they are our own estimate."""

    tokens: int
    estimated: bool


def count(deps: Deps, principal: Principal, request: CreateRequest) -> Count:
    """The tokens that the request would put in front of the model. Raises PreviousResponseNotFound."""
    history: list[context.ContextItem] = []
    parent_id = request.previous_response_id
    if parent_id is not None:
        with direct.reading(deps.database) as cursor:
            parent = turns.parent(cursor, principal.project_id, parent_id)
            if parent is None:
                raise PreviousResponseNotFound(parent_id)
            history = turns.context(cursor, principal.project_id, parent)
    upstream = deps.upstreams.serving(request.model) if request.value("model") else None
    shown = context.shown(history, request.items, upstream.name if upstream else "")
    if upstream is not None:
        counted = upstream.count_tokens(request, shown.bodies)
        if counted is not None:
            return Count(counted, estimated=False)
    own = windows.of_texts(request.value("instructions"), request.value("tools"))
    return Count(own + sum(map(windows.of_item, shown.bodies)), estimated=True)
