"""Erasures: previewed, put on record, looked at; and the job that does them.

work() goes through what is meant in batches, and over it again while something of it is still being answered. Whatever
a batch did is noted with it, so that a worker that takes over goes on where the dead one was. Then shared bodies go
that are nobody's, then what was asked for, which names a person, and last the traces in the file.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from convstore import ids
from convstore.domain import calls, erasure, jsontext
from convstore.domain.erasing import Erased
from convstore.domain.erasure import Erasure, Wanted
from convstore.domain.job import Job
from convstore.errors import ConversationNotFound, ConvstoreError, InvalidRequest, NotFound, ResponseNotFound
from convstore.services import erasing, jobs, paging
from convstore.services.deps import Deps
from convstore.services.paging import Listing, Page
from convstore.services.principal import Principal
from convstore.services.running_job import RunningJob
from convstore.storage import erasing as stored
from convstore.storage import erasures, purging
from convstore.storage.scope import Scope

# What the engine calls it.
JOB = "erasure"
# How long answers that are under way are waited for, in seconds.
PATIENCE_S = 120.0
# How long processes may take to forget what they take for stored: each has a beat every ten seconds, or is dead.
FORGETTING_S = 180.0
NAP_S = 0.25


class ErasureNotFound(NotFound):
    """No erasure with this id belongs to this project."""

    def __init__(self, erasure_id: str) -> None:
        super().__init__(f"Erasure with id '{erasure_id}' not found.")


class NotForgotten(ConvstoreError):
    """A process still takes for stored what is to be erased. Retry the job when it is gone."""

    code = "not_forgotten"


# -- for those who ask ----------------------------------------------------------------------------------------


def preview(deps: Deps, principal: Principal, wanted: Wanted) -> dict[str, Any]:
    """What an erasure would be about. Raises ResponseNotFound, ConversationNotFound."""
    with deps.database.reading(principal.project_id) as scope:
        _must_be_there(scope, wanted)
        meant = erasures.chosen(deps.database, scope, replace(wanted, copies=False))
        found = erasures.chosen(deps.database, scope, replace(wanted, copies=True))
        erased = found if wanted.copies else meant
        return {
            "object": "erasure.preview",
            "by": wanted.by,
            **erasures.measured(scope, erased),
            "copies": len(found) - len(meant),
            "descendants": erasures.descendants(deps.database, scope, erased),
        }


def create(deps: Deps, principal: Principal, wanted: Wanted) -> Erasure:
    """Put an erasure on record, and its job in the queue. Raises ResponseNotFound, ConversationNotFound."""
    made = erasure.made(ids.new(ids.ERASURE), wanted, deps.clock(), principal.key_id)
    calls.about(made.id)
    with deps.database.writing(principal.project_id) as scope:
        _must_be_there(scope, wanted)
        job_id = jobs.enqueue(deps, scope, JOB, subject=made.id)
        erasures.add(scope, replace(made, job_id=job_id))
    return get(deps, principal.project_id, made.id)


def get(deps: Deps, project_id: str, erasure_id: str) -> Erasure:
    """The erasure with this id. Raises ErasureNotFound."""
    with deps.database.reading(project_id) as scope:
        found = erasures.get(scope, erasure_id)
    if found is None:
        raise ErasureNotFound(erasure_id)
    return found


def listed(deps: Deps, project_id: str, page: Page) -> Listing:
    """A page of the project's erasures, as JSON. Raises InvalidRequest for a cursor that is none of them."""
    with deps.database.reading(project_id) as scope:
        for name, cursor in (("after", page.after), ("before", page.before)):
            if cursor is not None and erasures.get(scope, cursor) is None:
                raise InvalidRequest(
                    f"Erasure with id '{cursor}' not found in this list.", param=name, code="invalid_value"
                )
        found = erasures.listed(
            scope, page.limit + 1, newest_first=page.order == "desc", after=page.after, before=page.before
        )
    chosen, has_more = paging.chosen(found, page)
    return Listing([(each.id, jsontext.dumps(each.as_dict())) for each in chosen], has_more)


