"""Retention rules: made, changed, looked at, forgotten. What they do is retention.py's.

A change starts the time to the next sweep anew: whoever has made one can look at the plan first.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from convstore import ids
from convstore.domain import calls, jsontext
from convstore.domain.retention import Rule, Wanted
from convstore.errors import InvalidRequest, RuleNotFound, RuleTaken
from convstore.services.deps import Deps
from convstore.storage import rules
from convstore.storage.rules import RuleNameTaken
from convstore.storage.scope import Scope


def create(deps: Deps, project_id: str, wanted: Wanted) -> Rule:
    """A new rule. Raises RuleTaken, InvalidRequest."""
    now = deps.clock()
    made = Rule(ids.new(ids.RULE), _possible(wanted), now, now)
    calls.about(made.id)
    try:
        with deps.database.writing(project_id) as scope:
            rules.add(scope, made)
            rules.ask(deps.database, scope, now)
    except RuleNameTaken as error:
        raise RuleTaken(wanted.name) from error
    return made


def change(deps: Deps, project_id: str, rule_id: str, given: Mapping[str, Any]) -> Rule:
    """The same rule with other members. Raises RuleNotFound, RuleTaken, InvalidRequest."""
    now = deps.clock()
    try:
        with deps.database.writing(project_id) as scope:
            found = _get(scope, rule_id)
            changed = replace(found, wanted=_possible(replace(found.wanted, **given)), changed_at=now)
            rules.replace(scope, changed)
            rules.ask(deps.database, scope, now)
    except RuleNameTaken as error:
        raise RuleTaken(str(given["name"])) from error
    return changed


def get(deps: Deps, project_id: str, rule_id: str) -> Rule:
    """The rule with this id. Raises RuleNotFound."""
    with deps.database.reading(project_id) as scope:
        return _get(scope, rule_id)


def listed(deps: Deps, project_id: str) -> list[Rule]:
    """The project's rules, in the order in which they are asked."""
    with deps.database.reading(project_id) as scope:
        return rules.all_of(scope).all


def delete(deps: Deps, project_id: str, rule_id: str) -> None:
    """Forget a rule: what it was for is another's, or kept for ever. Raises RuleNotFound."""
    with deps.database.writing(project_id) as scope:
        if not rules.remove(scope, rule_id):
            raise RuleNotFound(rule_id)
        rules.ask(deps.database, scope, deps.clock())


def written(rule: Rule) -> bytes:
    """The API's form."""
    return jsontext.dumps(rule.as_dict())


def _get(scope: Scope, rule_id: str) -> Rule:
    found = rules.get(scope, rule_id)
    if found is None:
        raise RuleNotFound(rule_id)
    return found


def _possible(wanted: Wanted) -> Wanted:
    if not wanted.is_possible:
        raise InvalidRequest(
            "Invalid 'figures_days': figures are kept at least as long as content. Expected a number not below "
            "'content_days', or null where either is kept for ever.",
            param="figures_days",
            code="invalid_value",
        )
    return wanted
