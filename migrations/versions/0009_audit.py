"""The audit log."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "audit_log",
        sa.Column("project_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("strand", sa.LargeBinary(length=8), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("previous_id", sa.LargeBinary(length=16)),
        sa.Column("previous_seal", sa.LargeBinary(length=16)),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("api_key_id", sa.LargeBinary(length=16)),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("object", sa.String(length=255)),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("detail", sa.String(length=64)),
        sa.Column("remote", sa.String(length=64)),
        sa.Column("agent", sa.String(length=64)),
        sa.Column("request_id", sa.LargeBinary(length=16)),
        sa.Column("commits", sa.String(length=16)),
        sa.Column("digest", sa.LargeBinary(length=16)),
        sa.Column("links", sa.LargeBinary()),
        sa.Column("key_id", sa.LargeBinary(length=4)),
        sa.Column("salt", sa.LargeBinary(length=16)),
        sa.Column("seal", sa.LargeBinary(length=16), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_audit_log"),
        sqlite_with_rowid=False,
    )


def downgrade():
    op.drop_table("audit_log")
