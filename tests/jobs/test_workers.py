"""Workers: each job is run by exactly one of them, whatever becomes of it, and is done in the end.

Real processes. The play is played once on each engine, scene by scene; then every fact about it is looked at.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from convstore.domain.job import Job
from convstore.services import jobs, recovery
from convstore.storage import everywhere, queue
from convstore.storage.everywhere import Process
from tests.acceptance.test_operations import runs
from tests.conftest import ENGINES, fresh_database
from tests.jobs.fleet import Fleet, Task, Worker, fleet
from tests.local_upstream import wait_until


@dataclass
class Play:
    """What happened: the tasks under their names, how they stood at the moment that matters, and who ran them."""

    fleet: Fleet
    tasks: dict[str, Task] = field(default_factory=dict)
    then: dict[str, Job] = field(default_factory=dict)
    crowd: list[Task] = field(default_factory=list)
    workers: dict[str, Worker] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    processes: dict[str, list[Process]] = field(default_factory=dict)

    def put(self, name: str, kind: str, **arguments: Any) -> Task:
        self.tasks[name] = self.fleet.put(kind, **arguments)
        return self.tasks[name]

    def keep(self, *names: str) -> None:
        """Remember how these stand now."""
        self.then |= {name: self.tasks[name].job() for name in names}

    def known(self) -> list[Process]:
        with self.fleet.deps.database.connection() as connection:
            return everywhere.processes(connection)


@pytest.fixture(scope="module", params=ENGINES)
def play(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    """The play."""
    directory = tmp_path_factory.mktemp("workers")
    with ExitStack() as stack:
        url = stack.enter_context(fresh_database(request.param, request, directory))
        # A worker that is told to stop has a second for its jobs.
        made = Play(stack.enter_context(fleet(directory, url, CONVSTORE_GRACEFUL_S="1")))
        two_race(made)
        some_are_cancelled(made)
        one_fails_and_is_tried_again(made)
        a_worker_is_killed(made)
        the_other_is_told_to_stop(made)
        the_parent_of_one_is_killed(made)
        yield made


def two_race(play: Play) -> None:
    """Fifty jobs are there before the two workers are."""
    diary = play.fleet.shell.directory / "crowd"
    play.crowd = [play.fleet.put("simple", diary=diary) for _ in range(50)]
    play.fleet.start(2, "--concurrency", "4")
    for task in play.crowd:
        task.wait_until("completed")
    rolled_back(play)


def rolled_back(play: Play) -> None:
    """A job is put in the queue by somebody who then thinks better of it."""
    deps = play.fleet.deps
    with pytest.raises(KeyboardInterrupt), deps.database.writing(play.fleet.project_id) as scope:
        arguments = {"diary": str(play.fleet.shell.directory / "never")}
        play.tasks["never"] = Task(
            play.fleet, jobs.enqueue(deps, scope, "simple", arguments=arguments), play.crowd[0].diary
        )
        raise KeyboardInterrupt
    # Workers look fifty times a second: what comes after it has been seen, so would it have been.
    play.put("after it", "simple").wait_until("completed")
    play.put("looking", "looking").wait_until("completed")


def some_are_cancelled(play: Play) -> None:
    """While they run, and while they wait behind others of their kind, of which each worker runs one."""
    running = play.put("cancelled while it runs", "steps", steps=3, wait_at=1)
    running.wait_for("step 0")
    busy = [play.put(f"busy {number}", "few") for number in range(2)]
    for task in busy:
        task.wait_for("begun")
    waiting = play.put("cancelled while it waits", "few")
    play.put("of another kind", "simple").wait_until("completed")
    play.keep("cancelled while it waits")
    deps, project_id = play.fleet.deps, play.fleet.project_id
    play.then["cancel of one that waits"] = jobs.cancel(deps, project_id, waiting.id)
    play.then["cancel of one that runs"] = jobs.cancel(deps, project_id, running.id)
    running.wait_until("cancelled")
    for task in busy:
        task.go()
        task.wait_until("completed")


def one_fails_and_is_tried_again(play: Play) -> None:
    failing = play.put("failing", "failing")
    failing.wait_until("failed")
    play.put("failing unexpectedly", "failing", unexpected=True).wait_until("failed")
    play.keep("failing", "failing unexpectedly")
    failing.diary.with_name(f"{failing.diary.name}.luck").touch()
    play.then["retry"] = jobs.retry(play.fleet.deps, play.fleet.project_id, failing.id)
    failing.wait_until("completed")


def a_worker_is_killed(play: Play) -> None:
    """In the middle of two jobs; the other one runs one of its own."""
    killed = play.put("killed", "steps", steps=4, wait_at=2)
    doomed = play.fleet.of_pid(killed.wait_for("step 1")["pid"])
    half = play.put("half done", "counting")
    # Whose it is chance decides: until it is the doomed one's.
    while half.wait_for("half")["pid"] != doomed.pid:
        half.go()
        half.wait_until("completed")
        half = play.put("half done", "counting")
    play.keep("killed", "half done")
    play.workers["killed"] = doomed
    doomed.kill()
    killed.wait_for("begun", 2)
    half.wait_for("half", 2)
    (play.workers["heir"],) = play.fleet.alive()
    # Whoever takes the jobs over strikes the dead one off behind that, and the heir has begun by then.
    wait_until(lambda: len(play.known()) == 1)
    play.processes["after the kill"] = play.known()
    killed.go()
    half.go()
    killed.wait_until("completed")
    half.wait_until("completed")


def the_other_is_told_to_stop(play: Play) -> None:
    """While it runs one that can stop anywhere, one that will end in time, and one that will not."""
    heir = play.workers["heir"]
    polite = play.put("polite", "steps", steps=3, wait_at=1)
    quick = play.put("quick", "stubborn")
    slow = play.put("slow", "stubborn")
    polite.wait_for("step 0")
    for task in (quick, slow):
        task.wait_for("begun")
    heir.terminate()
    polite.wait_until("queued")
    # Service managers say it to every process, after the parent has: that is no call to hurry.
    heir.terminate()
    quick.go()
    quick.wait_until("completed")
    play.put("too late", "simple")
    assert heir.process.wait(30) == 0
    play.keep("polite", "quick", "slow", "too late")
    play.processes["after the stop"] = play.known()
    (play.workers["third"],) = play.fleet.start(1)
    for task in (polite, slow):
        task.go()
        task.wait_until("completed")
    play.tasks["too late"].wait_until("completed")


def the_parent_of_one_is_killed(play: Play) -> None:
    """As gunicorn's master may be, whose child it is."""
    for worker in play.fleet.alive():
        worker.kill()
    parent = play.fleet.start_with_parent()
    task = play.put("orphaned", "stubborn")
    orphan = task.wait_for("begun")["pid"]
    parent.kill()
    wait_until(lambda: not runs(orphan))
    play.keep("orphaned")
    play.processes["after the parent"] = play.known()


