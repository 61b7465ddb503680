"""What is said to be going on, and is not: answers nobody makes, runs that are over, conversations not given back."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from convstore.domain.checkup import Finding
from convstore.services import recovery
from convstore.services.doctor.visit import Visit
from convstore.services.hand import Hand, Lost
from convstore.storage import exchanges, mending
from convstore.storage.checkup import work
from convstore.storage.checkup.work import Unfinished


def examine(visit: Visit) -> Iterator[Finding]:
    """Stuck exchanges first: ending one gives back its conversation, and takes it from what is running."""
    for waiting in visit.batches("work", work.unfinished):
        # Asked behind the look, so that whoever began meanwhile is among them.
        living = recovery.living(visit.deps)
        for each in waiting:
            if _is_stuck(living, each):
                finding = visit.finding("stuck", each.id, _why(each), mendable=True)
                yield replace(finding, mended=_ended(visit, each)) if visit.repair else finding
    with visit.reading() as scope:
        running, writers = work.ended_and_running(scope), work.writers_that_ended(scope)
    for exchange_id in running:
        finding = visit.finding("running", exchange_id, "It has ended, and is on record as running.", mendable=True)
        yield visit.mended(finding, lambda scope, own=exchange_id: mending.forget_running(scope, own))  # type: ignore[misc]
    for conversation_id, writer_id in writers:
        sentence = f"It waits for {writer_id}, which has ended."
        finding = visit.finding("writer", conversation_id, sentence, mendable=True)
        yield visit.mended(
            finding,
            lambda scope, own=conversation_id, writer=writer_id: mending.release(scope, own, writer),  # type: ignore[misc]
        )


def _is_stuck(living: set[bytes], each: Unfinished) -> bool:
    """Whether nobody makes it, and nobody will: what a job is about will be taken over."""
    return each.process not in living and not (each.background and each.has_job)


def _why(each: Unfinished) -> str:
    return f"It is {each.status}, and no living process {'or job ' if each.background else ''}is at it."


def _ended(visit: Visit, each: Unfinished) -> bool:
    """End it as incomplete, with what had arrived. False when somebody was there after all."""
    if not _is_stuck_still(visit, each):
        return False
    if not each.background:
        return recovery.close(visit.deps, visit.project.id, each.id)
    with visit.reading() as scope:
        exchange = exchanges.get(scope, each.id, hidden=True)
    if exchange is None:
        return False
    hand = Hand(visit.deps, visit.project, exchange)
    with suppress(Lost):
        if each.status == "queued" and not hand.take_up():
            return False
        with visit.writing() as scope:
            mending.run_under(scope, each.id, visit.deps.process)
        hand.close()
        return True
    return False


def _is_stuck_still(visit: Visit, each: Unfinished) -> bool:
    with visit.reading() as scope:
        now = work.unfinished(scope, None, only=each.id)
    living = recovery.living(visit.deps)
    return any(_is_stuck(living, found) for found in now)
