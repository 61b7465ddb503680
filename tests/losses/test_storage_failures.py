"""A store that cannot be written: a clear 503 before the call, and after it an answer that is written later.

Locked by another connection, full, refusing connections, or with its connections cut: on each engine what can
happen to it.
"""

import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import event, make_url, update

from convstore.clock import utc_now
from convstore.services import recovery, turn
from convstore.storage import everywhere, tables
from convstore.storage.database import Database, Options
from tests.conftest import ENGINES, FixedClock, fresh_database
from tests.local_upstream import (
    Behaviour,
    Exchange,
    answer,
    message,
    response,
    stream,
    stream_of,
    wait_until,
)
from tests.losses import evidence, house, service
from tests.losses.evidence import error_body, error_event, finished, latest, stream_events
from tests.losses.house import House
from tests.losses.providers import DeadEnds

# How long the service waits for its store in these tests, and how much longer its client may have to wait.
BUSY_S = 0.3
PATIENCE_S = 0.4
AT_MOST_S = 4.0
WAITING = "waiting_for_the_database"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer waits less long for the store, and late ones are tried again sooner: the times, and nothing else."""
    monkeypatch.setattr(turn, "PATIENCE_S", PATIENCE_S)
    monkeypatch.setattr(recovery, "BEAT_S", 0.05)


@pytest.fixture(params=ENGINES)
def home(request: pytest.FixtureRequest, tmp_path: Path, dead_ends: DeadEnds, impatient: None) -> Iterator[House]:
    """A service in this process whose store is its own, and whose heart beats."""
    with fresh_database(request.param, request, tmp_path) as url:
        # Keys are remembered, so that the turn itself is the first to notice.
        with house.in_process(url, dead_ends, database_busy_s=BUSY_S, key_cache_s=60.0) as found:
            found.client.ask("Do you know me?")
            found.upstream.forget()
            found.start_beating()
            yield found
            found.stop_beating()
            assert evidence.left_behind(found.database) == {}


@pytest.fixture
def sqlite_home(home: House) -> House:
    if not home.database.is_sqlite:
        pytest.skip("PostgreSQL has no such limit that one test could set for itself")
    return home


@pytest.fixture
def postgres_home(home: House) -> House:
    if home.database.is_sqlite:
        pytest.skip("SQLite has no server that connections could be lost to")
    return home


@pytest.fixture
def patient_home(request: pytest.FixtureRequest, tmp_path: Path, dead_ends: DeadEnds) -> Iterator[House]:
    """One on PostgreSQL that waits for a lock as long as it takes others to come and wait beside it."""
    with (
        fresh_database("postgres", request, tmp_path) as url,
        house.in_process(url, dead_ends, database_busy_s=30.0, key_cache_s=60.0) as found,
    ):
        yield found
        assert evidence.left_behind(found.database) == {}


@contextmanager
def locked(database: Database) -> Iterator[None]:
    """Another connection holds the store, and writes nothing."""
    # Whoever is writing just now is waited for, however slow the disk is.
    with Database(replace(database.options, busy_s=30.0)) as other, other.connection() as connection:
        if other.is_sqlite:
            connection.exec_driver_sql("BEGIN EXCLUSIVE")
        else:
            connection.exec_driver_sql("BEGIN")
            connection.exec_driver_sql("LOCK TABLE exchanges IN ACCESS EXCLUSIVE MODE")
        try:
            yield
        finally:
            connection.exec_driver_sql("ROLLBACK")


@contextmanager
def in_time(act: Callable[[], Any]) -> Iterator["Future[Any]"]:
    """Something that must be done within AT_MOST_S, begun in a thread: what waits for ever is a failure here."""
    pool = ThreadPoolExecutor(1)
    try:
        yield pool.submit(act)
    finally:
        # What hangs is let go of when the store is.
        pool.shutdown(wait=False)


def within(act: Callable[[], Any]) -> Any:
    """The result of something that must not take longer than AT_MOST_S."""
    with in_time(act) as begun:
        return begun.result(AT_MOST_S)


def is_unavailable(answered: Any) -> None:
    """A clear 503 in the API's words."""
    assert answered.status_code == 503, answered.text
    assert error_body(answered)["code"] == "storage_unavailable"
    assert error_body(answered)["type"] == "service_unavailable_error"


