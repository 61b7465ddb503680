"""The tables. The shape of the store on one screen; `migrations/` brings a database to it.

    projects ─< api_keys
    projects ─< conversations ─< exchanges ─< items        the tree: exchanges.parent_id
                                 exchanges >─ payloads     what repeats: settings, envelopes, big items
                                 exchanges ─< fingerprints what a history sent whole is recognised by
                                 exchanges ─< journal      a stream's events while it runs, and while it is followed
    processes ─< running >─ exchanges                      who is working on what
    projects ─< jobs ─< job_steps                          work that outlives its request
    projects ─< branches >─ exchanges                      named pointers into the trees
    projects ─< replays ─< replay_runs ─< replay_turns     threads that were asked again; each run is a job
    processes ─< jobs                                      who runs it
    exchanges ── ledger                                    what each took and cost; written once, with its end
    projects ─< spending                                   sums of the ledger, for the budgets
    projects ─< conversation_costs, quarter_costs          the same for reports: by conversation, and by time
    projects ─< prices, budgets
    exchanges ── searches                                  what an exchange is found by
    projects ─< retention_rules, sweeps, holds             how long things are kept, and what keeps them
    projects ─< audit_log                                  who did what; commits to the exchanges (strands.py)
    projects ─< erasures ─< erased                         what was erased, and which entry says so (erasing.py)
    payloads ── doubtful                                   those that may be nobody's any more (payloads.py)
    projects ─< exports, imports ─< file_parts             files of conversations that leave, or have come (files.py)
    projects ─< storage_keys                               what bodies are sealed with, itself sealed (vault.py)

An exchange lies in a *lane*: a run of exchanges, each the first child of the one before. A lane is named after the
exchange that opens it, so (lane, depth) names an exchange and orders its items: a thread without forks is one
contiguous range, read by one index scan however long it is. A second child opens a lane of its own.
See docs/decisions/0002-lanes.md. Lanes are derived: parent_id alone defines the tree.

The tables a turn writes have no foreign keys: PostgreSQL locks the referenced row for each one, and every turn of a
project refers to the same project and key. What they would guard, `turns.py` reads in the same request.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR

from convstore import ids
from convstore.storage.types import Body, Id, Utc

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_line = Text().with_variant(String(255), "sqlite")

projects = Table(
    "projects",
    metadata,
    Column("id", Id(ids.PROJECT), primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("settings", Text, nullable=False, server_default="{}"),
    Column("created_at", Utc, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Id(ids.KEY), primary_key=True),
    Column("project_id", Id(ids.PROJECT), ForeignKey("projects.id"), nullable=False, index=True),
    Column("name", String(255), nullable=False),
    Column("prefix", String(16), nullable=False),
    Column("sha256", LargeBinary(32), nullable=False, unique=True),
    Column("scopes", String(255), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("expires_at", Utc),
    Column("revoked_at", Utc),
    Column("last_used_at", Utc),
)

conversations = Table(
    "conversations",
    metadata,
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    Column("id", Id(ids.CONVERSATION), primary_key=True),
    Column("title", Text),
    Column("metadata", Text),
    # Where the Conversations API appends; a tree that nobody named a conversation has none.
    Column("tip_id", Id(ids.EXCHANGE)),
    # The exchange that will append next: until it ends, nobody else may.
    Column("writer_id", Id(ids.EXCHANGE)),
    Column("created_at", Utc, nullable=False),
    Column("deleted_at", Utc),
    sqlite_with_rowid=False,
)

payloads = Table(
    "payloads",
    metadata,
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    Column("hash", LargeBinary(16), primary_key=True),
    Column("body", Body, nullable=False),
)

exchanges = Table(
    "exchanges",
    metadata,
    # Ids grow with time, so the primary key is also the index of a project's history in order of time.
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    Column("id", Id(ids.EXCHANGE), primary_key=True),
    Column("conversation_id", Id(ids.CONVERSATION), nullable=False),
    Column("parent_id", Id(ids.EXCHANGE)),
    Column("lane", Id(ids.EXCHANGE), nullable=False),
    Column("depth", Integer, nullable=False),
    Column("input_count", Integer, nullable=False),
    # -- the request
    Column("status", String(16), nullable=False),
    Column("origin", String(16), nullable=False),
    Column("origin_id", Id(ids.EXCHANGE)),
    Column("stored", Boolean, nullable=False),
    Column("requested_model", String(255), nullable=False),
    Column("settings_hash", LargeBinary(16), nullable=False),
    Column("metadata", Text),
    Column("user", String(255)),
    Column("safety_identifier", String(255)),
    Column("extras", Text),
    Column("api_key_id", Id(ids.KEY)),
    Column("request_id", Id(ids.REQUEST)),
    Column("created_at", Utc, nullable=False),
    # How the parent was found, when the request did not name it: "conversation" or "inferred".
    Column("linked", String(16)),
    # "plain" or "streamed" when a worker answers it; "streamed" can be followed.
    Column("background", String(16)),
    # The first line of what was asked and of what was answered (domain/preview.py).
    # Texts, because they are longer when they are sealed; SQLite knows no lengths.
    Column("question", _line),
    Column("answer", _line),
    # SHA-256 of the items the model was shown, and how many of its thread were left out for lack of room.
    Column("context_sha256", LargeBinary(32)),
    Column("context_cut", Integer),
    # -- the whole history a client sent, of which only the new items are stored (services/histories.py)
    Column("sent_count", Integer),
    Column("sent_digest", LargeBinary(16)),
    Column("sent_hash", LargeBinary(16)),
    # -- the answer
    Column("model", String(255)),
    Column("upstream", String(64)),
    Column("upstream_response_id", String(255)),
    Column("reply_hash", LargeBinary(16)),
    Column("error", Text),
    Column("incomplete_reason", String(64)),
    Column("attempts", Text),
    Column("input_tokens", BigInteger),
    Column("cached_tokens", BigInteger),
    Column("cache_write_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("reasoning_tokens", BigInteger),
    Column("total_tokens", BigInteger),
    Column("usage", Text),
    Column("first_event_at", Utc),
    Column("completed_at", Utc),
    Column("deleted_at", Utc),
    # Since when markers stand in the place of what was said.
    Column("erased_at", Utc),
    # When an import brought it here; it may be older.
    Column("imported_at", Utc),
    # The number of its last event, of a background response that was streamed and has ended.
    Column("last_event", Integer),
    # The thread up to and with this answer (domain/fingerprints.py).
    Column("fingerprint", LargeBinary(32)),
    UniqueConstraint("lane", "depth"),
    # An answer fills in columns of no index, so PostgreSQL can update in place while there is room on the page.
    postgresql_with={"fillfactor": "80"},
)
# Only the exchanges that open a lane: the rest of a lane is found by (lane, depth), and most turns open none.
_opens_lane = text("lane = id")
Index("ix_exchanges_parent_id", exchanges.c.parent_id, sqlite_where=_opens_lane, postgresql_where=_opens_lane)
# In this order a conversation's roots come first, the oldest before the others: its title is the question of one.
Index(
    "ix_exchanges_conversation_id",
    exchanges.c.conversation_id,
    exchanges.c.depth,
    exchanges.c.id,
    sqlite_where=_opens_lane,
    postgresql_where=_opens_lane,
)

items = Table(
    "items",
    metadata,
    Column("lane", Id(ids.EXCHANGE), primary_key=True),
    Column("depth", Integer, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("output", Boolean, nullable=False),
    Column("type", String(255), nullable=False),
    Column("item_id", String(255)),
    Column("role", String(32)),
    Column("call_id", String(255)),
    Column("name", String(255)),
    # Which upstream a reasoning or compaction item is sealed by.
    Column("sealed_by", String(64)),
    Column("payload_hash", LargeBinary(16)),
    Column("body", Body),
)
_own_id = text("item_id IS NOT NULL AND NOT output")
Index("ix_items_item_id", items.c.item_id, sqlite_where=_own_id, postgresql_where=_own_id)
# Few are big enough to be shared.
_shared = text("payload_hash IS NOT NULL")
Index("ix_items_payload_hash", items.c.payload_hash, sqlite_where=_shared, postgresql_where=_shared)

fingerprints = Table(
    "fingerprints",
    metadata,
    # Of a thread up to and with an answer; two where it can be sent with its reasoning or without.
    Column("fingerprint", LargeBinary(16), primary_key=True),
    Column("exchange_id", Id(ids.EXCHANGE), primary_key=True),
    sqlite_with_rowid=False,
)

branches = Table(
    "branches",
    metadata,
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("conversation_id", Id(ids.CONVERSATION), nullable=False),
    Column("tip_id", Id(ids.EXCHANGE), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("moved_at", Utc, nullable=False),
    Index("ix_branches_conversation_id", "project_id", "conversation_id", "name"),
    Index("ix_branches_tip_id", "tip_id"),
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

ledger = Table(
    "ledger",
    metadata,
    # What reports group by is said again here, so that they read nothing else (domain/ledger.py).
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    Column("exchange_id", Id(ids.EXCHANGE), primary_key=True),
    Column("conversation_id", Id(ids.CONVERSATION), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("api_key_id", Id(ids.KEY)),
    Column("user", String(255)),
    Column("requested_model", String(255), nullable=False),
    Column("model", String(255)),
    Column("upstream", String(64)),
    Column("origin", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("service_tier", String(32)),
    Column("input_tokens", BigInteger),
    Column("cached_tokens", BigInteger),
    Column("cache_write_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("reasoning_tokens", BigInteger),
    Column("total_tokens", BigInteger),
    Column("web_searches", Integer),
    Column("file_searches", Integer),
    Column("code_executions", Integer),
    # The cost, as domain/money.py splits it; no currency where it is not known, or where nothing was billed.
    Column("basis", String(16), nullable=False),
    Column("reason", String(32)),
    Column("currency", String(16)),
    Column("millionths", BigInteger),
    Column("rest", Integer),
    # JSON: its lines, and which price they are by (domain/pricing/cost.py).
    Column("detail", Text),
    sqlite_with_rowid=False,
)

spending = Table(
    "spending",
    metadata,
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    # The day of the request in the installation's time zone, as a number.
    Column("day", Integer, primary_key=True),
    # 16 zero bytes where keys are off.
    Column("api_key_id", LargeBinary(16), primary_key=True),
    Column("currency", String(16), primary_key=True),
    # PostgreSQL locks a row until its writer's commit is on disk: turns of one key take turns on several rows.
    Column("slot", Integer, primary_key=True),
    Column("exchanges", BigInteger, nullable=False),
    Column("millionths", BigInteger, nullable=False),
    Column("rest", BigInteger, nullable=False),
    sqlite_with_rowid=False,
    postgresql_with={"fillfactor": "50"},
)


def _sums() -> list[Column[Any]]:
    """What is added up of the ledger's rows. A cost that is not known adds to no amount."""
    names = "input_tokens cached_tokens cache_write_tokens output_tokens reasoning_tokens total_tokens".split()
    return [Column(name, BigInteger, nullable=False) for name in ("exchanges", *names, "millionths", "rest")]


