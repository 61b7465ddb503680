"""The hot path: a turn's two reads and its two writes, on both engines."""

import json
import threading
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convstore import ids
from convstore.domain import jsontext
from convstore.domain.exchange import Ending, Place
from convstore.domain.items import Item
from convstore.domain.usage import Usage
from convstore.errors import StorageUnavailable
from convstore.storage import direct, exchanges, turns
from convstore.storage.database import Database, Options
from convstore.storage.rows import SHARED_FROM
from convstore.storage.statements import MOST_PARAMETERS
from convstore.storage.turns import IdempotencyKey, KeyTaken, LaneTaken
from tests.storage.keeper import PROCESS, Keeper, Plans, count, counted, crowd, item, word_of


def chain(keeper: Keeper, length: int) -> str:
    """The end of a straight thread."""
    tip = None
    for number in range(length):
        tip = keeper.keep(f"u{number}", f"m{number}", after=tip)
    assert tip is not None
    return tip


class TestContext:
    def test_it_is_inputs_and_outputs_in_order(self, acme: Keeper) -> None:
        root = acme.keep("a", "b", "A")
        child = acme.keep("c", "C", after=root)
        assert acme.shown(root) == ["a", "b", "A"]
        assert acme.shown(child) == ["a", "b", "A", "c", "C"]

    def test_siblings_do_not_see_each_other(self, acme: Keeper) -> None:
        root = acme.keep("root", "ROOT")
        children = [acme.keep(f"c{n}", f"C{n}", after=root) for n in range(3)]
        grandchildren = [acme.keep(f"g{n}", f"G{n}", after=child) for n, child in enumerate(children)]
        for number, tip in enumerate(grandchildren):
            assert acme.shown(tip) == ["root", "ROOT", f"c{number}", f"C{number}", f"g{number}", f"G{number}"]

    def test_a_branch_does_not_see_what_the_trunk_said_later(self, acme: Keeper) -> None:
        root = acme.keep("root", "ROOT")
        fork = acme.keep("fork", "FORK", after=root)
        acme.keep("trunk", "TRUNK", after=fork)
        branch = acme.keep("branch", "BRANCH", after=fork)
        assert acme.shown(branch) == ["root", "ROOT", "fork", "FORK", "branch", "BRANCH"]
        assert acme.shown(fork) == ["root", "ROOT", "fork", "FORK"]

    # The database is one for all examples, the project is each example's own.
    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(
            st.tuples(st.integers(0, 30), st.integers(0, 3), st.integers(0, 2), st.booleans()),
            min_size=1,
            max_size=14,
        )
    )
    def test_any_tree_reads_back_as_it_was_made(self, globex: Keeper, made: list[tuple[int, int, int, bool]]) -> None:
        """Against the simplest model: for each exchange, the words on its way from the root."""
        acme = Keeper(globex.database)
        model: dict[str, list[str]] = {}
        inputs: dict[str, list[str]] = {}
        tips: list[str] = []
        for number, (choice, in_count, out_count, starts_anew) in enumerate(made):
            parent = None if starts_anew or not tips else tips[choice % len(tips)]
            before = model[parent] if parent else []
            asked = [f"{number}.in{n}" for n in range(in_count)]
            said = [f"{number}.out{n}" for n in range(out_count)]
            place = acme.begun(*asked, after=parent)
            acme.end(place, *said)
            model[place.id] = before + asked + said
            inputs[place.id] = before + asked
            tips.append(place.id)
        for tip in tips:
            assert acme.shown(tip) == model[tip]
            assert [word_of(each.item.body) for each in acme.listed(tip)] == inputs[tip]
            assert inputs[tip] + [word_of(each.body) for each in acme.answer(tip)] == model[tip]

    def test_the_number_of_statements_does_not_grow_with_depth(self, acme: Keeper) -> None:
        taken = {}
        for depth in (3, 300):
            tip = chain(acme, depth)
            with counted() as statements:
                assert len(acme.context(tip)) == 2 * depth
            taken[depth] = statements[0]
        assert taken[3] == taken[300] <= 2

    def test_nor_with_the_number_of_forks_on_the_way(self, acme: Keeper) -> None:
        taken = {}
        for forks in (3, 60):
            tip = acme.keep("u", "m")
            for number in range(forks):
                acme.keep("sibling", "SIBLING", after=tip)
                tip = acme.keep(f"u{number}", f"m{number}", after=tip)
            with counted() as statements:
                shown = acme.shown(tip)
            assert len(shown) == 2 * (forks + 1)
            assert "sibling" not in shown
            taken[forks] = statements[0]
        assert taken[3] == taken[60] <= 2

    def test_what_upstreams_sealed_is_marked_as_theirs(self, acme: Keeper) -> None:
        place = acme.begun("u", item("r0", type="reasoning"))
        acme.end(place, item("r1", type="reasoning"), item("k", type="compaction"), "m", upstream="gateway")
        with direct.reading(acme.database) as cursor:
            parent = turns.parent(cursor, acme.project, place.id)
            assert parent is not None
            shown = turns.context(cursor, acme.project, parent)
        assert [each.sealed_by for each in shown] == [None, None, "gateway", "gateway", None]
        assert [bool(each.output) for each in shown] == [False, False, True, True, True]


