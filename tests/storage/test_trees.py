"""Trees in the tables: what is read of them is found, and put in order, by an index."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import insert

from convstore import ids
from convstore.domain import replay
from convstore.domain.tree import Figures, Run, below
from convstore.domain.usage import LARGEST, Usage
from convstore.storage import branches, conversations, replays, tables, trees
from convstore.storage.database import Database, Options
from tests.storage.keeper import Keeper, Plans, counted

TURNS, FORKS = 300, 20
MANY = 5000


class Forest:
    """One conversation of a long thread with forks, among very many of its project's and of others."""

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper
        self.database = keeper.database
        self.project = keeper.project
        self.home = ids.new(ids.CONVERSATION)
        self.trunk = [ids.new(ids.EXCHANGE) for _ in range(TURNS)]
        rows = [self._row(own, self.home, self.trunk[0], depth) for depth, own in enumerate(self.trunk)]
        self.forks = [ids.new(ids.EXCHANGE) for _ in range(FORKS)]
        for number, own in enumerate(self.forks):
            rows.append(self._row(own, self.home, own, 15 * number + 1, self.trunk[15 * number]))
        for row, above in zip(rows[1:TURNS], self.trunk, strict=False):
            row["parent_id"] = above
        others = [self.project, *(ids.new(ids.PROJECT) for _ in range(5))]
        for number in range(MANY):
            own = ids.new(ids.EXCHANGE)
            rows.append(self._row(own, ids.new(ids.CONVERSATION), own, 0) | {"project_id": others[number % 6]})
        self._write(tables.exchanges, rows)
        now = keeper.clock()
        homes = {(row["project_id"], row["conversation_id"]) for row in rows}
        homes |= {(self.project, ids.new(ids.CONVERSATION)) for _ in range(MANY)}
        self._write(tables.conversations, [{"project_id": a, "id": b, "created_at": now} for a, b in homes])
        names = [
            {"project_id": others[number % 6], "name": f"b{number:05d}", "conversation_id": row["conversation_id"]}
            | {"tip_id": row["id"], "created_at": now, "moved_at": now}
            for number, row in enumerate(rows)
        ]
        self._write(tables.branches, names)
        self.replays = [ids.new(ids.REPLAY) for _ in range(MANY)]
        plan = replay.Plan(tuple(self.trunk[:3])).dump()
        made = [
            {"project_id": others[number % 6], "id": own, "conversation_id": self.home, "source_id": self.trunk[2]}
            | {"plan": plan, "created_at": now}
            for number, own in enumerate(self.replays)
        ]
        self._write(tables.replays, made)
        runs = [
            {"replay_id": own, "number": n, "model": "m", "job_id": ids.new(ids.JOB)}
            for own in self.replays
            for n in (0, 1)
        ]
        self._write(tables.replay_runs, runs)
        self._write(
            tables.jobs,
            [
                {"project_id": others[n // 2 % 6], "id": run["job_id"], "kind": "replay", "arguments": "{}"}
                | {"status": "completed", "created_at": now, "finished_at": now}
                for n, run in enumerate(runs)
            ],
        )
        turns = [
            {"replay_id": own, "run": run, "turn": turn, "source_id": self.trunk[turn], "exchange_id": self.trunk[turn]}
            for own in self.replays[:900]
            for run in (0, 1)
            for turn in range(3)
        ]
        self._write(tables.replay_turns, turns)

    def _row(self, own: str, home: str, lane: str, depth: int, parent: str | None = None) -> dict[str, Any]:
        row = {"id": own, "conversation_id": home, "lane": lane, "depth": depth, "parent_id": parent}
        row |= {"project_id": self.project, "input_count": 1, "status": "completed", "origin": "create"}
        row |= {"stored": True, "requested_model": "m", "settings_hash": b"0" * 16, "question": f"Q{depth}"}
        return row | {"created_at": self.keeper.clock()}

    def _write(self, table: Any, rows: list[dict[str, Any]]) -> None:
        with self.database.transaction() as connection:
            connection.execute(insert(table), rows)


BIG = ("exchanges", "conversations", "branches", "replays", "replay_runs", "replay_turns", "jobs")


@pytest.fixture(scope="module", params=["known", "unknown"])
def forest(request: pytest.FixtureRequest, database_url: str) -> Iterator[Forest]:
    """Nobody tells SQLite how many rows there are, unless an operator does; PostgreSQL finds out by itself."""
    if request.param == "unknown" and not database_url.startswith("sqlite"):
        pytest.skip("PostgreSQL counts its rows by itself: there is no unknown number to try")
    with Database(Options(database_url)) as opened:
        made = Forest(Keeper(opened))
        with opened.transaction() as connection:
            connection.exec_driver_sql("ANALYZE")
            if request.param == "unknown":
                connection.exec_driver_sql("DELETE FROM sqlite_stat1")
    # SQLite looks at what it knows when it opens the file.
    with Database(Options(database_url)) as made.database:
        yield made


def scanned(plans: Plans) -> list[str]:
    """The steps that read a table from end to end; all that a project has may be read in order, as far as a page."""
    return [step for step in plans.walked(*BIG) if step.startswith(("SCAN", "Seq"))]


class TestPlans:
    @pytest.mark.parametrize(("first", "last"), [(0, TURNS - 1), (200, 210)])
    def test_a_thread(self, forest: Forest, first: int, last: int) -> None:
        with forest.database.reading(forest.project) as scope, Plans(forest.database) as plans:
            found = trees.thread(scope, forest.trunk[-1], first, last)
        assert [each.id for each in found] == forest.trunk[first : last + 1]
        assert plans.walked(*BIG) == []

    def test_children(self, forest: Forest) -> None:
        with forest.database.reading(forest.project) as scope, Plans(forest.database) as plans:
            assert [each.id for each in trees.children(scope, forest.trunk[15], 10)] == [
                forest.trunk[16],
                forest.forks[1],
            ]
            assert [each.id for each in trees.children(scope, forest.trunk[15], 10, forest.trunk[16])] == [
                forest.forks[1]
            ]
            assert trees.end_of_lane(scope, forest.trunk[15]) == forest.trunk[-1]
        assert plans.walked(*BIG) == []

    def test_tips(self, forest: Forest) -> None:
        tips = sorted([forest.trunk[-1], *forest.forks], reverse=True)
        with forest.database.reading(forest.project) as scope, Plans(forest.database) as plans:
            assert [each.id for each in trees.tips(scope, forest.home, 10)] == tips[:10]
            assert [each.id for each in trees.tips(scope, forest.home, 10, tips[9])] == tips[10:20]
        assert plans.walked(*BIG) == []

    @pytest.mark.parametrize("first", [0, 280])
    def test_a_tree_and_a_part_of_one(self, forest: Forest, first: int) -> None:
        with Plans(forest.database) as plans:
            lanes = trees.lanes(forest.database, forest.project, forest.home)
            wanted = below(lanes, (forest.trunk[0], first))
            runs = trees.runs(forest.database, forest.project, wanted)
            leaves = trees.members(forest.database, forest.project, wanted)
            with forest.database.reading(forest.project) as scope:
                trees.place(scope, forest.trunk[first])
                assert len(trees.nodes(scope, forest.trunk[first:])) == TURNS - first
        hanging = [own for number, own in enumerate(forest.forks) if 15 * number >= first]
        assert wanted == {forest.trunk[0]: first, **{own: 15 * forest.forks.index(own) + 1 for own in hanging}}
        assert {lane: run.sums.nodes for lane, run in runs.items()} == {
            lane: len(each) for lane, each in leaves.items()
        }
        assert [leaf.id for leaf in leaves[forest.trunk[0]]] == forest.trunk[first:]
        assert plans.walked(*BIG) == []

    @pytest.mark.parametrize("newest_first", [True, False])
    def test_conversations(self, forest: Forest, newest_first: bool) -> None:
        with forest.database.reading(forest.project) as scope, Plans(forest.database) as plans:
            first = conversations.listed(scope, 50, newest_first=newest_first)
            last = first[-1][0].id
            later = conversations.listed(scope, 50, newest_first=newest_first, after=last)
        assert len({each.id for each, _ in [*first, *later]}) == 100
        # The first of a conversation's roots, whose question is its title, is found by an index, too.
        assert (scanned(plans), plans.sorted()) == ([], [])

    def test_the_branches_of_a_conversation(self, forest: Forest) -> None:
        with forest.database.reading(forest.project) as scope, Plans(forest.database) as plans:
            first = branches.listed(scope, 20, conversation_id=forest.home)
            assert branches.listed(scope, 20, conversation_id=forest.home, after=first[9].name)[:10] == first[10:]
            assert branches.listed(scope, 9, conversation_id=forest.home, before=first[9].name) == first[:9]
        assert (plans.walked(*BIG), plans.sorted()) == ([], [])

    def test_the_branches_of_a_project(self, forest: Forest) -> None:
        with forest.database.reading(forest.project) as scope, Plans(forest.database) as plans:
            first = branches.listed(scope, 20)
            assert branches.listed(scope, 20, after=first[9].name)[:10] == first[10:]
        assert (scanned(plans), plans.sorted()) == ([], [])

    def test_replays(self, forest: Forest) -> None:
        own = sorted(forest.replays[::6], reverse=True)
        with forest.database.reading(forest.project) as scope, Plans(forest.database) as plans:
            assert [each.id for each in replays.listed(scope, 20, newest_first=True)] == own[:20]
            assert [each.id for each in replays.listed(scope, 20, newest_first=True, after=own[19])] == own[20:40]
            assert len(replays.turns(scope, forest.replays[0])) == 6
        assert scanned(plans) == []
        with forest.database.reading(forest.project) as scope, Plans(forest.database) as plans:
            assert replays.questions(scope, replay.Plan(tuple(forest.trunk))) == TURNS
        assert (len(plans.ran), plans.walked(*BIG)) == (1, [])
        with forest.database.reading(forest.project) as scope, Plans(forest.database) as plans:
            scope.connection.execute(replays._mine(scope).order_by(replays._r.c.id.desc()).limit(20)).fetchall()
        assert plans.sorted() == []


class TestRuns:
    def test_they_are_the_sums_of_the_members_however_big(self, acme: Keeper) -> None:
        most = LARGEST - 1
        used = [Usage(most, most, 0, 7, most, most), None, Usage(most, 1, 2, 3, 4, 5), Usage(most, 0, 0, most, 0, most)]
        made: list[str] = []
        for usage in used:
            place = acme.begun("u", after=made[-1] if made else None)
            assert acme.end(place, "m", usage=usage)
            made.append(place.id)
        with counted() as statements:
            (run,) = trees.runs(acme.database, acme.project, {made[0]: 0}).values()
        expected = Figures()
        for usage in used:
            expected.count(usage)
        assert (run, statements) == (Run(0, expected), [1])
        (rest,) = trees.runs(acme.database, acme.project, {made[0]: 3}).values()
        assert (rest.depth, rest.sums.nodes, rest.sums.total) == (3, 1, most)

    def test_of_very_many_lanes_and_of_none(self, acme: Keeper, globex: Keeper) -> None:
        root = acme.keep("u", "m")
        lanes = {root: 0} | {acme.keep("u", "m", after=root): 1 for _ in range(3)} | {ids.new(ids.EXCHANGE): 0}
        nowhere = {ids.new(ids.EXCHANGE): 0 for _ in range(2 * trees.MOST)}
        # The first child is in the lane of the root.
        assert [run.sums.nodes for run in trees.runs(acme.database, acme.project, lanes | nowhere).values()] == [
            2,
            1,
            1,
        ]
        assert trees.runs(acme.database, acme.project, {}) == {}
        assert trees.runs(globex.database, globex.project, lanes) == {}
