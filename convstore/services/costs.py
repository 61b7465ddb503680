"""What exchanges cost: one of them, the path to it, a conversation in its parts, and reports of all there are.

Everything is read of the ledger and its sums (storage/costs.py). Nothing is priced here but in a what-if
(alternatives.py), and nothing that is stored ever changes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from convstore.domain import calendar, costs, jsontext
from convstore.domain.costs import Only, Sums, Wanted
from convstore.domain.jsontext import NotJson
from convstore.errors import ConversationNotFound, InvalidRequest
from convstore.services import alternatives, naming
from convstore.services.alternatives import Alternative
from convstore.services.deps import Deps
from convstore.storage import branches, conversations, ledger, threads
from convstore.storage import costs as store
from convstore.storage.branches import Branch
from convstore.storage.costs import METADATA, QUARTER, Stretch
from convstore.storage.scope import Scope

BRANCH = "branch"
OF_METADATA = f"{METADATA}."
# More groups are not sorted in memory: narrow the report.
MOST_GROUPS = 250_000
# Behind every name: what has none comes last.
_LAST = "\U0010ffff"
# Branches that a report looks at.
MOST_BRANCHES = 10_000
_PARTS = {"main": "main_thread", "abandoned": "abandoned_branches", "replays": "replays", "failed": "failed_attempts"}

# The value of each dimension; null where there is none.
Group = tuple[str | None, ...]


@dataclass(slots=True)
class Entry:
    """A group's sums; other: by the other price, where one was asked for."""

    sums: Sums
    other: Sums | None = None

    def as_dict(self) -> dict[str, Any]:
        found = self.sums.as_dict()
        if self.other is not None:
            other = self.other.money
            found["what_if"] = other.as_dict()
            found["difference"] = costs.difference(self.sums.money.amounts, other.amounts)
        return found


@dataclass(frozen=True, slots=True)
class Report:
    """A page of groups, the sums of everything that matches, and what the other price is."""

    wanted: Wanted
    totals: Entry
    groups: Sequence[tuple[Group, Entry]]
    has_more: bool
    names: Mapping[str, Mapping[str, Any]]
    zone: tzinfo
    alternative: Alternative | None = None

    def named(self, group: Group) -> dict[str, Any]:
        """The group in the API's form: keys and conversations with what they are called."""
        return {
            each: {"id": value, **self.names[each].get(value, {})}
            if each in self.names and value is not None
            else value
            for each, value in zip(self.wanted.by, group, strict=True)
        }

    def as_dict(self) -> dict[str, Any]:
        """The API's form."""
        only = self.wanted.only
        return {
            "object": "costs",
            "group_by": list(self.wanted.by),
            "timezone": str(self.zone),
            "from": only.since.isoformat() if only.since else None,
            "to": only.until.isoformat() if only.until else None,
            "what_if": self.alternative.as_dict() if self.alternative else None,
            "totals": self.totals.as_dict(),
            "data": [{"group": self.named(group), **entry.as_dict()} for group, entry in self.groups],
            "has_more": self.has_more,
            "last_id": cursor(self.groups[-1][0]) if self.groups else None,
        }


def of_response(deps: Deps, project_id: str, name: str) -> bytes:
    """The JSON of what an answer cost, line by line, and of what the path to it did. Raises ResponseNotFound."""
    with deps.database.reading(project_id) as scope:
        exchange = naming.exchange(scope, name)
        own = ledger.cost_of(scope, exchange.id)
        lanes = threads.lanes(scope, exchange.id)
    path = [(0, lane, 0, depth) for lane, depth in lanes.items()]
    lines = store.on_stretches(deps.database, project_id, (), Only(), path)
    return jsontext.dumps(
        {
            "object": "response.cost",
            "id": exchange.id,
            "conversation_id": exchange.conversation_id,
            "model": exchange.model or exchange.requested_model,
            "status": exchange.status,
            "usage": exchange.usage.as_api() if exchange.usage else None,
            "cost": own.as_json() if own else None,
            "path": costs.total(line for _, *line in lines).as_dict(),
        }
    )


