"""Which exchanges of a project there are, by what is asked of them: a page at a time, without their bodies.

What the index knows (storage/searches.py) is looked up there; the rest is looked at row by row, in order, until the
page is full. Without anything that the index knows, the rows are the project's, by their primary key.

FILTERS says of each filter what holds of a row, and which terms the index has of one of which it holds. To add one is a
line there, and one in schemas/history.py.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    column,
    exists,
    false,
    func,
    literal_column,
    or_,
    select,
    table,
    true,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import TSQUERY

from convstore import ids
from convstore.domain import money, terms
from convstore.domain.terms import Groups, Query
from convstore.domain.tree import Node
from convstore.storage import exchanges, paths, tables, trees
from convstore.storage.scope import Scope
from convstore.storage.types import Id

_e = tables.exchanges
_s = tables.searches
_l = tables.ledger
_words = table("search_words", column("rowid"))

UNFINISHED = ("queued", "in_progress")
# Jobs that wait, of one project: what is listed of more of them is enough.
_MOST_QUEUED = 10_000


class Filter(NamedTuple):
    """holds: of a row that is to be listed. terms: it has one of these in the index; None: the index cannot say."""

    holds: Callable[[Scope, Any], ColumnElement[bool]]
    terms: Callable[[Any], Sequence[str]] | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of exchanges.

    filters: values by name (FILTERS). metadata: pairs that they have. dates: terms of which they have one.
    """

    query: Query | None = None
    filters: Mapping[str, Any] = field(default_factory=dict)
    metadata: Sequence[tuple[str, str]] = ()
    dates: Sequence[str] | None = None

    def groups(self) -> Groups:
        """Terms: of each group an exchange has one. None of them ends with a star but for beginnings."""
        found: list[Sequence[str]] = []
        if self.query:
            found += [(word,) for word in self.query.words]
            found += [(f"{beginning}*",) for beginning in self.query.beginnings]
        for name, value in self.filters.items():
            of = FILTERS[name].terms
            known = of(value) if of else None
            if known:
                found.append(known)
        found += [(terms.exact("md", f"{name}={value}"),) for name, value in self.metadata]
        if self.dates is not None:
            found.append(self.dates)
        return found


@dataclass(frozen=True, slots=True)
class Entry:
    """An exchange as it is listed. children: how many continue it."""

    node: Node
    lane: str
    children: int
    user: str | None
    safety_identifier: str | None
    metadata: str | None
    api_key_id: str | None


class Candidate(NamedTuple):
    """What is needed of an exchange to say how well it answers a query."""

    id: str
    question: str | None
    answer: str | None


def found(
    scope: Scope,
    wanted: Wanted,
    limit: int,
    *,
    newest_first: bool = True,
    after: str | None = None,
    before: str | None = None,
) -> list[str]:
    """The ids of exchanges, in order of their arrival.

    Of those behind *after* and before *before* the first, or the last when only *before* is given.
    """
    source = _source(scope, wanted)
    query = source.of(_e.c.id)
    if after is not None:
        at = source.place_of(after)
        query = query.where(source.place < at if newest_first else source.place > at)
    if before is not None:
        at = source.place_of(before)
        query = query.where(source.place > at if newest_first else source.place < at)
    backwards = before is not None and after is None
    falling = newest_first != backwards
    query = query.order_by(source.place.desc() if falling else source.place).limit(limit)
    rows = [row.id for row in scope.connection.execute(query)]
    return rows[::-1] if backwards else rows


def newest(scope: Scope, wanted: Wanted, limit: int, *, until: str | None = None) -> list[Candidate]:
    """The newest exchanges that arrived up to the one with the id *until*."""
    source = _source(scope, wanted)
    query = source.of(_e.c.id, _e.c.question, _e.c.answer)
    if until is not None:
        query = query.where(source.place <= source.place_of(until))
    rows = scope.connection.execute(query.order_by(source.place.desc()).limit(limit))
    return [Candidate(row.id, scope.line(row.question), scope.line(row.answer)) for row in rows]