class TestParent:
    def test_what_is_needed_to_go_on(self, acme: Keeper) -> None:
        root = acme.begun("u")
        acme.end(root, "m", upstream="gateway", upstream_response_id="resp_up")
        parent = acme.parent(root.id)
        assert parent is not None
        assert (parent.depth, parent.status, parent.continued, parent.single_lane) == (
            0,
            "completed",
            False,
            True,
        )
        assert (parent.upstream, parent.upstream_response_id) == ("gateway", "resp_up")

    def test_the_first_child_goes_on_in_its_parents_lane(self, acme: Keeper) -> None:
        root = acme.keep("u", "m")
        first = acme.parent(acme.keep("u", "m", after=root))
        second = acme.parent(acme.keep("u", "m", after=root))
        again = acme.parent(root)
        assert first is not None and second is not None and again is not None
        assert (first.lane, first.single_lane) == (root, True)
        assert (second.lane, second.single_lane) == (second.id, False)
        assert again.continued
        assert first.conversation_id == second.conversation_id == again.conversation_id

    def test_an_unknown_one_is_none(self, acme: Keeper) -> None:
        zeros = "0" * 32
        for unknown in (
            "",
            "resp_",
            "resp_1",
            f"conv_{zeros}",
            f"resp_{zeros}",
            "resp_" + "A" * 32,
            "x\0y",
            "ü" * 300,
        ):
            assert acme.parent(unknown) is None

    def test_one_that_is_deleted_or_was_not_to_be_stored_is_none(self, acme: Keeper) -> None:
        unstored = acme.keep("u", "m", stored=False)
        deleted = acme.keep("u", "m")
        with acme.database.writing(acme.project) as scope:
            assert exchanges.delete(scope, deleted, acme.clock())
        assert acme.parent(unstored) is None
        assert acme.parent(deleted) is None

    def test_another_projects_is_none(self, acme: Keeper, globex: Keeper) -> None:
        theirs = globex.keep("u", "m")
        assert acme.parent(theirs) is None
        assert globex.parent(theirs) is not None


class TestOnThread:
    def test_those_between_the_root_and_the_tip_are_found_in_one_statement(self, acme: Keeper, globex: Keeper) -> None:
        root = acme.keep("u", "m")
        trunk = acme.keep("u", "m", after=root)
        branch = acme.keep("u", "m", after=root)
        tip = acme.keep("u", "m", after=branch)
        elsewhere = globex.keep("u", "m")
        with direct.reading(acme.database) as cursor:
            parent = turns.parent(cursor, acme.project, tip)
            assert parent is not None
            before = cursor.statements
            unknown = ids.new(ids.EXCHANGE)
            found = turns.on_thread(cursor, acme.project, parent, [root, branch, tip, trunk, elsewhere, unknown])
            assert cursor.statements == before + 1
            assert turns.on_thread(cursor, acme.project, parent, [trunk, elsewhere]) == set()
            assert turns.on_thread(cursor, acme.project, parent, []) == set()
        assert found == {root, branch, tip}

    def test_they_may_be_more_than_a_statement_takes(self, acme: Keeper) -> None:
        tip = acme.keep("u", "m", after=acme.keep("u", "m"))
        many = [ids.new(ids.EXCHANGE) for _ in range(MOST_PARAMETERS)]
        with direct.reading(acme.database) as cursor:
            parent = turns.parent(cursor, acme.project, tip)
            assert parent is not None
            assert turns.on_thread(cursor, acme.project, parent, [*many, tip]) == {tip}


