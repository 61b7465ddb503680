"""Retention rules carried out regularly: a job for each project that has some, asked for by the workers.

Whichever worker finds that it is time asks, and one statement sees to it that no other does (storage/rules.py). While a
sweep of a project is queued or runs, there is no second.
"""

from datetime import timedelta

from convstore import ids
from convstore.domain.calls import Call
from convstore.services import audit, jobs, retention
from convstore.services.deps import Deps
from convstore.services.retention import Swept
from convstore.services.running_job import RunningJob
from convstore.storage import everywhere, rules
from convstore.storage import jobs as queued

JOB = "retention"
# A look costs a statement, and one for each project that has rules.
LOOK_EVERY_S = 10.0


def ask(deps: Deps, every: timedelta) -> int:
    """Put a sweep in the queue for each project whose last one, or whose last change of a rule, was so long ago."""
    asked = 0
    with deps.database.connection() as connection:
        found = everywhere.with_rules(connection)
    for project_id in found:
        now = deps.clock()
        with deps.database.writing(project_id, records=False) as scope:
            if queued.unfinished(scope, project_id) is None and rules.ask(deps.database, scope, now, now - every):
                jobs.enqueue(deps, scope, JOB, subject=project_id)
                asked += 1
    return asked


def work(deps: Deps, job: RunningJob) -> None:
    """Carry out a project's rules. Begun again, it goes on with what is left."""
    call = Call("service", "retention.run", ids.pack(ids.PROJECT, job.project_id), job.id)
    # Before anything goes: what comes after it may be interrupted.
    with audit.calling(deps, call):
        pass

    def tell(swept: Swept) -> None:
        job.progress(swept.changed, note=f"{swept.looked_at} looked at")
        job.checkpoint()

    swept = retention.run(deps, job.project_id, tell)
    # Those that processes still take for stored go with the next sweep.
    retention.drop_payloads(deps, job.project_id, swept)