def entries(scope: Scope, exchange_ids: Sequence[str]) -> dict[str, Entry]:
    """What is listed of these exchanges, by id. One statement."""
    columns = (*trees.HEADER, _e.c.lane, _e.c.user, _e.c.safety_identifier, _e.c.metadata, _e.c.api_key_id)
    query: Select[Any] = select(*columns, _children().label("children"))
    query = query.select_from(trees.WITH_COST)
    query = query.where(_e.c.project_id == scope.project_id, _e.c.id.in_(exchange_ids))
    plain = "lane children user safety_identifier metadata api_key_id".split()
    return {
        row.id: Entry(trees.node(scope, row), **{name: row._mapping[name] for name in plain})
        for row in scope.connection.execute(query)
    }


def settings(scope: Scope, exchange_ids: Sequence[str]) -> dict[str, bytes]:
    """The settings of these exchanges, by id; those that several share are read once. Two statements."""
    hashes = select(_e.c.id, _e.c.settings_hash).where(_e.c.project_id == scope.project_id, _e.c.id.in_(exchange_ids))
    of = {row.id: row.settings_hash for row in scope.connection.execute(hashes)}
    payload = tables.payloads.c
    bodies = select(payload.hash, payload.body).where(
        payload.project_id == scope.project_id, payload.hash.in_(set(of.values()))
    )
    there = {bytes(row.hash): scope.body(row.body) for row in scope.connection.execute(bodies).fetchall()}
    return {own: there[bytes(hash_)] for own, hash_ in of.items() if bytes(hash_) in there}


# -- where they are looked for --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Source:
    """Rows that may be listed, and the column that they are in order of."""

    scope: Scope
    place: ColumnElement[Any]
    source: Any
    conditions: Sequence[ColumnElement[bool]]
    is_numbered: bool = False

    def of(self, *columns: Any) -> Select[Any]:
        return select(*columns).select_from(self.source).where(*self.conditions)

    def place_of(self, exchange_id: str) -> Any:
        """Where a page that begins or ends at this exchange does so; it need not be among the rows."""
        if not self.is_numbered:
            return exchange_id
        # The newest that is not newer: not everything is in the index.
        query = select(_s.c.number).where(_s.c.project_id == self.scope.project_id, _s.c.exchange_id <= exchange_id)
        return self.scope.connection.execute(query.order_by(_s.c.exchange_id.desc()).limit(1)).scalar() or -(2**62)


def _source(scope: Scope, wanted: Wanted) -> _Source:
    conditions = [exchanges.is_response()]
    conditions += [FILTERS[name].holds(scope, value) for name, value in wanted.filters.items()]
    groups = wanted.groups()
    if any(not group for group in groups):
        conditions.append(false())
        groups = ()
    if not groups:
        return _Source(scope, _e.c.id, _e, [_e.c.project_id == scope.project_id, *conditions])
    groups = [(terms.exact("p", scope.project_id),), *groups]
    if scope.connection.dialect.name == "sqlite":
        return _on_sqlite(scope, groups, conditions)
    return _on_postgresql(scope, groups, conditions)


def _on_sqlite(scope: Scope, groups: Groups, conditions: Sequence[ColumnElement[bool]]) -> _Source:
    """The index gives numbers in order. With a sign before them, the project's columns lead no other way there."""
    asked = " AND ".join(_any(group, " OR ", _quoted) for group in groups)
    matched = literal_column("search_words").op("MATCH")(bindparam(None, asked))
    own = literal_column("+searches.project_id", Id(ids.PROJECT)) == scope.project_id
    source = _words.join(_s, _s.c.number == _words.c.rowid).join(
        _e, and_(_e.c.project_id == _s.c.project_id, _e.c.id == _s.c.exchange_id)
    )
    return _Source(scope, _words.c.rowid, source, [matched, own, *conditions], is_numbered=True)


