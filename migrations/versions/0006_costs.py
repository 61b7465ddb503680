"""Costs: the ledger of what exchanges took, sums for budgets, the price book, budgets."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "ledger",
        sa.Column("project_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("exchange_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("conversation_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("api_key_id", sa.LargeBinary(length=16)),
        sa.Column("user", sa.String(length=255)),
        sa.Column("requested_model", sa.String(length=255), nullable=False),
        sa.Column("model", sa.String(length=255)),
        sa.Column("upstream", sa.String(length=64)),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("service_tier", sa.String(length=32)),
        *(sa.Column(name, sa.BigInteger()) for name in _TOKENS),
        *(sa.Column(name, sa.Integer()) for name in ("web_searches", "file_searches", "code_executions")),
        sa.Column("basis", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=32)),
        sa.Column("currency", sa.String(length=16)),
        sa.Column("millionths", sa.BigInteger()),
        sa.Column("rest", sa.Integer()),
        sa.Column("detail", sa.Text()),
        sa.PrimaryKeyConstraint("project_id", "exchange_id", name="pk_ledger"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "spending",
        sa.Column("project_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("api_key_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("currency", sa.String(length=16), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("exchanges", sa.BigInteger(), nullable=False),
        sa.Column("millionths", sa.BigInteger(), nullable=False),
        sa.Column("rest", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "day", "api_key_id", "currency", "slot", name="pk_spending"),
        sqlite_with_rowid=False,
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "prices",
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("project_id", sa.LargeBinary(length=16)),
        sa.Column("price_set", sa.String(length=64)),
        sa.Column("upstream", sa.String(length=64)),
        sa.Column("model", sa.String(length=255), nullable=False),
        sa.Column("service_tier", sa.String(length=32)),
        sa.Column("currency", sa.String(length=16), nullable=False),
        sa.Column("rates", sa.Text(), nullable=False),
        sa.Column("effective_from", sa.BigInteger(), nullable=False),
        sa.Column("effective_to", sa.BigInteger()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_prices"),
    )
    op.create_index("ix_prices_project_id", "prices", ["project_id"])
    op.create_table(
        "budgets",
        sa.Column("project_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("api_key_id", sa.LargeBinary(length=16)),
        sa.Column("conversation_id", sa.LargeBinary(length=16)),
        sa.Column("period", sa.String(length=16), nullable=False),
        sa.Column("currency", sa.String(length=16), nullable=False),
        sa.Column("amount", sa.String(length=32), nullable=False),
        sa.Column("hard", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_budgets"),
        sa.UniqueConstraint("project_id", "name", name="uq_budgets_project_id_name"),
        sqlite_with_rowid=False,
    )
    # What ended before there were prices is in the ledger, too: reports count it, as of unknown cost.
    columns = 'conversation_id, created_at, api_key_id, "user", requested_model, model, upstream, origin, status'
    # A provider's mistake is not to make the sums of all others too large.
    credible = ", ".join(f"CASE WHEN {name} <= 1099511627776 THEN {name} END" for name in _TOKENS)
    op.execute(
        f"INSERT INTO ledger (project_id, exchange_id, {columns}, {', '.join(_TOKENS)}, basis, reason)"  # noqa: S608 -- our own names
        f" SELECT project_id, id, {columns}, {credible}, 'unknown', 'before_prices' FROM exchanges"
        " WHERE completed_at IS NOT NULL AND origin <> 'items'"
    )


def downgrade():
    for name in ("budgets", "prices", "spending", "ledger"):
        op.drop_table(name)


_TOKENS = "input_tokens cached_tokens cache_write_tokens output_tokens reasoning_tokens total_tokens".split()