class Lock:
    """A lock that a provider puts on the store while it is asked, for the answer to run into."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._held: Any = None

    def before(self, then: Behaviour) -> Behaviour:
        def behave(exchange: Exchange) -> None:
            self._held = locked(self._database)
            self._held.__enter__()
            then(exchange)

        return behave

    def release(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.__exit__(None, None, None)


@pytest.fixture
def lock(home: House) -> Iterator[Lock]:
    made = Lock(home.database)
    yield made
    made.release()


class TestLockedBeforeTheCall:
    @pytest.mark.parametrize("stream", [False, True])
    def test_it_is_a_503_and_the_upstream_is_not_called(self, home: House, stream: bool) -> None:
        with locked(home.database):
            answered = within(lambda: home.client.create(stream=stream))
        is_unavailable(answered)
        assert "nothing was sent" in error_body(answered)["message"]
        assert answered.headers.get("x-should-retry") != "false"
        assert home.upstream.asked == []
        assert evidence.count(home.database) == 1

    def test_afterwards_everything_works(self, home: House) -> None:
        with locked(home.database):
            within(home.client.create)
        assert home.client.ask()["status"] == "completed"
        assert evidence.count(home.database) == 2

    def test_a_moment_is_waited_for(self, home: House) -> None:
        with in_time(home.client.ask) as asked:
            with locked(home.database):
                time.sleep(BUSY_S / 3)  # how long the moment is, not when it is over
            assert asked.result(AT_MOST_S)["status"] == "completed"

    def test_many_at_once_are_told_in_time(self, home: House) -> None:
        with locked(home.database), ThreadPoolExecutor(8) as pool:
            started = time.monotonic()
            answered = list(pool.map(lambda _: home.client.create(), range(8)))
            assert time.monotonic() - started < AT_MOST_S
        assert [each.status_code for each in answered] == [503] * 8
        assert home.upstream.asked == []

    def test_nothing_is_read_that_cannot_be_put_on_record(self, home: House) -> None:
        given = home.client.ask()
        with locked(home.database):
            is_unavailable(within(lambda: home.client.get(f"/v1/responses/{given['id']}")))
        assert home.client.get(f"/v1/responses/{given['id']}").json == given

    def test_a_follow_up_is_told_the_same(self, home: House) -> None:
        first = home.client.ask()
        with locked(home.database):
            is_unavailable(within(lambda: home.client.create(after=first["id"])))
        assert home.client.ask(after=first["id"])["status"] == "completed"


class TestLockedBetweenTheCallAndTheAnswer:
    def test_a_plain_answer_is_no_success_and_is_written_later(self, home: House, lock: Lock) -> None:
        home.upstream.will(lock.before(answer("Late, but there.")))
        answered = within(home.client.create)
        is_unavailable(answered)
        exchange_id = released(home, lock)
        recorded = finished(home.database, exchange_id)
        assert (recorded.status, recorded.text) == ("completed", "Late, but there.")
        assert home.client.get(f"/v1/responses/{exchange_id}").json["usage"]["total_tokens"] == 18

    def test_the_client_is_not_told_that_nothing_was_sent(self, home: House, lock: Lock) -> None:
        home.upstream.will(lock.before(answer("Late, but there.")))
        answered = within(home.client.create)
        exchange_id = released(home, lock)
        finished(home.database, exchange_id)
        assert "nothing was sent" not in error_body(answered)["message"]
        assert exchange_id in error_body(answered)["message"]
        # Another try would be another call, and another bill.
        assert answered.headers["x-should-retry"] == "false"

    def test_a_stream_ends_with_an_error_and_is_written_later(self, home: House, lock: Lock) -> None:
        home.upstream.will(lock.before(answer("Late, but there.")))
        events = stream_events(within(lambda: home.client.create(stream=True).data))
        assert error_event(events)["code"] == "storage_unavailable"
        recorded = finished(home.database, released(home, lock))
        assert (recorded.status, recorded.text) == ("completed", "Late, but there.")

    def test_so_is_a_stream_that_broke(self, home: House, lock: Lock) -> None:
        blocks = stream_of(response(message("Half of it")))[:5]
        home.upstream.will(lock.before(stream([*blocks, b""], cut_after=5)))
        events = stream_events(within(lambda: home.client.create(stream=True).data))
        assert error_event(events)
        recorded = finished(home.database, released(home, lock))
        assert (recorded.status, recorded.text) == ("incomplete", "Half of it")

    def test_so_is_a_failure(self, home: House, lock: Lock) -> None:
        home.upstream.will(lock.before(lambda exchange: exchange.whole(500, b"{}")))
        assert within(home.client.create).status_code in (502, 503)
        recorded = finished(home.database, released(home, lock))
        assert recorded.status == "failed"
        assert recorded.attempts == [{"upstream": "local", "status": 500, "error": "upstream_error"}]

    def test_a_moment_is_waited_for_and_nobody_is_told_before(self, home: House, lock: Lock) -> None:
        home.upstream.will(lock.before(answer("In time.")))
        told: list[bytes] = []

        def read() -> None:
            for block in home.client.create(stream=True).iter_encoded():
                told.append(block)

        with in_time(read) as reading:
            wait_until(lambda: any(b"output_item.done" in block for block in told))
            # Everything is here but the end, which waits for the disk.
            assert b"event: response.completed" not in b"".join(told)
            lock.release()
            reading.result(AT_MOST_S)
        assert stream_events(b"".join(told))[-1]["type"] == "response.completed"

    def test_a_process_that_ends_first_writes_what_it_can(self, home: House, lock: Lock) -> None:
        home.upstream.will(lock.before(answer("On the way out.")))
        home.stop_beating()
        is_unavailable(within(home.client.create))
        assert home.deps is not None
        recovery.leave(home.deps)
        assert evidence.processes(home.database) == 1
        exchange_id = released(home, lock)
        recovery.leave(home.deps)
        assert evidence.record(home.database, exchange_id).text == "On the way out."
        assert evidence.processes(home.database) == 0


class TestALongOutage:
    """The store was away for minutes, for all processes of the service. One of them is the first to reach it again."""

    @pytest.fixture
    def clock(self) -> FixedClock:
        """The first one's: from now on it moves when it is told to."""
        made = FixedClock()
        made.now = utc_now()
        return made

    def test_an_answer_that_another_process_still_has_to_write_is_not_given_up(
        self, home: House, lock: Lock, dead_ends: DeadEnds, clock: FixedClock
    ) -> None:
        home.stop_beating()
        home.upstream.will(lock.before(answer("Late, but there.")))
        with house.in_process(home.database.options.url, dead_ends, clock) as first:
            is_unavailable(within(home.client.create))
            exchange_id = released(home, lock)
            others_are(home, "elsewhere", first)
            first.start_beating()
            clock.advance(minutes=5)
            heard = beats(first)
            wait_until(lambda: beats(first) > heard)
            assert evidence.record(home.database, exchange_id).status == "in_progress"
            home.start_beating()
            assert finished(home.database, exchange_id).text == "Late, but there."

    def test_one_that_stays_silent_is_given_up_after_a_minute(
        self, home: House, lock: Lock, dead_ends: DeadEnds, clock: FixedClock
    ) -> None:
        home.stop_beating()
        home.upstream.will(lock.before(answer("Never.")))
        with house.in_process(home.database.options.url, dead_ends, clock) as first:
            is_unavailable(within(home.client.create))
            exchange_id = released(home, lock)
            others_are(home, "elsewhere", first)
            first.start_beating()
            for _ in range(20):
                clock.advance(seconds=20)
                heard = beats(first)
                wait_until(lambda heard=heard: beats(first) > heard)
            assert finished(home.database, exchange_id).status == "incomplete"