def _on_postgresql(scope: Scope, groups: Groups, conditions: Sequence[ColumnElement[bool]]) -> _Source:
    """What has few matches is gathered by the index and put in order; of what has many, the project's are walked.

    The planner knows which is which, but not how far it would have to walk for what nearly nobody has.
    """
    asked = " & ".join(_any(group, " | ", _marked) for group in groups)
    matched: Any = _s.c.words.op("@@", is_comparison=True)(type_coerce(bindparam(None, asked), TSQUERY))
    known: Any = _s
    if _estimated(scope, asked) <= _FEW:
        found = select(_s.c.project_id, _s.c.exchange_id).where(matched).cte("matching")
        known, matched = found.prefix_with("MATERIALIZED"), true()
    source = known.join(_e, and_(_e.c.project_id == known.c.project_id, _e.c.id == known.c.exchange_id))
    own = [known.c.project_id == scope.project_id, _e.c.project_id == scope.project_id]
    return _Source(scope, known.c.exchange_id, source, [*own, matched, *conditions])


def _estimated(scope: Scope, asked: str) -> int:
    """How many rows of PostgreSQL's index match, as far as its planner knows."""
    explained = scope.connection.exec_driver_sql(_ESTIMATE, (asked,)).scalar_one()
    return int(explained[0]["Plan"]["Plan Rows"])


_ESTIMATE = "EXPLAIN (FORMAT JSON) SELECT 1 FROM searches WHERE words @@ %s::tsquery"
# So many rows are fetched and sorted in some milliseconds.
_FEW = 5_000


def _any(group: Sequence[str], way: str, written: Callable[[str], str]) -> str:
    return f"({way.join(map(written, group))})"


def _quoted(term: str) -> str:
    """A term for FTS5. Terms are letters, digits and underscores (domain/terms.py)."""
    return f'"{term[:-1]}" *' if term.endswith("*") else f'"{term}"'


def _marked(term: str) -> str:
    return f"{term[:-1]}:*" if term.endswith("*") else term


# -- the filters ----------------------------------------------------------------------------------------------


def _named(of: Any, kind: str) -> Filter:
    """A column that has a value, and the term of that."""
    return Filter(lambda _, value: of == value, lambda value: (terms.exact(kind, value),))


def _known(kind: str) -> Filter:
    """What only the index knows."""
    return Filter(lambda *_: true(), lambda value: (terms.exact(kind, value),))


def _least(of: Any, kind: str) -> Filter:
    return Filter(lambda _, least: of >= least, lambda least: terms.sizes(kind, least, None))


def _most(of: Any, kind: str) -> Filter:
    return Filter(lambda _, most: of <= most, lambda most: terms.sizes(kind, None, most))


def _cost(holds: Callable[[Any, Any], ColumnElement[bool]], *, least: bool) -> Filter:
    """What the ledger says it cost. An amount is two numbers (domain/money.py)."""

    def is_so(_: Scope, amount: Decimal) -> ColumnElement[bool]:
        whole, rest = money.split(amount)
        close = and_(_l.c.millionths == whole, holds(_l.c.rest, rest))
        return _in_ledger(or_(holds(_l.c.millionths, whole + 1 if least else whole - 1), close))

    def known(amount: Decimal) -> Sequence[str]:
        whole = money.split(amount)[0]
        return terms.sizes("co", whole, None) if least else terms.sizes("co", None, whole)

    return Filter(is_so, known)


