"""The doorbell: who waits for news hears of them at once, and asks for nothing meanwhile."""

import threading
import time

import pytest

from convstore.errors import StorageUnavailable
from convstore.storage import direct, doorbell, journals
from convstore.storage.database import Database, Options
from tests.storage.keeper import Keeper
from tests.storage.test_journals import PROCESS, part, running


class TestWait:
    def test_news_end_it(self, acme: Keeper, database_url: str) -> None:
        own = running(acme)
        heard: list[float] = []
        waits = threading.Event()

        def wait() -> None:
            with Database(Options(database_url)) as other, doorbell.at(other) as bell:
                bell.wait(0)  # whatever there was before
                waits.set()
                bell.wait(20)
                heard.append(time.monotonic())

        listener = threading.Thread(target=wait)
        listener.start()
        assert waits.wait(20)
        journals.append(acme.database, PROCESS, [part(own, 0, 3)])
        rung = time.monotonic()
        listener.join(20)
        assert heard[0] - rung < 0.2

    def test_so_does_time(self, acme: Keeper) -> None:
        with doorbell.at(acme.database) as bell:
            bell.wait(0)
            began = time.monotonic()
            bell.wait(0.1)
            assert 0.05 < time.monotonic() - began < 5

    def test_what_was_rung_before_is_not_lost(self, acme: Keeper) -> None:
        own = running(acme)
        with doorbell.at(acme.database) as bell:
            bell.wait(0)
            journals.append(acme.database, PROCESS, [part(own, 0, 3)])
            direct_cursor = bell.cursor
            assert len(journals.after(direct_cursor, own, -1, 10)) == 1
            began = time.monotonic()
            bell.wait(20)
            assert time.monotonic() - began < 5

    def test_the_connection_is_used_again_and_listens_no_more(self, acme: Keeper) -> None:
        for _ in range(2 * acme.database.options.pool):
            with doorbell.at(acme.database) as bell:
                bell.wait(0)
        with direct.reading(acme.database) as cursor:
            if not cursor.is_sqlite:
                assert cursor.execute("SELECT pg_listening_channels()").fetchall() == []


class TestAway:
    def test_a_database_that_goes_away_is_said_so(self, acme: Keeper) -> None:
        with pytest.raises(StorageUnavailable), doorbell.at(acme.database) as bell:
            bell.cursor.driver_connection.close()
            bell.wait(1)