class TestRace:
    def test_each_job_is_run_once(self, play: Play) -> None:
        runs = Counter(line["job"] for line in play.crowd[0].lines("ran"))
        assert runs == Counter({task.id: 1 for task in play.crowd})

    def test_and_for_the_first_time(self, play: Play) -> None:
        assert {(line["resumed"], line["attempts"]) for line in play.crowd[0].lines("ran")} == {(False, 1)}

    def test_what_was_not_committed_is_not_run(self, play: Play) -> None:
        with pytest.raises(jobs.JobNotFound):
            play.tasks["never"].job()
        assert play.tasks["after it"].job().status == "completed"
        assert not (play.fleet.shell.directory / "never").exists()


class TestCancel:
    def test_one_that_waits_is_cancelled_at_once_and_never_run(self, play: Play) -> None:
        assert play.then["cancelled while it waits"].status == "queued"
        assert play.then["cancel of one that waits"].status == "cancelled"
        task = play.tasks["cancelled while it waits"]
        assert task.job().started_at is None
        assert task.words() == ["settled as cancelled"]

    def test_one_that_runs_stops_within_a_second(self, play: Play) -> None:
        asked = play.then["cancel of one that runs"]
        assert (asked.status, asked.cancel_requested_at is not None) == ("running", True)
        task = play.tasks["cancelled while it runs"]
        assert task.words() == ["begun", "step 0", "settled as cancelled"]
        assert elapsed_s(task.job()) < 1.0

    def test_a_kind_that_takes_all_it_gets_leaves_room_for_others(self, play: Play) -> None:
        assert play.tasks["of another kind"].job().status == "completed"


class TestFailure:
    def test_it_says_what_it_meant_to_say(self, play: Play) -> None:
        assert play.then["failing"].error == {"code": "out_of_luck", "message": "No luck today."}
        assert play.then["failing"].finished_at is not None

    def test_and_nothing_else(self, play: Play) -> None:
        error = play.then["failing unexpectedly"].error
        assert error == {"code": "server_error", "message": "The job failed unexpectedly (ValueError)."}

    def test_it_is_settled(self, play: Play) -> None:
        assert play.tasks["failing unexpectedly"].words() == ["first", "settled as failed"]

    def test_tried_again_it_does_what_is_left_to_do(self, play: Play) -> None:
        again, task = play.then["retry"], play.tasks["failing"]
        assert (again.status, again.error, again.attempts) == ("queued", None, 0)
        assert task.words() == ["first", "settled as failed", "done"]
        assert task.job().error is None


