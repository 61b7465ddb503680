"""The gateway: projects, keys, conversations, exchanges and their items."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

OPENS_LANE = sa.text("lane = id")
OWN_ID = sa.text("item_id IS NOT NULL AND NOT output")


def upgrade():
    op.create_table(
        "conversations",
        sa.Column("project_id", sa.LargeBinary(16), nullable=False),
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("title", sa.Text()),
        sa.Column("metadata", sa.Text()),
        sa.Column("tip_id", sa.LargeBinary(16)),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_conversations"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "exchanges",
        sa.Column("project_id", sa.LargeBinary(16), nullable=False),
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("conversation_id", sa.LargeBinary(16), nullable=False),
        sa.Column("parent_id", sa.LargeBinary(16)),
        sa.Column("lane", sa.LargeBinary(16), nullable=False),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.Column("input_count", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("origin_id", sa.LargeBinary(16)),
        sa.Column("stored", sa.Boolean(), nullable=False),
        sa.Column("requested_model", sa.String(length=255), nullable=False),
        sa.Column("settings_hash", sa.LargeBinary(16), nullable=False),
        sa.Column("metadata", sa.Text()),
        sa.Column("user", sa.String(length=255)),
        sa.Column("safety_identifier", sa.String(length=255)),
        sa.Column("extras", sa.Text()),
        sa.Column("api_key_id", sa.LargeBinary(16)),
        sa.Column("request_id", sa.LargeBinary(16)),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("model", sa.String(length=255)),
        sa.Column("upstream", sa.String(length=64)),
        sa.Column("upstream_response_id", sa.String(length=255)),
        sa.Column("reply_hash", sa.LargeBinary(16)),
        sa.Column("error", sa.Text()),
        sa.Column("incomplete_reason", sa.String(length=64)),
        sa.Column("attempts", sa.Text()),
        sa.Column("input_tokens", sa.BigInteger()),
        sa.Column("cached_tokens", sa.BigInteger()),
        sa.Column("cache_write_tokens", sa.BigInteger()),
        sa.Column("output_tokens", sa.BigInteger()),
        sa.Column("reasoning_tokens", sa.BigInteger()),
        sa.Column("total_tokens", sa.BigInteger()),
        sa.Column("usage", sa.Text()),
        sa.Column("first_event_at", sa.BigInteger()),
        sa.Column("completed_at", sa.BigInteger()),
        sa.Column("deleted_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_exchanges"),
        sa.UniqueConstraint("lane", "depth", name="uq_exchanges_lane_depth"),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index(
        "ix_exchanges_conversation_id",
        "exchanges",
        ["conversation_id"],
        sqlite_where=OPENS_LANE,
        postgresql_where=OPENS_LANE,
    )
    op.create_index(
        "ix_exchanges_parent_id",
        "exchanges",
        ["parent_id"],
        sqlite_where=OPENS_LANE,
        postgresql_where=OPENS_LANE,
    )

    op.create_table(
        "idempotency_keys",
        sa.Column("project_id", sa.LargeBinary(16), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("body_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("exchange_id", sa.LargeBinary(16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "key", name="pk_idempotency_keys"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "items",
        sa.Column("lane", sa.LargeBinary(16), nullable=False),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("output", sa.Boolean(), nullable=False),
        sa.Column("type", sa.String(length=255), nullable=False),
        sa.Column("item_id", sa.String(length=255)),
        sa.Column("role", sa.String(length=32)),
        sa.Column("call_id", sa.String(length=255)),
        sa.Column("name", sa.String(length=255)),
        sa.Column("sealed_by", sa.String(length=64)),
        sa.Column("payload_hash", sa.LargeBinary(16)),
        sa.Column("body", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("lane", "depth", "position", name="pk_items"),
    )
    op.create_index("ix_items_item_id", "items", ["item_id"], sqlite_where=OWN_ID, postgresql_where=OWN_ID)

    op.create_table(
        "journal",
        sa.Column("exchange_id", sa.LargeBinary(16), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("events", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("exchange_id", "part", name="pk_journal"),
    )
    op.create_table(
        "payloads",
        sa.Column("project_id", sa.LargeBinary(16), nullable=False),
        sa.Column("hash", sa.LargeBinary(16), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "hash", name="pk_payloads"),
    )
    op.create_table(
        "processes",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_processes"),
    )
    op.create_table(
        "projects",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("settings", sa.Text(), server_default="{}", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_projects"),
        sa.UniqueConstraint("name", name="uq_projects_name"),
    )
    op.create_table(
        "running",
        sa.Column("exchange_id", sa.LargeBinary(16), nullable=False),
        sa.Column("project_id", sa.LargeBinary(16), nullable=False),
        sa.Column("process_id", sa.LargeBinary(16), nullable=False),
        sa.PrimaryKeyConstraint("exchange_id", name="pk_running"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("project_id", sa.LargeBinary(16), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("prefix", sa.String(length=16), nullable=False),
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("scopes", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("revoked_at", sa.BigInteger()),
        sa.Column("last_used_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_api_keys_project_id"),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("sha256", name="uq_api_keys_sha256"),
    )
    op.create_index("ix_api_keys_project_id", "api_keys", ["project_id"])


def downgrade():
    op.drop_table("api_keys")
    op.drop_table("running")
    op.drop_table("projects")
    op.drop_table("processes")
    op.drop_table("payloads")
    op.drop_table("journal")
    op.drop_table("items")
    op.drop_table("idempotency_keys")
    op.drop_table("exchanges")
    op.drop_table("conversations")
