"""What an exchange is found by (storage/searches.py).

On PostgreSQL its terms are here, under a GIN index; on SQLite they are in `search_words` (FTS5), which knows an
exchange by its number. The one half is empty on the other engine, and so is its index.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text, text
from sqlalchemy.dialects.postgresql import TSVECTOR

from convstore import ids
from convstore.storage.tables.base import metadata
from convstore.storage.types import Id

searches = Table(
    "searches",
    metadata,
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    Column("exchange_id", Id(ids.EXCHANGE), primary_key=True),
    Column("number", BigInteger),
    Column("words", TSVECTOR().with_variant(Text(), "sqlite")),
    sqlite_with_rowid=False,
)
# On SQLite, what waits to be added to `search_words`.
search_waiting = Table(
    "search_waiting",
    metadata,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("words", Text, nullable=False),
)
_numbered, _worded = text("number IS NOT NULL"), text("words IS NOT NULL")
Index("ix_searches_number", searches.c.number, unique=True, sqlite_where=_numbered, postgresql_where=_numbered)
# A search reads all that waits to be put in order: 256 KiB of it is read in no time.
Index(
    "ix_searches_words",
    searches.c.words,
    postgresql_using="gin",
    postgresql_with={"gin_pending_list_limit": "256"},
    sqlite_where=_worded,
)
