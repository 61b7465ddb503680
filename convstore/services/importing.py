"""Records brought in: batch by batch, each of them a transaction that leaves its exchanges whole or not at all.

What is here already is left as it is, so a file may be brought in again, and one that was interrupted goes on. What
cannot be used is told with its place, and does not stop the rest; what hangs below it cannot be used either.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from convstore.archives.detection import CONVSTORE
from convstore.domain.archive import Archived, ArchivedBranch, ArchivedConversation, Broken, Record
from convstore.domain.exchange import ADDED
from convstore.domain.ledger import Entry
from convstore.domain.pricing import cost
from convstore.domain.pricing.cost import Reason
from convstore.domain.report import REASONS, Problem, Report
from convstore.errors import StorageUnavailable
from convstore.services.deps import Deps
from convstore.storage.archive import putting
from convstore.storage.archive.putting import KNOWN, NEW, TAKEN, Arrival, Batch, Put
from convstore.storage.direct import Clash
from convstore.storage.scope import Scope

# Records of one transaction, and about how many bytes of them: SQLite has one writer, and turns wait for it.
TOGETHER = 200
BYTES = 4 * 2**20
# How long a database that is busy is waited for.
PATIENCE_S = 60.0
NAP_S = 0.1
# SQLite has one writer: behind each batch others get so much of the time that it took, and a moment at least.
REST = 0.2
REST_S = 0.01
# How often others may be first with some of a batch, before its records are put one by one.
CLASHES = 5
# Conversations of which it is remembered what the file says. Their exchanges come right behind them.
REMEMBERED = 10_000
# Exchanges that would be new, in a run that writes nothing.
EXPECTED = 500_000

# Told in the transaction of a batch: what came of everything so far, and how many records are done with.
Note = Callable[[Scope, Report, int], None]
# Told after each batch how many records are done with. May raise, to stop there.
Tell = Callable[[int], None]


@dataclass(slots=True)
class Run:
    """One import. dry: only say what would come of it. skip: so many records are done with, and in *report*."""

    project_id: str
    arrival: Arrival
    dry: bool = False
    skip: int = 0
    report: Report = field(default_factory=Report)
    note: Note | None = None
    tell: Tell | None = None
    # Conversations that were read of, and not counted yet.
    uncounted: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Gathered:
    """Records that will be put together. empty: conversations without an exchange; read: how many records it was."""

    records: list[Record] = field(default_factory=list)
    empty: list[ArchivedConversation] = field(default_factory=list)
    read: int = 0
    bytes: int = 0

    def is_full(self) -> bool:
        return self.read >= TOGETHER or self.bytes >= BYTES

    def singly(self) -> Iterator["_Gathered"]:
        """The same one by one."""
        yield _Gathered(empty=self.empty)
        for record in self.records:
            yield _Gathered([record])


def run(deps: Deps, run: Run, records: Iterable[Record]) -> Report:
    """Bring records in. Raises StorageUnavailable, and what *tell* or the records raise."""
    position, gathered = 0, _Gathered()
    alone: ArchivedConversation | None = None
    for record in records:
        position += 1
        if isinstance(record.value, ArchivedConversation):
            _remember(run.arrival, record.value)
        if position <= run.skip:
            continue
        alone = _gather(deps, run, gathered, record, alone)
        if gathered.is_full():
            _put(deps, run, gathered, position)
            gathered = _Gathered()
    if alone is not None:
        gathered.empty.append(alone)
    _put(deps, run, gathered, position)
    return run.report


def _remember(arrival: Arrival, conversation: ArchivedConversation) -> None:
    if len(arrival.conversations) >= REMEMBERED:
        arrival.conversations.pop(next(iter(arrival.conversations)))
    arrival.conversations[conversation.id] = conversation


def _gather(
    deps: Deps, run: Run, gathered: _Gathered, record: Record, alone: ArchivedConversation | None
) -> ArchivedConversation | None:
    """Add a record to those that wait. Returns the conversation that nothing was seen of yet but itself."""
    gathered.read += 1
    value = record.value
    if isinstance(value, ArchivedConversation):
        run.uncounted.add(value.id)
    elif isinstance(value, Archived):
        gathered.records.append(replace(record, value=_counted(deps, run.arrival, value)))
        gathered.bytes += sum(len(kept.item.body) for side in (value.input, value.output) for kept in side)
    else:
        gathered.records.append(record)
    if not isinstance(value, ArchivedConversation | ArchivedBranch):
        return None
    if alone is not None:
        gathered.empty.append(alone)
    return value if isinstance(value, ArchivedConversation) else None


def _counted(deps: Deps, arrival: Arrival, archived: Archived) -> Archived:
    """The exchange with its entry for the ledger; others' say nothing of costs, so theirs says that nobody knows."""
    day = archived.created_at.astimezone(deps.timezone).date()
    if archived.entry is not None:
        is_day = archived.entry.day == day
        return archived if is_day else replace(archived, entry=replace(archived.entry, day=day))
    if arrival.ids_are_given or archived.origin == ADDED:
        return archived
    entry = Entry(
        exchange_id=archived.id,
        conversation_id=archived.conversation_id,
        created_at=archived.created_at,
        day=day,
        api_key_id=archived.api_key_id,
        user=archived.user,
        requested_model=archived.requested_model,
        model=archived.model,
        upstream=archived.upstream,
        origin=archived.origin,
        status=archived.status,
        usage=archived.usage,
        cost=cost.unknown(Reason.IMPORTED),
        calls=cost.calls_in([kept.item for kept in archived.output]),
    )
    return replace(archived, entry=entry)


