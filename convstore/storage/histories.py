"""Finding the thread that a history sent whole continues."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, select

from convstore import ids
from convstore.domain import jsontext
from convstore.domain.exchange import Sent
from convstore.storage import paths, tables
from convstore.storage.direct import Cursor
from convstore.storage.scope import Scope
from convstore.storage.turns import Parent, thread_of

_e = tables.exchanges

# How many fingerprints one statement asks for: nearly always the thread's end is among the last few. And how many
# threads that are the same to the last byte are looked at: a greeting and its answer may be there a million times.
FEW = 12
MANY = 500


@dataclass(frozen=True, slots=True)
class Candidate:
    """An exchange whose thread has a fingerprint. sent: the history that came with it, if it came with one."""

    parent: Parent
    sent: Sent | None
    prompt_cache_key: str | None


@dataclass(frozen=True, slots=True)
class Answered:
    """One item of an answer: the id it is shown under, and its JSON without an id."""

    shown_id: str
    body: bytes


def known(cursor: Cursor, project_id: str, wanted: Sequence[bytes]) -> set[bytes]:
    """Which of these fingerprints some thread has. MANY at most; one probe of an index for each form it may have."""
    of = {form: each for each in wanted for form in cursor.vault.forms(cursor.execute, project_id, each)}
    forms = list(of)
    size = next(each for each in _KNOWN if each >= len(forms))
    padded = [*forms, *([forms[-1]] * (size - len(forms)))]
    return {of[bytes(row[0])] for row in cursor.execute(_KNOWN[size], tuple(padded)).fetchall()}


def candidates(cursor: Cursor, project_id: str, fingerprint: bytes) -> list[Candidate]:
    """The newest exchanges of a project whose threads have this fingerprint, newest first."""
    project = ids.pack(ids.PROJECT, project_id)
    rows = [
        row
        for form in cursor.vault.forms(cursor.execute, project_id, fingerprint)
        for row in cursor.execute(_FIND, (project, form)).fetchall()
    ]
    found = [_candidate(cursor, project_id, row) for row in sorted(rows, key=lambda row: bytes(row[0]), reverse=True)]
    return [each for each in found[:FEW] if each is not None]


def answer(cursor: Cursor, project_id: str, parent: Parent) -> list[Answered]:
    """The output items of an exchange, in order."""
    project = ids.pack(ids.PROJECT, project_id)
    rows = cursor.execute(_ANSWER, (project, ids.pack(ids.EXCHANGE, parent.lane), parent.depth)).fetchall()
    return [
        Answered(ids.item(kind, parent.id, position), cursor.vault.body(cursor.execute, project_id, bytes(body)))
        for position, kind, body in rows
    ]


@dataclass(frozen=True, slots=True)
class Step:
    """An exchange on a path: how its parent was found, and how what it took from before was sent."""

    exchange_id: str
    linked: str | None
    forms: bytes | None


def steps(scope: Scope, tip_id: str) -> list[Step]:
    """The exchanges from the root to the one with this id. One statement."""
    path = paths.to(scope, tip_id)
    payload = tables.payloads
    query = (
        select(_e.c.id, _e.c.linked, payload.c.body)
        .select_from(
            path.join(_e, and_(_e.c.lane == path.c.lane, _e.c.depth <= path.c.depth)).outerjoin(
                payload, and_(payload.c.project_id == scope.project_id, payload.c.hash == _e.c.sent_hash)
            )
        )
        .order_by(_e.c.depth)
    )
    rows = scope.connection.execute(query).fetchall()
    return [Step(row.id, row.linked, scope.body(row.body) if row.body else None) for row in rows]


# A subquery with a limit is always probed; of a join, a planner might read the whole table.
_PROBED = (
    "WITH wanted(mark) AS (VALUES {}) SELECT mark FROM wanted WHERE (SELECT f.exchange_id FROM fingerprints f"
    " WHERE f.fingerprint = wanted.mark ORDER BY f.exchange_id DESC LIMIT 1) IS NOT NULL"
)
_KNOWN = {size: _PROBED.format(", ".join(["(?)"] * size)) for size in (FEW, 2 * FEW, MANY, 8 * MANY)}
_FIND = (
    "SELECT e.id, e.conversation_id, e.lane, e.depth, e.status, e.upstream, e.upstream_response_id,"
    " e.fingerprint, EXISTS (SELECT 1 FROM exchanges n WHERE n.lane = e.lane AND n.depth = e.depth + 1),"
    " e.sent_count, e.sent_digest, e.extras, e.settings_hash"
    " FROM fingerprints f JOIN exchanges e ON e.project_id = ? AND e.id = f.exchange_id"
    f" WHERE f.fingerprint = ? AND e.deleted_at IS NULL ORDER BY f.exchange_id DESC LIMIT {FEW}"
)
_ANSWER = (
    "SELECT i.position, i.type,"
    " COALESCE(i.body, (SELECT p.body FROM payloads p WHERE p.project_id = ? AND p.hash = i.payload_hash))"
    " FROM items i WHERE i.lane = ? AND i.depth = ? AND i.output ORDER BY i.position"
)


def _candidate(cursor: Cursor, project_id: str, row: Sequence[Any]) -> Candidate | None:
    """What was found; None when it was shredded."""
    exchange, conversation, lane, depth, status, upstream, upstream_id, fingerprint, continued, *rest = row
    sent_count, sent_digest, extras, settings_hash = rest
    ask, vault = cursor.execute, cursor.vault
    thread = thread_of(cursor, project_id, fingerprint)
    if thread is None:
        return None
    parent = Parent(
        id=ids.unpack(ids.EXCHANGE, bytes(exchange)),
        conversation_id=ids.unpack(ids.CONVERSATION, bytes(conversation)),
        lane=ids.unpack(ids.EXCHANGE, bytes(lane)),
        depth=depth,
        status=status,
        continued=bool(continued),
        single_lane=False,
        upstream=upstream,
        upstream_response_id=upstream_id,
        thread=thread,
        settings_hash=bytes(settings_hash),
    )
    sent = None
    if sent_count is not None and sent_digest:
        sent = Sent(sent_count, vault.opened(ask, project_id, bytes(sent_digest)))
    key = jsontext.loads(vault.text(ask, project_id, extras)).get("prompt_cache_key") if extras else None
    return Candidate(parent, sent, key)
