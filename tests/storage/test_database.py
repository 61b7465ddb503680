"""Connections and transactions: all of it or none, and a database that cannot be had is one kind of error."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from convstore import ids
from convstore.errors import Misconfigured, StorageUnavailable
from convstore.storage import direct, tables
from convstore.storage.database import Database, Options
from tests.conftest import FixedClock
from tests.storage.keeper import Keeper, count

BUSY_S = 0.15


def add_project(database: Database, name: str = "") -> None:
    own = ids.new(ids.PROJECT)
    with database.transaction() as connection:
        connection.execute(insert(tables.projects).values(id=own, name=name or own, created_at=FixedClock()()))


@pytest.fixture
def impatient(database_url: str) -> Iterator[Database]:
    """The same database for a process that waits for a moment only, with two connections at most."""
    with Database(Options(database_url, pool=2, busy_s=BUSY_S, pool_wait_s=BUSY_S)) as opened:
        yield opened


class TestTransaction:
    def test_all_of_it_is_kept(self, database: Database) -> None:
        before = count(database, "projects")
        add_project(database)
        assert count(database, "projects") == before + 1

    @pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, GeneratorExit])
    def test_or_none(self, database: Database, error: type[BaseException]) -> None:
        before = count(database, "projects")
        with pytest.raises(error), database.transaction() as connection:
            values = {"id": ids.new(ids.PROJECT), "name": "lost", "created_at": FixedClock()()}
            connection.execute(insert(tables.projects).values(**values))
            raise error
        assert count(database, "projects") == before
        add_project(database)  # the writer's turn was given back

    def test_a_clash_is_the_callers_business(self, database: Database) -> None:
        name = ids.new(ids.PROJECT)
        add_project(database, name)
        with pytest.raises(IntegrityError):
            add_project(database, name)
        add_project(database)

    def test_a_statement_that_fails_is_storage_unavailable(self, database: Database) -> None:
        with pytest.raises(StorageUnavailable) as refused, database.transaction() as connection:
            connection.exec_driver_sql("SELECT nothing FROM nowhere")
        assert refused.value.__cause__ is not None
        add_project(database)

    @pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
    def test_so_is_a_connection_that_breaks_in_the_middle(self, database: Database, impatient: Database) -> None:
        with pytest.raises(StorageUnavailable), database.transaction() as connection:
            backend = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            with impatient.connection() as other:
                other.exec_driver_sql(f"SELECT pg_terminate_backend({backend})")
            connection.exec_driver_sql("DELETE FROM payloads")
        with database.transaction() as connection:
            assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1

    def test_threads_take_turns(self, database: Database) -> None:
        before = count(database, "projects")
        threads = [threading.Thread(target=add_project, args=(database,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert count(database, "projects") == before + 8


class TestReading:
    def test_what_is_read_is_of_one_project(self, database: Database) -> None:
        with database.reading("proj_x") as scope:
            assert scope.project_id == "proj_x"

    def test_readers_do_not_wait_for_a_writer(self, database: Database, impatient: Database) -> None:
        before = count(database, "projects")
        with database.transaction() as connection:
            values = {"id": ids.new(ids.PROJECT), "name": ids.new(ids.PROJECT), "created_at": FixedClock()()}
            connection.execute(insert(tables.projects).values(**values))
            assert count(impatient, "projects") == before


class TestBusy:
    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_a_writer_of_another_process_is_waited_for(self, database: Database, impatient: Database) -> None:
        done = threading.Event()

        def write() -> None:
            add_project(impatient)
            done.set()

        with database.transaction():
            waiting = threading.Thread(target=write)
            waiting.start()
            assert not done.is_set()
        waiting.join(30)
        assert done.is_set()

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_but_not_for_ever(self, database: Database, impatient: Database) -> None:
        acme = Keeper(impatient)
        beginning = acme.beginning("u")
        with database.transaction():
            for write in (lambda: add_project(impatient), lambda: acme.begin(beginning)):
                started = time.monotonic()
                with pytest.raises(StorageUnavailable):
                    write()
                assert BUSY_S <= time.monotonic() - started < 20 * BUSY_S
        acme.begin(beginning)
        add_project(impatient)

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_nor_is_one_of_this_process(self, impatient: Database) -> None:
        acme = Keeper(impatient)
        beginning = acme.beginning("u")
        with impatient.transaction():
            with pytest.raises(StorageUnavailable):
                add_project(impatient)
            with pytest.raises(StorageUnavailable):
                acme.begin(beginning)
        acme.begin(beginning)

    def test_nor_a_connection_when_all_are_taken(self, impatient: Database) -> None:
        with impatient.connection(), impatient.connection():
            with pytest.raises(StorageUnavailable), impatient.connection():
                pass
            with pytest.raises(StorageUnavailable), direct.reading(impatient):
                pass
        add_project(impatient)


class TestOpening:
    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            ("mysql://localhost/x", "'mysql' is not supported"),
            ("oracle+x://h/y", "'oracle' is not supported"),
            ("sqlite://", "SQLite needs a file"),
            ("sqlite:///:memory:", "SQLite needs a file"),
            ("nonsense", "not a database URL"),
            ("", "not a database URL"),
            ("postgresql://h:port/x", "not a database URL"),
        ],
    )
    def test_what_cannot_be_a_store_is_refused_by_name(self, url: str, reason: str) -> None:
        with pytest.raises(Misconfigured, match="CONVSTORE_DATABASE_URL") as refused:
            Database(Options(url))
        assert reason in refused.value.message

    def test_a_password_stays_out_of_the_message(self) -> None:
        with pytest.raises(Misconfigured) as refused:
            Database(Options("postgresql://u:secret@h:port/x"))
        assert "secret" not in refused.value.message

    def test_a_directory_is_made_for_the_file(self, tmp_path: Path) -> None:
        with (
            Database(Options(f"sqlite:///{tmp_path}/a/b/c.db")) as database,
            database.connection() as connection,
        ):
            assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1

    def test_a_server_that_is_not_there_is_storage_unavailable(self) -> None:
        with Database(Options("postgresql+psycopg://u@127.0.0.1:1/x", busy_s=BUSY_S)) as database:
            with pytest.raises(StorageUnavailable), database.connection():
                pass
            with pytest.raises(StorageUnavailable), database.transaction():
                pass
            with pytest.raises(StorageUnavailable), direct.reading(database):
                pass

    def test_so_is_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        path = tmp_path / "x.db"
        path.write_bytes(b"This is a letter, not a database. " * 100)
        with Database(Options(f"sqlite:///{path}", busy_s=BUSY_S)) as database:
            with pytest.raises(StorageUnavailable), database.connection():
                pass
            with pytest.raises(StorageUnavailable), direct.reading(database):
                pass

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_sqlite_is_opened_for_many_readers_and_a_crash(self, database: Database) -> None:
        with database.connection() as connection:
            pragmas = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            ]
        assert pragmas == ["wal", 1, 1, 0]

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_the_last_commit_can_be_made_to_survive_a_power_cut(self, database_url: str) -> None:
        with (
            Database(Options(database_url, synchronous="FULL")) as database,
            database.connection() as connection,
        ):
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2


class TestRemember:
    def test_it_never_grows_without_bound(self, database: Database) -> None:
        for start in range(0, 40_000, 5000):
            with database.memory.trusting():
                database.memory.remember((b"p", number.to_bytes(4, "big")) for number in range(start, start + 5000))
            assert 0 < len(database.memory._stored) <= 20_000