def of_conversation(deps: Deps, project_id: str, conversation_id: str) -> bytes:
    """The JSON of what a conversation cost, in parts that come to the whole, and of the path of each of its branches.

    Raises ConversationNotFound.
    """
    with deps.database.reading(project_id) as scope:
        if conversations.get(scope, conversation_id) is None:
            raise ConversationNotFound(conversation_id)
        title = conversations.title(scope, conversation_id)
        tip_id = store.main_tip(deps.database, project_id, conversation_id)
        main = threads.lanes(scope, tip_id) if tip_id else {}
        named = branches.listed(scope, MOST_BRANCHES, conversation_id=conversation_id)
        paths = [threads.lanes(scope, branch.tip_id) for branch in named]
    parts = {name: Sums() for name in _PARTS.values()}
    whole = Sums()
    for part, *line in store.parts(deps.database, project_id, conversation_id, main):
        parts[_PARTS[part]].count(line)
        whole.count(line)
    stretches = [(n, lane, 0, depth) for n, lanes in enumerate(paths) for lane, depth in lanes.items()]
    of_branches = [Sums() for _ in named]
    for number, *line in store.on_stretches(deps.database, project_id, (), Only(), stretches):
        of_branches[number].count(line)
    return jsontext.dumps(
        {
            "object": "conversation.cost",
            "conversation_id": conversation_id,
            "title": title,
            "tip_id": tip_id,
            "total": whole.as_dict(),
            "parts": {name: sums.as_dict() for name, sums in parts.items()},
            "branches": [
                {"name": branch.name, "tip_id": branch.tip_id, "path": sums.as_dict()}
                for branch, sums in zip(named, of_branches, strict=True)
            ],
            "branches_overlap": len(stretches) > len({lane for _, lane, _, _ in stretches}),
        }
    )


def report(deps: Deps, project_id: str, wanted: Wanted) -> Report:
    """A report. Raises InvalidRequest, whose param names the parameter."""
    alternative = alternatives.asked(deps, project_id, wanted.what_if, wanted.price_set)
    zone = wanted.zone or deps.timezone
    entries: dict[Group, list[costs.Line]] = {}
    for group, line in _grouped(deps, project_id, wanted, zone):
        there = entries.get(group)
        if there is not None:
            there.append(line)
        elif len(entries) < MOST_GROUPS:
            entries[group] = [line]
        else:
            raise InvalidRequest(
                f"More than {MOST_GROUPS:,} groups: ask about less, with 'from' and 'to' for example.",
                param="group_by",
                code="too_many_groups",
            )
    others: dict[Group, list[costs.Line]] = {}
    if alternative is not None:
        for group, line in _otherwise(deps, project_id, wanted, zone, alternative):
            others.setdefault(group, []).append(line)
    # What ended between the two is in neither.
    of_others = costs.total(line for group in entries for line in others.get(group, ())) if alternative else None
    totals = Entry(costs.total(line for lines in entries.values() for line in lines), of_others)
    chosen, has_more = _page(_sorted(entries, totals, wanted) if wanted.by else [], wanted)
    groups = [
        (group, Entry(costs.total(entries[group]), costs.total(others.get(group, ())) if alternative else None))
        for group in chosen
    ]
    names = _names(deps, project_id, wanted.by, [group for group, _ in groups])
    return Report(wanted, totals, groups, has_more, names, zone, alternative)


def cursor(group: Group) -> str:
    """What names a group as the end of a page."""
    return jsontext.dumps(list(group)).hex()


# -- groups ---------------------------------------------------------------------------------------------------


def _grouped(deps: Deps, project_id: str, wanted: Wanted, zone: tzinfo) -> Iterator[tuple[Group, costs.Line]]:
    """Lines of the ledger, each behind its group."""
    by, only = wanted.by, wanted.only
    stored = _stored(by)
    rows = store.rows(deps.database, project_id, stored, only)
    if list(by) == stored and METADATA not in stored and not only.metadata:
        # As the store has it: a conversation's sums are one row of very many.
        at = len(stored)
        yield from ((row[:at], row[at:]) for row in rows)
        return
    found = _lines(rows, stored, only)
    if BRANCH not in by:
        for values, line in found:
            yield _group(by, values, None, zone), line
        return
    stretches, named = _claimed(deps, project_id, only)
    left: dict[tuple[Any, ...], list[Any]] = {}
    at = len(stored)
    for values, line in found:
        _put(left, (values, *line[:3]), line[3:])
    for number, *row in store.on_stretches(deps.database, project_id, _asked(stored, only), only, stretches):
        for values, line in _lines([row], stored, only):
            _put(left, (values, *line[:3]), [-each for each in line[3:]])
            yield _group(by, values, named[number].name, zone), line
    for (values, *money), counts in left.items():
        if any(counts):
            yield _group(by, values[:at], None, zone), (*money, *counts)


def _otherwise(
    deps: Deps, project_id: str, wanted: Wanted, zone: tzinfo, alternative: Alternative
) -> Iterator[tuple[Group, costs.Line]]:
    """The same with costs by the other price."""
    for each in (BRANCH, *(name for name in wanted.by if name.startswith(OF_METADATA))):
        if each in wanted.by or wanted.only.metadata:
            raise InvalidRequest(
                "A what-if cannot be grouped by branch or metadata, nor be about metadata.",
                param="group_by",
                code="invalid_value",
            )
    stored = _stored(wanted.by)
    for values, line in alternative.lines(deps, project_id, stored, wanted.only):
        yield _group(wanted.by, values, None, zone), line


def _put(left: dict[tuple[Any, ...], list[Any]], key: tuple[Any, ...], counts: Sequence[int | None]) -> None:
    there = left.setdefault(key, [0] * len(counts))
    for number, count in enumerate(counts):
        there[number] += count or 0


