"""Erasures: what was erased, and what must be forgotten by everybody before it can be."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("exchanges", sa.Column("erased_at", sa.BigInteger()))
    op.add_column("processes", sa.Column("epoch", sa.BigInteger()))
    op.create_index("ix_idempotency_keys_exchange_id", "idempotency_keys", ["exchange_id"])
    shared = sa.text("payload_hash IS NOT NULL")
    op.create_index("ix_items_payload_hash", "items", ["payload_hash"], sqlite_where=shared, postgresql_where=shared)
    op.create_table(
        "erasures",
        sa.Column("project_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("job_id", sa.LargeBinary(length=16)),
        sa.Column("api_key_id", sa.LargeBinary(length=16)),
        sa.Column("by", sa.String(length=32), nullable=False),
        sa.Column("selector", sa.Text()),
        sa.Column("selector_salt", sa.LargeBinary(length=16), nullable=False),
        sa.Column("selector_digest", sa.LargeBinary(length=16), nullable=False),
        sa.Column("copies", sa.Boolean(), nullable=False),
        sa.Column("purge", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("counts", sa.Text(), nullable=False, server_default="{}"),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger()),
        sa.Column("purged_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_erasures"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "erased",
        sa.Column("project_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("exchange_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("what", sa.String(length=16), nullable=False),
        sa.Column("erasure_id", sa.String(length=64), nullable=False),
        sa.Column("batch_id", sa.LargeBinary(length=16)),
        sa.Column("state", sa.LargeBinary(length=16)),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "exchange_id", "what", name="pk_erased"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_erased_batch_id", "erased", ["batch_id"])
    op.create_table(
        "doubtful",
        sa.Column("project_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=16), nullable=False),
        sa.Column("erasure_id", sa.String(length=64), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "hash", name="pk_doubtful"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "epochs",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_epochs"),
    )
    # Its one row is made by whoever counts first.


def downgrade():
    for table in ("epochs", "doubtful", "erased", "erasures"):
        op.drop_table(table)
    op.drop_index("ix_items_payload_hash", "items")
    op.drop_index("ix_idempotency_keys_exchange_id", "idempotency_keys")
    op.drop_column("processes", "epoch")
    op.drop_column("exchanges", "erased_at")
