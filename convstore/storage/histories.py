"""Finding the thread that a history sent whole continues."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import and_, select

from convstore import ids
from convstore.domain import fingerprints, jsontext
from convstore.domain.exchange import Sent
from convstore.storage import paths, tables
from convstore.storage.direct import Cursor
from convstore.storage.scope import Scope
from convstore.storage.turns import Parent
from convstore.storage.types import inflate

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


def known(cursor: Cursor, wanted: Sequence[bytes]) -> set[bytes]:
    """Which of these fingerprints some thread has. MANY at most; one probe of an index for each."""
    size = FEW if len(wanted) <= FEW else MANY
    padded = [*wanted, *([wanted[-1]] * (size - len(wanted)))]
    return {bytes(row[0]) for row in cursor.execute(_KNOWN[size], tuple(padded)).fetchall()}


def candidates(cursor: Cursor, project_id: str, fingerprint: bytes) -> list[Candidate]:
    """The newest exchanges of a project whose threads have this fingerprint, newest first."""
    rows = cursor.execute(_FIND, (ids.pack(ids.PROJECT, project_id), fingerprint)).fetchall()
    return [_candidate(*row) for row in rows]


def answer(cursor: Cursor, project_id: str, parent: Parent) -> list[Answered]:
    """The output items of an exchange, in order."""
    project = ids.pack(ids.PROJECT, project_id)
    rows = cursor.execute(_ANSWER, (project, ids.pack(ids.EXCHANGE, parent.lane), parent.depth)).fetchall()
    return [Answered(ids.item(kind, parent.id, position), inflate(bytes(body))) for position, kind, body in rows]


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
    return [Step(row.id, row.linked, row.body) for row in scope.connection.execute(query)]


# A subquery with a limit is always probed; of a join, a planner might read the whole table.
_PROBED = (
    "WITH wanted(mark) AS (VALUES {}) SELECT mark FROM wanted WHERE (SELECT f.exchange_id FROM fingerprints f"
    " WHERE f.fingerprint = wanted.mark ORDER BY f.exchange_id DESC LIMIT 1) IS NOT NULL"
)
_KNOWN = {size: _PROBED.format(", ".join(["(?)"] * size)) for size in (FEW, MANY)}
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


def _candidate(
    exchange: bytes,
    conversation: bytes,
    lane: bytes,
    depth: int,
    status: str,
    upstream: str | None,
    upstream_response_id: str | None,
    fingerprint: bytes,
    continued: bool,
    sent_count: int | None,
    sent_digest: bytes | None,
    extras: str | None,
    settings_hash: bytes,
) -> Candidate:
    parent = Parent(
        id=ids.unpack(ids.EXCHANGE, bytes(exchange)),
        conversation_id=ids.unpack(ids.CONVERSATION, bytes(conversation)),
        lane=ids.unpack(ids.EXCHANGE, bytes(lane)),
        depth=depth,
        status=status,
        continued=bool(continued),
        single_lane=False,
        upstream=upstream,
        upstream_response_id=upstream_response_id,
        thread=fingerprints.unpack(bytes(fingerprint)),
        settings_hash=bytes(settings_hash),
    )
    sent = Sent(sent_count, bytes(sent_digest)) if sent_count is not None and sent_digest else None
    key = jsontext.loads(extras).get("prompt_cache_key") if extras else None
    return Candidate(parent, sent, key)
