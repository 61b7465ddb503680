"""The index of what exchanges are found by, besides turns: those from before it was there, and those that leave it.

What is newest is added first, and numbered backwards from what is in the index already: numbers stay in order of
arrival, whatever arrives meanwhile.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, exists, func, select

from convstore import ids
from convstore.domain import finding
from convstore.domain.exchange import ADDED, Exchange
from convstore.domain.pricing.cost import Cost
from convstore.errors import ContentShredded
from convstore.storage import direct, exchanges, ledger, searches, tables
from convstore.storage.database import Database
from convstore.storage.rows import packed
from convstore.storage.scope import Scope

_e = tables.exchanges
_s = tables.searches
_l = tables.ledger
_FINISHED = ("completed", "incomplete", "failed", "cancelled")
# Exchanges of an import that are put into the index in one transaction.
BATCH = 500


def missing(scope: Scope, limit: int, before: str | None = None) -> list[str]:
    """Exchanges that have ended and should be in the index, but are not: the newest first, those with smaller ids."""
    query = _missing(select(_e.c.id), scope).order_by(_e.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(_e.c.id < before)
    return [row.id for row in scope.connection.execute(query)]


def count_missing(scope: Scope) -> int:
    """How many there are of them."""
    query = _missing(select(func.count().label("missing")), scope)
    return int(scope.connection.execute(query).scalar_one())


def add(database: Database, scope: Scope, exchange_ids: Sequence[str]) -> None:
    """Put exchanges into the index, in the caller's transaction. The newest come first."""
    found = _terms(scope, exchange_ids, whole=False)
    with direct.within(database, scope.connection) as cursor:
        for exchange_id in exchange_ids:
            if exchange_id not in found:
                continue
            own = (packed(ids.PROJECT, scope.project_id), packed(ids.EXCHANGE, exchange_id))
            if not database.is_sqlite:
                cursor.execute(_ADD, (*own, found[exchange_id]))
            elif cursor.execute(_NUMBER, own).rowcount > 0:
                cursor.execute(_WORDS, (found[exchange_id], *own))


def number(database: Database, scope: Scope) -> int:
    """Put some of what was imported into SQLite's index, in the caller's transaction. Returns how many; 0 at the end.

    What is older than all the index has gets numbers in front of those, so that numbers are in order of time; what lies
    between is behind them, as what arrived last. PostgreSQL has it already.
    """
    if not database.is_sqlite:
        return 0
    with direct.within(database, scope.connection) as cursor:
        project = packed(ids.PROJECT, scope.project_id)
        first, last = cursor.execute(_WAITING, (project,)).fetchone()
        if first is None:
            return 0
        oldest = cursor.execute(_OLDEST, (project,)).fetchone()
        is_older = oldest is None or bytes(last) < bytes(oldest[0])
        rows = cursor.execute(_UNNUMBERED.format("DESC" if is_older else "ASC"), (project, BATCH)).fetchall()
        least, most = cursor.execute(_ENDS).fetchone()
        numbers = (
            [least - 1 - at for at in range(len(rows))] if is_older else [most + 1 + at for at in range(len(rows))]
        )
        # What waits may be in front of this: FTS5 takes numbers in order only.
        searches.settle_within(cursor)
        told = sorted((own, words, exchange) for own, (exchange, words) in zip(numbers, rows, strict=True))
        cursor.execute_many("INSERT INTO search_words (rowid, words) VALUES (?, ?)", [each[:2] for each in told])
        cursor.execute_many(_NUMBERED, [(own, project, exchange) for own, _, exchange in told])
        return len(rows)