def purge(deps: Deps, project_id: str) -> bool:
    """Remove the traces that erasures left in the file. False when others did not let it; it may be called again."""
    with deps.database.reading(project_id) as scope:
        left = erasures.unpurged(scope)
    if not purging.purge(deps.database):
        return False
    with deps.database.writing(project_id) as scope:
        for erasure_id in left:
            erasures.change(scope, erasure_id, purged_at=deps.clock())
    return True


def _must_be_there(scope: Scope, wanted: Wanted) -> None:
    if not erasures.has(scope, wanted):
        kind = ResponseNotFound if wanted.by == "response_id" else ConversationNotFound
        raise kind(str(wanted.value))


# -- the job --------------------------------------------------------------------------------------------------


def work(deps: Deps, job: RunningJob) -> None:
    """Erase. Raises Cancelled, HandedBack, Lost, StorageUnavailable, NotForgotten."""
    found = get(deps, job.project_id, str(job.subject))
    if found.value is not None:
        left = _erase(deps, job, found)
        _drop(deps, job, found.id)
        with deps.database.writing(job.project_id) as scope:
            if found.by == "conversation_id" and not left.held:
                erasures.undescribe(scope, str(found.value))
            erasures.note(scope, found.id, left)
            status = "purging" if found.purge else "completed"
            erasures.change(scope, found.id, selector=None, status=status, finished_at=deps.clock())
    if found.purge and found.purged_at is None:
        job.checkpoint()
        is_done = purging.purge(deps.database)
        with deps.database.writing(job.project_id) as scope:
            values = {"purged_at": deps.clock()} if is_done else {}
            erasures.change(scope, found.id, status="completed", **values)


def settle(deps: Deps, job: Job) -> None:
    """Say that it was cancelled or has failed. What it was about stays on record, so that it can be tried again."""
    with deps.database.writing(job.project_id) as scope:
        found = erasures.get(scope, str(job.subject))
        if found is not None and found.status != "completed":
            erasures.change(scope, found.id, status=job.status)


def _erase(deps: Deps, job: RunningJob, found: Erasure) -> Erased:
    """Batch by batch, until nothing is left or what is left takes too long. Returns what is left, and why."""
    with deps.database.writing(job.project_id) as scope:
        erasures.change(scope, found.id, status="in_progress")
    deadline, done = time.monotonic() + PATIENCE_S, 0

    def note(scope: Scope, batch: Erased) -> None:
        erasures.note(scope, found.id, replace(batch, unfinished=0, held=0))

    while True:
        with deps.database.reading(job.project_id) as scope:
            meant = erasures.chosen(deps.database, scope, found.wanted)
        left = Erased()
        for start in range(0, len(meant), stored.MOST):
            job.checkpoint()
            some = meant[start : start + stored.MOST]
            batch = erasing.erase(deps, job.project_id, found.id, some, note)
            left += Erased(unfinished=batch.unfinished, held=batch.held)
            done += batch.exchanges
            job.progress(done, done + len(meant) - start - len(some))
        if not left.unfinished or time.monotonic() > deadline:
            return left
        job.checkpoint()
        job.wait(NAP_S)


def _drop(deps: Deps, job: RunningJob, erasure_id: str) -> None:
    """The shared bodies that are nobody's now."""
    deadline = time.monotonic() + FORGETTING_S

    def note(scope: Scope, batch: Erased) -> None:
        erasures.note(scope, erasure_id, batch)

    while True:
        job.checkpoint()
        dropped = erasing.drop_payloads(deps, job.project_id, erasure_id, note)
        if dropped is None and time.monotonic() > deadline:
            raise NotForgotten
        if dropped is not None and not dropped.payloads + dropped.kept:
            return
        if dropped is None:
            job.wait(NAP_S)


def as_json(found: Erasure | Mapping[str, Any]) -> bytes:
    """The API's form."""
    return jsontext.dumps(found.as_dict() if isinstance(found, Erasure) else dict(found))
