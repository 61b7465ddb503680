"""A worker runs one model's part of a replay: turn after turn, each on the answers before it.

    work()     the job (kinds.py)
    settle()   the job has failed or was cancelled: so has, or was, the run, and the turn that it was at
    stop()     the job is to be cancelled while it runs: so is the turn that it is at

A turn is put on record as a background response, in the transaction that notes it as a step of the job, and answered
here. So a worker that takes a run over goes on with the turn that the dead one was at, and asks no finished one again.
An answer that the death of a worker cut off stays on record, and its turn is asked once more.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from convstore import ids
from convstore.domain import context, money, replay, usage
from convstore.domain.exchange import ADDED, Beginning, Exchange, is_kept
from convstore.domain.items import Item
from convstore.domain.job import Job
from convstore.domain.jsontext import Raw, dumps, loads
from convstore.domain.replay import Diverged, Replay
from convstore.domain.request import CreateRequest
from convstore.domain.response import FINISHED
from convstore.errors import ConvstoreError, StorageUnavailable
from convstore.services import background, hand, relay, remaking, replays, standing, windows
from convstore.services.deps import Deps
from convstore.services.principal import Principal
from convstore.services.relay import Call, Remade
from convstore.services.running_job import Cancelled, RunningJob
from convstore.storage import background as responses
from convstore.storage import branches, everywhere, exchanges, jobs, turns
from convstore.storage import replays as stored
from convstore.storage.scope import Scope

ORIGIN = "replay"
# How often a turn is asked whose answer the death of a worker cut off.
MOST_TRIES = 3
NAP_S = 0.05
_TRUE = Raw(True, "true")


@dataclass(frozen=True, slots=True)
class Stopped(Exception):
    """The run ends before its last turn."""

    reason: str


def work(deps: Deps, job: RunningJob) -> None:
    """Run the job of a run. Raises Cancelled, HandedBack, Lost, StorageUnavailable."""
    replay_id, number = job.arguments["replay"], job.arguments["run"]
    with deps.database.reading(job.project_id) as scope:
        found = stored.get(scope, replay_id)
        project = everywhere.project_of(scope.connection, job.project_id)
    if found is None or project is None:
        return
    if found.runs[number].ended is not None:
        with deps.database.writing(job.project_id) as scope:
            stored.begin_run(scope, replay_id, number)
    principal = Principal(project.id, project.name, job.arguments.get("key"), frozenset(), project.settings)
    run = _Run(deps, job, principal, found, number)
    ended: dict[str, Any] = {"status": "completed"}
    try:
        run.to_the_end()
    except Stopped as stopped:
        ended = {"status": "stopped", "turn": run.turn, "reason": stopped.reason}
    with deps.database.writing(job.project_id) as scope:
        stored.end_run(scope, replay_id, number, ended)


def settle(deps: Deps, job: Job) -> None:
    """End a run whose job has failed or was cancelled, and its turn. Raises StorageUnavailable."""
    exchange_id = _last(deps, job)
    if exchange_id is not None:
        background.settle(deps, replace(job, subject=exchange_id))
    reason = job.error.get("message") if job.error else "It was cancelled."
    with deps.database.writing(job.project_id) as scope:
        ended = {"status": job.status, "reason": reason}
        stored.end_run(scope, job.arguments["replay"], job.arguments["run"], ended)


def stop(deps: Deps, job: Job) -> None:
    """Ask whoever answers the turn to stop."""
    exchange_id = _last(deps, job)
    if exchange_id is not None:
        background.stop(deps, replace(job, subject=exchange_id))


def _last(deps: Deps, job: Job) -> str | None:
    """The turn that a run is at."""
    with deps.database.reading(job.project_id) as scope:
        own = [turn for turn in stored.turns(scope, job.arguments["replay"]) if turn.run == job.arguments["run"]]
    return own[-1].exchange_id if own else None


class _Run:
    """One model's part. turn: the number of the turn that it is at."""

    def __init__(self, deps: Deps, job: RunningJob, principal: Principal, found: Replay, number: int) -> None:
        self.turn = 0
        self._deps = deps
        self._job = job
        self._principal = principal
        self._replay = found
        self._plan = found.plan
        self._number = number
        edits = {member: Raw(loads(text), text) for member, text in found.plan.overrides.items()}
        model = found.runs[number].model
        if model is not None:
            edits["model"] = Raw(model, dumps(model).decode())
        self._edits: Mapping[str, Raw] = {**edits, "background": _TRUE}

    def to_the_end(self) -> None:
        """Ask every turn again. Raises Stopped, and what is running_job's."""
        plan = self._plan
        parent_id = plan.after or plan.parent_id
        is_new = plan.after is not None
        if plan.after is not None:
            self._await(plan.after)
        recorded_id: str | None = None
        waiting: list[Item] = []
        for self.turn, source_id in enumerate(plan.turns):
            self._job.progress(self.turn, len(plan.turns))
            source, own = self._source(source_id)
            if source.origin == ADDED:
                # What was added by hand comes with the next question.
                waiting += own
                continue
            items, waiting = [*waiting, *own], []
            if is_new:
                items = self._matched(items, recorded_id or source.parent_id, parent_id)
            made = self._ask(source, items, parent_id)
            if not is_kept(made.status, made.error is not None):
                raise Stopped(_why(made))
            parent_id, recorded_id, is_new = made.id, source_id, True
        self._job.progress(len(plan.turns), len(plan.turns))

    # -- one turn ---------------------------------------------------------------------------------------------

    def _source(self, exchange_id: str) -> tuple[Exchange, list[Item]]:
        with self._deps.database.reading(self._job.project_id) as scope:
            found = exchanges.get(scope, exchange_id, hidden=True)
            if found is None:
                raise Stopped(f"Response '{exchange_id}' is gone.")
            return found, remaking.own_items(scope, found)

    def _matched(self, own: Sequence[Item], recorded_id: str | None, made_id: str | None) -> list[Item]:
        """The turn's items for the new answer. Raises Stopped."""
        try:
            return replay.matched(
                own,
                self._output(recorded_id),
                self._output(made_id),
                use_recorded=self._plan.tool_outputs == "recorded",
            )
        except Diverged as diverged:
            raise Stopped(diverged.reason) from diverged

    def _output(self, exchange_id: str | None) -> list[Item]:
        with self._deps.database.reading(self._job.project_id) as scope:
            found = exchanges.get(scope, exchange_id, hidden=True) if exchange_id else None
            return exchanges.output(scope, found) if found else []

    def _ask(self, source: Exchange, items: Sequence[Item], parent_id: str | None) -> Exchange:
        """The new answer to a turn. Raises Stopped."""
        for number in range(MOST_TRIES):
            self._job.checkpoint()
            exchange_id = self._put(f"{self.turn}.{number}", source, items, parent_id)
            background.run(self._deps, self._job.project_id, exchange_id, resumed=self._job.is_resumed)
            made = self._await(exchange_id)
            if made.status == "cancelled":
                self._cancelled()
            if not _was_cut_off(made):
                return made
        return made

    def _put(self, step: str, source: Exchange, items: Sequence[Item], parent_id: str | None) -> str:
        """Put a turn on record; the id of its exchange. Raises Stopped, StorageUnavailable."""
        try:
            request = remaking.again(source, items, self._edits)
            self._may_cost(request.model, source)
            remade, beginning = self._beginning(request, source, parent_id)
        except StorageUnavailable:
            raise
        except ConvstoreError as error:
            raise Stopped(error.message) from error
        try:
            made = self._job.step_in_transaction(step, lambda scope: self._write(scope, remade, beginning))
        except turns.LaneTaken:
            alone = replace(beginning, lane=beginning.id)
            made = self._job.step_in_transaction(step, lambda scope: self._write(scope, remade, alone))
        if made is None:
            raise Stopped(f"As many calls as may be were made ({self._plan.max_calls}).")
        return str(made)

    def _beginning(self, request: CreateRequest, source: Exchange, parent_id: str | None) -> tuple[Remade, Beginning]:
        deps, principal = self._deps, self._principal
        stands = standing.behind(deps, principal, parent_id, self._replay.conversation_id, request)
        context.check(stands.history, request.items, whole=stands.is_unchecked)
        upstream = deps.upstreams.serving(request.model)
        shown = windows.fitted(request, stands.history, upstream)
        remade = Remade(stands, ORIGIN, source.id, lambda _: ())
        call = Call(ids.new(ids.REQUEST))
        return remade, relay.begun(deps, principal, request, call, stands, shown, remade)

    def _write(self, scope: Scope, remade: Remade, beginning: Beginning) -> str | None:
        """Write a turn down, unless the run is to stop. Raises Cancelled, LaneTaken."""
        job = jobs.get(scope, self._job.id)
        if job is None or job.cancel_requested_at is not None:
            # Whoever asked for it looked for a turn before this one was there.
            raise Cancelled
        if not stored.may_call(scope, self._replay.id, self._plan.max_calls):
            return None
        responses.queue(self._deps.database, scope, beginning, ())
        stored.add_turn(scope, self._replay.id, self._number, self.turn, remade.origin_id, beginning.id)
        if self._plan.branch is not None and beginning.parent_id is not None:
            now = self._deps.clock()
            branches.move(scope, self._plan.branch, beginning.id, now, expected=beginning.parent_id)
        return beginning.id

    def _cancelled(self) -> None:
        """Raises Cancelled when it was the run that somebody wanted no more, and not this turn alone."""
        with self._deps.database.reading(self._job.project_id) as scope:
            job = jobs.get(scope, self._job.id)
        if job is not None and job.cancel_requested_at is not None:
            # The worker sees it a moment later.
            raise Cancelled

    def _await(self, exchange_id: str) -> Exchange:
        """An exchange that has ended, or ends soon: somebody else may be answering it. Raises Stopped."""
        while True:
            with self._deps.database.reading(self._job.project_id) as scope:
                found = exchanges.get(scope, exchange_id, hidden=True)
            if found is None:
                raise Stopped(f"Response '{exchange_id}' is gone.")
            if found.status in FINISHED:
                if exchange_id == self._plan.after and not is_kept(found.status, found.error is not None):
                    raise Stopped(_why(found))
                return found
            self._job.checkpoint()
            time.sleep(NAP_S)

    def _may_cost(self, model: str, source: Exchange) -> None:
        """Raises Stopped when what was spent and what this turn took before would be more than may be."""
        most = self._plan.max_cost
        if most is None:
            return
        with self._deps.database.reading(self._job.project_id) as scope:
            made = stored.turns(scope, self._replay.id)
        spent = sum((turn.cost.amount or Decimal() for turn in made if turn.cost), Decimal())
        priced = replays.price(self._deps, self._job.project_id, source.usage or usage.NOTHING, model)
        if priced is None or priced.amount is None:
            raise Stopped(f"The price of '{model}' is not known any more, so its cost cannot be limited.")
        if spent + priced.amount > most:
            left = f"what is left of {most} {priced.currency}"
            raise Stopped(f"The next call may cost more than {left} ({money.plain(spent)} were spent).")


def _why(exchange: Exchange) -> str:
    """Why there is no going on from an exchange."""
    said = exchange.error.get("message") if exchange.error else exchange.incomplete_reason
    return f"Response '{exchange.id}' is {exchange.status}" + (f": {said}" if said else ".")


def _was_cut_off(exchange: Exchange) -> bool:
    """Whether it is a worker's death that ended an answer."""
    return exchange.status in ("incomplete", "failed") and exchange.error == hand.STOPPED