def _stored(by: Sequence[str]) -> list[str]:
    """What the store is asked to group by."""
    found = [each for each in by if each in store.DIMENSIONS]
    if any(each in calendar.UNITS for each in by):
        found.append(QUARTER)
    if any(each.startswith(OF_METADATA) for each in by):
        found.append(METADATA)
    return found


def _asked(stored: Sequence[str], only: Only) -> list[str]:
    return [*stored, METADATA] if only.metadata else list(stored)


def _lines(rows: Any, stored: Sequence[str], only: Only) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """(values by the store's dimensions, line) of the rows whose metadata are as wanted."""
    at = len(stored)
    for row in rows:
        if only.metadata:
            members = _members(row[at])
            if any(members.get(name) != value for name, value in only.metadata):
                continue
        yield tuple(row[:at]), tuple(row[at + bool(only.metadata) :])


def _group(by: Sequence[str], values: Sequence[Any], branch: str | None, zone: tzinfo) -> Group:
    own = dict(zip(_stored(by), values, strict=True))
    found: list[str | None] = []
    for each in by:
        if each in calendar.UNITS:
            found.append(calendar.unit(own[QUARTER], each, zone))
        elif each == BRANCH:
            found.append(branch)
        elif each.startswith(OF_METADATA):
            value = _members(own[METADATA]).get(each.removeprefix(OF_METADATA))
            found.append(value if value is None or isinstance(value, str) else jsontext.dumps(value).decode())
        else:
            found.append(own[each])
    return tuple(found)


def _members(stored: str | None) -> Mapping[str, Any]:
    """What a client wrote down: whatever is in it, no engine has to understand it."""
    try:
        found = jsontext.loads(stored) if stored else {}
    except NotJson:
        return {}
    return found if isinstance(found, Mapping) else {}


def _claimed(deps: Deps, project_id: str, only: Only) -> tuple[list[Stretch], list[Branch]]:
    """The part of each branch's thread that no older branch has, and the branches, oldest first."""
    with deps.database.reading(project_id) as scope:
        named = sorted(_branches(scope, only), key=lambda each: (each.created_at, each.name))
        paths = [threads.lanes(scope, branch.tip_id) for branch in named]
    taken: dict[str, int] = {}
    found: list[Stretch] = []
    for number, lanes in enumerate(paths):
        for lane, depth in lanes.items():
            first = taken.get(lane, -1) + 1
            if first <= depth:
                found.append((number, lane, first, depth))
                taken[lane] = depth
    return found, named


def _branches(scope: Scope, only: Only) -> list[Branch]:
    of = only.values.get("conversation")
    return branches.listed(scope, MOST_BRANCHES, conversation_id=of) if of else branches.listed(scope, MOST_BRANCHES)


# -- pages ----------------------------------------------------------------------------------------------------


def _sorted(entries: Mapping[Group, Sequence[costs.Line]], totals: Entry, wanted: Wanted) -> list[Group]:
    """By amount, the dearest first: in the currency that most is billed in, then in the others; or by group."""
    if wanted.by_group or wanted.by[0] in calendar.UNITS:
        return sorted(entries, key=_place)
    amounts = totals.sums.money.amounts
    currencies = sorted(amounts, key=lambda code: (-amounts[code], code))
    ranked = {group: costs.amounts(lines) for group, lines in entries.items()}
    found = sorted(entries, key=_place)
    # Sorting keeps the order of equals, so the currency that counts least comes first: numbers are quick to compare.
    for code in reversed(currencies):
        found.sort(key=lambda group: -ranked[group].get(code, 0))
    return found


def _place(group: Group) -> tuple[str, ...]:
    return tuple([_LAST if value is None else value for value in group])


def _page(found: list[Group], wanted: Wanted) -> tuple[list[Group], bool]:
    start = 0
    if wanted.after is not None:
        start = next((number for number, group in enumerate(found, 1) if cursor(group) == wanted.after), 0)
        if not start:
            raise InvalidRequest("'after' is no group of this report.", param="after", code="invalid_value")
    end = len(found) if wanted.limit is None else start + wanted.limit
    return found[start:end], end < len(found)


def _names(deps: Deps, project_id: str, by: Sequence[str], groups: Sequence[Group]) -> dict[str, Mapping[str, Any]]:
    """What the conversations and keys of a page are called."""
    found: dict[str, Mapping[str, Any]] = {}
    with deps.database.reading(project_id) as scope:
        for number, each in enumerate(by):
            wanted = [value for value in {group[number] for group in groups} if value is not None]
            if each == "conversation":
                found[each] = {own: {"title": name} for own, name in store.titles(scope, wanted).items()}
            elif each == "key":
                found[each] = {own: {"name": name} for own, name in store.key_names(scope, wanted).items()}
    return found
