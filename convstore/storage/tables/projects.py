"""Projects, and the keys that open them."""

from sqlalchemy import Column, ForeignKey, LargeBinary, String, Table, Text

from convstore import ids
from convstore.storage.tables.base import metadata
from convstore.storage.types import Id, Utc

projects = Table(
    "projects",
    metadata,
    Column("id", Id(ids.PROJECT), primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("settings", Text, nullable=False, server_default="{}"),
    Column("created_at", Utc, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Id(ids.KEY), primary_key=True),
    Column("project_id", Id(ids.PROJECT), ForeignKey("projects.id"), nullable=False, index=True),
    Column("name", String(255), nullable=False),
    Column("prefix", String(16), nullable=False),
    Column("sha256", LargeBinary(32), nullable=False, unique=True),
    Column("scopes", String(255), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("expires_at", Utc),
    Column("revoked_at", Utc),
    Column("last_used_at", Utc),
)