class TestBegin:
    def test_two_children_of_one_parent_begun_at_once_are_both_kept(self, acme: Keeper) -> None:
        root = acme.keep("root", "ROOT")
        # Both looked when neither was there: both want their parent's lane.
        first, second = acme.beginning("one", after=root), acme.beginning("two", after=root)
        assert first.lane == second.lane
        turns.begin(acme.database, acme.project, first, PROCESS)
        rows = {name: count(acme.database, name) for name in ("exchanges", "items", "running", "payloads")}
        with pytest.raises(LaneTaken):
            turns.begin(acme.database, acme.project, second, PROCESS)
        assert rows == {name: count(acme.database, name) for name in rows}
        place = acme.begin(second)
        acme.end(place, "TWO")
        acme.end(first.place, "ONE")
        assert acme.shown(first.id) == ["root", "ROOT", "one", "ONE"]
        assert acme.shown(second.id) == ["root", "ROOT", "two", "TWO"]

    def test_many_at_once_are_all_kept(self, acme: Keeper) -> None:
        root = acme.keep("root", "ROOT")
        beginnings = [acme.beginning(f"c{number}", after=root) for number in range(8)]
        start = threading.Barrier(len(beginnings))
        failed: list[BaseException] = []

        def child(number: int) -> None:
            try:
                start.wait(20)
                acme.end(acme.begin(beginnings[number]), f"C{number}")
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=child, args=(number,)) for number in range(len(beginnings))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert failed == []
        for number, beginning in enumerate(beginnings):
            assert acme.shown(beginning.id) == ["root", "ROOT", f"c{number}", f"C{number}"]

    def test_an_idempotency_key_is_for_one_request(self, acme: Keeper, globex: Keeper) -> None:
        key = IdempotencyKey("key-1", b"\1" * 32)
        acme.begun("u", key=key)
        rows = {name: count(acme.database, name) for name in ("exchanges", "items", "running", "conversations")}
        with pytest.raises(KeyTaken):
            acme.begun("u", key=key)
        assert rows == {name: count(acme.database, name) for name in rows}
        globex.begun("u", key=key)  # theirs is another key

    def test_it_is_one_transaction_of_few_statements(self, acme: Keeper) -> None:
        acme.keep("u", "m")
        beginning = acme.beginning("u", "u", "u")
        with counted() as statements:
            turns.begin(acme.database, acme.project, beginning, PROCESS)
        assert statements[0] == (8 if acme.database.is_sqlite else 1)

    def test_thousands_of_items_are_one_request(self, acme: Keeper) -> None:
        """Clients without previous_response_id send their whole history every time."""
        words = [f"w{number}" for number in range(6000)]
        place = acme.begun(*words)
        assert acme.end(place, *words[:5500])
        assert acme.shown(place.id) == [*words, *words[:5500]]


