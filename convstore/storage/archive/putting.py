"""Exchanges put back, a batch a transaction: each whole or not at all, and with its entries in the audit log.

What is there already is left as it is, so a batch may be put again. Where it is to lie is worked out from its parent,
which is there or comes before it. Two that put the same at once clash on PostgreSQL: one of them is to begin again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from convstore import ids
from convstore.domain import erasing
from convstore.domain.archive import Archived, ArchivedBranch, ArchivedConversation
from convstore.domain.audit import Commits
from convstore.domain.exchange import ADDED
from convstore.errors import ContentShredded
from convstore.storage import direct, sealed, tables
from convstore.storage.archive import looking, rows
from convstore.storage.archive.looking import Found, Known
from convstore.storage.archive.rows import Coming
from convstore.storage.archive.threads import Threads
from convstore.storage.database import Database
from convstore.storage.direct import Cursor
from convstore.storage.rows import packed, payload_rows
from convstore.storage.scope import Scope
from convstore.storage.seals import Committed
from convstore.storage.statements import Insert, Write, each
from convstore.storage.types import micros

NEW, KNOWN, TAKEN = "new", "known", "taken"
ACTION = "imports.import"


@dataclass(slots=True)
class Arrival:
    """One import. import_id: what the audit log calls it; at: when it began; whose key and request it is.

    link_histories: whether threads are to be recognised when they are sent whole. ids_are_given: the file has ids, and
    must not have one twice; else they are made of what is said, and stand for that wherever it is said. conversations:
    what the file says of those that were read last, by id. expected: in a run that writes nothing, what it would have,
    with its conversation.
    """

    import_id: str
    at: datetime
    key_id: str | None = None
    request_id: str | None = None
    link_histories: bool = True
    ids_are_given: bool = False
    conversations: dict[str, ArchivedConversation] = field(default_factory=dict)
    expected: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Batch:
    """What is to be put back together, in the order of the file. empty: conversations without an exchange."""

    exchanges: list[Archived] = field(default_factory=list)
    empty: list[ArchivedConversation] = field(default_factory=list)


@dataclass(slots=True)
class Put:
    """What became of it: by exchange NEW, KNOWN or a reason (domain/report.py), and so of conversations."""

    exchanges: list[str] = field(default_factory=list)
    conversations: dict[str, str] = field(default_factory=dict)


def put(database: Database, scope: Scope, arrival: Arrival, batch: Batch, *, dry: bool = False) -> Put:
    """Put a batch on disk, in the caller's transaction; dry: only say what would come of it. Raises Clash."""
    with direct.within(database, scope.connection) as cursor:
        work = _Work(database, cursor, scope.project_id, arrival)
        done = work.plan(batch, dry=dry)
        if not dry and (work.coming or work.conversations):
            work.write()
        return done


def name(database: Database, scope: Scope, arrival: Arrival, branch: ArchivedBranch, *, dry: bool = False) -> str:
    """Put a branch's name on disk: NEW, KNOWN, or why not. dry: as above."""
    project, tip = packed(ids.PROJECT, scope.project_id), packed(ids.EXCHANGE, branch.tip_id)
    conversation = packed(ids.CONVERSATION, branch.conversation_id)
    with direct.within(database, scope.connection) as cursor:
        there = cursor.execute(_BRANCH, (project, branch.name)).fetchone()
        if there is not None:
            return KNOWN if bytes(there[0]) == tip else "name_taken"
        is_expected = arrival.expected.get(branch.tip_id) == branch.conversation_id
        if not is_expected and cursor.execute(_TIP, (project, tip, conversation)).fetchone() is None:
            return "tip_missing"
        if dry:
            return NEW
        columns = ("project_id", "name", "conversation_id", "tip_id", "created_at", "moved_at")
        row = (project, branch.name, conversation, tip, micros(branch.created_at), micros(branch.moved_at))
        each(cursor, [Insert(tables.branches, columns, [row])])
        return NEW