def others_are(home: House, host: str, first: House) -> None:
    """All processes but this one are on another machine, as far as the store knows."""
    assert first.deps is not None
    other = tables.processes.c.id != first.deps.process
    with home.database.transaction() as connection:
        connection.execute(update(tables.processes).where(other).values(host=host))


def beats(home: House) -> Any:
    """When this service in this process was last heard."""
    assert home.deps is not None
    with home.database.connection() as connection:
        own = [each for each in everywhere.processes(connection) if each.id == home.deps.process]
    return own[0].seen_at


def released(home: House, lock: Lock) -> str:
    """Let the store go; the id of the exchange that has been waiting for it."""
    lock.release()
    return latest(home.database).exchange.id


class Room:
    """How many pages a SQLite store may have: what a disk is, as far as SQLite can tell."""

    def __init__(self, database: Database) -> None:
        self.pages = 2**31 - 2
        event.listen(database.engine, "checkout", self._limit)

    def _limit(self, connection: sqlite3.Connection, *_: Any) -> None:
        # It is an error to ask for fewer pages than there are: SQLite then takes as many as there are.
        connection.execute(f"PRAGMA max_page_count = {self.pages}")

    def none_before(self, then: Behaviour) -> Behaviour:
        def behave(exchange: Exchange) -> None:
            self.pages = 1
            then(exchange)

        return behave


