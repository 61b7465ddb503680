"""What was asked and answered: the tree, what repeats in it, and its named pointers."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from convstore import ids
from convstore.storage.tables.base import metadata
from convstore.storage.types import Body, Id, Utc

_line = Text().with_variant(String(255), "sqlite")

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
