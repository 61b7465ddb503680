"""Rules of how long things are kept, and legal holds."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "retention_rules",
        sa.Column("project_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(length=255)),
        sa.Column("metadata", sa.Text()),
        sa.Column("content_days", sa.Integer()),
        sa.Column("figures_days", sa.Integer()),
        sa.Column("keep_while_descendants", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_retention_rules"),
        sa.UniqueConstraint("project_id", "name", name="uq_retention_rules_project_id_name"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sweeps",
        sa.Column("project_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", name="pk_sweeps"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "holds",
        sa.Column("project_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("conversation_id", sa.LargeBinary(length=16)),
        sa.Column("response_id", sa.LargeBinary(length=16)),
        sa.Column("user", sa.String(length=255)),
        sa.Column("safety_identifier", sa.String(length=255)),
        sa.Column("metadata", sa.Text()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("api_key_id", sa.LargeBinary(length=16)),
        sa.Column("released_at", sa.BigInteger()),
        sa.Column("released_by", sa.LargeBinary(length=16)),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_holds"),
        sqlite_with_rowid=False,
    )


def downgrade():
    op.drop_table("holds")
    op.drop_table("sweeps")
    op.drop_table("retention_rules")