# More than fits into the pages that are there, compressed or not: the log may be as empty as the store is large.
BULK = "".join(map(chr, random.Random(0).choices(range(0x4E00, 0x9FFF), k=150_000)))


class TestFull:
    @pytest.fixture
    def room(self, sqlite_home: House) -> Iterator[Room]:
        assert sqlite_home.deps is not None
        made = Room(sqlite_home.deps.database)
        yield made
        made.pages = 2**31 - 2

    @pytest.mark.parametrize("stream", [False, True])
    def test_it_is_a_503_and_the_upstream_is_not_called(self, home: House, room: Room, stream: bool) -> None:
        room.pages = 1
        is_unavailable(within(lambda: home.client.create(BULK, stream=stream)))
        assert home.upstream.asked == []
        assert evidence.count(home.database) == 1

    def test_when_there_is_room_again_it_works_again(self, home: House, room: Room) -> None:
        room.pages = 1
        within(lambda: home.client.create(BULK))
        room.pages = 2**31 - 2
        assert home.client.ask(BULK)["status"] == "completed"

    def test_what_is_stored_can_still_be_read(self, home: House, room: Room) -> None:
        given = home.client.ask()
        room.pages = 1
        assert home.client.get(f"/v1/responses/{given['id']}").json == given

    def test_an_answer_that_does_not_fit_is_no_success_and_is_written_later(self, home: House, room: Room) -> None:
        home.upstream.will(room.none_before(answer(BULK)))
        is_unavailable(within(home.client.create))
        room.pages = 2**31 - 2
        recorded = finished(home.database, latest(home.database).exchange.id)
        assert (recorded.status, recorded.text) == ("completed", BULK)

    def test_so_is_a_stream(self, home: House, room: Room) -> None:
        home.upstream.will(room.none_before(answer(BULK)))
        events = stream_events(within(lambda: home.client.create(stream=True).data))
        assert error_event(events)["code"] == "storage_unavailable"
        room.pages = 2**31 - 2
        assert finished(home.database, latest(home.database).exchange.id).text == BULK


class TestConnections:
    """PostgreSQL: connections are refused, or cut."""

    @contextmanager
    def refusing(self, home: House) -> Iterator[None]:
        """The server takes no connections to this database, and has cut those there were."""
        name = make_url(home.database.options.url).database
        home.database.close()
        with self._server(home) as admin:
            admin.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            self._cut(admin, home)
            try:
                yield
            finally:
                admin.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    @contextmanager
    def _server(self, home: House) -> Iterator[Any]:
        url = make_url(home.database.options.url).set(database="postgres")
        with (
            Database(Options(url.render_as_string(hide_password=False))) as server,
            server.connection() as admin,
        ):
            yield admin

    def _cut(self, admin: Any, home: House) -> None:
        name = make_url(home.database.options.url).database
        admin.exec_driver_sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")

    def cut(self, home: House) -> None:
        home.database.close()
        with self._server(home) as admin:
            self._cut(admin, home)

    @pytest.mark.parametrize("stream", [False, True])
    def test_refused_before_the_call_it_is_a_503(self, postgres_home: House, stream: bool) -> None:
        home = postgres_home
        home.client.ask()
        home.upstream.forget()
        with self.refusing(home):
            for _ in range(3):
                is_unavailable(within(lambda: home.client.create(stream=stream)))
        assert home.upstream.asked == []
        assert home.client.ask()["status"] == "completed"

    def test_refused_after_the_call_the_answer_is_written_later(self, postgres_home: House) -> None:
        home = postgres_home
        asked, go_on = threading.Event(), threading.Event()

        def behave(exchange: Exchange) -> None:
            asked.set()
            assert go_on.wait(30)
            answer("Late, but there.")(exchange)

        home.upstream.will(behave)
        with in_time(home.client.create) as create:
            assert asked.wait(10)
            with self.refusing(home):
                go_on.set()
                is_unavailable(create.result(AT_MOST_S))
        recorded = finished(home.database, latest(home.database).exchange.id)
        assert (recorded.status, recorded.text) == ("completed", "Late, but there.")

    def test_cut_between_requests_at_most_one_fails(self, patient_home: House) -> None:
        home = patient_home
        assert six_at_once(home) == {200}
        self.cut(home)
        assert home.client.create().status_code in (200, 503)
        assert home.client.create().status_code == 200
        # Five more connections were lost with that one: nobody need find out one by one.
        assert six_at_once(home) == {200}

    @pytest.mark.parametrize("stream", [False, True])
    def test_cut_during_the_call_nothing_fails(self, postgres_home: House, stream: bool) -> None:
        home = postgres_home

        def behave(exchange: Exchange) -> None:
            self.cut(home)
            answer("All the same.")(exchange)

        home.upstream.will(behave)
        answered = within(lambda: home.client.create(stream=stream))
        assert answered.status_code == 200
        assert b"All the same." in answered.data
        assert (latest(home.database).status, latest(home.database).text) == ("completed", "All the same.")


