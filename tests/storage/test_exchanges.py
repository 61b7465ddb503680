"""Reading exchanges and their items back, and deleting them."""

import json

import pytest

from convstore import ids
from convstore.domain.items import Item
from convstore.storage import exchanges
from tests.storage.keeper import Keeper, Plans, count, counted, crowd, item, word_of


class TestGet:
    def test_an_exchange_is_read_back(self, acme: Keeper) -> None:
        own = acme.keep("u", "m")
        with acme.database.reading(acme.project) as scope:
            kept = exchanges.get(scope, own)
        assert kept is not None
        assert (kept.id, kept.parent_id, kept.depth, kept.input_count, kept.status) == (
            own,
            None,
            0,
            1,
            "completed",
        )
        assert json.loads(kept.settings) == {"model": "gpt-5.4", "instructions": "Be brief."}
        assert kept.response().id == own

    def test_one_that_is_running_is_there(self, acme: Keeper) -> None:
        place = acme.begun("u")
        with acme.database.reading(acme.project) as scope:
            kept = exchanges.get(scope, place.id)
        assert kept is not None
        assert (kept.status, kept.usage, kept.completed_at, kept.reply) == ("in_progress", None, None, b"{}")

    def test_one_that_was_not_to_be_stored_is_hidden(self, acme: Keeper) -> None:
        own = acme.keep("u", "m", stored=False)
        with acme.database.reading(acme.project) as scope:
            assert exchanges.get(scope, own) is None
            kept = exchanges.get(scope, own, hidden=True)
        assert kept is not None
        assert not kept.stored

    def test_an_unknown_one_is_none(self, acme: Keeper) -> None:
        with acme.database.reading(acme.project) as scope:
            for unknown in (
                "",
                "resp_",
                "resp_" + "0" * 32,
                "conv_" + "0" * 32,
                "x\0y",
                "ü" * 300,
                "'; DROP TABLE",
            ):
                assert exchanges.get(scope, unknown) is None
                assert exchanges.get(scope, unknown, hidden=True) is None


class TestOutput:
    def test_it_is_the_answer_in_order(self, acme: Keeper) -> None:
        place = acme.begun("u")
        acme.end(place, item("r", type="reasoning", item_id="rs_up"), "m1", "m2")
        assert [word_of(each.body) for each in acme.answer(place.id)] == ["r", "m1", "m2"]
        assert acme.answer(place.id)[0] == item("r", type="reasoning", item_id="rs_up")

    def test_a_siblings_answer_is_not_in_it(self, acme: Keeper) -> None:
        root = acme.keep("u", "m")
        first, second = acme.keep("a", "A", after=root), acme.keep("b", "B", after=root)
        assert [word_of(each.body) for each in acme.answer(first)] == ["A"]
        assert [word_of(each.body) for each in acme.answer(second)] == ["B"]


class TestOwnInput:
    def test_items_come_with_their_places(self, acme: Keeper) -> None:
        root = acme.keep("u", "m")
        own = acme.keep("a", item("c", type="function_call", call_id="c1", name="add"), "A", after=root)
        with acme.database.reading(acme.project) as scope:
            exchange = exchanges.get(scope, own)
            assert exchange is not None
            placed = exchanges.own_input(scope, exchange)
        assert [(each.exchange_id, each.position, each.output) for each in placed] == [
            (own, 0, False),
            (own, 1, False),
        ]
        assert (placed[1].item.call_id, placed[1].item.name) == ("c1", "add")


class TestHistory:
    def test_each_item_knows_its_exchange(self, acme: Keeper) -> None:
        root = acme.keep("a", "A")
        acme.keep("x", "X", after=root)
        fork = acme.keep("b", "B", after=root)
        tip = acme.keep("c", "C", after=fork)
        homes = [(each.exchange_id, each.position, each.output, word_of(each.item.body)) for each in acme.listed(tip)]
        assert homes == [
            (root, 0, False, "a"),
            (root, 1, True, "A"),
            (fork, 0, False, "b"),
            (fork, 1, True, "B"),
            (tip, 0, False, "c"),
        ]

    def test_it_is_one_statement_however_long(self, acme: Keeper) -> None:
        taken = []
        for depth in (3, 100):
            tip = acme.keep("u", "m")
            for _ in range(depth):
                acme.keep("x", "X", after=tip)
                tip = acme.keep("u", "m", after=tip)
            with acme.database.reading(acme.project) as scope:
                exchange = exchanges.get(scope, tip)
                assert exchange is not None
                with counted() as statements:
                    assert len(exchanges.history(scope, exchange)) == 2 * depth
            taken += statements
        assert taken == [1, 1]

    def test_a_deleted_ancestor_is_still_history(self, acme: Keeper) -> None:
        root = acme.keep("a", "A")
        tip = acme.keep("b", "B", after=root)
        with acme.database.writing(acme.project) as scope:
            exchanges.delete(scope, root, acme.clock())
        assert [word_of(each.item.body) for each in acme.listed(tip)] == ["a", "A", "b"]
        assert acme.shown(tip) == ["a", "A", "b", "B"]


