"""Idempotency keys: which request was the first under a key."""

from convstore.storage import idempotency
from convstore.storage.idempotency import FirstUse
from convstore.storage.turns import IdempotencyKey
from tests.storage.keeper import Keeper, Plans

SHA = bytes(range(32))


class TestFirstUse:
    def test_it_is_the_request_that_came_first(self, acme: Keeper, globex: Keeper) -> None:
        globex.begun("u", key=IdempotencyKey("k", b"\0" * 32))
        place = acme.begun("u", key=IdempotencyKey("k", SHA))
        with acme.database.reading(acme.project) as scope:
            assert idempotency.first_use(scope, "k") == FirstUse(place.id, SHA)
            assert idempotency.first_use(scope, "K") is None
            assert idempotency.first_use(scope, "") is None

    def test_it_is_found_by_an_index(self, acme: Keeper) -> None:
        with Plans(acme.database) as plans, acme.database.reading(acme.project) as scope:
            idempotency.first_use(scope, "k")
        assert plans.walked() == []


class TestRelease:
    def test_the_key_can_be_used_again(self, acme: Keeper) -> None:
        key = IdempotencyKey("k", SHA)
        first = acme.begun("u", key=key)
        with acme.database.writing(acme.project) as scope:
            idempotency.release(scope, "k", first.id)
        second = acme.begun("u", key=key)
        with acme.database.reading(acme.project) as scope:
            assert idempotency.first_use(scope, "k") == FirstUse(second.id, SHA)

    def test_only_while_it_belongs_to_that_exchange(self, acme: Keeper, globex: Keeper) -> None:
        place = acme.begun("u", key=IdempotencyKey("k", SHA))
        other = acme.keep("u", "m")
        with acme.database.writing(acme.project) as scope:
            idempotency.release(scope, "k", other)
        with acme.database.writing(globex.project) as scope:
            idempotency.release(scope, "k", place.id)
        with acme.database.reading(acme.project) as scope:
            assert idempotency.first_use(scope, "k") == FirstUse(place.id, SHA)
