"""Background responses: who answers them, where their events stand, and that they are to be cancelled."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("exchanges", sa.Column("background", sa.String(length=16)))
    op.add_column("exchanges", sa.Column("last_event", sa.Integer()))
    op.add_column("running", sa.Column("cancel_requested_at", sa.BigInteger()))
    op.add_column("journal", sa.Column("first_number", sa.Integer()))
    op.add_column("journal", sa.Column("last_number", sa.Integer()))
    op.add_column("journal", sa.Column("ended_at", sa.BigInteger()))
    last_part = sa.text("ended_at IS NOT NULL")
    op.create_index("ix_journal_ended_at", "journal", ["ended_at"], sqlite_where=last_part, postgresql_where=last_part)


def downgrade():
    op.drop_index("ix_journal_ended_at", "journal")
    for name in ("ended_at", "last_number", "first_number"):
        op.drop_column("journal", name)
    op.drop_column("running", "cancel_requested_at")
    for name in ("last_event", "background"):
        op.drop_column("exchanges", name)
