"""Conversations with a tip and one writer; fingerprints of threads, so that a history sent whole finds its thread."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("conversations", sa.Column("writer_id", sa.LargeBinary(16)))
    op.add_column("exchanges", sa.Column("linked", sa.String(length=16)))
    op.add_column("exchanges", sa.Column("fingerprint", sa.LargeBinary(32)))
    op.add_column("exchanges", sa.Column("sent_count", sa.Integer()))
    op.add_column("exchanges", sa.Column("sent_digest", sa.LargeBinary(16)))
    op.add_column("exchanges", sa.Column("sent_hash", sa.LargeBinary(16)))
    op.create_table(
        "fingerprints",
        sa.Column("fingerprint", sa.LargeBinary(16), nullable=False),
        sa.Column("exchange_id", sa.LargeBinary(16), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", "exchange_id", name="pk_fingerprints"),
        sqlite_with_rowid=False,
    )


def downgrade():
    op.drop_table("fingerprints")
    for name in ("sent_hash", "sent_digest", "sent_count", "fingerprint", "linked"):
        op.drop_column("exchanges", name)
    op.drop_column("conversations", "writer_id")
