"""The door of the database itself: the services, called by a principal of one project who may do everything."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from convstore import bootstrap, config, ids
from convstore.cli import own_worker
from convstore.cli.door import Answered, Json
from convstore.cli.files import LocalFiles
from convstore.cli.recorded import as_call
from convstore.config import Settings
from convstore.domain import jsontext, sse
from convstore.domain.project import ProjectSettings
from convstore.domain.replay import Replay
from convstore.errors import InvalidRequest
from convstore.services import (
    audit,
    budgets,
    costs,
    erasures,
    holds,
    prices,
    projects,
    recovery,
    replays,
    retention,
    rules,
    trees,
    verification,
)
from convstore.services.deps import Deps
from convstore.services.paging import Listing, Page
from convstore.services.principal import Principal, Right
from convstore.services.projects import ProjectNotFound
from convstore.services.streaming import Streamed
from convstore.services.trees import Wanted
from convstore.storage import migrations
from convstore.storage.everywhere import Project
from convstore.telemetry import logs


@contextmanager
def local(config_path: str | None, project: str | None) -> Iterator["Local"]:
    """The database of these settings. Raises Misconfigured, ProjectNotFound, InvalidRequest."""
    # Standard output is for what was asked for.
    logs.configure("error", "console")
    settings = config.load(config_path)
    with bootstrap.working(settings, role="command") as deps, ExitStack() as leaving:
        migrations.check(deps.database)
        yield Local(deps, _principal(deps, project), settings, config_path, leaving)


@contextmanager
def everywhere(config_path: str | None) -> Iterator[Mapping[str, "Local"]]:
    """The doors to each project's part of the database by its name, and to what is no project's."""
    logs.configure("error", "console")
    settings = config.load(config_path)
    with bootstrap.working(settings, role="command") as deps, ExitStack() as leaving:
        migrations.check(deps.database)
        owners = [
            *projects.listed(deps),
            Project(audit.INSTALLATION, "(installation)", ProjectSettings(), deps.clock()),
        ]
        yield {each.name: Local(deps, _of(each), settings, config_path, leaving) for each in owners}


def _principal(deps: Deps, name: str | None) -> Principal:
    found = projects.listed(deps)
    if name is None and len(found) > 1:
        raise InvalidRequest("There are several projects: say whose with --project NAME.")
    if name is None and not found:
        raise ProjectNotFound("There is no project yet. Make one with its first key: convstore keys create --project …")
    for project in found:
        if name in (None, project.name):
            return _of(project)
    raise ProjectNotFound(f"No project has the name '{name}'.")


def _of(project: Project) -> Principal:
    return Principal(project.id, project.name, None, frozenset(Right), project.settings)


class Local(LocalFiles):
    """See Door."""

    def __init__(
        self, deps: Deps, principal: Principal, settings: Settings, config_path: str | None, leaving: ExitStack
    ) -> None:
        self.deps = deps
        self._principal = principal
        self.project_id = principal.project_id
        self._settings = settings
        self._config_path = config_path
        self._leaving = leaving

    @as_call("trees.tree")
    def tree(self, conversation_id: str, after: str | None, *, root: str | None, depth: int | None) -> Json:
        wanted = Wanted(root=root, depth=depth, limit=trees.MOST, after=after)
        return _read(trees.tree(self.deps, self.project_id, conversation_id, wanted))

    @as_call("trees.thread")
    def thread(self, name: str, after: str | None, limit: int, *, items: bool) -> Json:
        return _listed(trees.thread(self.deps, self.project_id, name, limit, after, items=items))

    @as_call("history.list")
    def responses(self, asked: Mapping[str, Any]) -> Json:
        from convstore.schemas.history import read, wanted
        from convstore.services import history
        from convstore.services.history import Asked
        from convstore.services.paging import Page

        known, labels = read({name: str(value) for name, value in asked.items()})
        page = Page(**{name: known[name] for name in ("limit", "order", "after", "before") if name in known})
        return _read(history.page(self.deps, self.project_id, Asked(**wanted(known, labels)), page).write())

    @as_call("branches.branch")
    def branch(self, name: str, body: bytes) -> Answered:
        from convstore.schemas.branches import edit
        from convstore.services import branching, relay
        from convstore.services.relay import Whole

        asked = edit(body)
        self._go_on_record()
        made = branching.create(
            self.deps, self._principal, name, asked, relay.call_of(ids.new(ids.REQUEST), None, body)
        )
        if isinstance(made.answer, Whole):
            return Answered(_read(made.answer.body), replay_id=made.replay_id)
        return Answered(events=_events(made.answer), replay_id=made.replay_id)

    @as_call("replays.replay")
    def replay(self, name: str, body: bytes) -> Json:
        from convstore.schemas.replays import wanted

        asked, is_dry = wanted(body)
        planned = replays.plan(self.deps, self._principal, name, asked)
        if is_dry:
            return _read(replays.estimate(self.deps, self._principal, planned))
        return self._written(replays.create(self.deps, self._principal, planned))

    @as_call("replays.get")
    def replayed(self, replay_id: str) -> Json:
        return self._written(replays.get(self.deps, self.project_id, replay_id))

    @as_call("replays.cancel")
    def cancel(self, replay_id: str) -> Json:
        return self._written(replays.cancel(self.deps, self.project_id, replay_id))

    @as_call("diff.compare")
    def diff(self, left: str, right: str) -> Json:
        from convstore.services import comparing

        # Through JSON, as a service's would come.
        return _read(jsontext.dumps(comparing.compare(self.deps, self.project_id, left, right).as_dict()))

    @as_call("diff.compare")
    def diff_page(self, left: str, right: str) -> str:
        from convstore.render import html
        from convstore.services import comparing

        return html.comparison(comparing.compare(self.deps, self.project_id, left, right))

    @as_call("reconciliation.reconcile")
    def reconcile(self, bill: bytes, asked: Mapping[str, str]) -> Json:
        from convstore.schemas.reconciliation import bill_of, reading_of
        from convstore.services import reconciling

        reading, upstream = reading_of(asked)
        return reconciling.reconcile(self.deps, self.project_id, bill_of(bill), reading, upstream)

    @as_call("prices.list")
    def prices(self, after: str | None, *, price_set: str | None, model: str | None) -> Json:
        page = Page(limit=1_000, order="asc", after=after)
        return _listed(prices.listed(self.deps, self.project_id, page, price_set=price_set, model=model))

    @as_call("prices.create")
    def name_prices(self, body: bytes) -> Json:
        from convstore.schemas.prices import wanted_prices

        made = prices.create(self.deps, self.project_id, wanted_prices(body))
        return {"data": [prices.as_dict(each) for each in made]}

    @as_call("prices.delete")
    def forget_price(self, price_id: str) -> None:
        prices.delete(self.deps, self.project_id, price_id)

    @as_call("prices.find")
    def find_price(self, **asked: str) -> Json:
        from convstore.schemas.prices import asked_price

        return _read(prices.find(self.deps, self.project_id, asked_price(asked)))

    @as_call("budgets.list")
    def budgets(self) -> Json:
        return {"data": budgets.written(budgets.listed(self.deps, self.project_id))}

    @as_call("budgets.create")
    def set_budget(self, body: bytes) -> Json:
        from convstore.schemas.budgets import wanted_budget

        return _read(budgets.as_json(budgets.create(self.deps, self.project_id, wanted_budget(body))))

    @as_call("budgets.delete")
    def lift_budget(self, budget_id: str) -> None:
        budgets.delete(self.deps, self.project_id, budget_id)

    @as_call("audit.verify")
    def check_audit(self, after: str | None, limit: int, head: Json | None) -> Json:
        return verification.verify(self.deps, self.project_id, after, limit, head).as_dict()

    @as_call("audit.head")
    def audit_head(self) -> Json:
        return verification.head(self.deps, self.project_id)

    def audit_size(self) -> int | None:
        return verification.count(self.deps, self.project_id)

    @as_call("audit.list")
    def audited(self, asked: Mapping[str, str]) -> Json:
        from convstore.schemas.audit import ListEntries
        from convstore.schemas.audit import asked as checked

        given = checked(ListEntries, asked)
        page = Page(**{name: given[name] for name in ("limit", "order", "after", "before") if name in given})
        return _listed(audit.listed(self.deps, self.project_id, page, audit.given(given)))

    @as_call("retention.list_rules")
    def rules(self) -> Json:
        return {"data": [rule.as_dict() for rule in rules.listed(self.deps, self.project_id)]}

    @as_call("retention.create_rule")
    def set_rule(self, body: bytes) -> Json:
        from convstore.schemas.retention import wanted_rule

        return rules.create(self.deps, self.project_id, wanted_rule(body)).as_dict()

    @as_call("retention.change_rule")
    def change_rule(self, rule_id: str, body: bytes) -> Json:
        from convstore.schemas.retention import changed_rule

        return rules.change(self.deps, self.project_id, rule_id, changed_rule(body)).as_dict()

    @as_call("retention.delete_rule")
    def forget_rule(self, rule_id: str) -> None:
        rules.delete(self.deps, self.project_id, rule_id)

    @as_call("retention.plan")
    def retention_plan(self, after: str | None, limit: int) -> Json:
        return retention.plan(self.deps, self.project_id, limit, after).as_dict()

    @as_call("holds.list")
    def holds(self, asked: Mapping[str, str]) -> Json:
        from convstore.schemas.audit import asked as checked
        from convstore.schemas.holds import ListHolds

        given = checked(ListHolds, asked)
        page = Page(**{name: given[name] for name in ("limit", "order", "after", "before") if name in given})
        return _listed(holds.listed(self.deps, self.project_id, page, released=given.get("released")))

    @as_call("holds.create")
    def hold(self, body: bytes) -> Json:
        from convstore.schemas.holds import wanted_hold

        return holds.create(self.deps, self._principal, wanted_hold(body)).as_dict()

    @as_call("holds.get")
    def held(self, hold_id: str) -> Json:
        return holds.get(self.deps, self.project_id, hold_id).as_dict()

    @as_call("holds.release")
    def release_hold(self, hold_id: str) -> Json:
        return holds.release(self.deps, self._principal, hold_id).as_dict()

    @as_call("costs.of_response")
    def response_cost(self, name: str) -> Json:
        return _read(costs.of_response(self.deps, self.project_id, name))

    @as_call("costs.of_conversation")
    def conversation_cost(self, conversation_id: str) -> Json:
        return _read(costs.of_conversation(self.deps, self.project_id, conversation_id))

    @as_call("costs.report")
    def costs(self, query: Mapping[str, str]) -> Json:
        from convstore.schemas.costs import of_query

        # Through JSON, as a service's would come.
        found = costs.report(self.deps, self.project_id, of_query(query))
        return _read(jsontext.dumps(found.as_dict()))

    @as_call("costs.report")
    def costs_csv(self, query: Mapping[str, str]) -> str:
        from convstore.render import csv
        from convstore.schemas.costs import of_query

        return csv.report(costs.report(self.deps, self.project_id, of_query({**query, "format": "csv"})).as_dict())

    @as_call("erasures.preview")
    def preview_erasure(self, body: bytes) -> Json:
        from convstore.schemas.erasures import wanted_erasure

        return erasures.preview(self.deps, self._principal, wanted_erasure(body)[0])

    @as_call("erasures.create")
    def erase(self, body: bytes) -> Json:
        from convstore.schemas.erasures import wanted_erasure

        return erasures.create(self.deps, self._principal, wanted_erasure(body)[0]).as_dict()

    @as_call("erasures.get")
    def erasure(self, erasure_id: str) -> Json:
        return erasures.get(self.deps, self.project_id, erasure_id).as_dict()

    @as_call("erasures.list")
    def erasures(self, limit: int) -> Json:
        return _listed(erasures.listed(self.deps, self.project_id, Page(limit=limit)))

    @as_call("erasures.purge")
    def purge(self) -> bool:
        return erasures.purge(self.deps, self.project_id)

    def working(self) -> AbstractContextManager[None]:
        return own_worker.working(self.deps, self._settings, self._config_path)

    def _written(self, replay: Replay) -> Json:
        return _read(replays.written(self.deps, self.project_id, replay))

    def _go_on_record(self) -> None:
        """Be known as a process: what nobody has begun is taken for what a dead one left behind, and closed."""
        recovery.enter(self.deps)
        self._leaving.callback(recovery.leave, self.deps)
        self._leaving.callback(recovery.start_beating(self.deps))


def _read(written: bytes) -> Json:
    value: Json = jsontext.loads(written)
    return value


def _listed(listing: Listing) -> Json:
    items: list[Any] = [jsontext.loads(written) for _, written in listing.items]
    last = listing.items[-1][0] if listing.items else None
    return {"data": items, "last_id": last, "has_more": listing.has_more}


def _events(answer: Streamed) -> Iterator[Json]:
    splitter = sse.Splitter()
    try:
        for chunk in answer:
            for block in splitter.feed(chunk):
                yield _read(sse.data_of(block))
    finally:
        answer.close()
