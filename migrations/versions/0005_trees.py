"""Trees: first lines and what the model was shown, named branches, replays."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("exchanges", sa.Column("question", sa.String(length=255)))
    op.add_column("exchanges", sa.Column("answer", sa.String(length=255)))
    op.add_column("exchanges", sa.Column("context_sha256", sa.LargeBinary(length=32)))
    op.add_column("exchanges", sa.Column("context_cut", sa.Integer()))
    _index_lanes("conversation_id", "depth", "id")
    op.create_table(
        "branches",
        sa.Column("project_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("conversation_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("tip_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("moved_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "name", name="pk_branches"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_branches_conversation_id", "branches", ["project_id", "conversation_id", "name"])
    op.create_index("ix_branches_tip_id", "branches", ["tip_id"])
    op.create_table(
        "replays",
        sa.Column("project_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("conversation_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("source_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("cancel_requested_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_replays"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "replay_runs",
        sa.Column("replay_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(length=255)),
        sa.Column("job_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("stopped", sa.Text()),
        sa.PrimaryKeyConstraint("replay_id", "number", name="pk_replay_runs"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "replay_turns",
        sa.Column("replay_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("exchange_id", sa.LargeBinary(length=16), nullable=False),
        sa.PrimaryKeyConstraint("replay_id", "run", "turn", name="pk_replay_turns"),
        sqlite_with_rowid=False,
    )


def downgrade():
    for name in ("replay_turns", "replay_runs", "replays"):
        op.drop_table(name)
    op.drop_index("ix_branches_tip_id", "branches")
    op.drop_index("ix_branches_conversation_id", "branches")
    op.drop_table("branches")
    _index_lanes("conversation_id")
    for name in ("context_cut", "context_sha256", "answer", "question"):
        op.drop_column("exchanges", name)


def _index_lanes(*columns):
    """Find the exchanges that open a lane by these columns."""
    opens_lane = sa.text("lane = id")
    op.drop_index("ix_exchanges_conversation_id", "exchanges")
    op.create_index(
        "ix_exchanges_conversation_id",
        "exchanges",
        list(columns),
        sqlite_where=opens_lane,
        postgresql_where=opens_lane,
    )
