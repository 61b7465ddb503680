"""Readiness: a node without workers is ready, until jobs have waited for one for too long."""

from collections.abc import Iterator

import pytest

from convstore.errors import SchemaOutdated
from convstore.services import readiness
from convstore.services.deps import Deps
from tests.conftest import ENGINES, FixedClock
from tests.databases import migrated
from tests.services.conftest import Asker
from tests.services.test_recovery import Worker as Process
from tests.storage.yard import Yard


@pytest.fixture(params=ENGINES)
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database for each test: this looks at everything in it."""
    with migrated(request, tmp_path_factory) as url:
        yield url


@pytest.fixture
def yard(deps: Deps, clock: FixedClock) -> Yard:
    """Jobs; the workers that are known at first are not alive any more."""
    made = Yard(deps.database, clock, "acme")
    with deps.database.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM processes WHERE role = 'worker'")
    return made


class TestCheck:
    def test_with_a_worker(self, deps: Deps, yard: Yard, clock: FixedClock) -> None:
        yard.put("export")
        clock.advance(hours=1)
        yard.enter()
        found = readiness.check(deps)
        assert (found.is_ready, found.workers, found.reason) == (True, 1, None)

    def test_other_processes_are_no_workers(self, deps: Deps, yard: Yard, acme: Asker) -> None:
        Process(deps, acme)
        assert readiness.check(deps).workers == 0

    def test_without_one_and_without_work(self, deps: Deps, yard: Yard, clock: FixedClock) -> None:
        for _ in range(2):
            found = readiness.check(deps)
            assert (found.is_ready, found.workers) == (True, 0)
            assert found.reason == "No worker is alive. Start one with: convstore worker"
            clock.advance(hours=1)

    def test_without_one_for_long_and_with_work_that_waits(self, deps: Deps, yard: Yard, clock: FixedClock) -> None:
        yard.put("export")
        assert readiness.check(deps).is_ready
        clock.advance(seconds=59)
        assert readiness.check(deps).is_ready
        clock.advance(seconds=2)
        found = readiness.check(deps)
        assert (found.is_ready, found.workers) == (False, 0)
        assert found.reason == "Jobs have been waiting since 12:00:00 UTC. Start one with: convstore worker"

    def test_work_that_has_just_come_has_not_waited(self, deps: Deps, yard: Yard, clock: FixedClock) -> None:
        readiness.check(deps)
        clock.advance(hours=1)
        yard.put("export")
        assert readiness.check(deps).is_ready

    def test_a_worker_that_is_being_replaced_is_not_missed(self, deps: Deps, yard: Yard, clock: FixedClock) -> None:
        """Jobs may wait for long because there are many; a worker between two others is nothing to act upon."""
        yard.put("export")
        yard.enter()
        clock.advance(seconds=50)
        assert readiness.check(deps).workers == 1
        clock.advance(seconds=50)
        assert readiness.check(deps).is_ready

    def test_a_silent_worker_is_none(self, deps: Deps, yard: Yard, clock: FixedClock) -> None:
        yard.enter()
        clock.advance(seconds=61)
        assert readiness.check(deps).workers == 0

    def test_an_old_schema(self, deps: Deps) -> None:
        with deps.database.transaction() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
        with pytest.raises(SchemaOutdated):
            readiness.check(deps)


class TestExposition:
    def test_the_queue_by_kind(self, deps: Deps, yard: Yard, clock: FixedClock) -> None:
        yard.worker = yard.enter()
        for _ in range(3):
            yard.put("export")
        yard.put("import")
        yard.end(yard.take("export"), "failed")
        yard.take("export")
        clock.advance(seconds=10)
        lines = readiness.exposition(deps).decode().splitlines()
        assert 'convstore_jobs_queued{kind="export"} 1.0' in lines
        assert 'convstore_jobs_running{kind="export"} 1.0' in lines
        assert 'convstore_jobs_failed{kind="export"} 1.0' in lines
        assert 'convstore_jobs_queued{kind="import"} 1.0' in lines
        assert "convstore_job_workers 1.0" in lines
        (oldest,) = [line for line in lines if line.startswith('convstore_jobs_oldest_seconds{kind="export"}')]
        assert 10.0 <= float(oldest.split()[1]) < 10.1

    def test_without_a_database_the_rest_is_told(self, deps: Deps, yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
        from convstore.errors import StorageUnavailable
        from convstore.services import jobs

        def away(_deps: Deps) -> None:
            raise StorageUnavailable

        monkeypatch.setattr(jobs, "depths", away)
        told = readiness.exposition(deps).decode()
        assert "convstore_requests_total" in told
        assert "convstore_job_workers" not in told
