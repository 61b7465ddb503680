"""Who is working on what: processes, streams that run, jobs, and the replays that are jobs."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table, Text, text

from convstore import ids
from convstore.storage.tables.base import metadata
from convstore.storage.types import Body, Id, Utc

processes = Table(
    "processes",
    metadata,
    Column("id", LargeBinary(16), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("role", String(16), nullable=False, server_default="web"),
    Column("started_at", Utc, nullable=False),
    Column("seen_at", Utc, nullable=False),
    # Up to which number of `epochs` it has forgotten which payloads are stored.
    Column("epoch", BigInteger),
)

running = Table(
    "running",
    metadata,
    Column("exchange_id", Id(ids.EXCHANGE), primary_key=True),
    Column("project_id", Id(ids.PROJECT), nullable=False),
    Column("process_id", LargeBinary(16), nullable=False),
    # Of background responses: since when its client wants it no more.
    Column("cancel_requested_at", Utc),
    sqlite_with_rowid=False,
)

journal = Table(
    "journal",
    metadata,
    Column("exchange_id", Id(ids.EXCHANGE), primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("events", Body, nullable=False),
    # -- of background responses (storage/journals.py)
    # The numbers of the events; none in a part that only says that the upstream has begun to answer.
    Column("first_number", Integer),
    Column("last_number", Integer),
    # When the response ended, with its last part.
    Column("ended_at", Utc),
)
_last_part = text("ended_at IS NOT NULL")
Index("ix_journal_ended_at", journal.c.ended_at, sqlite_where=_last_part, postgresql_where=_last_part)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("body_sha256", LargeBinary(32), nullable=False),
    Column("exchange_id", Id(ids.EXCHANGE), nullable=False, index=True),
    Column("created_at", Utc, nullable=False),
    sqlite_with_rowid=False,
)

jobs = Table(
    "jobs",
    metadata,
    # As in exchanges, ids grow with time: the primary key is the index of a project's jobs in order of time.
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    Column("id", Id(ids.JOB), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("subject", String(64)),
    Column("arguments", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("progress", Text),
    # attempts: how often it was begun, but for those that were handed back. runs: how often it was begun.
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("runs", Integer, nullable=False, server_default="0"),
    Column("error", Text),
    Column("worker", LargeBinary(16)),
    Column("created_at", Utc, nullable=False),
    Column("started_at", Utc),
    Column("finished_at", Utc),
    Column("cancel_requested_at", Utc),
    # Progress is in no index: PostgreSQL writes it in place while there is room on the page.
    postgresql_with={"fillfactor": "80"},
)
# What is looked for across projects: what is queued, what runs, what failed. Most jobs end up in none of them.
for _columns, _status in ((("kind", "id"), "queued"), (("worker",), "running"), (("kind",), "failed")):
    _where = text(f"status = '{_status}'")
    Index(f"ix_jobs_{_status}", *(jobs.c[name] for name in _columns), sqlite_where=_where, postgresql_where=_where)
_unfinished = text("finished_at IS NULL AND subject IS NOT NULL")
Index("ix_jobs_subject", jobs.c.subject, sqlite_where=_unfinished, postgresql_where=_unfinished)

job_steps = Table(
    "job_steps",
    metadata,
    Column("job_id", Id(ids.JOB), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("result", Text, nullable=False),
    sqlite_with_rowid=False,
)

replays = Table(
    "replays",
    metadata,
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    Column("id", Id(ids.REPLAY), primary_key=True),
    Column("conversation_id", Id(ids.CONVERSATION), nullable=False),
    # The exchange up to which the thread is asked again.
    Column("source_id", Id(ids.EXCHANGE), nullable=False),
    # JSON: what was wanted (domain/replay.py).
    Column("plan", Text, nullable=False),
    Column("calls", Integer, nullable=False, server_default="0"),
    Column("created_at", Utc, nullable=False),
    Column("cancel_requested_at", Utc),
    sqlite_with_rowid=False,
)

replay_runs = Table(
    "replay_runs",
    metadata,
    Column("replay_id", Id(ids.REPLAY), primary_key=True),
    # One for each model, side by side; each is a job of its own.
    Column("number", Integer, primary_key=True),
    Column("model", String(255)),
    Column("job_id", Id(ids.JOB), nullable=False),
    # Why it stopped before its last turn, as JSON.
    Column("stopped", Text),
    sqlite_with_rowid=False,
)

replay_turns = Table(
    "replay_turns",
    metadata,
    Column("replay_id", Id(ids.REPLAY), primary_key=True),
    Column("run", Integer, primary_key=True),
    Column("turn", Integer, primary_key=True),
    # What was asked again, and the exchange that does so.
    Column("source_id", Id(ids.EXCHANGE), nullable=False),
    Column("exchange_id", Id(ids.EXCHANGE), nullable=False),
    sqlite_with_rowid=False,
)