class _Work:
    """One batch."""

    def __init__(self, database: Database, cursor: Cursor, project_id: str, arrival: Arrival) -> None:
        self.database = database
        self.cursor = cursor
        self.project_id = project_id
        self.project = packed(ids.PROJECT, project_id) or b""
        self.arrival = arrival
        self.coming: dict[str, Coming] = {}
        self.conversations: dict[str, ArchivedConversation] = {}
        self._threads = Threads(cursor, project_id, self.coming)
        self._continued: set[str] = set()
        self._settings: dict[bytes, bytes] = {}

    # -- what becomes of it -----------------------------------------------------------------------------------

    def plan(self, batch: Batch, *, dry: bool) -> Put:
        """Say what becomes of each, and where the new ones are going to lie."""
        found = looking.look(self.cursor, self.project_id, batch.exchanges)
        wanted = {each.conversation_id for each in batch.exchanges} | {each.id for each in batch.empty}
        there, elsewhere = looking.conversations(self.cursor, self.project_id, wanted)
        done = Put(conversations=dict.fromkeys(there, KNOWN) | dict.fromkeys(elsewhere, "other_project"))
        for archived in batch.exchanges:
            outcome = self._outcome(archived, found, done.conversations)
            done.exchanges.append(outcome)
            if outcome == NEW:
                self._place(archived, found, dry=dry)
                if archived.conversation_id not in done.conversations:
                    self._open(self.arrival.conversations[archived.conversation_id], done)
        for conversation in batch.empty:
            if conversation.id not in done.conversations:
                self._open(conversation, done)
        return done

    def _open(self, conversation: ArchivedConversation, done: Put) -> None:
        self.conversations[conversation.id] = conversation
        done.conversations[conversation.id] = NEW

    def _outcome(self, archived: Archived, found: Found, conversations: Mapping[str, str]) -> str:
        known = found.exchanges.get(archived.id)
        is_again = archived.id in self.coming or archived.id in self.arrival.expected
        if is_again or (known is not None and known.imported_at == micros(self.arrival.at)):
            return "duplicate" if self.arrival.ids_are_given else KNOWN
        if known is not None:
            return KNOWN
        for reason, having in (
            ("other_project", found.elsewhere),
            ("erased", found.erased),
            ("on_record", found.on_record),
        ):
            if archived.id in having:
                return reason
        opened = conversations.get(archived.conversation_id)
        if opened == "other_project":
            return opened
        if opened is None and archived.conversation_id not in self.arrival.conversations:
            return "conversation_missing"
        return self._behind(archived, found)

    def _behind(self, archived: Archived, found: Found) -> str:
        """Whether it can go on from its parent."""
        if archived.parent_id is None:
            return NEW
        if archived.parent_id == archived.id:
            return "cycle"
        parent = self.coming.get(archived.parent_id)
        known = found.exchanges.get(archived.parent_id)
        home = self.arrival.expected.get(archived.parent_id)
        if parent is not None or known is not None:
            home = parent.archived.conversation_id if parent else known.conversation_id if known else None
        if home is None:
            return "parent_missing"
        if home != archived.conversation_id:
            return "parent_elsewhere"
        return "parent_unusable" if known is not None and not known.may_be_continued else NEW

    # -- where it is going to lie -----------------------------------------------------------------------------

    def _place(self, archived: Archived, found: Found, *, dry: bool) -> None:
        if dry:
            self.coming[archived.id] = Coming(archived, archived.id, 0, b"")
            return
        above = self.coming.get(archived.parent_id or "") or found.exchanges.get(archived.parent_id or "")
        lane, depth = archived.id, 0
        if above is not None and archived.parent_id is not None:
            depth = above.depth + 1
            if archived.parent_id not in self._continued and not (isinstance(above, Known) and above.continued):
                lane = above.lane
                self._continued.add(archived.parent_id)
        settings = self._settings_of(archived, above)
        thread = self._threads.of(archived, above) if self.arrival.link_histories else None
        self.coming[archived.id] = Coming(archived, lane, depth, settings, thread)

    def _settings_of(self, archived: Archived, above: Coming | Known | None) -> bytes:
        if not archived.repeats_settings or above is None:
            return archived.settings
        if isinstance(above, Coming):
            return above.settings
        if above.settings_hash not in self._settings:
            row = self.cursor.execute(_PAYLOAD, (self.project, above.settings_hash)).fetchone()
            self._settings[above.settings_hash] = self._body(bytes(row[0])) if row is not None else b""
        return self._settings[above.settings_hash] or erasing.settings(archived.requested_model)

    def _body(self, stored: bytes) -> bytes:
        try:
            return self.database.vault.body(self.cursor.execute, self.project_id, stored)
        except ContentShredded:
            return b""

    # -- on disk ----------------------------------------------------------------------------------------------

    def write(self) -> None:
        """Put the new ones on disk."""
        vault = self.database.vault
        self.cursor.sealer = vault.sealer(self.cursor.execute, self.project) if vault.seals else None
        shared: dict[bytes, bytes] = {}
        writes: list[Write] = [*self._conversations()]
        for coming in self.coming.values():
            writes += self._exchange(coming, shared)
            writes += self._stored_form(rows.besides(self.database, self.project_id, coming))
        payloads = payload_rows(self.database, self.project_id, shared)
        each(self.cursor, rows.merged([*self._stored_form(payloads), *writes]))
        self._move_tips()
        if self.database.recorder is not None:
            # The newest entry of its strand is to be one of now: those of what is old are not looked for (strands.py).
            each(self.cursor, [self.database.recorder.imported(self.cursor, self._whole())])

    def _exchange(self, coming: Coming, shared: dict[bytes, bytes]) -> list[Write]:
        """The rows of an exchange as they go to disk, and the entries that commit to them."""
        own, into, out = rows.of_exchange(self.project_id, coming, micros(self.arrival.at), shared)
        if self.cursor.sealer is None:
            return [own, *into, *out, *self._entries(coming.archived, [own, *into], [own, *out])]
        asked, said = (sealed.marked(self.cursor.sealer, side) for side in ([own, *into], [own, *out]))
        return [*sealed.sealed(self.cursor.sealer, [*asked, *said[1:]]), *self._entries(coming.archived, asked, said)]

    def _entries(self, archived: Archived, asked: Sequence[Write], said: Sequence[Write]) -> list[Write]:
        if self.database.recorder is None:
            return []
        whose = (self.project_id, archived.id, self.arrival.key_id, self.arrival.request_id)
        sides: list[tuple[Commits, Sequence[Write], str | None]] = [(Commits.REQUEST, asked, None)]
        if archived.origin != ADDED:
            sides.append((Commits.ANSWER, said, archived.status))
        return [
            self.database.recorder.committing(self.cursor, writes, Committed(side, *whose, status, action=ACTION))
            for side, writes, status in sides
        ]

    def _stored_form(self, writes: Sequence[Write]) -> Sequence[Write]:
        if self.cursor.sealer is None:
            return writes
        return sealed.sealed(self.cursor.sealer, sealed.marked(self.cursor.sealer, writes))

    def _conversations(self) -> Sequence[Write]:
        columns = ("project_id", "id", "title", "metadata", "created_at", "deleted_at")
        made = [
            (
                self.project,
                packed(ids.CONVERSATION, each.id),
                each.title,
                each.metadata.decode() if each.metadata is not None else None,
                micros(each.created_at),
                micros(each.deleted_at) if each.deleted_at else None,
            )
            for each in self.conversations.values()
        ]
        return self._stored_form([Insert(tables.conversations, columns, made)]) if made else []

    def _move_tips(self) -> None:
        """A conversation goes on where it did, if that is here now and it has not gone on since."""
        for own, coming in self.coming.items():
            conversation = self.arrival.conversations.get(coming.archived.conversation_id)
            if conversation is not None and conversation.tip_id == own:
                place = (self.project, packed(ids.CONVERSATION, conversation.id))
                self.cursor.execute(_MOVE_TIP, (packed(ids.EXCHANGE, own), *place))

    def _whole(self) -> Committed:
        whose = (self.arrival.key_id, self.arrival.request_id)
        return Committed(Commits.REQUEST, self.project_id, self.arrival.import_id, *whose, action=ACTION)


_BRANCH = "SELECT tip_id FROM branches WHERE project_id = ? AND name = ?"
_TIP = "SELECT 1 FROM exchanges WHERE project_id = ? AND id = ? AND conversation_id = ?"
_PAYLOAD = "SELECT body FROM payloads WHERE project_id = ? AND hash = ?"
_MOVE_TIP = "UPDATE conversations SET tip_id = ? WHERE project_id = ? AND id = ? AND tip_id IS NULL"
