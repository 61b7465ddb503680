"""Replays and their runs: what was wanted, which turn became which exchange, how each run ended."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, func, select, update

from convstore import ids
from convstore.domain import jsontext, replay, usage
from convstore.domain.exchange import ADDED, is_kept
from convstore.domain.replay import Plan, Replay, Run, Turn
from convstore.storage import ledger, listing, tables
from convstore.storage.rows import packed
from convstore.storage.scope import Scope
from convstore.storage.statements import MOST_PARAMETERS, Insert, Write
from convstore.storage.types import micros

_r = tables.replays
_n = tables.replay_runs
_t = tables.replay_turns
_e = tables.exchanges
_j = tables.jobs
_l = tables.ledger


def insertions(project_id: str, made: Replay) -> list[Write]:
    """The writes of a new replay and its runs, for a batch of others (statements.py)."""
    own = packed(ids.REPLAY, made.id)
    row = (
        packed(ids.PROJECT, project_id),
        own,
        packed(ids.CONVERSATION, made.conversation_id),
        packed(ids.EXCHANGE, made.source_id),
        made.plan.dump(),
        micros(made.created_at),
    )
    runs = [(own, run.number, run.model, packed(ids.JOB, run.job_id)) for run in made.runs]
    return [
        Insert(_r, ("project_id", "id", "conversation_id", "source_id", "plan", "created_at"), [row]),
        Insert(_n, ("replay_id", "number", "model", "job_id"), runs),
    ]


def get(scope: Scope, replay_id: str) -> Replay | None:
    """The replay with this id, with its runs."""
    row = scope.connection.execute(_mine(scope).where(_r.c.id == replay_id)).fetchone()
    return _replay(scope, row, _runs(scope, [replay_id])) if row is not None else None


def listed(
    scope: Scope, limit: int, *, newest_first: bool, after: str | None = None, before: str | None = None
) -> list[Replay]:
    """Replays in order of age; with *before* alone the last ones in front of it."""
    query = _mine(scope)
    rows = listing.page(scope, query, _r.c.id, limit, newest_first=newest_first, after=after, before=before)
    runs = _runs(scope, [row.id for row in rows])
    return [_replay(scope, row, runs) for row in rows]


def turns(scope: Scope, replay_id: str) -> list[Turn]:
    """What has been asked again, by run and turn. One statement."""
    columns = (_t.c.run, _t.c.turn, _t.c.source_id, _t.c.exchange_id, *(_e.c[name] for name in usage.COLUMNS))
    more = (
        _e.c.status,
        _e.c.model,
        _e.c.requested_model,
        _e.c.upstream,
        _e.c.created_at,
        _e.c.completed_at,
        _e.c.error,
    )
    source = _t.join(_e, and_(_e.c.project_id == scope.project_id, _e.c.id == _t.c.exchange_id))
    source = source.outerjoin(_l, and_(_l.c.project_id == scope.project_id, _l.c.exchange_id == _t.c.exchange_id))
    query = select(*columns, *more, *ledger.COST).select_from(source).where(_t.c.replay_id == replay_id)
    return [
        Turn(
            run=row.run,
            number=row.turn,
            source_id=row.source_id,
            exchange_id=row.exchange_id,
            status=row.status,
            model=row.model or row.requested_model,
            upstream=row.upstream,
            usage=usage.of_columns(*(row._mapping[name] for name in usage.COLUMNS)),
            created_at=row.created_at,
            completed_at=row.completed_at,
            is_kept=is_kept(row.status, row.error is not None),
            cost=ledger.read(row) if row.basis is not None else None,
        )
        for row in scope.connection.execute(query.order_by(_t.c.run, _t.c.turn))
    ]


def questions(scope: Scope, plan: Plan) -> int:
    """How many turns of a plan are asked again; what was added by hand only comes along.

    One statement for every 30,000 of them.
    """
    query = select(func.count()).where(_e.c.project_id == scope.project_id, _e.c.origin != ADDED)
    parts = [plan.turns[start : start + MOST_PARAMETERS] for start in range(0, len(plan.turns), MOST_PARAMETERS)]
    return sum(scope.connection.execute(query.where(_e.c.id.in_(part))).scalar_one() for part in parts)


def add_turn(scope: Scope, replay_id: str, run: int, turn: int, source_id: str, exchange_id: str) -> None:
    """Note as which exchange a turn is asked again; once more when the one before was cut off."""
    where = and_(_t.c.replay_id == replay_id, _t.c.run == run, _t.c.turn == turn)
    if scope.connection.execute(update(_t).where(where).values(exchange_id=exchange_id)).rowcount:
        return
    scope.connection.execute(
        _t.insert().values(replay_id=replay_id, run=run, turn=turn, source_id=source_id, exchange_id=exchange_id)
    )


def may_call(scope: Scope, replay_id: str, most: int | None) -> bool:
    """Count a call, unless as many as may be were made: exact, however many runs ask at once."""
    query = update(_r).where(_r.c.project_id == scope.project_id, _r.c.id == replay_id)
    if most is not None:
        query = query.where(_r.c.calls < most)
    return scope.connection.execute(query.values(calls=_r.c.calls + 1)).rowcount > 0


def end_run(scope: Scope, replay_id: str, number: int, ended: Mapping[str, Any]) -> None:
    """Note how a run ended, unless that is known."""
    where = and_(_n.c.replay_id == replay_id, _n.c.number == number, _n.c.stopped.is_(None))
    scope.connection.execute(update(_n).where(where).values(stopped=jsontext.dumps(dict(ended)).decode()))


def begin_run(scope: Scope, replay_id: str, number: int) -> None:
    """Forget how a run ended: its job is tried again."""
    where = and_(_n.c.replay_id == replay_id, _n.c.number == number)
    scope.connection.execute(update(_n).where(where).values(stopped=None))


def request_cancel(scope: Scope, replay_id: str, now: datetime) -> None:
    """Note that nobody wants it any more."""
    where = and_(_r.c.project_id == scope.project_id, _r.c.id == replay_id, _r.c.cancel_requested_at.is_(None))
    scope.connection.execute(update(_r).where(where).values(cancel_requested_at=now))


def _runs(scope: Scope, replay_ids: Sequence[str]) -> dict[str, list[Run]]:
    query = (
        select(_n, _j.c.status)
        .select_from(_n.outerjoin(_j, and_(_j.c.project_id == scope.project_id, _j.c.id == _n.c.job_id)))
        .where(_n.c.replay_id.in_(replay_ids))
        .order_by(_n.c.replay_id, _n.c.number)
    )
    found: dict[str, list[Run]] = {}
    for row in scope.connection.execute(query):
        ended = jsontext.loads(row.stopped) if row.stopped else None
        found.setdefault(row.replay_id, []).append(Run(row.number, row.model, row.job_id, ended, row.status))
    return found


def _mine(scope: Scope) -> Any:
    return select(_r).where(_r.c.project_id == scope.project_id)


def _replay(scope: Scope, row: Row[Any], runs: Mapping[str, Sequence[Run]]) -> Replay:
    return Replay(
        id=row.id,
        conversation_id=row.conversation_id,
        source_id=row.source_id,
        plan=replay.load(scope.text(row.plan) or ""),
        created_at=row.created_at,
        calls=row.calls,
        cancel_requested_at=row.cancel_requested_at,
        runs=runs.get(row.id, ()),
    )
