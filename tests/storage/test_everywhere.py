"""The queries that look across projects: keys, processes, and what dead ones left behind."""

import os
from dataclasses import replace
from datetime import timedelta

import pytest

from convstore import ids
from convstore.domain.project import ProjectSettings
from convstore.storage import everywhere
from convstore.storage.database import Database
from convstore.storage.everywhere import Key, Process
from tests.conftest import FixedClock
from tests.storage.keeper import PROCESS, Keeper, Plans


@pytest.fixture
def names(database: Database) -> tuple[str, str]:
    """Two projects that no other test knows."""
    return f"acme {os.urandom(4).hex()}", f"globex {os.urandom(4).hex()}"


def key_of(database: Database, project: str, clock: FixedClock, digest: bytes, **members: object) -> Key:
    """A stored key."""
    with database.transaction() as connection:
        key = Key(
            id=ids.new(ids.KEY),
            project_id=everywhere.project_id(connection, project, clock()),
            project=project,
            name="alice",
            prefix="sk-abcdefg",
            scopes=("read", "write"),
            created_at=clock(),
            expires_at=None,
            revoked_at=None,
            last_used_at=None,
        )
        key = replace(key, **members)  # type: ignore[arg-type]
        everywhere.add_key(connection, key, digest)
    return key


class TestProjectId:
    def test_a_name_is_one_project(self, database: Database, names: tuple[str, str], clock: FixedClock) -> None:
        with database.transaction() as connection:
            acme = everywhere.project_id(connection, names[0], clock())
            globex = everywhere.project_id(connection, names[1], clock())
            assert everywhere.project_id(connection, names[0], clock()) == acme != globex

    def test_nothing_is_made_by_a_transaction_that_fails(
        self, database: Database, names: tuple[str, str], clock: FixedClock
    ) -> None:
        with pytest.raises(KeyError), database.transaction() as connection:
            failed = everywhere.project_id(connection, names[0], clock())
            raise KeyError
        with database.transaction() as connection:
            assert everywhere.project_id(connection, names[0], clock()) != failed


class TestProjects:
    def test_they_are_listed_oldest_first(self, database: Database, names: tuple[str, str], clock: FixedClock) -> None:
        with database.transaction() as connection:
            own = [everywhere.project_id(connection, name, clock()) for name in names]
            found = [each for each in everywhere.projects(connection) if each.id in own]
        assert [(each.id, each.name, each.settings) for each in found] == [
            (made, name, ProjectSettings()) for made, name in zip(own, names, strict=True)
        ]
        assert found[0].created_at < found[1].created_at

    def test_the_settings_of_one_are_its_own(
        self, database: Database, names: tuple[str, str], clock: FixedClock
    ) -> None:
        chosen = ProjectSettings("discard", {"of_a_later_version": [1]})
        digest = os.urandom(32)
        key = key_of(database, names[0], clock, digest)
        with database.transaction() as connection:
            everywhere.project_id(connection, names[1], clock())
            locked = everywhere.project(connection, names[0], for_update=True)
            assert locked is not None
            everywhere.set_project(connection, locked.id, chosen)
        with database.connection() as connection:
            acme, globex = (everywhere.project(connection, name) for name in names)
            assert acme == replace(locked, settings=chosen)
            assert globex is not None
            assert globex.settings == ProjectSettings()
            assert everywhere.project(connection, "nobody") is None
            assert everywhere.key_by_digest(connection, digest) == (key, chosen)