def survey(connection: Connection) -> None:
    """Let PostgreSQL look at tables that an import may have made many times as big: until it does, it reads them whole.

    It would by itself within minutes. SQLite plans by the shape of its indexes.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ANALYZE exchanges, items, payloads, ledger, searches, conversations, audit_log")


def terms(database: Database, scope: Scope, exchange_ids: Sequence[str]) -> Mapping[str, str]:
    """All that may have been said of exchanges: what `forget` needs, read while their bodies are still there.

    Nothing on PostgreSQL, which need not be told.
    """
    # Also where turns are indexed without their words by now: these may be from before.
    return _terms(scope, exchange_ids, whole=True, said=True) if database.is_sqlite else {}


def forget(
    database: Database, scope: Scope, exchange_ids: Sequence[str], known: Mapping[str, str], *, keep: bool = False
) -> int:
    """Take exchanges out of the index, in the caller's transaction. known: what `terms` said of them.

    keep: they are still found by their figures, under the same numbers; their markers are in place by now. Returns how
    many were in it.
    """
    there = 0
    left = _terms(scope, exchange_ids, whole=False, said=False) if keep else {}
    with direct.within(database, scope.connection) as cursor:
        if known:
            # FTS5 takes the forgetting of what was never there for damage.
            searches.settle_within(cursor)
        for exchange_id in exchange_ids:
            own = (packed(ids.PROJECT, scope.project_id), packed(ids.EXCHANGE, exchange_id))
            if exchange_id in known:
                cursor.execute(_FORGET, (known[exchange_id], *own))
            if exchange_id not in left:
                there += cursor.execute(_LEAVE, own).rowcount
            elif database.is_sqlite:
                there += cursor.execute(_WORDS, (left[exchange_id], *own)).rowcount
                # Of an import that is not in the index yet.
                there += cursor.execute(_WAITS, (left[exchange_id], *own)).rowcount
            else:
                there += cursor.execute(_REPLACE, (left[exchange_id], *own)).rowcount
    return there


def without_words(database: Database, scope: Scope, exchange_ids: Sequence[str]) -> None:
    """Leave of exchanges what they are filtered by, in the caller's transaction, while their bodies can be read."""
    whole = _terms(scope, exchange_ids, whole=True, said=True) if database.is_sqlite else {}
    left = _terms(scope, exchange_ids, whole=True, said=False)
    with direct.within(database, scope.connection) as cursor:
        if database.is_sqlite:
            searches.settle_within(cursor)
        for exchange_id, terms in left.items():
            own = (packed(ids.PROJECT, scope.project_id), packed(ids.EXCHANGE, exchange_id))
            if database.is_sqlite:
                cursor.execute(_FORGET, (whole[exchange_id], *own))
                cursor.execute(_WORDS, (terms, *own))
                cursor.execute(_WAITS, (terms, *own))
            else:
                cursor.execute(_REPLACE, (terms, *own))


def _missing(query: Select[Any], scope: Scope) -> Select[Any]:
    there = exists().where(_s.c.project_id == _e.c.project_id, _s.c.exchange_id == _e.c.id)
    wanted = (_e.c.stored, _e.c.origin != ADDED, _e.c.status.in_(_FINISHED))
    return query.select_from(_e).where(_e.c.project_id == scope.project_id, *wanted, ~there)


def _terms(scope: Scope, exchange_ids: Sequence[str], *, whole: bool, said: bool | None = None) -> dict[str, str]:
    """What exchanges are found by, by id. whole: with their instructions, be they their parents' or not.

    said: also by what was said; None: as turns are indexed now.
    """
    said = not scope.vault.seals if said is None else said
    parent = _e.alias("parent")
    repeats = parent.c.settings_hash == _e.c.settings_hash
    source = _e.outerjoin(parent, and_(parent.c.project_id == _e.c.project_id, parent.c.id == _e.c.parent_id))
    source = source.outerjoin(_l, and_(_l.c.project_id == _e.c.project_id, _l.c.exchange_id == _e.c.id))
    amount = [_l.c[name] for name in ledger.AMOUNT]
    query = select(_e.c.id, _e.c.api_key_id, repeats.label("repeats"), *amount).select_from(source)
    rows = scope.connection.execute(query.where(_e.c.project_id == scope.project_id, _e.c.id.in_(exchange_ids)))
    known: dict[str, tuple[str | None, bool, Cost | None]] = {}
    for row in rows:
        cost = ledger.of_columns(*row[-len(amount) :])
        known[row.id] = (row.api_key_id, bool(row.repeats) and not whole, cost)
    read = {own: exchanges.get(scope, own, hidden=True) for own in known}
    there = {own: exchange for own, exchange in read.items() if exchange is not None}
    items = _left(scope, {(each.lane, each.depth): own for own, each in there.items()})
    return {own: _of(scope, exchange, items[own], *known[own], words=said) for own, exchange in there.items()}


