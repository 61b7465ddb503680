"""Encryption of what was said."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

LINES = ("question", "answer")


def upgrade():
    op.create_table(
        "storage_keys",
        sa.Column("project_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.LargeBinary(length=4), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("destroyed_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("project_id", "number", name="pk_storage_keys"),
        sqlite_with_rowid=False,
    )
    if op.get_bind().dialect.name == "postgresql":
        # Only what the catalogue says of them: no row is written. SQLite knows no lengths.
        for name in LINES:
            op.alter_column("exchanges", name, type_=sa.Text(), existing_type=sa.String(length=255))


def downgrade():
    if op.get_bind().dialect.name == "postgresql":
        # A sealed line is longer; without its key it says nothing anyhow.
        for name in LINES:
            shorter = f"CASE WHEN length({name}) <= 255 THEN {name} END"
            kind = sa.String(length=255)
            op.alter_column("exchanges", name, type_=kind, existing_type=sa.Text(), postgresql_using=shorter)
    op.drop_table("storage_keys")