class TestKeys:
    def test_a_key_is_found_by_its_digest_alone(
        self, database: Database, names: tuple[str, str], clock: FixedClock
    ) -> None:
        digest = os.urandom(32)
        expires = clock() + timedelta(days=1)
        key = key_of(database, names[0], clock, digest, expires_at=expires)
        key_of(database, names[1], clock, os.urandom(32))
        with database.connection() as connection:
            assert everywhere.key_by_digest(connection, digest) == (key, ProjectSettings())
            assert everywhere.key_by_digest(connection, os.urandom(32)) is None

    def test_they_are_listed_oldest_first_of_one_project_or_all(
        self, database: Database, names: tuple[str, str], clock: FixedClock
    ) -> None:
        mine = [key_of(database, names[0], clock, os.urandom(32)) for _ in range(3)]
        theirs = key_of(database, names[1], clock, os.urandom(32))
        with database.connection() as connection:
            assert everywhere.keys(connection, names[0]) == mine
            assert everywhere.keys(connection, "nobody") == []
            everyone = everywhere.keys(connection)
        assert [key for key in everyone if key in (*mine, theirs)] == [*mine, theirs]

    def test_a_key_is_revoked_once(self, database: Database, names: tuple[str, str], clock: FixedClock) -> None:
        digest = os.urandom(32)
        key = key_of(database, names[0], clock, digest)
        at = clock()
        with database.transaction() as connection:
            assert everywhere.revoke_key(connection, key.id, at)
            assert not everywhere.revoke_key(connection, key.id, clock())
            assert not everywhere.revoke_key(connection, ids.new(ids.KEY), clock())
            assert not everywhere.revoke_key(connection, "key_x", clock())
        with database.connection() as connection:
            assert everywhere.key_by_digest(connection, digest) == (replace(key, revoked_at=at), ProjectSettings())

    def test_its_last_use_is_noted(self, database: Database, names: tuple[str, str], clock: FixedClock) -> None:
        digest = os.urandom(32)
        key = key_of(database, names[0], clock, digest)
        at = clock()
        with database.transaction() as connection:
            everywhere.touch_key(connection, key.id, at)
        with database.connection() as connection:
            assert everywhere.key_by_digest(connection, digest) == (replace(key, last_used_at=at), ProjectSettings())

    def test_a_look_up_is_one_statement_by_an_index(
        self, database: Database, names: tuple[str, str], clock: FixedClock
    ) -> None:
        for _ in range(300):
            key_of(database, names[0], clock, os.urandom(32))
        with database.connection() as connection:
            connection.exec_driver_sql("ANALYZE")
            with Plans(database) as plans:
                everywhere.key_by_digest(connection, os.urandom(32))
        assert len(plans.ran) == 1
        assert plans.walked("api_keys") == []


class TestProcesses:
    def process(self, clock: FixedClock) -> Process:
        now = clock()
        return Process(os.urandom(16), "host pid:[1]", 4242, now, now)

    def test_one_enters_beats_and_leaves(self, database: Database, clock: FixedClock) -> None:
        process, other = self.process(clock), self.process(clock)
        with database.transaction() as connection:
            everywhere.enter(connection, process)
            everywhere.enter(connection, other)
        later = clock()
        with database.transaction() as connection:
            assert everywhere.beat(connection, process.id, later)
        with database.connection() as connection:
            found = {each.id: each for each in everywhere.processes(connection)}
        assert found[process.id] == replace(process, seen_at=later, epoch=0)
        assert found[other.id] == replace(other, epoch=0)
        with database.transaction() as connection:
            everywhere.leave(connection, process.id)
            assert not everywhere.beat(connection, process.id, clock())
            assert {each.id for each in everywhere.processes(connection)} >= {other.id}

    def test_one_with_work_on_record_stays(self, database: Database, acme: Keeper, clock: FixedClock) -> None:
        place = acme.begun("u")
        with database.transaction() as connection:
            everywhere.enter(connection, replace(self.process(clock), id=PROCESS))
            everywhere.leave(connection, PROCESS)
            assert PROCESS in {each.id for each in everywhere.processes(connection)}
        acme.end(place, "m")
        with database.transaction() as connection:
            for project, exchange in everywhere.abandoned(connection, [PROCESS], 1000):
                assert (project, exchange) != (acme.project, place.id)

    def test_what_it_had_begun_is_known(self, database: Database, acme: Keeper, globex: Keeper) -> None:
        running, done, theirs = acme.begun("u"), acme.begun("u"), globex.begun("u")
        acme.end(done, "m")
        with database.connection() as connection:
            left = everywhere.abandoned(connection, [PROCESS, os.urandom(16)], 10_000)
            assert {(acme.project, running.id), (globex.project, theirs.id)} <= set(left)
            assert (acme.project, done.id) not in left
            assert everywhere.abandoned(connection, [os.urandom(16)], 10) == []
            assert everywhere.abandoned(connection, [], 10) == []
            assert len(everywhere.abandoned(connection, [PROCESS], 1)) == 1

    def test_work_without_an_owner_is_found(self, database: Database, acme: Keeper) -> None:
        acme.begun("u")
        acme.begun("u")
        with database.transaction() as connection:
            everywhere.leave(connection, PROCESS)
            known = PROCESS in {each.id for each in everywhere.processes(connection)}
            assert everywhere.ownerless(connection, 10).count(PROCESS) == (0 if known else 1)


class TestJournal:
    def test_parts_come_back_in_their_order(self, database: Database) -> None:
        one, other = ids.new(ids.EXCHANGE), ids.new(ids.EXCHANGE)
        big = b"data: x\n\n" * 100_000
        with database.transaction() as connection:
            everywhere.write_journal(connection, [(one, 1, b"second"), (other, 0, b"noise"), (one, 0, b"first\0")])
            everywhere.write_journal(connection, [(one, 2, big)])
        with database.connection() as connection:
            assert everywhere.journal(connection, one) == [b"first\0", b"second", big]
            assert everywhere.journal(connection, ids.new(ids.EXCHANGE)) == []
