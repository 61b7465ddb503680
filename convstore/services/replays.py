"""Replays: planned, put on record, looked at, cancelled. Workers run them (replaying.py)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from convstore import ids
from convstore.domain import jsontext, money
from convstore.domain.exchange import ADDED
from convstore.domain.pricing import cost
from convstore.domain.pricing.cost import Cost
from convstore.domain.replay import Plan, Replay, Run, Turn, Wanted
from convstore.domain.tree import Node
from convstore.domain.usage import Usage
from convstore.errors import InvalidRequest, NotFound, ResponseNotFound
from convstore.services import jobs, naming, paging, remaking
from convstore.services.deps import Deps
from convstore.services.paging import Listing, Page
from convstore.services.principal import Principal
from convstore.storage import direct, replays
from convstore.storage.rows import as_stored
from convstore.storage.scope import Scope
from convstore.storage.statements import Write, each

# What the engine calls a run.
JOB = "replay"


class ReplayNotFound(NotFound):
    """No replay with this id belongs to this project."""

    def __init__(self, replay_id: str) -> None:
        super().__init__(f"Replay with id '{replay_id}' not found.")


@dataclass(frozen=True, slots=True)
class Planned:
    """A replay that could be made, and the turns that it asks again."""

    replay: Replay
    sources: Sequence[Node]


# -- before ---------------------------------------------------------------------------------------------------


def plan(deps: Deps, principal: Principal, name: str, wanted: Wanted) -> Planned:
    """What would be asked. Raises ResponseNotFound, NotFinished, ModelNotFound, InvalidRequest."""
    with deps.database.reading(principal.project_id) as scope:
        end = remaking.finished(scope, name)
        if wanted.mode == "last":
            nodes = remaking.between(scope, end, end)
        else:
            first = _on_thread(scope, wanted.first, "from") if wanted.first else None
            last = _on_thread(scope, wanted.until, "until") if wanted.until else end
            remaking.between(scope, last, end)
            nodes = remaking.between(scope, first, last)
        remaking.there(nodes)
        for node in nodes:
            # Now, and not at its turn: whether what is stored is enough to ask again.
            if node.origin != ADDED:
                remaking.again(naming.exchange(scope, node.id), (), wanted.overrides)
    for model in wanted.models:
        deps.upstreams.serving(model)
    kept = {member: raw.text for member, raw in wanted.overrides.items()}
    made_of = Plan(
        turns=tuple(node.id for node in nodes),
        parent_id=nodes[0].parent_id,
        mode=wanted.mode,
        tool_outputs=wanted.tool_outputs,
        overrides=kept,
        max_calls=wanted.max_calls,
        max_cost=wanted.max_cost,
    )
    planned = Planned(made(deps, end.conversation_id, end.id, made_of, tuple(wanted.models) or (None,)), nodes)
    if wanted.max_cost is not None:
        _must_be_priced(deps, principal.project_id, planned)
    return planned


def estimate(deps: Deps, principal: Principal, planned: Planned) -> bytes:
    """What a replay would take, by what its turns took before: the JSON of a dry run."""
    asked = [node for node in planned.sources if node.origin != ADDED]
    runs = []
    for run in planned.replay.runs:
        costs = [
            price(deps, principal.project_id, node.usage, run.model or node.requested_model) if node.usage else None
            for node in asked
        ]
        known = [each for each in costs if each is not None and each.amount is not None]
        runs.append(
            {
                "model": run.model,
                "calls": len(asked),
                "estimated_input_tokens": sum(node.usage.input for node in asked if node.usage),
                "estimated_output_tokens": sum(node.usage.output for node in asked if node.usage),
                **_sum(known if len(known) == len(costs) else (), "estimated_cost"),
                "unpriced_turns": len(costs) - len(known),
            }
        )
    return jsontext.dumps(
        {
            "object": "replay.plan",
            "source_id": planned.replay.source_id,
            "conversation_id": planned.replay.conversation_id,
            "calls": len(asked) * len(runs),
            "turns": [{"id": node.id, "question": node.question, "model": node.requested_model} for node in asked],
            "runs": runs,
        }
    )


def made(deps: Deps, conversation_id: str, source_id: str, made_of: Plan, models: Sequence[str | None]) -> Replay:
    """A new replay, not on record yet."""
    runs = [Run(number, model, ids.new(ids.JOB)) for number, model in enumerate(models)]
    return Replay(ids.new(ids.REPLAY), conversation_id, source_id, made_of, deps.clock(), runs=runs)


def behind(replay: Replay, exchange_id: str) -> Replay:
    """The same, behind an exchange that may still be being answered."""
    return replace(replay, plan=replace(replay.plan, after=exchange_id))


def insertions(deps: Deps, principal: Principal, replay: Replay) -> list[Write]:
    """The writes of a replay and the jobs of its runs, for a batch of others."""
    writes = replays.insertions(principal.project_id, replay)
    for run in replay.runs:
        given = {"replay": replay.id, "run": run.number, "key": principal.key_id}
        writes.append(
            jobs.insertion(deps, principal.project_id, JOB, subject=replay.id, arguments=given, job_id=run.job_id)[1]
        )
    return writes


def create(deps: Deps, principal: Principal, planned: Planned) -> Replay:
    """Put a replay on record, and its runs in the queue."""
    with deps.database.writing(principal.project_id) as scope:
        with direct.within(deps.database, scope.connection) as cursor:
            writes = insertions(deps, principal, planned.replay)
            each(cursor, as_stored(deps.database, cursor, principal.project_id, writes))
    return get(deps, principal.project_id, planned.replay.id)


def _on_thread(scope: Scope, name: str, param: str) -> Any:
    try:
        return naming.exchange(scope, name)
    except ResponseNotFound as error:
        raise InvalidRequest(error.message, param=param, code="invalid_value") from error


def _must_be_priced(deps: Deps, project_id: str, planned: Planned) -> None:
    currencies = set()
    for run in planned.replay.runs:
        for node in planned.sources:
            if node.origin == ADDED:
                continue
            model = run.model or node.requested_model
            priced = price(deps, project_id, Usage(1, 0, 0, 1, 0, 2), model)
            if priced is None or priced.currency is None:
                raise InvalidRequest(
                    f"The price of '{model}' is not known, so its cost cannot be limited. Use 'max_calls'.",
                    param="max_cost",
                    code="unknown_price",
                )
            currencies.add(priced.currency)
    if len(currencies) > 1:
        raise InvalidRequest(
            f"The models are priced in {' and '.join(sorted(currencies))}: no one sum limits both. Use 'max_calls'.",
            param="max_cost",
            code="invalid_value",
        )


def price(deps: Deps, project_id: str, used: Usage, model: str) -> Cost | None:
    """What these tokens cost now at the upstream that serves a model; None when it has no price."""
    upstream = deps.upstreams.serving(model)
    names = (upstream.model_name(model), model)
    rule = deps.prices.rule(project_id, upstream.name, names, None, deps.clock())
    return cost.of(used, {}, rule) if rule else None


# -- afterwards -----------------------------------------------------------------------------------------------


def get(deps: Deps, project_id: str, replay_id: str) -> Replay:
    """The replay with this id. Raises ReplayNotFound."""
    with deps.database.reading(project_id) as scope:
        found = replays.get(scope, replay_id)
    if found is None:
        raise ReplayNotFound(replay_id)
    return found


def listed(deps: Deps, project_id: str, page: Page) -> Listing:
    """A page of the project's replays, without their turns. Raises InvalidRequest."""
    with deps.database.reading(project_id) as scope:
        for name, cursor in (("after", page.after), ("before", page.before)):
            if cursor is not None and replays.get(scope, cursor) is None:
                raise InvalidRequest(
                    f"Replay with id '{cursor}' not found in this list.", param=name, code="invalid_value"
                )
        found = replays.listed(
            scope, page.limit + 1, newest_first=page.order == "desc", after=page.after, before=page.before
        )
    chosen, has_more = paging.chosen(found, page)
    return Listing([(one.id, jsontext.dumps(_head(one))) for one in chosen], has_more)


