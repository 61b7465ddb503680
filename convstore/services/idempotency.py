"""Idempotency: a request that comes again under its key is answered as it was, and asks no upstream."""

import time

from convstore.domain.exchange import Exchange
from convstore.domain.response import FINISHED
from convstore.errors import IdempotencyInProgress, IdempotencyMismatch
from convstore.services.deps import Deps
from convstore.services.principal import Principal
from convstore.storage import exchanges, idempotency
from convstore.storage.turns import IdempotencyKey

# Between two looks at a request that is running.
NAP_S = 0.05


def earlier(deps: Deps, principal: Principal, key: IdempotencyKey) -> Exchange | None:
    """The finished exchange of the first request with this key; None when there is none that counts.

    Waits for one that is running, unless it was answered as soon as it was on record. One that failed before it cost
    anything gives the key free.
    Raises IdempotencyMismatch, IdempotencyInProgress.
    """
    deadline = time.monotonic() + deps.relay.idempotency_wait_s
    while True:
        with deps.database.reading(principal.project_id) as scope:
            first = idempotency.first_use(scope, key.key)
            if first is None:
                return None
            if first.body_sha256 != key.body_sha256:
                raise IdempotencyMismatch
            exchange = exchanges.get(scope, first.exchange_id, hidden=True)
        if exchange is not None and exchange.background:
            return exchange
        if exchange is not None and exchange.status in FINISHED:
            break
        if time.monotonic() > deadline:
            raise IdempotencyInProgress
        time.sleep(NAP_S)
    if exchange.status != "failed":
        return exchange
    with deps.database.writing(principal.project_id, records=False) as scope:
        idempotency.release(scope, key.key, exchange.id)
    return None