def six_at_once(home: House) -> set[int]:
    """The statuses of six requests that have a connection each: they wait for a lock together."""
    with ThreadPoolExecutor(6) as pool:
        with locked(home.database):
            asked = [pool.submit(home.client.create) for _ in range(6)]
            wait_until(lambda: evidence.waiting(home.database) == 6 or any(each.done() for each in asked))
        return {each.result(AT_MOST_S).status_code for each in asked}


class TestTheJournal:
    def test_what_came_while_it_could_not_be_written_is_written_after(self, home: House) -> None:
        blocks = stream_of(response(message("Word by word by word.")), deltas=8)
        gates = [threading.Event() for _ in blocks]
        home.upstream.will(stream(blocks, gates=gates))

        def reached(number: int) -> None:
            for gate in gates[:number]:
                gate.set()

        with in_time(lambda: home.client.create(stream=True).data) as reading:
            reached(6)
            wait_until(lambda: evidence.journalled(home.database))
            with table_locked(home.database, "journal"):
                written = evidence.journal_parts(home.database) if home.database.is_sqlite else 1
                reached(8)
                # Longer than two saves take to fail.
                time.sleep(3 * BUSY_S)
            wait_until(lambda: evidence.journal_parts(home.database) > written)
            exchange_id = latest(home.database).exchange.id
            assert evidence.journal_events(home.database, exchange_id) == list(range(2, 8))
            reached(len(gates))
            stream_events(reading.result(AT_MOST_S))
        assert evidence.left_behind(home.database) == {}

    def test_a_part_that_is_being_written_when_the_stream_ends_is_not_left_behind(self, postgres_home: House) -> None:
        """SQLite has one writer: there the answer waits for the journal anyway."""
        home = postgres_home
        with home.database.connection() as connection:
            # Half a second lies between a part's being written and its being there for others to see.
            connection.exec_driver_sql(
                "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS"
                " 'BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END'"
            )
            connection.exec_driver_sql(
                "CREATE TRIGGER linger AFTER INSERT ON journal FOR EACH STATEMENT EXECUTE FUNCTION linger()"
            )
        blocks = stream_of(response(message("Word by word by word.")), deltas=8)
        gates = [threading.Event() for _ in blocks]
        home.upstream.will(stream(blocks, gates=gates))
        with in_time(lambda: home.client.create(stream=True).data) as reading:
            for gate in gates[:6]:
                gate.set()
            wait_until(lambda: evidence.waiting(home.database, "Timeout"))
            for gate in gates:
                gate.set()
            stream_events(reading.result(AT_MOST_S))
        wait_until(lambda: not evidence.waiting(home.database, "Timeout"))
        assert evidence.left_behind(home.database) == {}


