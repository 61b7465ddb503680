"""Idempotency keys: which request was the first under a key."""

from dataclasses import dataclass

from sqlalchemy import delete, select

from convstore.storage import tables
from convstore.storage.scope import Scope

_k = tables.idempotency_keys


@dataclass(frozen=True, slots=True)
class FirstUse:
    """The request that used a key first."""

    exchange_id: str
    body_sha256: bytes


def first_use(scope: Scope, key: str) -> FirstUse | None:
    """Who used this key, if anybody did."""
    query = select(_k.c.exchange_id, _k.c.body_sha256).where(_k.c.project_id == scope.project_id, _k.c.key == key)
    row = scope.connection.execute(query).fetchone()
    return FirstUse(row.exchange_id, scope.bytes(row.body_sha256) or b"") if row is not None else None


def release(scope: Scope, key: str, exchange_id: str) -> None:
    """Let the key be used again, if it still belongs to this exchange: its call failed before it cost anything."""
    scope.connection.execute(
        delete(_k).where(_k.c.project_id == scope.project_id, _k.c.key == key, _k.c.exchange_id == exchange_id)
    )