def cancel(deps: Deps, project_id: str, replay_id: str) -> Replay:
    """Stop a replay; what it has made stays. One that is over stays as it is. Raises ReplayNotFound."""
    found = get(deps, project_id, replay_id)
    with deps.database.writing(project_id) as scope:
        replays.request_cancel(scope, replay_id, deps.clock())
    for run in found.runs:
        if run.ended is None and run.job_status in ("queued", "running"):
            try:
                jobs.cancel(deps, project_id, run.job_id)
            except InvalidRequest:
                continue  # it has ended meanwhile
    return get(deps, project_id, replay_id)


def written(deps: Deps, project_id: str, replay: Replay) -> bytes:
    """The API's form, with every turn, and where to find the comparison with what was recorded."""
    with deps.database.reading(project_id) as scope:
        turns = replays.turns(scope, replay.id)
        total = replays.questions(scope, replay.plan)
    runs = []
    for run in replay.runs:
        own = [turn for turn in turns if turn.run == run.number]
        tip = own[-1].exchange_id if own else None
        runs.append(
            {
                **_of_run(run),
                "done": sum(turn.is_kept for turn in own),
                "total": total,
                "tip": tip,
                "comparison": f"/v1/diff?left={own[-1].source_id}&right={tip}" if tip else None,
                "turns": [_of_turn(turn) for turn in own],
                "total_tokens": sum(turn.usage.total for turn in own if turn.usage),
                **_sum([turn.cost for turn in own if turn.cost and turn.cost.amount is not None], "cost"),
            }
        )
    return jsontext.dumps({**_head(replay), "runs": runs})


