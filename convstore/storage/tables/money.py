"""What everything took and cost, the sums of it, prices and budgets."""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, String, Table, Text, UniqueConstraint

from convstore import ids
from convstore.storage.tables.base import metadata
from convstore.storage.types import Id, Utc

ledger = Table(
    "ledger",
    metadata,
    # What reports group by is said again here, so that they read nothing else (domain/ledger.py).
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    Column("exchange_id", Id(ids.EXCHANGE), primary_key=True),
    Column("conversation_id", Id(ids.CONVERSATION), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("api_key_id", Id(ids.KEY)),
    Column("user", String(255)),
    Column("requested_model", String(255), nullable=False),
    Column("model", String(255)),
    Column("upstream", String(64)),
    Column("origin", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("service_tier", String(32)),
    Column("input_tokens", BigInteger),
    Column("cached_tokens", BigInteger),
    Column("cache_write_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("reasoning_tokens", BigInteger),
    Column("total_tokens", BigInteger),
    Column("web_searches", Integer),
    Column("file_searches", Integer),
    Column("code_executions", Integer),
    # The cost, as domain/money.py splits it; no currency where it is not known, or where nothing was billed.
    Column("basis", String(16), nullable=False),
    Column("reason", String(32)),
    Column("currency", String(16)),
    Column("millionths", BigInteger),
    Column("rest", Integer),
    # JSON: its lines, and which price they are by (domain/pricing/cost.py).
    Column("detail", Text),
    sqlite_with_rowid=False,
)

spending = Table(
    "spending",
    metadata,
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    # The day of the request in the installation's time zone, as a number.
    Column("day", Integer, primary_key=True),
    # 16 zero bytes where keys are off.
    Column("api_key_id", LargeBinary(16), primary_key=True),
    Column("currency", String(16), primary_key=True),
    # PostgreSQL locks a row until its writer's commit is on disk: turns of one key take turns on several rows.
    Column("slot", Integer, primary_key=True),
    Column("exchanges", BigInteger, nullable=False),
    Column("millionths", BigInteger, nullable=False),
    Column("rest", BigInteger, nullable=False),
    sqlite_with_rowid=False,
    postgresql_with={"fillfactor": "50"},
)


def _sums() -> list[Column[Any]]:
    """What is added up of the ledger's rows. A cost that is not known adds to no amount."""
    names = "input_tokens cached_tokens cache_write_tokens output_tokens reasoning_tokens total_tokens".split()
    return [Column(name, BigInteger, nullable=False) for name in ("exchanges", *names, "millionths", "rest")]


conversation_costs = Table(
    "conversation_costs",
    metadata,
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    Column("conversation_id", Id(ids.CONVERSATION), primary_key=True),
    # As in the ledger; empty where there is none.
    Column("basis", String(16), primary_key=True),
    Column("reason", String(32), primary_key=True),
    Column("currency", String(16), primary_key=True),
    *_sums(),
    sqlite_with_rowid=False,
    postgresql_with={"fillfactor": "70"},
)

quarter_costs = Table(
    "quarter_costs",
    metadata,
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    # The quarter of an hour of the request, counted from 1970 in UTC: every zone's days begin with one.
    Column("quarter", Integer, primary_key=True),
    # Stands for the columns from api_key_id to currency: their names would not fit an index.
    Column("digest", LargeBinary(16), primary_key=True),
    # As in spending.
    Column("slot", Integer, primary_key=True),
    Column("api_key_id", Id(ids.KEY)),
    Column("requested_model", String(255), nullable=False),
    Column("model", String(255)),
    Column("upstream", String(64)),
    Column("origin", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("service_tier", String(32)),
    Column("basis", String(16), nullable=False),
    Column("reason", String(32)),
    Column("currency", String(16)),
    *_sums(),
    sqlite_with_rowid=False,
    postgresql_with={"fillfactor": "50"},
)

prices = Table(
    "prices",
    metadata,
    Column("id", Id(ids.PRICE), primary_key=True),
    # None: for every project.
    Column("project_id", Id(ids.PROJECT)),
    # None: in force. Else it is one of a set that reports can be asked by.
    Column("price_set", String(64)),
    Column("upstream", String(64)),
    Column("model", String(255), nullable=False),
    Column("service_tier", String(32)),
    Column("currency", String(16), nullable=False),
    # JSON: the rates, and those for long contexts (domain/pricing/book.py).
    Column("rates", Text, nullable=False),
    Column("effective_from", Utc, nullable=False),
    Column("effective_to", Utc),
    Column("created_at", Utc, nullable=False),
    Index("ix_prices_project_id", "project_id"),
)

budgets = Table(
    "budgets",
    metadata,
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    Column("id", Id(ids.BUDGET), primary_key=True),
    Column("name", String(255), nullable=False),
    # Of what: of the project, or of one key or conversation of it.
    Column("api_key_id", Id(ids.KEY)),
    Column("conversation_id", Id(ids.CONVERSATION)),
    # day, month or total
    Column("period", String(16), nullable=False),
    Column("currency", String(16), nullable=False),
    # Decimal text.
    Column("amount", String(32), nullable=False),
    Column("hard", Boolean, nullable=False),
    Column("created_at", Utc, nullable=False),
    UniqueConstraint("project_id", "name"),
    sqlite_with_rowid=False,
)
