"""Jobs: work that outlives its request, the steps of it that are done, and what a process is for."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("processes", sa.Column("role", sa.String(length=16), nullable=False, server_default="web"))
    op.create_table(
        "jobs",
        sa.Column("project_id", sa.LargeBinary(16), nullable=False),
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=64)),
        sa.Column("arguments", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("progress", sa.Text()),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("runs", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("error", sa.Text()),
        sa.Column("worker", sa.LargeBinary(16)),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger()),
        sa.Column("finished_at", sa.BigInteger()),
        sa.Column("cancel_requested_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_jobs"),
        postgresql_with={"fillfactor": "80"},
    )
    for name, columns, condition in (
        ("queued", ["kind", "id"], "status = 'queued'"),
        ("running", ["worker"], "status = 'running'"),
        ("failed", ["kind"], "status = 'failed'"),
        ("subject", ["subject"], "finished_at IS NULL AND subject IS NOT NULL"),
    ):
        where = sa.text(condition)
        op.create_index(f"ix_jobs_{name}", "jobs", columns, sqlite_where=where, postgresql_where=where)
    op.create_table(
        "job_steps",
        sa.Column("job_id", sa.LargeBinary(16), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "name", name="pk_job_steps"),
        sqlite_with_rowid=False,
    )


def downgrade():
    op.drop_table("job_steps")
    op.drop_table("jobs")
    op.drop_column("processes", "role")