class TestKill:
    def test_another_one_takes_over(self, play: Play) -> None:
        first, second = play.tasks["killed"].lines("begun")
        assert (first["pid"], second["pid"]) == (play.workers["killed"].pid, play.workers["heir"].pid)
        assert (first["resumed"], second["resumed"]) == (False, True)
        assert (first["attempts"], second["attempts"]) == (1, 2)

    def test_it_does_not_repeat_what_was_done(self, play: Play) -> None:
        steps = [word for word in play.tasks["killed"].words() if word.startswith("step")]
        assert steps == ["step 0", "step 1", "step 2", "step 3"]

    def test_what_was_done_in_a_transaction_is_done_once(self, play: Play) -> None:
        task = play.tasks["half done"]
        with play.fleet.deps.database.connection() as connection:
            titles = connection.exec_driver_sql("SELECT title FROM conversations").scalars().all()
        assert titles.count(task.id) == 6

    def test_its_progress_is_kept(self, play: Play) -> None:
        assert play.then["killed"].progress.done in (1, 2)
        done = play.tasks["killed"].job()
        assert (done.progress.done, done.progress.total, done.progress.note) == (4, 4, "stepping")
        assert done.attempts == 2

    def test_the_dead_ones_entry_is_gone(self, play: Play) -> None:
        assert [each.pid for each in play.processes["after the kill"]] == [play.workers["heir"].pid]
        assert {each.role for each in play.processes["after the kill"]} == {"worker"}

    def test_nothing_is_left_of_steps(self, play: Play) -> None:
        with play.fleet.deps.database.connection() as connection:
            assert queue.steps(connection, play.tasks["killed"].id) == {}


class TestStop:
    def test_a_job_that_ends_in_time_ends(self, play: Play) -> None:
        assert play.then["quick"].status == "completed"
        assert len(play.tasks["quick"].lines("begun")) == 1

    def test_the_others_are_handed_back_and_done_by_another(self, play: Play) -> None:
        for name in ("polite", "slow"):
            assert (play.then[name].status, play.then[name].worker, play.then[name].attempts) == ("queued", None, 0)
            first, second = play.tasks[name].lines("begun")
            assert (first["pid"], second["pid"]) == (play.workers["heir"].pid, play.workers["third"].pid)
            assert second["resumed"]
            assert play.tasks[name].job().attempts == 1
        assert play.tasks["polite"].words().count("step 0") == 1
        assert play.tasks["slow"].words().count("done") == 1

    def test_none_is_begun_that_comes_later(self, play: Play) -> None:
        assert play.then["too late"].status == "queued"
        assert play.tasks["too late"].lines("ran")[0]["pid"] == play.workers["third"].pid

    def test_it_takes_its_leave(self, play: Play) -> None:
        assert play.processes["after the stop"] == []


class TestOrphan:
    def test_it_hands_back_what_it_ran_and_is_gone(self, play: Play) -> None:
        job = play.then["orphaned"]
        assert (job.status, job.worker, job.attempts, job.runs) == ("queued", None, 0, 1)
        assert play.processes["after the parent"] == []
        assert recovery.workers(play.fleet.deps) == 0


class TestAltogether:
    def test_workers_do_not_run_greenlets(self, play: Play) -> None:
        """Threads and nothing else: the provider is called through requests' own adapter."""
        assert play.tasks["looking"].lines("seen")[0]["patched"] is False

    def test_every_line_of_the_log_is_json(self, play: Play) -> None:
        lines = [line for worker in play.fleet.workers for line in worker.entries()]
        broke = [line for line in lines if line["event"] == "job_broke"]
        assert [(line["job_id"], line["kind"]) for line in broke] == [
            (play.tasks["failing unexpectedly"].id, "failing")
        ]
        # The engine speaks up when its patience is at its end.
        assert [line["reason"][:16] for line in lines if line["event"] == "engine"] == ["Shutdown timeout"]


def elapsed_s(job: Job) -> float:
    """From the request to stop to the end."""
    asked, ended = job.cancel_requested_at, job.finished_at
    assert isinstance(asked, datetime) and isinstance(ended, datetime)
    return (ended - asked).total_seconds()