def _put(deps: Deps, run: Run, gathered: _Gathered, position: int) -> None:
    """Put a batch on disk, whoever is in the way. Raises StorageUnavailable, when that is for too long."""
    if not gathered.read and not gathered.empty:
        return
    began = time.monotonic()
    if not _patiently(deps, run, gathered, position):
        before = position - len(gathered.records)
        for at, single in enumerate(gathered.singly()):
            if not _patiently(deps, run, single, before + at):
                _once(deps, run, single, before + at, taken=True)
    if deps.database.is_sqlite and not run.dry:
        time.sleep(max(REST_S, REST * (time.monotonic() - began)))
    if run.tell is not None:
        run.tell(position)


def _patiently(deps: Deps, run: Run, gathered: _Gathered, position: int) -> bool:
    """False when something of it was taken each time: it is here, and not where it belongs."""
    deadline = time.monotonic() + PATIENCE_S
    clashes = 0
    while True:
        try:
            _once(deps, run, gathered, position)
            return True
        except Clash:
            # Somebody else was first with some of it: next time that is known.
            clashes += 1
            if clashes >= CLASHES:
                return False
        except StorageUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(NAP_S)


def _once(deps: Deps, run: Run, gathered: _Gathered, position: int, *, taken: bool = False) -> None:
    """One transaction, with what came of it. taken: what is in it cannot be put; only say so."""
    database, report = deps.database, Report()
    report.add(run.report)
    opened = database.reading(run.project_id) if run.dry else database.writing(run.project_id)
    with opened as scope:
        exchanges = [each.value for each in gathered.records if isinstance(each.value, Archived)]
        if taken:
            done = Put([TAKEN] * len(exchanges))
        else:
            done = putting.put(database, scope, run.arrival, Batch(exchanges, gathered.empty), dry=run.dry)
        if run.dry:
            _expect(run.arrival, exchanges, done)
        outcomes = iter(done.exchanges)
        for record in gathered.records:
            if isinstance(record.value, ArchivedBranch):
                outcome = putting.name(database, scope, run.arrival, record.value, dry=run.dry)
            else:
                outcome = next(outcomes) if isinstance(record.value, Archived) else ""
            _tell(report, record, outcome)
        for conversation_id in run.uncounted & done.conversations.keys():
            report.count("conversations", _word(done.conversations[conversation_id]))
        if run.note is not None and not run.dry:
            run.note(scope, report, position)
    if run.note is not None and run.dry:
        with database.writing(run.project_id, records=False) as scope:
            run.note(scope, report, position)
    run.report = report
    run.uncounted -= done.conversations.keys()


def _tell(report: Report, record: Record, outcome: str) -> None:
    """Count what became of a record, and say what is wrong with it."""
    value = record.value
    if isinstance(value, Broken):
        report.count("records", "broken")
        report.tell(Problem(record.place, value.reason, value.message, value.id))
        return
    assert isinstance(value, Archived | ArchivedBranch)
    report.count("exchanges" if isinstance(value, Archived) else "branches", _word(outcome))
    if isinstance(value, Archived) and outcome == NEW:
        report.count("items", NEW, len(value.input) + len(value.output))
    if outcome not in (NEW, KNOWN):
        own = value.id if isinstance(value, Archived) else value.name
        report.tell(Problem(record.place, outcome, REASONS[outcome], own))


def _expect(arrival: Arrival, exchanges: Iterable[Archived], done: Put) -> None:
    """In a run that writes nothing: remember what would be there by now."""
    for archived, outcome in zip(exchanges, done.exchanges, strict=True):
        if outcome == NEW:
            if len(arrival.expected) >= EXPECTED:
                arrival.expected.pop(next(iter(arrival.expected)))
            arrival.expected[archived.id] = archived.conversation_id


def _word(outcome: str) -> str:
    return outcome if outcome in (NEW, KNOWN) else "refused"


def arrival(deps: Deps, import_id: str, at: datetime, kind: str, key_id: str | None = None) -> Arrival:
    """What an import brings with it that began at this moment. kind: the format of its file."""
    return Arrival(import_id, at, key_id, None, deps.relay.link_histories, ids_are_given=kind == CONVSTORE)
