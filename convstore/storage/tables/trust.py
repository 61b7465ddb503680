"""What keeps, what erases, what proves and what seals."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, String, Table, Text, UniqueConstraint

from convstore import ids
from convstore.storage.tables.base import metadata
from convstore.storage.types import Id, Utc

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
