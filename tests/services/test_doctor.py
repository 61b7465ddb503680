"""The doctor: real trees are broken by hand, found, mended, and read as they did before."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convstore import ids
from convstore.domain.checkup import Finding
from convstore.domain.items import Item
from convstore.services import doctor, responses
from convstore.services.deps import Deps
from convstore.storage import branches, checkup, everywhere
from convstore.storage.branches import Branch
from convstore.storage.checkup import pointers
from tests.conftest import ENGINES
from tests.databases import migrated
from tests.local_upstream import message, response, stream_of
from tests.services.conftest import Asker
from tests.storage.keeper import Keeper, item

# Ids of nothing.
NOWHERE = f"resp_{'0f' * 16}"
NO_CONVERSATION = f"conv_{'0f' * 16}"


@pytest.fixture(params=ENGINES)
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database for each test: the doctor reads everything in it."""
    with migrated(request, tmp_path_factory) as url:
        yield url


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of a few rows is read in many batches."""
    for each in (checkup, pointers):
        monkeypatch.setattr(each, "BATCH", 3)


class Hand:
    """Breaks things, with SQL, and remembers how they were."""

    def __init__(self, deps: Deps) -> None:
        self.database = deps.database

    def sql(self, statement: str, *values: Any) -> None:
        given = tuple(_packed(each) for each in values)
        query = statement if self.database.is_sqlite else statement.replace("?", "%s")
        with self.database.transaction() as connection:
            connection.exec_driver_sql(query, given)

    def snapshot(self) -> dict[str, list[Any]]:
        """Every row of what a tree is made of."""
        found = {}
        with self.database.connection() as connection:
            for table in ("exchanges", "items", "conversations", "payloads", "running", "branches", "fingerprints"):
                rows = connection.exec_driver_sql(f"SELECT * FROM {table}").fetchall()
                found[table] = sorted(repr([_plain(value) for value in row]) for row in rows)
        return found


def _packed(value: Any) -> Any:
    if isinstance(value, str) and value.partition("_")[0] in (ids.EXCHANGE, ids.CONVERSATION, ids.PROJECT):
        return ids.pack(value.partition("_")[0], value)
    return value


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


@pytest.fixture
def hand(deps: Deps) -> Hand:
    return Hand(deps)


def found(deps: Deps, **options: Any) -> list[Finding]:
    return list(doctor.examine(deps, **options))


def kinds(deps: Deps, **options: Any) -> list[tuple[str, str]]:
    return sorted((each.kind, each.object_id) for each in found(deps, **options))


def is_mended(deps: Deps) -> bool:
    """Whether all that is wrong is mended by one repair, and the next look finds nothing."""
    before = kinds(deps)
    done = found(deps, repair=True)
    assert all(each.mended for each in done), done
    assert {each.kind for each in done} == {kind for kind, _ in before}
    return found(deps) == []


@pytest.fixture
def tree(acme: Asker) -> dict[str, str]:
    """root ─ a ─ b ─ c, and beside b: fork ─ leaf."""
    made: dict[str, str] = {}
    for name, parent in (("root", ""), ("a", "root"), ("b", "a"), ("fork", "a"), ("c", "b"), ("leaf", "fork")):
        made[name] = acme.ask(f"{name}?", after=made.get(parent))["id"]
    return made


class TestHealth:
    def test_a_store_in_order_is_left_alone(self, deps: Deps, hand: Hand, acme: Asker, tree: dict[str, str]) -> None:
        acme.ask("kept by nobody", store=False)
        acme.stream("streamed", previous_response_id=tree["c"])
        before = hand.snapshot()
        assert found(deps, repair=True) == []
        assert hand.snapshot() == before

    def test_the_younger_of_two_children_may_go_on(self, deps: Deps, acme: Asker) -> None:
        """It was stored first: the order of ids is not the order of commits."""
        keeper = _keeper(deps, acme)
        root = keeper.keep("u", "m")
        older = keeper.beginning("older", after=root)
        younger = keeper.beginning("younger", after=root)
        keeper.end(keeper.begin(younger), "m")
        keeper.end(keeper.begin(older), "m")
        assert found(deps) == []

    def test_progress_is_told(self, deps: Deps, tree: dict[str, str]) -> None:
        told: list[tuple[str, int, int]] = []
        found(deps, tell=lambda *figures: told.append(figures))
        assert any(what.endswith("trees") and done == total == 6 for what, done, total in told)

    def test_a_project_that_is_not_there(self, deps: Deps) -> None:
        with pytest.raises(doctor.ProjectNotFound):
            found(deps, project="hooli")


def _keeper(deps: Deps, acme: Asker) -> Keeper:
    keeper = Keeper(deps.database, deps.clock)  # type: ignore[arg-type]
    keeper.project = acme.principal.project_id
    return keeper


# What somebody may have done to one exchange, and what it is called.
DAMAGES = [
    ("a", "depth", 7, {"depth"}),
    ("root", "depth", 8, {"depth"}),
    ("b", "lane", NOWHERE, {"lane"}),
    ("c", "lane", "own", {"lane"}),
    ("fork", "lane", NOWHERE, {"lane"}),
    ("leaf", "lane", "own", {"lane"}),
    ("leaf", "conversation_id", NO_CONVERSATION, {"conversation"}),
    ("root", "conversation_id", NO_CONVERSATION, {"conversation"}),
]


class TestTrees:
    @pytest.mark.parametrize(("name", "column", "value", "said"), DAMAGES)
    def test_what_is_derived_is_made_anew(
        self, deps: Deps, hand: Hand, tree: dict[str, str], name: str, column: str, value: Any, said: set[str]
    ) -> None:
        before = hand.snapshot()
        given = tree[name] if value == "own" else value
        hand.sql(f"UPDATE exchanges SET {column} = ? WHERE id = ?", given, tree[name])
        assert kinds(deps) == [(kind, tree[name]) for kind in said]
        assert is_mended(deps)
        assert hand.snapshot() == before

    @pytest.mark.parametrize(("name", "column", "value", "said"), DAMAGES[:6])
    def test_items_that_went_along_come_back(
        self, deps: Deps, hand: Hand, tree: dict[str, str], name: str, column: str, value: Any, said: set[str]
    ) -> None:
        before = hand.snapshot()
        given = tree[name] if value == "own" else value
        where = "(lane, depth) = (SELECT lane, depth FROM exchanges WHERE id = ?)"
        hand.sql(f"UPDATE items SET {column} = ? WHERE {where}", given, tree[name])
        hand.sql(f"UPDATE exchanges SET {column} = ? WHERE id = ?", given, tree[name])
        assert {kind for kind, _ in kinds(deps)} == said
        assert is_mended(deps)
        assert hand.snapshot() == before

    def test_two_that_changed_places(self, deps: Deps, hand: Hand, acme: Asker, tree: dict[str, str]) -> None:
        """b says fork's place, fork says b's: by their rows alone, that would be a tree as good."""
        before = hand.snapshot()
        shown = responses.get(deps, acme.principal, tree["c"])
        hand.sql("UPDATE exchanges SET depth = 99 WHERE id = ?", tree["b"])
        hand.sql("UPDATE exchanges SET lane = ? WHERE id = ?", tree["root"], tree["fork"])
        hand.sql("UPDATE exchanges SET lane = ?, depth = 2 WHERE id = ?", tree["b"], tree["b"])
        assert is_mended(deps)
        assert hand.snapshot() == before
        assert responses.get(deps, acme.principal, tree["c"]) == shown

    def test_trees_in_each_others_places(self, deps: Deps, hand: Hand, acme: Asker, tree: dict[str, str]) -> None:
        one, two = acme.ask("one?")["id"], acme.ask("two?")["id"]
        before = hand.snapshot()
        hand.sql("UPDATE exchanges SET depth = 99 WHERE id = ?", one)
        hand.sql("UPDATE exchanges SET lane = ? WHERE id = ?", one, two)
        hand.sql("UPDATE exchanges SET lane = ?, depth = 0 WHERE id = ?", two, one)
        assert is_mended(deps)
        assert hand.snapshot() == before

    def test_a_conversation_that_was_lost(self, deps: Deps, hand: Hand, acme: Asker, tree: dict[str, str]) -> None:
        before = hand.snapshot()
        conversation = acme.stored(tree["root"]).conversation_id
        hand.sql("DELETE FROM conversations WHERE id = ?", conversation)
        assert kinds(deps) == [("conversation_row", conversation)]
        assert is_mended(deps)
        assert hand.snapshot() == before

    def test_an_orphan_is_for_a_person(self, deps: Deps, hand: Hand, tree: dict[str, str]) -> None:
        hand.sql("UPDATE exchanges SET parent_id = ? WHERE id = ?", NOWHERE, tree["fork"])
        before = hand.snapshot()
        (finding,) = found(deps, repair=True)
        assert (finding.kind, finding.object_id, finding.mendable) == ("orphan", tree["fork"], False)
        assert hand.snapshot() == before

    def test_so_is_a_ring(self, deps: Deps, hand: Hand, tree: dict[str, str]) -> None:
        hand.sql("UPDATE exchanges SET parent_id = ? WHERE id = ?", tree["c"], tree["a"])
        before = hand.snapshot()
        (finding,) = found(deps, repair=True)
        assert finding.kind == "cycle"
        assert all(tree[name] in finding.sentence for name in "abc")
        assert hand.snapshot() == before

    def test_where_an_answer_is_being_written_nothing_moves(self, deps: Deps, hand: Hand, acme: Asker) -> None:
        keeper = _keeper(deps, acme)
        root = keeper.keep("u", "m")
        running = keeper.begun("u2", after=root)
        hand.sql("UPDATE running SET process_id = ?", deps.process)
        hand.sql("UPDATE exchanges SET depth = 5 WHERE id = ?", running.id)
        (finding,) = [each for each in found(deps, repair=True) if each.kind == "depth"]
        assert not finding.mended
        assert "try again later" in finding.sentence


@st.composite
def damages(draw: st.DrawFn) -> tuple[list[int | None], list[tuple[int, str, int]]]:
    """The parents of some exchanges; and what is done to whom: which column, and a number for its value."""
    shape = draw(st.lists(st.none() | st.integers(0, 50), min_size=1, max_size=12))
    parents = [None if n is None or not i else n % i for i, n in enumerate(shape)]
    columns = st.sampled_from(["lane", "depth", "conversation_id", "park"])
    done = draw(st.lists(st.tuples(st.integers(0, len(parents) - 1), columns, st.integers(0, 50)), max_size=8))
    return parents, done


class TestLaw:
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(damages())
    def test_whatever_was_done_to_what_is_derived_is_undone(
        self, deps: Deps, hand: Hand, damage: tuple[list[int | None], list[tuple[int, str, int]]]
    ) -> None:
        parents, done = damage
        for table in ("exchanges", "items", "conversations", "running"):
            hand.sql(f"DELETE FROM {table}")
        keeper = Keeper(deps.database, deps.clock)  # type: ignore[arg-type]
        with deps.database.transaction() as connection:
            keeper.project = everywhere.project_id(connection, "law", deps.clock())
        made: list[str] = []
        for number, parent in enumerate(parents):
            asked = Item("message", b'{"role":"user","content":"asked %d"}' % number, role="user")
            said = Item("message", b'{"role":"assistant","content":"said %d"}' % number)
            made.append(keeper.keep(asked, said, after=None if parent is None else made[parent]))
        assert found(deps) == []
        before = hand.snapshot()
        roots = [number for number, parent in enumerate(parents) if parent is None]
        sizes = _sizes(parents)
        for number, column, value in done:
            _damage(hand, made, number, column, value, lone=number in roots and sizes[number] < 3)
        left = [each for each in found(deps, repair=True) if not each.mended]
        assert left == []
        assert hand.snapshot() == before
        assert found(deps) == []


def _sizes(parents: list[int | None]) -> dict[int, int]:
    """How many exchanges the tree of each has."""
    root: list[int] = []
    for number, parent in enumerate(parents):
        root.append(number if parent is None else root[parent])
    return {number: root.count(own) for number, own in enumerate(root)}


def _damage(hand: Hand, made: list[str], number: int, column: str, value: int, *, lone: bool) -> None:
    own = made[number]
    if column == "conversation_id":
        # Which conversation a root of few belonged to is nowhere else.
        if not lone and value % 2:
            hand.sql("UPDATE exchanges SET conversation_id = ? WHERE id = ?", ids.new(ids.CONVERSATION), own)
        return
    other = ids.new(ids.EXCHANGE) if value % 3 == 0 else made[value % len(made)]
    try:
        if column == "lane":
            hand.sql("UPDATE exchanges SET lane = ? WHERE id = ?", other, own)
        elif column == "depth":
            hand.sql("UPDATE exchanges SET depth = ? WHERE id = ?", value % 7, own)
        else:
            # Two change places, if another is there.
            hand.sql("UPDATE exchanges SET lane = ?, depth = ? WHERE id = ?", other, value % 5, own)
    except Exception as error:
        # (lane, depth) is unique: this damage cannot be done.
        assert "unique" in str(error).lower()


class TestContents:
    def test_items_that_nobody_claims_are_told(self, deps: Deps, hand: Hand, tree: dict[str, str]) -> None:
        hand.sql("UPDATE items SET depth = 40 WHERE lane = ? AND depth = 3", tree["root"])
        assert kinds(deps, repair=True) == sorted([("stray_items", tree["root"]), ("input_count", tree["c"])])

    def test_of_a_lane_that_is_not_there_as_well(self, deps: Deps, hand: Hand, acme: Asker) -> None:
        hand.sql("INSERT INTO items (lane, depth, position, output, type) VALUES (?, 0, 0, ?, 'x')", NOWHERE, False)
        (finding,) = found(deps)
        assert (finding.kind, finding.object_id, finding.project) == ("stray_items", NOWHERE, None)
        assert found(deps, project=acme.principal.project) == []

    def test_a_gap_is_a_loss(self, deps: Deps, hand: Hand, acme: Asker) -> None:
        own = acme.ask([{"role": "user", "content": word} for word in ("1", "2", "3")])["id"]
        hand.sql("DELETE FROM items WHERE lane = ? AND position = 1", own)
        assert kinds(deps, repair=True) == [("gap", own), ("input_count", own)]

    def test_a_wrong_count_is_counted(self, deps: Deps, hand: Hand, tree: dict[str, str]) -> None:
        before = hand.snapshot()
        hand.sql("UPDATE exchanges SET input_count = 4 WHERE id = ?", tree["b"])
        assert kinds(deps) == [("input_count", tree["b"])]
        assert is_mended(deps)
        assert hand.snapshot() == before

    def test_first_lines_of_old_rows_are_filled_in(self, deps: Deps, hand: Hand, tree: dict[str, str]) -> None:
        before = hand.snapshot()
        hand.sql("UPDATE exchanges SET question = NULL, answer = NULL")
        assert {kind for kind, _ in kinds(deps)} == {"question", "answer"}
        assert is_mended(deps)
        assert hand.snapshot() == before

    @pytest.mark.parametrize("column", ["settings_hash", "reply_hash", "sent_hash"])
    def test_a_body_that_is_gone_is_told(self, deps: Deps, hand: Hand, tree: dict[str, str], column: str) -> None:
        hand.sql(f"UPDATE exchanges SET {column} = ? WHERE id = ?", bytes(16), tree["b"])
        (finding,) = found(deps, repair=True)
        assert (finding.kind, finding.object_id, finding.mendable) == ("payload", tree["b"], False)
        assert column in finding.sentence

    def test_that_of_an_item_too(self, deps: Deps, hand: Hand, acme: Asker) -> None:
        own = acme.ask("x" * 10_000)["id"]
        hand.sql("UPDATE items SET payload_hash = ? WHERE lane = ? AND position = 0", bytes(16), own)
        assert kinds(deps) == [("payload", own)]


def call(call_id: str) -> Item:
    return item("weather", type="function_call", call_id=call_id)


def output(call_id: str) -> Item:
    return item("rain", type="function_call_output", call_id=call_id)


class TestCalls:
    def test_one_that_is_answered_is_fine(self, deps: Deps, acme: Asker) -> None:
        keeper = _keeper(deps, acme)
        asked = keeper.keep("u", call("c1"))
        middle = keeper.keep(output("c1"), "m", after=asked)
        # Not only by the parent's own child: any exchange above may have called.
        keeper.keep(output("c1"), "m", after=middle)
        keeper.keep("u", call("open, and nobody went on"))
        assert found(deps) == []

    def test_one_that_was_continued_without_is_told(self, deps: Deps, acme: Asker) -> None:
        keeper = _keeper(deps, acme)
        asked = keeper.keep("u", call("c1"))
        keeper.keep(output("c1"), "m", after=asked)
        keeper.keep("u", "m", after=asked)
        assert kinds(deps, repair=True) == [("open_call", asked)]

    def test_an_output_that_nobody_called_for_is_told(self, deps: Deps, acme: Asker) -> None:
        keeper = _keeper(deps, acme)
        own = keeper.keep(output("c1"), "m", after=keeper.keep("u", "m"))
        assert kinds(deps, repair=True) == [("output_without_call", own)]


class TestWork:
    def test_what_a_living_process_is_at_is_not_stuck(self, deps: Deps, hand: Hand, acme: Asker) -> None:
        _keeper(deps, acme).begun("u")
        hand.sql("UPDATE running SET process_id = ?", deps.process)
        assert found(deps) == []

    def test_what_nobody_is_at_is_ended_with_what_had_arrived(self, deps: Deps, hand: Hand, acme: Asker) -> None:
        left = _keeper(deps, acme).begun("u").id
        hand.sql("UPDATE running SET process_id = ?", deps.process)
        with deps.database.transaction() as connection:
            parts = stream_of(response(message("Hello there")), deltas=11)[2:9]
            everywhere.write_journal(connection, [(left, 0, b"".join(parts))])
        hand.sql("DELETE FROM running")
        assert kinds(deps) == [("stuck", left)]
        assert is_mended(deps)
        assert acme.stored(left).status == "incomplete"
        assert b"Hello" in responses.get(deps, acme.principal, left)

    def test_nor_what_a_dead_process_had_begun(self, deps: Deps, acme: Asker) -> None:
        _keeper(deps, acme).begun("u")
        assert [kind for kind, _ in kinds(deps)] == ["stuck"]
        assert is_mended(deps)

    @pytest.mark.parametrize("background", ["plain", "streamed"])
    @pytest.mark.parametrize("status", ["queued", "in_progress"])
    def test_a_background_response_without_a_job(
        self, deps: Deps, hand: Hand, acme: Asker, status: str, background: str
    ) -> None:
        own = acme.ask("Later", background=True, stream=False)["id"]
        assert found(deps) == []
        hand.sql("DELETE FROM jobs")
        hand.sql("UPDATE exchanges SET status = ?, background = ? WHERE id = ?", status, background, own)
        assert kinds(deps) == [("stuck", own)]
        assert is_mended(deps)
        assert acme.stored(own).status == "incomplete"

    def test_what_has_ended_runs_no_more(self, deps: Deps, hand: Hand, acme: Asker, tree: dict[str, str]) -> None:
        for own in (tree["a"], NOWHERE):
            row = own, acme.principal.project_id, deps.process
            hand.sql("INSERT INTO running (exchange_id, project_id, process_id) VALUES (?, ?, ?)", *row)
        assert kinds(deps) == sorted([("running", tree["a"]), ("running", NOWHERE)])
        assert is_mended(deps)

    def test_a_conversation_is_given_back(self, deps: Deps, hand: Hand, acme: Asker, tree: dict[str, str]) -> None:
        before = hand.snapshot()
        conversation = acme.stored(tree["root"]).conversation_id
        hand.sql("UPDATE conversations SET writer_id = ? WHERE id = ?", tree["a"], conversation)
        assert kinds(deps) == [("writer", conversation)]
        assert is_mended(deps)
        assert hand.snapshot() == before


class TestPointers:
    def test_branches(self, deps: Deps, hand: Hand, acme: Asker, tree: dict[str, str]) -> None:
        conversation = acme.stored(tree["root"]).conversation_id
        with deps.database.writing(acme.principal.project_id) as scope:
            for name, tip in (("good", tree["c"]), ("gone", NOWHERE), ("astray", tree["leaf"])):
                branches.add(scope, Branch(name, conversation, tip, deps.clock(), deps.clock()))
        hand.sql("UPDATE branches SET conversation_id = ? WHERE name = 'astray'", ids.new(ids.CONVERSATION))
        assert kinds(deps) == [("branch", "gone"), ("branch_conversation", "astray")]
        assert is_mended(deps)
        with deps.database.reading(acme.principal.project_id) as scope:
            left = branches.listed(scope, 10)
        assert [(each.name, each.conversation_id) for each in left] == [
            ("astray", conversation),
            ("good", conversation),
        ]

    def test_fingerprints(self, deps: Deps, hand: Hand, tree: dict[str, str]) -> None:
        before = hand.snapshot()
        hand.sql("INSERT INTO fingerprints (fingerprint, exchange_id) VALUES (?, ?)", bytes(16), NOWHERE)
        assert kinds(deps) == [("fingerprint", bytes(16).hex())]
        assert is_mended(deps)
        assert hand.snapshot() == before


class TestNobody:
    def test_another_project_is_examined_and_mended_apart(
        self, deps: Deps, hand: Hand, acme: Asker, globex: Asker, tree: dict[str, str]
    ) -> None:
        theirs = globex.ask("Theirs")["id"]
        before = hand.snapshot()
        hand.sql("UPDATE exchanges SET depth = 9 WHERE id IN (?, ?)", tree["c"], theirs)
        name = acme.principal.project
        assert [each.object_id for each in found(deps, project=name, repair=True)] == [tree["c"]]
        assert kinds(deps) == [("depth", theirs)]
        assert is_mended(deps)
        assert hand.snapshot() == before
