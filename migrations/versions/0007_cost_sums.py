"""Sums of the ledger, for reports: by conversation, and by quarters of an hour."""

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "conversation_costs",
        sa.Column("project_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("conversation_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("basis", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("currency", sa.String(length=16), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _ADDED),
        sa.PrimaryKeyConstraint(
            "project_id", "conversation_id", "basis", "reason", "currency", name="pk_conversation_costs"
        ),
        sqlite_with_rowid=False,
        postgresql_with={"fillfactor": "70"},
    )
    quarters = op.create_table(
        "quarter_costs",
        sa.Column("project_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("quarter", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=16), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("api_key_id", sa.LargeBinary(length=16)),
        sa.Column("requested_model", sa.String(length=255), nullable=False),
        sa.Column("model", sa.String(length=255)),
        sa.Column("upstream", sa.String(length=64)),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("service_tier", sa.String(length=32)),
        sa.Column("basis", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=32)),
        sa.Column("currency", sa.String(length=16)),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _ADDED),
        sa.PrimaryKeyConstraint("project_id", "quarter", "digest", "slot", name="pk_quarter_costs"),
        sqlite_with_rowid=False,
        postgresql_with={"fillfactor": "50"},
    )
    sums = ", ".join(f"CAST(coalesce(sum({name}), 0) AS BIGINT)" for name in _ADDED[1:])
    op.execute(
        f"INSERT INTO conversation_costs SELECT project_id, conversation_id, basis, coalesce(reason, ''),"  # noqa: S608 -- our own names
        f" coalesce(currency, ''), count(*), {sums} FROM ledger GROUP BY 1, 2, 3, 4, 5"
    )
    connection = op.get_bind()
    found = connection.execute(
        sa.text(
            f"SELECT project_id, created_at / 900000000, {', '.join(_ALIKE)}, count(*), {sums} FROM ledger"  # noqa: S608
            f" GROUP BY project_id, created_at / 900000000, {', '.join(_ALIKE)}"
        )
    )
    names = [column.name for column in quarters.columns]
    for part in found.partitions(1000):
        rows = [[bytes(each) if isinstance(each, memoryview) else each for each in row] for row in part]
        made = [[*row[:2], _digest(tuple(row[2:12])), 0, *row[2:]] for row in rows]
        connection.execute(sa.insert(quarters), [dict(zip(names, row, strict=True)) for row in made])


def downgrade():
    for name in ("quarter_costs", "conversation_costs"):
        op.drop_table(name)


def _digest(alike):
    """As the service has it (storage/ledger.py)."""
    return hashlib.blake2b(repr(alike).encode("utf-8", "surrogatepass"), digest_size=16).digest()


_ALIKE = "api_key_id requested_model model upstream origin status service_tier basis reason currency".split()
_ADDED = (
    "exchanges input_tokens cached_tokens cache_write_tokens output_tokens reasoning_tokens total_tokens "
    "millionths rest".split()
)
