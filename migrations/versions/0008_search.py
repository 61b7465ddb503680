"""Search: what exchanges are found by. Those from before are added by a command, which can take its time."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Terms come cut: all that is not ASCII belongs to one. A newer FTS5 would merge no more often than this one.
WORDS = """
CREATE VIRTUAL TABLE search_words
USING fts5(words, content='', columnsize=0, detail=none, tokenize="ascii tokenchars '_'")
"""


def upgrade():
    op.create_table(
        "searches",
        sa.Column("project_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("exchange_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("number", sa.BigInteger()),
        sa.Column("words", TSVECTOR().with_variant(sa.Text(), "sqlite")),
        sa.PrimaryKeyConstraint("project_id", "exchange_id", name="pk_searches"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "search_waiting",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_search_waiting"),
    )
    numbered = sa.text("number IS NOT NULL")
    op.create_index(
        "ix_searches_number",
        "searches",
        ["number"],
        unique=True,
        sqlite_where=numbered,
        postgresql_where=numbered,
    )
    op.create_index(
        "ix_searches_words",
        "searches",
        ["words"],
        sqlite_where=sa.text("words IS NOT NULL"),
        postgresql_using="gin",
        postgresql_with={"gin_pending_list_limit": "256"},
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute(WORDS)
        # Small segments merged eight at a time cost least.
        op.execute("INSERT INTO search_words (search_words, rank) VALUES ('automerge', 8)")


def downgrade():
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE search_words")
    op.drop_table("search_waiting")
    op.drop_table("searches")
