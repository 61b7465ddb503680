"""Erasing exchanges: what was said in them, or all of them. A batch is one transaction of the caller's.

    content()   markers take the place of what was said; the row and its figures stay
    whole()     the exchange goes, if nothing that stays continues it

What was said is in more tables than `items`: each is named here. Bodies that exchanges share (`payloads`) are only
put under doubt; whether they are still somebody's is found out when no process takes them for stored (payloads.py).
With a batch goes one entry of the audit log, which commits to its tombstones, and the salts of what it erased.
See docs/decisions/0015-erasure.md.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from convstore import ids
from convstore.domain import erasing, fingerprints, jsontext, preview
from convstore.domain.erasing import Erased, What
from convstore.domain.exchange import ADDED
from convstore.domain.items import SEALED, Item
from convstore.errors import ContentShredded
from convstore.storage import descent, direct, evidence, holds, indexing
from convstore.storage.database import Database
from convstore.storage.rows import packed
from convstore.storage.scope import Scope
from convstore.storage.statements import each
from convstore.storage.types import deflate, micros

# Exchanges of one transaction: SQLite's writers wait for its end.
MOST = 200
UNFINISHED = ("queued", "in_progress")


@dataclass(frozen=True, slots=True)
class Row:
    """What must be known of an exchange to erase it."""

    id: bytes
    conversation: bytes
    parent: bytes | None
    lane: bytes
    depth: int
    origin: str
    requested_model: str
    question: str | None
    hashes: tuple[bytes | None, ...]
    fingerprint: bytes | None
    error: str | None
    attempts: str | None
    usage: str | None
    incomplete_reason: str | None

    @property
    def name(self) -> str:
        return ids.unpack(ids.EXCHANGE, self.id)


def content(database: Database, scope: Scope, erasure_id: str, exchange_ids: Sequence[str], now: datetime) -> Erased:
    """Put markers in the place of what was said in exchanges. What is erased, or not finished, is left alone."""
    batch = _Batch(database, scope, erasure_id, now)
    wanted = batch.wanted(exchange_ids)
    rows = batch.locked(wanted, " AND erased_at IS NULL")
    if rows:
        known = indexing.terms(database, scope, [row.name for row in rows])
        # Which shared bodies they had is asked while their items still say so.
        batch.forget(rows)
        batch.mark(rows)
        batch.describe_conversations(rows)
        batch.forget_histories(rows)
        names = [row.name for row in rows]
        batch.count("searches", indexing.forget(database, scope, names, known, keep=True))
        batch.record("erasures.erase", What.CONTENT, rows)
    return batch.erased(rows)


def whole(database: Database, scope: Scope, erasure_id: str, exchange_ids: Sequence[str], now: datetime) -> Erased:
    """Remove exchanges, but for those that others continue, and those that are not finished.

    Entries of the ledger stay, without a name: sums and budgets hold them.
    """
    batch = _Batch(database, scope, erasure_id, now)
    wanted = batch.wanted(exchange_ids)
    rows = batch.childless(batch.locked(wanted))
    if rows:
        names = [row.name for row in rows]
        known = indexing.terms(database, scope, names)
        batch.forget(rows)
        batch.forget_histories(rows)
        batch.count("searches", indexing.forget(database, scope, names, known))
        batch.remove(rows)
        batch.record("erasures.remove", What.ALL, rows)
    return batch.erased(rows)


class _Batch:
    """One transaction. Its writes are counted by table."""

    def __init__(self, database: Database, scope: Scope, erasure_id: str, now: datetime) -> None:
        self.database = database
        self.scope = scope
        self.project = packed(ids.PROJECT, scope.project_id) or b""
        self.erasure_id = erasure_id
        self.now = micros(now)
        self.tables: dict[str, int] = {}
        self.figures = {"items": 0, "bytes": 0, "unfinished": 0, "held": 0, "continued": 0, "conversations": 0}
        self.histories: list[tuple[bytes, bytes]] = []
        if database.is_sqlite:
            # What is overwritten in the file is overwritten with zeros.
            scope.connection.exec_driver_sql("PRAGMA secure_delete = ON")

    def erased(self, rows: Sequence[Row]) -> Erased:
        return Erased(exchanges=len(rows), histories=len(self.histories), tables=self.tables, **self.figures)

    def count(self, table: str, rows: int) -> None:
        if rows > 0:
            self.tables[table] = self.tables.get(table, 0) + rows

    def run(self, table: str, sql: str, *values: Any) -> None:
        with direct.within(self.database, self.scope.connection) as cursor:
            self.count(table, cursor.execute(sql, values).rowcount)

    def read(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with direct.within(self.database, self.scope.connection) as cursor:
            return [evidence.plain(row) for row in cursor.execute(sql, values).fetchall()]

    # -- which ------------------------------------------------------------------------------------------------

    def wanted(self, exchange_ids: Sequence[str]) -> list[bytes]:
        """Those that may be erased, as bytes. An id of another form is nobody's."""
        kept = holds.held(self.scope, exchange_ids)
        self.figures["held"] = len(kept)
        known = [packed(ids.EXCHANGE, own) for own in dict.fromkeys(exchange_ids) if own not in kept]
        return sorted(own for own in known if own is not None)

    def locked(self, wanted: Sequence[bytes], where: str = "") -> list[Row]:
        """The rows of those that have ended. Nobody else changes them before the transaction is over."""
        if not wanted:
            return []
        marks = _marks(wanted)
        unfinished = f"SELECT count(*) FROM exchanges WHERE project_id = ? AND id IN ({marks}) AND status IN (?, ?)"
        self.figures["unfinished"] = self.read(unfinished, self.project, *wanted, *UNFINISHED)[0][0]
        lock = "" if self.database.is_sqlite else " FOR UPDATE"
        found = self.read(
            f"SELECT id, conversation_id, parent_id, lane, depth, origin, requested_model, question, settings_hash,"
            f" reply_hash, sent_hash, fingerprint, error, attempts, usage, incomplete_reason FROM exchanges"
            f" WHERE project_id = ? AND id IN ({marks}) AND status NOT IN (?, ?){where} ORDER BY id{lock}",
            self.project,
            *wanted,
            *UNFINISHED,
        )
        return [self._opened(_row(row)) for row in found]

    def _opened(self, row: Row) -> Row:
        """A row with what was sealed of it opened; nothing, where its key is destroyed."""
        try:
            fingerprint = self.scope.bytes(row.fingerprint)
        except ContentShredded:
            fingerprint = None
        error, attempts = self.scope.line(row.error), self.scope.line(row.attempts)
        return replace(row, fingerprint=fingerprint, error=error, attempts=attempts)

    def _body(self, stored: bytes | None) -> bytes:
        try:
            return self.database.vault.body(self.scope.ask, self.scope.project_id, stored) if stored else b""
        except ContentShredded:
            return b""

    def childless(self, rows: Sequence[Row]) -> list[Row]:
        """Those that nothing continues which stays."""
        left = {row.id: row for row in rows}
        while left:
            marks = _marks(left)
            children = self.read(
                f"SELECT p.id, c.id FROM exchanges p JOIN exchanges c ON c.lane = p.lane AND c.depth = p.depth + 1"
                f" WHERE p.project_id = ? AND p.id IN ({marks})"
                f" UNION ALL SELECT c.parent_id, c.id FROM exchanges c WHERE c.parent_id IN ({marks})"
                " AND c.lane = c.id AND c.project_id = ?",
                self.project,
                *left,
                *left,
                self.project,
            )
            continued = {parent for parent, child in children if child not in left}
            if not continued:
                break
            for parent in continued:
                del left[parent]
        self.figures["continued"] = len(rows) - len(left)
        return list(left.values())

    # -- what was said ----------------------------------------------------------------------------------------

    def mark(self, rows: Sequence[Row]) -> None:
        """Markers in the place of items, and of what the rows themselves say."""
        own = {(row.lane, row.depth): row for row in rows}
        said: dict[bytes, tuple[list[Item], list[Item]]] = {row.id: ([], []) for row in rows}
        changes = []
        for lane, depth, position, output, kind, role, call_id, name, body in self.read(
            _ITEMS.format(_marks(rows)), self.project, *(row.id for row in rows), self.project
        ):
            item = Item(kind, self._body(body), role=role, call_id=call_id, name=name)
            left = erasing.marker(item, output=bool(output))
            said[own[lane, depth].id][bool(output)].append(left)
            sealed = erasing.SEALED_BY if left.type in SEALED else None
            changes.append(
                (left.type, left.role, left.call_id, left.name, sealed, deflate(left.body), lane, depth, position)
            )
        self._measure(rows)
        settings = {row.requested_model: erasing.settings(row.requested_model) for row in rows}
        with direct.within(self.database, self.scope.connection) as cursor:
            if changes:
                cursor.execute_many(_MARK_ITEM, changes)
            for body in sorted(settings.values(), key=jsontext.digest):
                cursor.execute(_MARK_SETTINGS, (self.project, jsontext.digest(body), deflate(body)))
            cursor.execute_many(
                _MARK, [self._marked(row, *said[row.id], settings[row.requested_model]) for row in rows]
            )
        self.count("items", len(changes))
        self.count("exchanges", len(rows))

    def _marked(self, row: Row, asked: Sequence[Item], answered: Sequence[Item], settings: bytes) -> tuple[Any, ...]:
        question = None if row.origin == ADDED and row.question is None else preview.of_question(asked)
        return (
            question,
            preview.of_answer(answered),
            _changed(row.error, erasing.error),
            _changed(row.attempts, erasing.attempts),
            _changed(row.usage, erasing.figures),
            erasing.code(row.incomplete_reason),
            jsontext.digest(settings),
            self.now,
            self.project,
            row.id,
        )

    def _measure(self, rows: Sequence[Row]) -> None:
        found = self.read(_SIZE.format(_marks(rows)), self.project, *(row.id for row in rows))
        self.figures["items"], self.figures["bytes"] = found[0][0], int(found[0][1] or 0)

    # -- where it was said again ------------------------------------------------------------------------------

    def forget(self, rows: Sequence[Row]) -> None:
        """Whatever other tables know of these exchanges, but for the index of words."""
        own = [row.id for row in rows]
        marks, names = _marks(own), [row.name for row in rows]
        self.doubt(rows)
        self.run(
            "ledger",
            f'UPDATE ledger SET "user" = NULL WHERE {_OF.format(marks)} AND "user" IS NOT NULL',
            self.project,
            *own,
        )
        forms = partial(self.database.vault.forms, self.scope.ask, self.scope.project_id)
        pairs = [(form, row.id) for row in rows for mark in _fingerprints(row) for form in forms(mark)]
        for mark, exchange in pairs:
            self.run(
                "fingerprints", "DELETE FROM fingerprints WHERE fingerprint = ? AND exchange_id = ?", mark, exchange
            )
        self.run("journal", f"DELETE FROM journal WHERE exchange_id IN ({marks})", *own)
        self.run(
            "idempotency_keys",
            f"DELETE FROM idempotency_keys WHERE exchange_id IN ({marks}) AND project_id = ?",
            *own,
            self.project,
        )
        self.forget_jobs(names)
        self.forget_replays(own)
        self.forget_files()

    def forget_files(self) -> None:
        """The files of exports: which exchanges are in them is not known, so all of the project's go.

        One that is being made is begun anew: what its worker has read until now does not get in any more (exports.py).
        """
        files = (
            "DELETE FROM file_parts WHERE project_id = ? AND file_id IN"
            " (SELECT id FROM exports WHERE project_id = ? AND status IN ('in_progress', 'expired'))"
        )
        self.run("exports", _EXPIRE, self.project)
        self.run("exports", _BEGIN_ANEW, self.project)
        self.run("file_parts", files, self.project, self.project)

    def doubt(self, rows: Sequence[Row]) -> None:
        """Note the shared bodies that may be nobody's when this is done. Those of items go with them."""
        found = {each for row in rows for each in row.hashes if each is not None}
        found |= {each for (each,) in self.read(_SHARED.format(_marks(rows)), self.project, *(row.id for row in rows))}
        self.doubt_hashes(found)

    def doubt_hashes(self, hashes: Collection[bytes]) -> None:
        if not hashes:
            return
        # Who reads this number has read it behind our commit.
        ((epoch,),) = self.read(_COUNT_UP)
        with direct.within(self.database, self.scope.connection) as cursor:
            cursor.execute_many(_DOUBT, [(self.project, own, self.erasure_id, epoch) for own in sorted(hashes)])

    def forget_jobs(self, subjects: Sequence[str]) -> None:
        """What finished jobs about these say: their errors, their notes, the results of their steps."""
        marks = _marks(subjects)
        where = f"project_id = ? AND subject IN ({marks}) AND finished_at IS NOT NULL"
        steps = f"DELETE FROM job_steps WHERE job_id IN (SELECT id FROM jobs WHERE {where})"
        self.run("job_steps", steps, self.project, *subjects)
        change = f"UPDATE jobs SET error = CASE WHEN error IS NULL THEN NULL ELSE ? END, progress = NULL WHERE {where}"
        error = jsontext.dumps({"code": "erased", "message": erasing.ERASED}).decode()
        self.run("jobs", change, error, self.project, *subjects)

    def forget_replays(self, own: Sequence[bytes]) -> None:
        """What replays of these, or replays that made these, were asked to change; who is at it, stops."""
        marks = _marks(own)
        found = self.read(_REPLAYS.format(marks, marks, marks), self.project, *own, *own, *own)
        for replay, stored in found:
            plan = self.scope.line(stored)
            if plan is None:
                continue
            kept = jsontext.loads(plan)
            kept["overrides"] = {}
            self.run("replays", _REPLAY, jsontext.dumps(kept).decode(), self.now, self.project, replay)
            for number, stopped in self.read(_RUNS, replay):
                self.run("replay_runs", _RUN, _changed(stopped, erasing.codes), replay, number)
        if found:
            names = [ids.unpack(ids.REPLAY, replay) for replay, _ in found]
            stop = (
                f"UPDATE jobs SET cancel_requested_at = ? WHERE project_id = ? AND subject IN ({_marks(names)})"
                " AND finished_at IS NULL AND cancel_requested_at IS NULL"
            )
            self.run("jobs", stop, self.now, self.project, *names)
            self.forget_jobs(names)

    def describe_conversations(self, rows: Sequence[Row]) -> None:
        """Titles and metadata of conversations in which nothing is left that was said."""
        for conversation in sorted({row.conversation for row in rows}):
            if not self.read(_SAYS, self.project, conversation):
                self.run("conversations", _UNDESCRIBE, self.project, conversation)
                self.figures["conversations"] += 1

    def forget_histories(self, rows: Sequence[Row]) -> None:
        """How descendants, which stay, were sent what is erased: as the difference to what is shown of it."""
        gone = {row.id for row in rows}
        for conversation in sorted({row.conversation for row in rows}):
            places = [(row.lane, row.depth) for row in rows if row.conversation == conversation]
            with direct.within(self.database, self.scope.connection) as cursor:
                lanes = descent.below(cursor, self.project, conversation, places)
            for lane, depth in sorted(lanes.items()):
                found = self.read(_SENT, self.project, lane, depth)
                self.histories += [(own, sent) for own, sent in found if own not in gone]
        self.histories = [
            (own, sent)
            for own, sent in self.histories
            if not self.read(_TOMBSTONE, self.project, own, str(What.HISTORY))
        ]
        self.doubt_hashes({sent for _, sent in self.histories})

    # -- the whole of it --------------------------------------------------------------------------------------

    def remove(self, rows: Sequence[Row]) -> None:
        """The rows themselves, and what points at them."""
        own = [row.id for row in rows]
        marks = _marks(own)
        self._measure(rows)
        for row in rows:
            self.run("items", "DELETE FROM items WHERE lane = ? AND depth = ?", row.lane, row.depth)
        self.run("branches", f"DELETE FROM branches WHERE tip_id IN ({marks}) AND project_id = ?", *own, self.project)
        self.run("running", f"DELETE FROM running WHERE exchange_id IN ({marks})", *own)
        turns = (
            f"DELETE FROM replay_turns WHERE exchange_id IN ({marks}) AND replay_id IN"
            " (SELECT id FROM replays WHERE project_id = ?)"
        )
        self.run("replay_turns", turns, *own, self.project)
        self.run("exchanges", f"DELETE FROM exchanges WHERE project_id = ? AND id IN ({marks})", self.project, *own)
        self._move_tips({row.id: row for row in rows})
        for conversation in sorted({row.conversation for row in rows}):
            if not self.read(_HAS, self.project, conversation):
                where = (self.project, conversation)
                self.run("branches", "DELETE FROM branches WHERE project_id = ? AND conversation_id = ?", *where)
                self.run("conversations", "DELETE FROM conversations WHERE project_id = ? AND id = ?", *where)
                self.figures["conversations"] += 1

    def _move_tips(self, gone: dict[bytes, Row]) -> None:
        """A conversation goes on from what is left in front of its tip."""
        for conversation in sorted({row.conversation for row in gone.values()}):
            ((tip,),) = self.read(_TIP, self.project, conversation) or [(None,)]
            if tip not in gone:
                continue
            while tip in gone:
                tip = gone[tip].parent
            self.run("conversations", _MOVE, tip, self.project, conversation)

    # -- on record --------------------------------------------------------------------------------------------

    def record(self, action: str, what: What, rows: Sequence[Row]) -> None:
        """Tombstones, the entry that commits to them, and no salt any more for what they stand on."""
        own = [row.id for row in rows]
        tombs: list[tuple[bytes, str, bytes | None]] = [(row, str(what), None) for row in own]
        with direct.within(self.database, self.scope.connection) as cursor:
            if what is What.CONTENT:
                tombs = [
                    (row, str(what), left) for row, left in evidence.states_within(cursor, self.project, own).items()
                ]
            tombs += [(row, str(What.HISTORY), None) for row, _ in self.histories]
            batch = None
            if self.database.recorder is not None:
                batch, entry = self.database.recorder.erasing(
                    cursor, self.project, action, self.erasure_id, erasing.digest(tombs)
                )
                each(cursor, [entry])
            cursor.execute_many(
                _BURY,
                [(self.project, row, kind, self.erasure_id, batch, state, self.now) for row, kind, state in tombs],
            )
            for row in own:
                cursor.execute(_UNSALT_REQUEST, (self.project, row))
                cursor.execute(_UNSALT_ANSWER, (self.project, self.project, row, ids.unpack(ids.EXCHANGE, row)))
        self.count("erased", len(tombs))