conversation_costs = Table(
    "conversation_costs",
    metadata,
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    Column("conversation_id", Id(ids.CONVERSATION), primary_key=True),
    # As in the ledger; empty where there is none.
    Column("basis", String(16), primary_key=True),
    Column("reason", String(32), primary_key=True),
    Column("currency", String(16), primary_key=True),
    *_sums(),
    sqlite_with_rowid=False,
    postgresql_with={"fillfactor": "70"},
)

quarter_costs = Table(
    "quarter_costs",
    metadata,
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    # The quarter of an hour of the request, counted from 1970 in UTC: every zone's days begin with one.
    Column("quarter", Integer, primary_key=True),
    # Stands for the columns from api_key_id to currency: their names would not fit an index.
    Column("digest", LargeBinary(16), primary_key=True),
    # As in spending.
    Column("slot", Integer, primary_key=True),
    Column("api_key_id", Id(ids.KEY)),
    Column("requested_model", String(255), nullable=False),
    Column("model", String(255)),
    Column("upstream", String(64)),
    Column("origin", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("service_tier", String(32)),
    Column("basis", String(16), nullable=False),
    Column("reason", String(32)),
    Column("currency", String(16)),
    *_sums(),
    sqlite_with_rowid=False,
    postgresql_with={"fillfactor": "50"},
)

prices = Table(
    "prices",
    metadata,
    Column("id", Id(ids.PRICE), primary_key=True),
    # None: for every project.
    Column("project_id", Id(ids.PROJECT)),
    # None: in force. Else it is one of a set that reports can be asked by.
    Column("price_set", String(64)),
    Column("upstream", String(64)),
    Column("model", String(255), nullable=False),
    Column("service_tier", String(32)),
    Column("currency", String(16), nullable=False),
    # JSON: the rates, and those for long contexts (domain/pricing/book.py).
    Column("rates", Text, nullable=False),
    Column("effective_from", Utc, nullable=False),
    Column("effective_to", Utc),
    Column("created_at", Utc, nullable=False),
    Index("ix_prices_project_id", "project_id"),
)

budgets = Table(
    "budgets",
    metadata,
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    Column("id", Id(ids.BUDGET), primary_key=True),
    Column("name", String(255), nullable=False),
    # Of what: of the project, or of one key or conversation of it.
    Column("api_key_id", Id(ids.KEY)),
    Column("conversation_id", Id(ids.CONVERSATION)),
    # day, month or total
    Column("period", String(16), nullable=False),
    Column("currency", String(16), nullable=False),
    # Decimal text.
    Column("amount", String(32), nullable=False),
    Column("hard", Boolean, nullable=False),
    Column("created_at", Utc, nullable=False),
    UniqueConstraint("project_id", "name"),
    sqlite_with_rowid=False,
)

# -- search (storage/searches.py) -------------------------------------------------------------------------------
# What an exchange is found by. On PostgreSQL its terms are here, under a GIN index; on SQLite they are in
# `search_words` (FTS5), which knows an exchange by its number. The one half is empty on the other engine, and so is
# its index.
searches = Table(
    "searches",
    metadata,
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    Column("exchange_id", Id(ids.EXCHANGE), primary_key=True),
    Column("number", BigInteger),
    Column("words", TSVECTOR().with_variant(Text(), "sqlite")),
    sqlite_with_rowid=False,
)
# On SQLite, what waits to be added to `search_words`.
search_waiting = Table(
    "search_waiting",
    metadata,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("words", Text, nullable=False),
)
_numbered, _worded = text("number IS NOT NULL"), text("words IS NOT NULL")
Index("ix_searches_number", searches.c.number, unique=True, sqlite_where=_numbered, postgresql_where=_numbered)
# A search reads all that waits to be put in order: 256 KiB of it is read in no time.
Index(
    "ix_searches_words",
    searches.c.words,
    postgresql_using="gin",
    postgresql_with={"gin_pending_list_limit": "256"},
    sqlite_where=_worded,
)

# -- retention (storage/retention.py, holds.py) -----------------------------------------------------------------
retention_rules = Table(
    "retention_rules",
    metadata,
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    Column("id", Id(ids.RULE), primary_key=True),
    Column("name", String(255), nullable=False),
    # The rule with the least comes first; of those with the same, the oldest.
    Column("priority", Integer, nullable=False),
    # What it is for: models of this pattern, what carries this metadata (JSON); None: everything.
    Column("model", String(255)),
    Column("metadata", Text),
    # None: for ever.
    Column("content_days", Integer),
    Column("figures_days", Integer),
    Column("keep_while_descendants", Boolean, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("changed_at", Utc, nullable=False),
    UniqueConstraint("project_id", "name"),
    sqlite_with_rowid=False,
)

sweeps = Table(
    "sweeps",
    metadata,
    # When the rules of a project were last asked to be carried out, or were changed.
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    Column("asked_at", Utc, nullable=False),
    sqlite_with_rowid=False,
)

holds = Table(
    "holds",
    metadata,
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    Column("id", Id(ids.HOLD), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("reason", Text),
    # What it is for: one of these.
    Column("conversation_id", Id(ids.CONVERSATION)),
    Column("response_id", Id(ids.EXCHANGE)),
    Column("user", String(255)),
    Column("safety_identifier", String(255)),
    Column("metadata", Text),
    Column("created_at", Utc, nullable=False),
    Column("api_key_id", Id(ids.KEY)),
    # A hold is evidence itself: it is released, and stays.
    Column("released_at", Utc),
    Column("released_by", Id(ids.KEY)),
    sqlite_with_rowid=False,
)

audit_log = Table(
    "audit_log",
    metadata,
    # The columns of domain/audit.py, in its order: all but the last two are what the last one seals.
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    # Of an entry that commits to a request: the id of its exchange.
    Column("id", Id(ids.ENTRY), primary_key=True),
    Column("strand", LargeBinary(8), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("previous_id", Id(ids.ENTRY)),
    Column("previous_seal", LargeBinary(16)),
    Column("at", Utc, nullable=False),
    Column("actor", String(64), nullable=False),
    Column("api_key_id", Id(ids.KEY)),
    Column("action", String(64), nullable=False),
    Column("object", String(255)),
    Column("outcome", String(16), nullable=False),
    Column("detail", String(64)),
    Column("remote", String(64)),
    Column("agent", String(64)),
    Column("request_id", Id(ids.REQUEST)),
    # request or answer: the side of the exchange that the digest stands for; erasure: it stands for `erased`.
    Column("commits", String(16)),
    Column("digest", LargeBinary(16)),
    Column("links", LargeBinary),
    Column("key_id", LargeBinary(4)),
    Column("salt", LargeBinary(16)),
    Column("seal", LargeBinary(16), nullable=False),
    sqlite_with_rowid=False,
)

erasures = Table(
    "erasures",
    metadata,
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    Column("id", Id(ids.ERASURE), primary_key=True),
    Column("job_id", Id(ids.JOB)),
    Column("api_key_id", Id(ids.KEY)),
    # What is asked for: a kind, and JSON, which goes when it is done. What stays of it is a salted digest: it names a
    # person.
    Column("by", String(32), nullable=False),
    Column("selector", Text),
    Column("selector_salt", LargeBinary(16), nullable=False),
    Column("selector_digest", LargeBinary(16), nullable=False),
    Column("copies", Boolean, nullable=False),
    Column("purge", Boolean, nullable=False),
    Column("status", String(16), nullable=False),
    # JSON: what was done so far (domain/erasing.py).
    Column("counts", Text, nullable=False, server_default="{}"),
    Column("created_at", Utc, nullable=False),
    Column("finished_at", Utc),
    Column("purged_at", Utc),
    sqlite_with_rowid=False,
)

erased = Table(
    "erased",
    metadata,
    # A tombstone: of an exchange, or of a part of it. Exchanges that were erased and removed later have two.
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    Column("exchange_id", Id(ids.EXCHANGE), primary_key=True),
    # content, all or history (domain/erasing.py)
    Column("what", String(16), primary_key=True),
    # An erasure, or whatever else had it erased.
    Column("erasure_id", String(64), nullable=False),
    # The entry of the audit log that commits to the tombstones of a batch.
    Column("batch_id", Id(ids.ENTRY)),
    # What stands for what is left of the exchange.
    Column("state", LargeBinary(16)),
    Column("at", Utc, nullable=False),
    Index("ix_erased_batch_id", "batch_id"),
    sqlite_with_rowid=False,
)

doubtful = Table(
    "doubtful",
    metadata,
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    Column("hash", LargeBinary(16), primary_key=True),
    Column("erasure_id", String(64), nullable=False),
    # No process remembers it from before that number of `epochs`.
    Column("epoch", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# One row: counted up with each batch of payloads that processes must not take for stored any more.
epochs = Table(
    "epochs",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
)

storage_keys = Table(
    "storage_keys",
    metadata,
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    # Sealed values name it.
    Column("number", Integer, primary_key=True),
    # Under the master key with this id (domain/sealing.py); empty once it is destroyed.
    Column("wrapped", LargeBinary, nullable=False),
    Column("key_id", LargeBinary(4), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("destroyed_at", Utc),
    sqlite_with_rowid=False,
)

# -- export and import (storage/exports.py, imports.py, files.py) -----------------------------------------------
exports = Table(
    "exports",
    metadata,
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    Column("id", Id(ids.EXPORT), primary_key=True),
    Column("job_id", Id(ids.JOB)),
    Column("api_key_id", Id(ids.KEY)),
    Column("format", String(16), nullable=False),
    # tree, thread or response (domain/exporting.py)
    Column("scope", String(16), nullable=False),
    # JSON: which exchanges. It may name people, so it goes with the file.
    Column("filters", Text),
    Column("status", String(16), nullable=False),
    # How often its file was begun: what an older attempt writes counts no more.
    Column("begun", Integer, nullable=False, server_default="0"),
    # JSON: what is in the file (domain/manifest.py).
    Column("manifest", Text),
    Column("bytes", BigInteger),
    Column("created_at", Utc, nullable=False),
    Column("finished_at", Utc),
    Column("expires_at", Utc),
    sqlite_with_rowid=False,
)

imports = Table(
    "imports",
    metadata,
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    Column("id", Id(ids.IMPORT), primary_key=True),
    Column("job_id", Id(ids.JOB)),
    Column("api_key_id", Id(ids.KEY)),
    # As it was asked for, or None; then as it was found.
    Column("format", String(16)),
    Column("ids", String(16), nullable=False),
    Column("dry_run", Boolean, nullable=False),
    Column("status", String(16), nullable=False),
    Column("bytes", BigInteger, nullable=False, server_default="0"),
    # How many records of the file are done with.
    Column("position", BigInteger, nullable=False, server_default="0"),
    # JSON: what came of them (domain/report.py).
    Column("report", Text, nullable=False, server_default="{}"),
    Column("created_at", Utc, nullable=False),
    Column("finished_at", Utc),
    Column("expires_at", Utc),
    sqlite_with_rowid=False,
)

file_parts = Table(
    "file_parts",
    metadata,
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    # The 16 bytes of the export or the import whose file it is.
    Column("file_id", LargeBinary(16), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
