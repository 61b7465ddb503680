"""Files of conversations that leave and come."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("exchanges", sa.Column("imported_at", sa.BigInteger()))
    op.create_table(
        "exports",
        sa.Column("project_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("job_id", sa.LargeBinary(length=16)),
        sa.Column("api_key_id", sa.LargeBinary(length=16)),
        sa.Column("format", sa.String(length=16), nullable=False),
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("filters", sa.Text()),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("begun", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("manifest", sa.Text()),
        sa.Column("bytes", sa.BigInteger()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger()),
        sa.Column("expires_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_exports"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "imports",
        sa.Column("project_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("job_id", sa.LargeBinary(length=16)),
        sa.Column("api_key_id", sa.LargeBinary(length=16)),
        sa.Column("format", sa.String(length=16)),
        sa.Column("ids", sa.String(length=16), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("position", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("report", sa.Text(), nullable=False, server_default="{}"),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger()),
        sa.Column("expires_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_imports"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "file_parts",
        sa.Column("project_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("file_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "file_id", "number", name="pk_file_parts"),
    )


def downgrade():
    op.drop_table("file_parts")
    op.drop_table("imports")
    op.drop_table("exports")
    op.drop_column("exchanges", "imported_at")