@contextmanager
def table_locked(database: Database, table: str) -> Iterator[None]:
    """Another connection keeps everybody from writing this table; on SQLite any table."""
    with Database(database.options) as other, other.connection() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if other.is_sqlite else "BEGIN")
        if not other.is_sqlite:
            connection.exec_driver_sql(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
        try:
            yield
        finally:
            connection.exec_driver_sql("ROLLBACK")


class TestProcesses:
    """The same where it happens: `convstore serve` on SQLite, whose worker must not stand still."""

    @pytest.fixture(scope="class")
    def served(
        self, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, dead_ends: DeadEnds
    ) -> Iterator[House]:
        directory = tmp_path_factory.mktemp("served")
        with fresh_database("sqlite", request, directory) as url:
            settings = {"CONVSTORE_WORKERS": "1", "CONVSTORE_DATABASE_BUSY_S": str(BUSY_S)}
            with house.served(directory, url, dead_ends, **settings) as found:
                found.client.ask("Wake up.")
                yield found

    @pytest.fixture(autouse=True)
    def forgetting(self, served: House) -> None:
        served.upstream.forget()

    def test_a_locked_store_is_a_503_and_the_upstream_is_not_called(self, served: House) -> None:
        with locked(served.database):
            is_unavailable(served.client.create())
            is_unavailable(served.client.create(stream=True))
        assert served.upstream.asked == []
        assert served.client.ask()["status"] == "completed"

    def test_meanwhile_others_are_answered(self, served: House) -> None:
        with locked(served.database), ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(served.client.create)
            while not waiting.done():
                started = time.monotonic()
                assert served.client.get("/healthz").status_code == 200
                assert time.monotonic() - started < 1.0
            is_unavailable(waiting.result())

    def test_a_full_disk_is_a_503_and_the_upstream_is_not_called(self, served: House) -> None:
        with full_disk(served):
            for _ in range(2):
                is_unavailable(served.client.create(BULK))
        assert served.upstream.asked == []
        assert served.client.ask(BULK)["status"] == "completed"

    def test_nothing_is_read_from_a_full_disk_that_cannot_be_put_on_record(self, served: House) -> None:
        given = served.client.ask()
        with full_disk(served):
            is_unavailable(served.client.get(f"/v1/responses/{given['id']}"))
        assert served.client.get(f"/v1/responses/{given['id']}").json == given

    def test_an_answer_that_does_not_fit_is_written_when_it_does(self, served: House) -> None:
        """Here with the service's own patience: ten seconds for the client, then as long as it takes."""
        filled: list[Any] = []

        def behave(exchange: Exchange) -> None:
            disk = full_disk(served)
            disk.__enter__()
            filled.append(disk)
            answer(BULK)(exchange)

        served.upstream.will(behave)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(served.client.create)
            wait_until(lambda: filled)
            exchange_id = latest(served.database).exchange.id
            wait_until(lambda: any("journal" in str(each) for each in served.log()) or True)
            assert not waiting.done()
            filled[0].__exit__(None, None, None)
            assert waiting.result(AT_MOST_S).status_code == 200
        assert finished(served.database, exchange_id).text == BULK

    def test_a_worker_that_has_to_start_then_starts(self, served: House) -> None:
        assert served.service is not None
        (worker,) = served.service.workers
        with locked(served.database):
            service.kill_worker(worker)
            waiting = wait_until(lambda: [entry for entry in served.log() if entry["event"] == WAITING])
        # It waited, and nobody else had to stop for it.
        assert waiting[0]["pid"] != worker
        wait_until(lambda: service.ready(served.service) == [waiting[0]["pid"]])
        assert served.client.ask()["status"] == "completed"


@contextmanager
def full_disk(served: House) -> Iterator[None]:
    """No file of the service's processes can grow beyond what the store's files have now."""
    assert served.service is not None
    path = Path(str(make_url(served.database.options.url).database))
    size = max(each.stat().st_size for each in path.parent.glob(f"{path.name}*") if not each.name.endswith("-shm"))
    family = service.processes(served.service)
    before = [each.rlimit(psutil.RLIMIT_FSIZE) for each in family]
    for each in family:
        each.rlimit(psutil.RLIMIT_FSIZE, (size, before[0][1]))
    try:
        yield
    finally:
        for each, limits in zip(family, before, strict=True):
            each.rlimit(psutil.RLIMIT_FSIZE, limits)