def _left(scope: Scope, places: dict[tuple[str, int], str]) -> dict[str, list[exchanges.Placed]]:
    """The items of exchanges; none of those that were shredded."""
    try:
        return exchanges.items_of(scope, places)
    except ContentShredded:
        if len(places) == 1:
            return {own: [] for own in places.values()}
    return {own: items for place, own in places.items() for items in _left(scope, {place: own}).values()}


def _of(
    scope: Scope,
    exchange: Exchange,
    placed: Sequence[exchanges.Placed],
    key_id: str | None,
    repeats: bool,
    cost: Cost | None,
    *,
    words: bool,
) -> str:
    asked = [each.item for each in placed if not each.output]
    said = [each.item for each in placed if each.output]
    settings = None if repeats else exchange.settings
    question = finding.of_question(scope.project_id, exchange, asked, settings, key_id, words=words)
    return f"{question} {finding.of_answer(exchange, said, exchange.created_at, cost, words=words)}"


_NUMBER = (
    "INSERT INTO searches (project_id, exchange_id, number)"
    " VALUES (?, ?, (SELECT coalesce(min(number), 1) - 1 FROM searches WHERE number IS NOT NULL))"
    " ON CONFLICT DO NOTHING"
)
_WORDS = (
    "INSERT INTO search_words (rowid, words)"
    " SELECT number, ? FROM searches WHERE project_id = ? AND exchange_id = ? AND number IS NOT NULL"
)
_ADD = "INSERT INTO searches (project_id, exchange_id, words) VALUES (?, ?, ?::tsvector) ON CONFLICT DO NOTHING"
_REPLACE = "UPDATE searches SET words = ?::tsvector WHERE project_id = ? AND exchange_id = ?"
_FORGET = (
    "INSERT INTO search_words (search_words, rowid, words)"
    " SELECT 'delete', number, ? FROM searches WHERE project_id = ? AND exchange_id = ? AND number IS NOT NULL"
)
_WAITS = (
    "UPDATE searches SET words = ? WHERE project_id = ? AND exchange_id = ? AND number IS NULL AND words IS NOT NULL"
)
_WAITING = (
    "SELECT min(exchange_id), max(exchange_id) FROM searches WHERE words IS NOT NULL AND number IS NULL"
    " AND project_id = ?"
)
_OLDEST = "SELECT exchange_id FROM searches WHERE project_id = ? AND number IS NOT NULL ORDER BY exchange_id LIMIT 1"
_UNNUMBERED = (
    "SELECT exchange_id, words FROM searches WHERE project_id = ? AND words IS NOT NULL AND number IS NULL"
    " ORDER BY exchange_id {} LIMIT ?"
)
_ENDS = "SELECT coalesce(min(number), 1), coalesce(max(number), 0) FROM searches WHERE number IS NOT NULL"
_NUMBERED = "UPDATE searches SET number = ?, words = NULL WHERE project_id = ? AND exchange_id = ?"
_LEAVE = "DELETE FROM searches WHERE project_id = ? AND exchange_id = ?"
_REPLACE = "UPDATE searches SET words = ?::tsvector WHERE project_id = ? AND exchange_id = ?"
