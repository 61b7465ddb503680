"""Adding up the ledger, for reports. No body is read, and of exchanges nothing but what a report is about.

What the sums beside the ledger can answer (ledger.py) is read of them: one row for each conversation, or for each
quarter of an hour and kind of exchange. All else is read of the ledger's entries of the project: of those of one
conversation by its lanes, of all where there is no other way.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import select

from convstore import ids
from convstore.domain.costs import TOKENS, Only
from convstore.storage import conversations, direct, tables
from convstore.storage.database import Database
from convstore.storage.ledger import QUARTER_US
from convstore.storage.rows import packed
from convstore.storage.scope import Scope
from convstore.storage.types import micros

# What exchanges are grouped and chosen by, and the ledger's columns of it. A quarter is one of an hour, from 1970 on.
DIMENSIONS = {
    "conversation": "conversation_id",
    "key": "api_key_id",
    "user": "user",
    "model": "model",
    "requested_model": "requested_model",
    "upstream": "upstream",
    "origin": "origin",
    "status": "status",
    "service_tier": "service_tier",
    "currency": "currency",
}
QUARTER, METADATA = "quarter", "metadata"
_IDS = {"conversation": ids.CONVERSATION, "key": ids.KEY}
_BY_TIME = frozenset(DIMENSIONS) - {"conversation", "user"} | {QUARTER}
_MONEY = "basis", "reason", "currency"
_SUMMED = (*TOKENS, "millionths", "rest")
CALLS = ("web_searches", "file_searches", "code_executions")
# Entries of the ledger that are joined to their exchanges at a time, and lanes in a statement.
CHUNK, MOST_LANES = 20_000, 500
# In the place of an id that nobody can have.
_NOBODY = bytes(17)

# A part of a thread: of which one (a number), its lane, and from which depth to which.
Stretch = tuple[int, str, int, int]


def rows(database: Database, project_id: str, by: Sequence[str], only: Only) -> Iterator[tuple[Any, ...]]:
    """Lines (domain/costs.py) behind the values of these dimensions; a group may come in several rows.

    by: of DIMENSIONS, QUARTER, METADATA (as JSON text).
    """
    asked = {*by, *only.values}
    if METADATA in asked or only.metadata:
        yield from _with_metadata(database, project_id, by, only)
    elif asked <= {"conversation"} and "conversation" in asked and not (only.since or only.until):
        yield from _of_conversations(database, project_id, by, only)
    elif asked <= _BY_TIME and _is_whole(only):
        yield from _of_quarters(database, project_id, by, only)
    else:
        yield from _of_ledger(database, project_id, by, only)


def usages(database: Database, project_id: str, by: Sequence[str], only: Only, tiers: Sequence[int]) -> Iterator[Any]:
    """The tokens and calls of the ledger for a what-if: values of *by*, then how many of *tiers* an input exceeds.

    That is -1 where nobody knows how many tokens there were. Behind it as in rows(), and the sums of CALLS.
    """
    cases = " ".join(f"WHEN l.input_tokens > {int(above)} THEN {len(tiers) - n}" for n, above in enumerate(tiers[::-1]))
    tier = f"CASE WHEN l.input_tokens IS NULL THEN -1 {cases} ELSE 0 END"
    yield from _of_ledger(database, project_id, by, only, tier=tier)


def kinds(database: Database, project_id: str) -> list[tuple[str | None, str | None, str, str | None]]:
    """What prices depend on, of all that there ever was: (upstream, model, requested model, service tier)."""
    names = "upstream, model, requested_model, service_tier"
    with direct.reading(database) as cursor:
        sql = f"SELECT DISTINCT {names} FROM quarter_costs WHERE project_id = ?"
        return [tuple(row) for row in cursor.execute(sql, (packed(ids.PROJECT, project_id),)).fetchall()]


def on_stretches(
    database: Database, project_id: str, by: Sequence[str], only: Only, stretches: Sequence[Stretch]
) -> Iterator[tuple[Any, ...]]:
    """The same as rows() for parts of threads, each row behind the number of its stretch."""
    columns = [f"e.{METADATA}" if each == METADATA else _column(each) for each in by]
    where, values = _conditions(only)
    dims = ", ".join(["wanted.number", *columns, *(f"l.{name}" for name in _MONEY)])
    with direct.reading(database) as cursor:
        mark = "(?, ?, ?, ?)" if cursor.is_sqlite else "(?::integer, ?::bytea, ?::integer, ?::integer)"
        for start in range(0, len(stretches), MOST_LANES):
            part = stretches[start : start + MOST_LANES]
            wanted = [each for n, lane, first, last in part for each in (n, packed(ids.EXCHANGE, lane), first, last)]
            sql = (
                f"WITH wanted(number, lane, first, last) AS (VALUES {', '.join([mark] * len(part))})"
                f" SELECT {dims}, {_SUMS} FROM wanted CROSS JOIN exchanges e CROSS JOIN ledger l"
                " WHERE e.lane = wanted.lane AND e.depth >= wanted.first AND e.depth <= wanted.last"
                f" AND e.project_id = ? AND {_SAME}{where} GROUP BY {dims}"
            )
            project = packed(ids.PROJECT, project_id)
            for row in cursor.execute(sql, (*wanted, project, *values)).fetchall():
                yield row[0], *_read(row[1:], by)


def parts(database: Database, project_id: str, conversation_id: str, main: dict[str, int]) -> Iterator[tuple[Any, ...]]:
    """Lines of a conversation behind the part that they are of: "main", "failed", "replays" or "abandoned".

    main: the lanes of its main thread, each with the depth it is left at. One statement.
    """
    with direct.reading(database) as cursor:
        mark = "(?, ?)" if cursor.is_sqlite else "(?::bytea, ?::integer)"
        # A lane that nobody has: VALUES cannot be empty.
        wanted = [(packed(ids.EXCHANGE, lane), depth) for lane, depth in main.items()] or [(_NOBODY, -1)]
        sql = (
            f"WITH wanted(lane, until) AS (VALUES {', '.join([mark] * len(wanted))})"
            f" SELECT {_PART}, {', '.join(f'l.{name}' for name in _MONEY)}, {_SUMS}"
            " FROM exchanges opens CROSS JOIN exchanges e CROSS JOIN ledger l LEFT JOIN wanted ON wanted.lane = e.lane"
            " WHERE opens.project_id = ? AND opens.conversation_id = ? AND opens.lane = opens.id"
            f" AND e.lane = opens.id AND e.project_id = opens.project_id AND {_SAME}"
            " GROUP BY 1, 2, 3, 4"
        )
        home = (packed(ids.PROJECT, project_id), packed(ids.CONVERSATION, conversation_id))
        found = cursor.execute(sql, (*(each for pair in wanted for each in pair), *home)).fetchall()
    yield from found


def main_tip(database: Database, project_id: str, conversation_id: str) -> str | None:
    """Where a conversation goes on: its own tip, or else its newest answer that is kept and no replay. One statement.

    Nothing that is kept continues that one, but for replays: what continues an exchange is newer.
    """
    with direct.reading(database) as cursor:
        values = (packed(ids.PROJECT, project_id), packed(ids.CONVERSATION, conversation_id))
        row = cursor.execute(_MAIN_TIP, values).fetchone()
    return ids.unpack(ids.EXCHANGE, bytes(row[0])) if row is not None and row[0] is not None else None


def titles(scope: Scope, conversation_ids: Sequence[str]) -> dict[str, str | None]:
    """What these conversations are called; deleted ones are left out."""
    found: dict[str, str | None] = {}
    for start in range(0, len(conversation_ids), MOST_LANES):
        found |= conversations.titles(scope, conversation_ids[start : start + MOST_LANES])
    return found


def key_names(scope: Scope, key_ids: Sequence[str]) -> dict[str, str]:
    """What these keys are called."""
    k = tables.api_keys
    query = select(k.c.id, k.c.name).where(k.c.project_id == scope.project_id, k.c.id.in_(key_ids))
    return {row.id: row.name for row in scope.connection.execute(query)} if key_ids else {}


# -- where it is read of --------------------------------------------------------------------------------------


def _of_conversations(database: Database, project_id: str, by: Sequence[str], only: Only) -> Iterator[tuple[Any, ...]]:
    values: list[Any] = [packed(ids.PROJECT, project_id)]
    where = "project_id = ?"
    if only.values:
        where += " AND conversation_id = ?"
        values.append(ids.pack(ids.CONVERSATION, only.values["conversation"]) or _NOBODY)
    own = ["conversation_id"] * len(by)
    sql = f"SELECT {', '.join((*own, *_MONEY, 'exchanges', *_SUMMED))} FROM conversation_costs WHERE {where}"
    with direct.reading(database) as cursor:
        for row in _streamed(cursor.execute(sql, tuple(values))):
            yield _read(row, by)


def _of_quarters(database: Database, project_id: str, by: Sequence[str], only: Only) -> Iterator[tuple[Any, ...]]:
    where, values = _conditions(Only(values=only.values))
    for moment, sign in ((only.since, ">="), (only.until, "<")):
        if moment is not None:
            where += f" AND l.quarter {sign} ?"
            values.append(micros(moment) // QUARTER_US)
    dims = ", ".join([*("l.quarter" if each == QUARTER else _column(each) for each in by), *(f"l.{n}" for n in _MONEY)])
    sums = ", ".join(f"CAST(sum(l.{name}) AS BIGINT)" for name in ("exchanges", *_SUMMED))
    sql = f"SELECT {dims}, {sums} FROM quarter_costs l WHERE l.project_id = ?{where} GROUP BY {dims}"
    with direct.reading(database) as cursor:
        for row in _streamed(cursor.execute(sql, (packed(ids.PROJECT, project_id), *values))):
            yield _read(row, by)


def _of_ledger(
    database: Database,
    project_id: str,
    by: Sequence[str],
    only: Only,
    tier: str | None = None,
) -> Iterator[tuple[Any, ...]]:
    where, values = _conditions(only)
    source, project = "ledger l WHERE l.project_id = ?", packed(ids.PROJECT, project_id)
    if "conversation" in only.values:
        # Its lanes have an index; the ledger has none but its key.
        source = (
            "exchanges opens CROSS JOIN exchanges e CROSS JOIN ledger l WHERE opens.project_id = ?"
            " AND opens.conversation_id = ? AND opens.lane = opens.id AND e.lane = opens.id"
            f" AND e.project_id = opens.project_id AND {_SAME}"
        )
        values.insert(0, ids.pack(ids.CONVERSATION, only.values["conversation"]) or _NOBODY)
    dims = ", ".join([*map(_column, by), *([tier] if tier else []), *(f"l.{name}" for name in _MONEY)])
    sums = ", ".join([_SUMS, *(_sum(name) for name in CALLS if tier)])
    with direct.reading(database) as cursor:
        for row in _streamed(
            cursor.execute(f"SELECT {dims}, {sums} FROM {source}{where} GROUP BY {dims}", (project, *values))
        ):
            yield _read(row, by)


def _with_metadata(database: Database, project_id: str, by: Sequence[str], only: Only) -> Iterator[tuple[Any, ...]]:
    """A part of the ledger at a time: there may be as many metadata as exchanges."""
    columns = [f"e.{METADATA}" if each == METADATA else _column(each) for each in by]
    where, values = _conditions(only)
    if only.metadata:
        columns.append(f"e.{METADATA}")
    dims = ", ".join([*columns, *(f"l.{name}" for name in _MONEY)])
    conversation = ids.pack(ids.CONVERSATION, only.values.get("conversation", "")) or _NOBODY
    if "conversation" in only.values:
        where += " AND l.conversation_id = ?"
        values.append(conversation)
    project, after = packed(ids.PROJECT, project_id), b""
    with direct.reading(database) as cursor:
        while True:
            ends = "SELECT exchange_id FROM ledger WHERE project_id = ? AND exchange_id > ? ORDER BY exchange_id"
            last = cursor.execute(f"{ends} LIMIT 1 OFFSET {CHUNK - 1}", (project, after)).fetchone()
            until = bytes(last[0]) if last else b"\xff" * 17
            sql = (
                f"SELECT {dims}, {_SUMS} FROM ledger l CROSS JOIN exchanges e WHERE l.project_id = ?"
                f" AND l.exchange_id > ? AND l.exchange_id <= ? AND e.project_id = l.project_id"
                f" AND e.id = l.exchange_id{where} GROUP BY {dims}"
            )
            for row in cursor.execute(sql, (project, after, until, *values)).fetchall():
                yield _read(row, [*by, METADATA] if only.metadata else by)
            if last is None:
                return
            after = until


def _conditions(only: Only) -> tuple[str, list[Any]]:
    """Of ledger entries `l`, but for their conversation, which is found another way."""
    where, values = "", list[Any]()
    for moment, sign in ((only.since, ">="), (only.until, "<")):
        if moment is not None:
            where += f" AND l.created_at {sign} ?"
            values.append(micros(moment))
    for name, value in only.values.items():
        if name != "conversation":
            where += f" AND {_column(name)} = ?"
            values.append(ids.pack(_IDS[name], value) or _NOBODY if name in _IDS else value)
    return where, values


def _is_whole(only: Only) -> bool:
    """Whether its time begins and ends with quarters of an hour."""
    return all(moment is None or micros(moment) % QUARTER_US == 0 for moment in (only.since, only.until))


def _column(dimension: str) -> str:
    return f"l.created_at / {QUARTER_US}" if dimension == QUARTER else f'l."{DIMENSIONS[dimension]}"'


def _sum(name: str) -> str:
    return f"CAST(coalesce(sum(l.{name}), 0) AS BIGINT)"


def _streamed(cursor: Any) -> Iterable[tuple[Any, ...]]:
    while found := cursor.fetchmany(1000):
        yield from found


def _read(row: Sequence[Any], by: Sequence[str]) -> tuple[Any, ...]:
    """The row with its ids in words."""
    if not _IDS.keys() & by:
        return tuple(row)
    named = [
        ids.unpack(_IDS[name], value) if name in _IDS and value is not None else value
        for name, value in zip(by, row, strict=False)
    ]
    return *named, *row[len(by) :]


_SUMS = ", ".join(["count(*)", *(_sum(name) for name in _SUMMED)])
_SAME = "l.project_id = e.project_id AND l.exchange_id = e.id"
# As domain/exchange.is_kept has it.
_KEPT = "e.status IN ('completed', 'incomplete') AND e.error IS NULL"
_PART = (
    "CASE WHEN e.depth <= wanted.until THEN 'main'"
    f" WHEN NOT ({_KEPT}) THEN 'failed' WHEN e.origin = 'replay' THEN 'replays' ELSE 'abandoned' END"
)
_MAIN_TIP = (
    "SELECT coalesce(c.tip_id, (SELECT e.id FROM exchanges h JOIN exchanges e ON e.lane = h.id"
    " AND e.project_id = h.project_id WHERE h.conversation_id = c.id AND h.lane = h.id AND h.project_id = c.project_id"
    f" AND e.stored AND e.deleted_at IS NULL AND e.origin <> 'replay' AND {_KEPT} ORDER BY e.id DESC LIMIT 1))"
    " FROM conversations c WHERE c.project_id = ? AND c.id = ?"
)