class TestEnd:
    def test_the_answer_is_all_there(self, acme: Keeper) -> None:
        place = acme.begun(
            "u", metadata=b'{"a":"b"}', user="u1", safety_identifier="s1", extras=b'{"prompt_cache_key":"k"}'
        )
        created, began = acme.clock(), acme.clock()
        done = acme.clock.now
        assert turns.end(
            acme.database,
            acme.project,
            place,
            Ending(
                status="incomplete",
                completed_at=done,
                output=[item("m")],
                model="gpt-5.4-2026-03-05",
                upstream="gateway",
                upstream_response_id="resp_up",
                reply=b'{"billing":{"payer":"developer"}}',
                error={"code": "x", "message": "\ud800 y\0"},
                incomplete_reason="max_output_tokens",
                attempts=[{"upstream": "gateway", "status": 503}],
                usage=Usage(2**40, 2, 3, 4, 5, 6),
                reported_usage={"prompt_tokens": 1},
                first_event_at=began,
            ),
        )
        with acme.database.reading(acme.project) as scope:
            kept = exchanges.get(scope, place.id)
        assert kept is not None
        assert (kept.status, kept.incomplete_reason, kept.completed_at) == (
            "incomplete",
            "max_output_tokens",
            done,
        )
        assert (kept.model, kept.upstream, kept.upstream_response_id) == (
            "gpt-5.4-2026-03-05",
            "gateway",
            "resp_up",
        )
        assert kept.usage == Usage(2**40, 2, 3, 4, 5, 6)
        assert kept.error == {"code": "x", "message": "\ud800 y\0"}
        assert kept.attempts == [{"upstream": "gateway", "status": 503}]
        assert kept.reply == b'{"billing":{"payer":"developer"}}'
        assert (kept.metadata, kept.extras) == (b'{"a":"b"}', b'{"prompt_cache_key":"k"}')
        assert (kept.user, kept.safety_identifier) == ("u1", "s1")
        assert kept.created_at < created
        assert kept.created_at.tzinfo is not None

    def test_only_the_first_end_counts(self, acme: Keeper) -> None:
        place = acme.begun("u")
        assert acme.end(place, "first")
        assert not acme.end(place, "second", "third", status="failed")
        assert acme.shown(place.id) == ["u", "first"]
        with acme.database.reading(acme.project) as scope:
            kept = exchanges.get(scope, place.id)
        assert kept is not None
        assert kept.status == "completed"

    def test_two_ends_at_once_are_one(self, acme: Keeper) -> None:
        place = acme.begun("u")
        start, done = threading.Barrier(2), []

        def end(word: str) -> None:
            start.wait(20)
            done.append((acme.end(place, word), word))

        threads = [threading.Thread(target=end, args=(word,)) for word in ("one", "two")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(kept for kept, _ in done) == [False, True]
        assert acme.shown(place.id) == ["u", next(word for kept, word in done if kept)]

    def test_nothing_of_it_is_running_any_more(self, acme: Keeper) -> None:
        before = count(acme.database, "running")
        place = acme.begun("u")
        assert count(acme.database, "running") == before + 1
        acme.end(place, "m")
        assert count(acme.database, "running") == before

    def test_another_project_cannot_end_it(self, acme: Keeper, globex: Keeper) -> None:
        place = acme.begun("u")
        assert not globex.end(place, "theirs")
        assert acme.end(place, "ours")
        assert acme.shown(place.id) == ["u", "ours"]

    def test_an_exchange_that_was_never_begun_is_not_ended(self, acme: Keeper) -> None:
        own = ids.new(ids.EXCHANGE)
        assert not acme.end(Place(own, own, 0, 0), "m")
        with acme.database.connection() as connection:
            packed = ids.pack(ids.EXCHANGE, own)
            mark = "?" if acme.database.is_sqlite else "%s"
            found = connection.exec_driver_sql(f"SELECT count(*) FROM items WHERE lane = {mark}", (packed,))
            assert found.scalar_one() == 0

    def test_no_answer_at_all_is_an_end_too(self, acme: Keeper) -> None:
        place = acme.begun("u")
        assert acme.end(place, status="failed", error={"code": "server_error", "message": "No."})
        assert acme.shown(place.id) == ["u"]
        child = acme.keep("v", "m", after=place.id)
        assert acme.shown(child) == ["u", "v", "m"]

    def test_it_is_one_transaction_of_few_statements(self, acme: Keeper) -> None:
        place = acme.begun("u")
        with counted() as statements:
            acme.end(place, "m", "m", "m")
        assert statements[0] <= (8 if acme.database.is_sqlite else 1)


class TestPayloads:
    def big(self, seed: int, size: int = 3 * SHARED_FROM) -> Item:
        """A body that does not compress away."""
        noise = jsontext.digest(b"%d" % seed).hex() * (size // 32)
        return Item("message", json.dumps({"type": "message", "word": noise[:size]}).encode())

    def test_a_big_body_is_kept_once_however_often_it_is_sent(self, acme: Keeper) -> None:
        image = self.big(1)
        before = count(acme.database, "payloads")
        root = acme.keep(image, "m")
        tip = acme.keep(image, image, "m", after=root)
        assert count(acme.database, "payloads") == before + 2  # the image, and the settings of this project
        assert acme.context(tip).count(image.body) == 3

    def test_settings_are_kept_once_however_long_the_thread(self, acme: Keeper) -> None:
        before = count(acme.database, "payloads")
        chain(acme, 10)
        assert count(acme.database, "payloads") == before + 1

    def test_each_project_has_its_own(self, acme: Keeper, globex: Keeper) -> None:
        image = self.big(2)
        before = count(acme.database, "payloads")
        mine, theirs = acme.keep(image, "m"), globex.keep(image, "m")
        assert count(acme.database, "payloads") == before + 3
        assert acme.context(mine)[0] == globex.context(theirs)[0] == image.body

    def test_another_process_does_not_stumble_over_them(self, acme: Keeper) -> None:
        image = self.big(3)
        acme.keep(image, "m")
        with Database(Options(acme.database.options.url)) as second:
            other = Keeper(second)
            other.project = acme.project
            tip = other.keep(image, "m")
        assert acme.context(tip)[0] == image.body

    def test_what_a_failed_transaction_wrote_is_written_again(self, acme: Keeper) -> None:
        """A payload that was only tried is not remembered as stored."""
        image = self.big(4)
        acme.begun("u", key=IdempotencyKey("k", b"\0" * 32))
        with pytest.raises(KeyTaken):
            acme.begun(image, key=IdempotencyKey("k", b"\0" * 32))
        tip = acme.keep(image, "m")
        assert acme.context(tip)[0] == image.body

    @pytest.mark.parametrize("repeats", [True, False], ids=["compressible", "noise"])
    def test_a_body_of_any_size_comes_back_to_the_byte(self, acme: Keeper, repeats: bool) -> None:
        for size in (0, 4095, 4096, SHARED_FROM - 1, SHARED_FROM, SHARED_FROM + 1, 5_000_000):
            filling = b"a" * size if repeats else jsontext.digest(b"%d" % size).hex().encode() * (size // 32 + 1)
            body = (b'{"word":"' + filling)[: max(size - 2, 9)] + b'"}'
            tip = acme.keep(Item("message", body), Item("message", body))
            assert acme.context(tip) == [body, body]
            assert [each.body for each in acme.answer(tip)] == [body]


class TestPlans:
    """However big the store, and the project: every step of a turn is found by an index."""

    def test_every_statement_of_a_turn_finds_its_rows(self, acme: Keeper) -> None:
        root = acme.keep(item("u", item_id="mine_1"), "m")
        straight = acme.keep("u", "m", after=root)
        branch = acme.keep("u", TestPayloads().big(5), "m", after=root)
        crowd(acme)
        for tip in (straight, branch):
            with Plans(acme.database) as plans, direct.reading(acme.database) as cursor:
                parent = turns.parent(cursor, acme.project, tip)
                assert parent is not None
                assert turns.context(cursor, acme.project, parent)
                turns.on_thread(cursor, acme.project, parent, [root, tip])
            assert plans.walked() == []
            beginning = acme.beginning("u", after=tip)
            with Plans(acme.database) as plans:
                turns.begin(acme.database, acme.project, beginning, PROCESS, IdempotencyKey(tip, b"\0" * 32))
                acme.end(beginning.place, "m")
            # What waits to be found is 128 rows at most, whatever the store.
            assert [step for step in plans.walked() if "search_waiting" not in step] == []


class TestFailures:
    def test_a_statement_that_fails_is_storage_unavailable(self, acme: Keeper) -> None:
        with pytest.raises(StorageUnavailable), direct.reading(acme.database) as cursor:
            cursor.execute("SELECT nothing FROM nowhere")
        assert acme.shown(acme.keep("u", "m")) == ["u", "m"]

    def test_nothing_of_a_begin_that_fails_is_kept(self, acme: Keeper) -> None:
        beginning = acme.beginning("u")
        broken = replace(beginning, items=[*beginning.items, Item("message", None)])  # type: ignore[arg-type]
        with pytest.raises(Exception):  # noqa: B017  # whatever it is, nothing may be left of it
            turns.begin(acme.database, acme.project, broken, PROCESS)
        assert acme.parent(beginning.id) is None
