"""The rows of retention rules, and when they were last carried out."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from convstore import ids
from convstore.domain import jsontext
from convstore.domain.retention import Rule, Rules, Wanted
from convstore.storage import tables
from convstore.storage.database import Database
from convstore.storage.direct import within
from convstore.storage.rows import packed
from convstore.storage.scope import Scope
from convstore.storage.types import micros

_r = tables.retention_rules


class RuleNameTaken(Exception):
    """The project has a rule of this name."""


def all_of(scope: Scope) -> Rules:
    """The project's rules: there are few."""
    rows = scope.connection.execute(select(_r).where(_r.c.project_id == scope.project_id))
    return Rules(_rule(row) for row in rows)


def get(scope: Scope, rule_id: str) -> Rule | None:
    """The rule with this id."""
    query = select(_r).where(_r.c.project_id == scope.project_id, _r.c.id == rule_id)
    row = scope.connection.execute(query).fetchone()
    return _rule(row) if row is not None else None


def add(scope: Scope, rule: Rule) -> None:
    """Put a new rule on record. Raises RuleNameTaken."""
    own = {"project_id": scope.project_id, "id": rule.id, "created_at": rule.created_at}
    try:
        scope.connection.execute(insert(_r).values(**own, **_values(rule)))
    except IntegrityError as error:
        raise RuleNameTaken from error


def replace(scope: Scope, rule: Rule) -> None:
    """Put a rule in the place of what it was. Raises RuleNameTaken."""
    query = update(_r).where(_r.c.project_id == scope.project_id, _r.c.id == rule.id)
    try:
        scope.connection.execute(query.values(**_values(rule)))
    except IntegrityError as error:
        raise RuleNameTaken from error


def remove(scope: Scope, rule_id: str) -> bool:
    """Forget a rule. False when there is none with this id."""
    query = delete(_r).where(_r.c.project_id == scope.project_id, _r.c.id == rule_id)
    return scope.connection.execute(query).rowcount > 0


def ask(database: Database, scope: Scope, now: datetime, before: datetime | None = None) -> bool:
    """Note that the rules were changed, or are to be carried out; before: only if that was last done before then.

    One statement: of several who would, one does.
    """
    with within(database, scope.connection) as cursor:
        values = (packed(ids.PROJECT, scope.project_id), micros(now), micros(before or now))
        return bool(cursor.execute(_ASK, values).rowcount > 0)


_ASK = (
    "INSERT INTO sweeps (project_id, asked_at) VALUES (?, ?)"
    " ON CONFLICT (project_id) DO UPDATE SET asked_at = excluded.asked_at WHERE sweeps.asked_at <= ?"
)


def _values(rule: Rule) -> dict[str, Any]:
    wanted = rule.wanted
    return {
        "name": wanted.name,
        "priority": wanted.priority,
        "model": wanted.model,
        "metadata": jsontext.dumps(dict(wanted.metadata)).decode() if wanted.metadata is not None else None,
        "content_days": wanted.content_days,
        "figures_days": wanted.figures_days,
        "keep_while_descendants": wanted.keep_while_descendants,
        "changed_at": rule.changed_at,
    }


def _rule(row: Row[Any]) -> Rule:
    wanted = Wanted(
        name=row.name,
        priority=row.priority,
        model=row.model,
        metadata=jsontext.loads(row.metadata) if row.metadata is not None else None,
        content_days=row.content_days,
        figures_days=row.figures_days,
        keep_while_descendants=row.keep_while_descendants,
    )
    return Rule(row.id, wanted, row.created_at, row.changed_at)