def _sum(costs: Sequence[Cost], name: str) -> dict[str, Any]:
    """The sum of costs and its currency; null where there is none, or more than one."""
    sums = cost.total(costs)
    if len(sums) != 1:
        return {name: None, "currency": None}
    ((currency, amount),) = sums.items()
    return {name: money.plain(amount), "currency": currency}


def _head(replay: Replay) -> dict[str, Any]:
    made_of = replay.plan
    return {
        "id": replay.id,
        "object": "replay",
        "status": status(replay),
        "conversation_id": replay.conversation_id,
        "source_id": replay.source_id,
        "mode": made_of.mode,
        "tool_outputs": made_of.tool_outputs,
        "overrides": {member: jsontext.loads(text) for member, text in made_of.overrides.items()},
        "max_calls": made_of.max_calls,
        "max_cost": str(made_of.max_cost) if made_of.max_cost is not None else None,
        "calls": replay.calls,
        "created_at": int(replay.created_at.timestamp()),
        "runs": [_of_run(run) for run in replay.runs],
    }


def status(replay: Replay) -> str:
    """queued, in_progress, or the worst of how its runs ended: completed, stopped, cancelled, failed."""
    words = [_word(run) for run in replay.runs]
    for word in ("in_progress", "queued", "failed", "cancelled", "stopped"):
        if word in words:
            begun = word == "queued" and any(other != "queued" for other in words)
            return "in_progress" if begun else word
    return "completed"


def _word(run: Run) -> str:
    if run.ended is not None:
        return str(run.ended["status"])
    return {"running": "in_progress", "queued": "queued"}.get(run.job_status or "", run.job_status or "failed")


def _of_run(run: Run) -> dict[str, Any]:
    ended = dict(run.ended) if run.ended else {}
    return {
        "number": run.number,
        "model": run.model,
        "status": _word(run),
        "job_id": run.job_id,
        "stopped_at": ended.get("turn"),
        "reason": ended.get("reason"),
    }


def _of_turn(turn: Turn) -> dict[str, Any]:
    known = turn.cost if turn.cost is not None and turn.cost.amount is not None else None
    return {
        "number": turn.number,
        "source_id": turn.source_id,
        "response_id": turn.exchange_id,
        "status": turn.status,
        "model": turn.model,
        "usage": turn.usage.as_api() if turn.usage else None,
        "cost": money.plain(known.amount) if known and known.amount is not None else None,
        "currency": known.currency if known else None,
        "latency_ms": round((turn.completed_at - turn.created_at).total_seconds() * 1000, 3)
        if turn.completed_at
        else None,
    }