def _row(found: Sequence[Any]) -> Row:
    plain, hashes, rest = found[:8], found[8:11], found[11:]
    return Row(*plain, hashes, *rest)  # type: ignore[call-arg]


def _fingerprints(row: Row) -> tuple[bytes, ...]:
    return fingerprints.unpack(row.fingerprint).each() if row.fingerprint else ()


def _changed(text: str | None, change: Any) -> str | None:
    return None if text is None else jsontext.dumps(change(jsontext.loads(text))).decode()


def _marks(some: Iterable[Any]) -> str:
    return ", ".join("?" for _ in some)


_OF = "project_id = ? AND exchange_id IN ({})"
_PLACED = (
    " FROM exchanges e JOIN items i ON i.lane = e.lane AND i.depth = e.depth WHERE e.project_id = ? AND e.id IN ({})"
)
# Of a shared body only what pairs calls and outputs is needed; images are not read for that.
_ITEMS = (
    "SELECT i.lane, i.depth, i.position, i.output, i.type, i.role, i.call_id, i.name, COALESCE(i.body,"
    " CASE WHEN i.call_id IS NULL THEN NULL ELSE"
    " (SELECT p.body FROM payloads p WHERE p.project_id = e.project_id AND p.hash = i.payload_hash) END)"
    f"{_PLACED} AND e.project_id = ? ORDER BY i.lane, i.depth, i.position"
)
_SIZE = f"SELECT count(*), sum(length(i.body)){_PLACED}"
_SHARED = f"SELECT DISTINCT i.payload_hash{_PLACED} AND i.payload_hash IS NOT NULL"
_MARK_ITEM = (
    "UPDATE items SET type = ?, item_id = NULL, role = ?, call_id = ?, name = ?, sealed_by = ?, payload_hash = NULL,"
    " body = ? WHERE lane = ? AND depth = ? AND position = ?"
)
_MARK_SETTINGS = (
    "INSERT INTO payloads (project_id, hash, body) VALUES (?, ?, ?)"
    " ON CONFLICT (project_id, hash) DO UPDATE SET hash = excluded.hash"
)
_MARK = (
    'UPDATE exchanges SET metadata = NULL, "user" = NULL, safety_identifier = NULL, extras = NULL,'
    " context_sha256 = NULL, sent_count = NULL, sent_digest = NULL, sent_hash = NULL, upstream_response_id = NULL,"
    " reply_hash = NULL, fingerprint = NULL, question = ?, answer = ?, error = ?, attempts = ?, usage = ?,"
    " incomplete_reason = ?, settings_hash = ?, erased_at = ? WHERE project_id = ? AND id = ?"
)
_COUNT_UP = (
    "INSERT INTO epochs (id, number) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET number = epochs.number + 1"
    " RETURNING number"
)
_DOUBT = (
    "INSERT INTO doubtful (project_id, hash, erasure_id, epoch) VALUES (?, ?, ?, ?) ON CONFLICT (project_id, hash)"
    " DO UPDATE SET erasure_id = excluded.erasure_id, epoch = excluded.epoch"
)
_REPLAYS = (
    "SELECT r.id, r.plan FROM replays r WHERE r.project_id = ? AND (r.source_id IN ({}) OR r.id IN"
    " (SELECT t.replay_id FROM replay_turns t WHERE t.source_id IN ({}) OR t.exchange_id IN ({})))"
)
_REPLAY = (
    "UPDATE replays SET plan = ?, cancel_requested_at = COALESCE(cancel_requested_at, ?)"
    " WHERE project_id = ? AND id = ?"
)
_EXPIRE = "UPDATE exports SET status = 'expired', filters = NULL WHERE project_id = ? AND status = 'completed'"
_BEGIN_ANEW = "UPDATE exports SET begun = begun + 1 WHERE project_id = ? AND status = 'in_progress'"
_RUNS = "SELECT number, stopped FROM replay_runs WHERE replay_id = ? AND stopped IS NOT NULL"
_RUN = "UPDATE replay_runs SET stopped = ? WHERE replay_id = ? AND number = ?"
_IN_CONVERSATION = (
    "SELECT 1 FROM exchanges h JOIN exchanges e ON e.lane = h.id AND e.project_id = h.project_id"
    " WHERE h.project_id = ? AND h.conversation_id = ? AND h.lane = h.id"
)
_SAYS = f"{_IN_CONVERSATION} AND e.erased_at IS NULL LIMIT 1"
_HAS = f"{_IN_CONVERSATION} LIMIT 1"
_UNDESCRIBE = "UPDATE conversations SET title = NULL, metadata = NULL WHERE project_id = ? AND id = ?"
_SENT = (
    "SELECT id, sent_hash FROM exchanges WHERE project_id = ? AND lane = ? AND depth >= ? AND sent_hash IS NOT NULL"
    " AND erased_at IS NULL"
)
_TOMBSTONE = "SELECT 1 FROM erased WHERE project_id = ? AND exchange_id = ? AND what = ?"
_TIP = "SELECT tip_id FROM conversations WHERE project_id = ? AND id = ?"
_MOVE = "UPDATE conversations SET tip_id = ? WHERE project_id = ? AND id = ?"
_BURY = (
    "INSERT INTO erased (project_id, exchange_id, what, erasure_id, batch_id, state, at) VALUES (?, ?, ?, ?, ?, ?, ?)"
    # One that somebody put back by hand is erased again; the entry of the first time fits no more, and says so.
    " ON CONFLICT (project_id, exchange_id, what) DO UPDATE SET erasure_id = excluded.erasure_id,"
    " batch_id = excluded.batch_id, state = excluded.state, at = excluded.at"
)
_UNSALT_REQUEST = "UPDATE audit_log SET salt = NULL WHERE project_id = ? AND id = ?"
# An answer's entry comes behind its request's, mostly soon: the log is read from there on, and not to its end.
_UNSALT_ANSWER = (
    "UPDATE audit_log SET salt = NULL WHERE project_id = ? AND id = (SELECT a.id FROM audit_log a"
    " WHERE a.project_id = ? AND a.id > ? AND a.object = ? AND a.commits = 'answer' ORDER BY a.id LIMIT 1)"
)