def _in_ledger(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(_l.c.project_id == _e.c.project_id, _l.c.exchange_id == _e.c.id, condition)


def _status(scope: Scope, status: str) -> ColumnElement[bool]:
    """What has not ended is not in the index as such; but it is in others, which are short."""
    has = _e.c.status == status
    if status == "in_progress":
        running = select(tables.running.c.exchange_id).where(tables.running.c.project_id == scope.project_id)
        return and_(has, _e.c.id.in_(running))
    if status == "queued":
        job = tables.jobs.c
        waiting = select(job.subject).where(job.project_id == scope.project_id, job.status == "queued")
        subjects = scope.connection.execute(waiting.limit(_MOST_QUEUED)).scalars()
        return and_(has, _e.c.id.in_([each for each in subjects if each]))
    return has


def _has_children(_: Scope, has: bool) -> ColumnElement[bool]:
    # The first child goes on in its parent's lane.
    child = _e.alias("child")
    found = exists().where(child.c.lane == _e.c.lane, child.c.depth == _e.c.depth + 1)
    return found if has else ~found


def _in_conversation(_: Scope, conversation_id: str) -> ColumnElement[bool]:
    return _e.c.conversation_id == conversation_id


def _below(scope: Scope, exchange_id: str) -> ColumnElement[bool]:
    """An exchange and what continues it: from it on in its lane, and in each lane that was opened from there on."""
    top, parent, opener, member = (_e.alias(name) for name in ("top", "parent", "opener", "member"))
    below = (
        select(top.c.lane, top.c.depth)
        .where(top.c.project_id == scope.project_id, top.c.id == exchange_id)
        .cte("below", recursive=True)
    )
    below = below.union_all(
        select(opener.c.lane, opener.c.depth).select_from(
            below.join(parent, and_(parent.c.lane == below.c.lane, parent.c.depth >= below.c.depth)).join(
                opener, and_(opener.c.parent_id == parent.c.id, literal_column("opener.lane = opener.id"))
            )
        )
    )
    members = below.join(member, and_(member.c.lane == below.c.lane, member.c.depth >= below.c.depth))
    return _e.c.id.in_(select(member.c.id).select_from(members))


def _above(scope: Scope, exchange_id: str) -> ColumnElement[bool]:
    """An exchange and what it continues, up to the root."""
    path, member = paths.to(scope, exchange_id), _e.alias("member")
    members = path.join(member, and_(member.c.lane == path.c.lane, member.c.depth <= path.c.depth))
    return _e.c.id.in_(select(member.c.id).select_from(members))


def _children() -> Any:
    """How many exchanges continue one: the first child in its lane, and those that open one."""
    first, other = _e.alias("first"), _e.alias("other")
    goes_on = exists().where(first.c.lane == _e.c.lane, first.c.depth == _e.c.depth + 1)
    opening = select(func.count()).where(other.c.parent_id == _e.c.id, literal_column("other.lane = other.id"))
    return case((goes_on, 1), else_=0) + opening.correlate(_e).scalar_subquery()


_latency_ms = (type_coerce(_e.c.completed_at, BigInteger) - type_coerce(_e.c.created_at, BigInteger)) / 1000

FILTERS: Mapping[str, Filter] = {
    "since": Filter(lambda _, moment: _e.c.created_at >= moment),
    "until": Filter(lambda _, moment: _e.c.created_at < moment),
    "model": _named(_e.c.model, "m"),
    "requested_model": _named(_e.c.requested_model, "rm"),
    "upstream": _named(_e.c.upstream, "up"),
    "status": Filter(_status, lambda status: () if status in UNFINISHED else (terms.exact("st", status),)),
    "origin": _named(_e.c.origin, "or"),
    "key": _named(_e.c.api_key_id, "k"),
    "user": _named(_e.c.user, "u"),
    "safety_identifier": _named(_e.c.safety_identifier, "si"),
    "tool": _known("to"),
    "error": _known("er"),
    "finish_reason": _named(_e.c.incomplete_reason, "fr"),
    "min_input_tokens": _least(_e.c.input_tokens, "ti"),
    "max_input_tokens": _most(_e.c.input_tokens, "ti"),
    "min_output_tokens": _least(_e.c.output_tokens, "to"),
    "max_output_tokens": _most(_e.c.output_tokens, "to"),
    "min_total_tokens": _least(_e.c.total_tokens, "tt"),
    "max_total_tokens": _most(_e.c.total_tokens, "tt"),
    "min_latency_ms": _least(_latency_ms, "l"),
    "max_latency_ms": _most(_latency_ms, "l"),
    "min_cost": _cost(operator.ge, least=True),
    "max_cost": _cost(operator.le, least=False),
    "currency": Filter(lambda _, code: _in_ledger(_l.c.currency == code), lambda code: (terms.exact("cu", code),)),
    "min_depth": _least(_e.c.depth, "p"),
    "max_depth": _most(_e.c.depth, "p"),
    "has_children": Filter(_has_children),
    "conversation": Filter(_in_conversation, lambda conversation_id: (terms.exact("c", conversation_id),)),
    "ancestor": Filter(_below),
    "descendant": Filter(_above),
}
