"""What was asked: the request of a background response, read back from the store.

Everything that an upstream is sent is on record, but for secrets, and those are refused when the request comes. What it
continues does not change: a finished exchange is immutable, and nobody else writes to its conversation meanwhile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from convstore.domain import jsontext
from convstore.domain.exchange import Background, Beginning, Exchange, Linked
from convstore.domain.items import Item
from convstore.domain.jsontext import Raw
from convstore.domain.request import CreateRequest
from convstore.services import histories, standing
from convstore.services.deps import Deps
from convstore.services.principal import Principal
from convstore.services.standing import Standing
from convstore.storage import direct, exchanges, turns


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it was begun: as it is stored, as it is sent, and where it stands."""

    beginning: Beginning
    request: CreateRequest
    stands: Standing


def again(deps: Deps, principal: Principal, exchange: Exchange) -> Asked:
    """What was asked with an exchange. Always for a stream, whatever its client wanted."""
    with deps.database.reading(principal.project_id) as scope:
        own = [placed.item for placed in exchanges.own_input(scope, exchange)]
        sent = own
        if exchange.linked == Linked.INFERRED:
            sent = [item for _, item in histories.sent_items(scope, exchange)]
    request = made_of({**members(exchange), "stream": _raw(True)}, sent, exchange.settings)
    return Asked(beginning(exchange, own), request, _standing(deps, principal, exchange, request))


def beginning(exchange: Exchange, own: Sequence[Item]) -> Beginning:
    """How an exchange began, with the items that are stored with it."""
    return Beginning(
        id=exchange.id,
        conversation_id=exchange.conversation_id,
        parent_id=exchange.parent_id,
        lane=exchange.lane,
        depth=exchange.depth,
        items=own,
        stored=exchange.stored,
        requested_model=exchange.requested_model,
        settings=exchange.settings,
        settings_hash=jsontext.digest(exchange.settings),
        created_at=exchange.created_at,
        metadata=exchange.metadata,
        user=exchange.user,
        safety_identifier=exchange.safety_identifier,
        extras=exchange.extras,
        api_key_id=exchange.api_key_id,
        origin=exchange.origin,
        origin_id=exchange.origin_id,
        linked=Linked(exchange.linked) if exchange.linked else None,
        background=Background(exchange.background) if exchange.background else None,
    )


def members(exchange: Exchange) -> dict[str, Raw]:
    """The members of a request, but for its input, what it continues, and how it was to be answered."""
    members = jsontext.members(exchange.settings.decode())
    if exchange.metadata:
        members["metadata"] = Raw(jsontext.loads(exchange.metadata), exchange.metadata.decode())
    if exchange.extras:
        members |= jsontext.members(exchange.extras.decode())
    own = {"user": exchange.user, "safety_identifier": exchange.safety_identifier}
    return members | {name: _raw(value) for name, value in own.items() if value is not None}


def made_of(members: Mapping[str, Raw], items: Sequence[Item], settings: bytes) -> CreateRequest:
    """The request of these members, whose settings are known."""
    return CreateRequest(members, tuple(items), settings, jsontext.digest(settings))


def _raw(value: Any) -> Raw:
    return Raw(value, jsontext.dumps(value).decode())


def _standing(deps: Deps, principal: Principal, exchange: Exchange, request: CreateRequest) -> Standing:
    whole = exchange.linked == Linked.INFERRED
    with direct.reading(deps.database) as cursor:
        parent_id = exchange.parent_id
        parent = turns.parent(cursor, principal.project_id, parent_id, hidden=True) if parent_id else None
        history = turns.context(cursor, principal.project_id, parent) if parent and not whole else ()
    linked = Linked(exchange.linked) if exchange.linked else None
    stands = Standing(parent, history, linked, stored=len(request.items) - exchange.input_count)
    if not deps.relay.link_histories:
        return stands
    # A history that was sent whole is the whole thread.
    before = replace(stands, parent=None) if whole else stands
    return replace(stands, thread=standing.continued(principal, request, before))
