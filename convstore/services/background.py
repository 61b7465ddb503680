"""A worker answers a background response.

    work()     the job (kinds.py): begun at least once for each response, by one worker at a time, again after a crash
    settle()   the job has failed or was cancelled: so has, or was, the response
    stop()     the job is to be cancelled while it runs

The response is taken up, or over from a worker that died (hand.py), its request is read back from the store (asked.py),
and the upstream is asked for a stream and listened to (answering.py). Its client's side is queued.py.
"""

from contextlib import suppress

from convstore.domain.exchange import Exchange
from convstore.domain.job import Job
from convstore.domain.response import FINISHED
from convstore.errors import ConvstoreError, Mistake, StorageUnavailable
from convstore.services import asked, budgets, queued, relay, windows
from convstore.services.answering import Answering, BackgroundTurn
from convstore.services.deps import Deps
from convstore.services.hand import Hand, Lost
from convstore.services.principal import Principal
from convstore.services.running_job import RunningJob
from convstore.services.turn import api_code
from convstore.storage import background, everywhere, exchanges
from convstore.storage.everywhere import Project
from convstore.telemetry import logs


def work(deps: Deps, job: RunningJob) -> None:
    """Run the job of a response. Raises Cancelled."""
    run(deps, job.project_id, job.subject or "", resumed=job.is_resumed)
    job.checkpoint()


def settle(deps: Deps, job: Job) -> None:
    """End a response whose job has failed or was cancelled before it had ended. Raises StorageUnavailable."""
    found = _unfinished(deps, job.project_id, job.subject or "")
    if found is None:
        return
    project, exchange = found
    if exchange.status == "queued" and job.status == "cancelled":
        queued.cancel(deps, project.id, exchange)
        return
    hand = Hand(deps, project, exchange)
    with suppress(Lost):
        if hand.take_over() if exchange.status == "in_progress" else hand.take_up():
            hand.end("failed" if job.status == "failed" else "cancelled", (), job.error)


def stop(deps: Deps, job: Job) -> None:
    """Ask whoever answers the response to stop."""
    with deps.database.writing(job.project_id) as scope:
        background.request_cancel(scope, deps.database, job.subject or "", deps.clock())


def run(deps: Deps, project_id: str, exchange_id: str, *, resumed: bool = False) -> None:
    """Answer a background response, to its end. Does nothing when it has ended already.

    Not while another process is at work on it: it would be taken from that one. Whether somebody had begun it before is
    seen from what is stored; *resumed* is for the log. Raises StorageUnavailable when it could not even be begun: call
    again.
    """
    found = _unfinished(deps, project_id, exchange_id)
    if found is None:
        return
    project, exchange = found
    hand = Hand(deps, project, exchange)
    try:
        if hand.take_over() if exchange.status == "in_progress" else hand.take_up():
            logs.get().info("response_begun", response_id=exchange_id, resumed=resumed, attempt=len(hand.attempts.made))
            _answer(hand)
    except Lost:
        logs.get().info("response_not_ours", response_id=exchange_id)


def _unfinished(deps: Deps, project_id: str, exchange_id: str) -> tuple[Project, Exchange] | None:
    """A background response that has not ended, and whose it is."""
    with deps.database.reading(project_id) as scope:
        exchange = exchanges.get(scope, exchange_id, hidden=True)
        project = everywhere.project_of(scope.connection, project_id)
    if exchange is None or project is None or exchange.background is None or exchange.status in FINISHED:
        return None
    return project, exchange


def _answer(hand: Hand) -> None:
    """Ask the upstream, and record what comes of it; or why it could not be asked. Raises Lost, StorageUnavailable."""
    try:
        turn = _turn(hand)
    except StorageUnavailable:
        raise
    except ConvstoreError as error:
        hand.end("failed", (), {"code": api_code(error), "message": error.message})
    except Exception:
        # Another worker would make the same mistake.
        logs.get().exception("response_failed", response_id=hand.exchange.id)
        hand.end("failed", (), {"code": api_code(Mistake()), "message": Mistake().message})
    else:
        Answering(hand, turn).to_the_end()


def _turn(hand: Hand) -> BackgroundTurn:
    """The turn that was begun when the request came. Raises InvalidRequest when it can be no more."""
    deps, project = hand.deps, hand.project
    principal = Principal(project.id, project.name, None, frozenset(), project.settings)
    # It may have waited for long: what was left when it came may be spent.
    budgets.admit(deps, project.id, hand.exchange.api_key_id, hand.exchange.conversation_id)
    was = asked.again(deps, principal, hand.exchange)
    upstream = deps.upstreams.serving(was.request.model)
    shown = windows.fitted(was.request, was.stands.history, upstream)
    return BackgroundTurn(
        deps,
        principal,
        was.beginning,
        relay.question(was.request, was.stands, shown, upstream),
        upstream,
        was.stands.thread,
        attempts=hand.attempts,
        # Nobody waits for it, and nobody else has it.
        patience_s=float("inf"),
        hand=hand,
    )