class TestDelete:
    def test_it_is_gone_and_nothing_is_lost(self, acme: Keeper) -> None:
        own = acme.keep("u", "m")
        rows = {name: count(acme.database, name) for name in ("exchanges", "items", "payloads")}
        with acme.database.writing(acme.project) as scope:
            assert exchanges.delete(scope, own, acme.clock())
            assert exchanges.get(scope, own) is None
            assert exchanges.get(scope, own, hidden=True) is not None
        assert rows == {name: count(acme.database, name) for name in rows}

    def test_a_second_time_there_is_nothing_to_delete(self, acme: Keeper) -> None:
        own = acme.keep("u", "m")
        with acme.database.writing(acme.project) as scope:
            assert exchanges.delete(scope, own, acme.clock())
            assert not exchanges.delete(scope, own, acme.clock())

    def test_nor_is_there_what_was_not_to_be_stored(self, acme: Keeper) -> None:
        own = acme.keep("u", "m", stored=False)
        with acme.database.writing(acme.project) as scope:
            assert not exchanges.delete(scope, own, acme.clock())
            assert not exchanges.delete(scope, "resp_unknown", acme.clock())


class TestFindItem:
    @pytest.fixture
    def own(self, acme: Keeper) -> str:
        place = acme.begun("u", item("mine", item_id="msg_mine"))
        acme.end(place, item("m", item_id="msg_upstream"))
        return place.id

    def found(self, acme: Keeper, item_id: str) -> Item | None:
        with acme.database.reading(acme.project) as scope:
            return exchanges.find_item(scope, item_id)

    def test_by_the_id_we_gave_it(self, acme: Keeper, own: str) -> None:
        words = [self.found(acme, ids.item("message", own, position)) for position in range(4)]
        assert [word_of(each.body) if each else None for each in words] == ["u", "mine", "m", None]

    def test_by_the_id_a_client_gave_it(self, acme: Keeper, own: str) -> None:
        found = self.found(acme, "msg_mine")
        assert found is not None
        assert word_of(found.body) == "mine"

    def test_the_newest_of_that_id(self, acme: Keeper, own: str) -> None:
        acme.keep(item("newer", item_id="msg_mine"), "m")
        found = self.found(acme, "msg_mine")
        assert found is not None
        assert word_of(found.body) == "newer"

    def test_never_by_an_upstreams(self, acme: Keeper, own: str) -> None:
        assert self.found(acme, "msg_upstream") is None

    def test_nor_where_it_is_not_to_be_seen(self, acme: Keeper) -> None:
        unstored = acme.keep(item("x", item_id="msg_secret"), "m", stored=False)
        deleted = acme.keep(item("x", item_id="msg_deleted"), "m")
        with acme.database.writing(acme.project) as scope:
            exchanges.delete(scope, deleted, acme.clock())
        for item_id in (
            "msg_secret",
            "msg_deleted",
            ids.item("message", unstored, 0),
            ids.item("message", deleted, 1),
        ):
            assert self.found(acme, item_id) is None

    def test_an_id_of_any_shape_is_merely_not_found(self, acme: Keeper, own: str) -> None:
        digits = own.removeprefix("resp_")
        for strange in (
            "",
            "msg_",
            f"msg_{digits}ffffffff",
            f"msg_{digits}7fffffff",
            "x" * 5000,
            "a\"'\\b",
            "ü\u2028",
        ):
            assert self.found(acme, strange) is None


class TestPlans:
    def test_everything_is_found_by_an_index(self, acme: Keeper) -> None:
        root = acme.keep(item("u", item_id="mine_1"), "m")
        straight = acme.keep("u", "m", after=root)
        branch = acme.keep("u", item("x" * 10_000), "m", after=root)
        crowd(acme)
        with acme.database.reading(acme.project) as scope:
            for tip in (straight, branch):
                with Plans(acme.database) as plans:
                    exchange = exchanges.get(scope, tip)
                    assert exchange is not None
                    assert exchanges.output(scope, exchange)
                    assert exchanges.own_input(scope, exchange)
                    assert exchanges.history(scope, exchange)
                    assert exchanges.find_item(scope, ids.item("message", tip, 0))
                assert plans.walked() == []
        with acme.database.writing(acme.project) as scope, Plans(acme.database) as plans:
            exchanges.delete(scope, branch, acme.clock())
        assert plans.walked() == []

    def test_an_item_by_a_clients_own_id_too(self, acme: Keeper) -> None:
        acme.keep(item("u", item_id="mine_1"), "m")
        crowd(acme)
        with acme.database.reading(acme.project) as scope, Plans(acme.database) as plans:
            assert exchanges.find_item(scope, "mine_1")
        assert plans.walked() == []
