"""The tables. The shape of the store on one screen; `migrations/` brings a database to it.

    projects ─< api_keys
    projects ─< conversations ─< exchanges ─< items        the tree: exchanges.parent_id
                                 exchanges >─ payloads     what repeats: settings, envelopes, big items
                                 exchanges ─< journal      a stream's events while it runs
    processes ─< running >─ exchanges                      who is working on what

An exchange lies in a *lane*: a run of exchanges, each the first child of the one before. A lane is named after the
exchange that opens it, so (lane, depth) names an exchange and orders its items: a thread without forks is one
contiguous range, read by one index scan however long it is. A second child opens a lane of its own.
See docs/decisions/0002-lanes.md. Lanes are derived: parent_id alone defines the tree.

The tables a turn writes have no foreign keys: PostgreSQL locks the referenced row for each one, and every turn of a
project refers to the same project and key. What they would guard, `turns.py` reads in the same request.
"""

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
    Column("tip_id", Id(ids.EXCHANGE)),
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
    UniqueConstraint("lane", "depth"),
    # An answer fills in columns of no index, so PostgreSQL can update in place while there is room on the page.
    postgresql_with={"fillfactor": "80"},
)
# Only the exchanges that open a lane: the rest of a lane is found by (lane, depth), and most turns open none.
_opens_lane = text("lane = id")
Index("ix_exchanges_parent_id", exchanges.c.parent_id, sqlite_where=_opens_lane, postgresql_where=_opens_lane)
Index(
    "ix_exchanges_conversation_id", exchanges.c.conversation_id, sqlite_where=_opens_lane, postgresql_where=_opens_lane
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

processes = Table(
    "processes",
    metadata,
    Column("id", LargeBinary(16), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", Utc, nullable=False),
    Column("seen_at", Utc, nullable=False),
)

running = Table(
    "running",
    metadata,
    Column("exchange_id", Id(ids.EXCHANGE), primary_key=True),
    Column("project_id", Id(ids.PROJECT), nullable=False),
    Column("process_id", LargeBinary(16), nullable=False),
    sqlite_with_rowid=False,
)

journal = Table(
    "journal",
    metadata,
    Column("exchange_id", Id(ids.EXCHANGE), primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("events", Body, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("body_sha256", LargeBinary(32), nullable=False),
    Column("exchange_id", Id(ids.EXCHANGE), nullable=False),
    Column("created_at", Utc, nullable=False),
    sqlite_with_rowid=False,
)
