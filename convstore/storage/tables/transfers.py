"""Files of conversations that leave, or have come (storage/exports.py, imports.py, files.py)."""

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, String, Table, Text

from convstore import ids
from convstore.storage.tables.base import metadata
from convstore.storage.types import Id, Utc

exports = Table(
    "exports",
    metadata,
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    Column("id", Id(ids.EXPORT), primary_key=True),
    Column("job_id", Id(ids.JOB)),
    Column("api_key_id", Id(ids.KEY)),
    Column("format", String(16), nullable=False),
    # tree, thread or response (domain/exporting.py)
    Column("scope", String(16), nullable=False),
    # JSON: which exchanges. It may name people, so it goes with the file.
    Column("filters", Text),
    Column("status", String(16), nullable=False),
    # How often its file was begun: what an older attempt writes counts no more.
    Column("begun", Integer, nullable=False, server_default="0"),
    # JSON: what is in the file (domain/manifest.py).
    Column("manifest", Text),
    Column("bytes", BigInteger),
    Column("created_at", Utc, nullable=False),
    Column("finished_at", Utc),
    Column("expires_at", Utc),
    sqlite_with_rowid=False,
)

imports = Table(
    "imports",
    metadata,
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    Column("id", Id(ids.IMPORT), primary_key=True),
    Column("job_id", Id(ids.JOB)),
    Column("api_key_id", Id(ids.KEY)),
    # As it was asked for, or None; then as it was found.
    Column("format", String(16)),
    Column("ids", String(16), nullable=False),
    Column("dry_run", Boolean, nullable=False),
    Column("status", String(16), nullable=False),
    Column("bytes", BigInteger, nullable=False, server_default="0"),
    # How many records of the file are done with.
    Column("position", BigInteger, nullable=False, server_default="0"),
    # JSON: what came of them (domain/report.py).
    Column("report", Text, nullable=False, server_default="{}"),
    Column("created_at", Utc, nullable=False),
    Column("finished_at", Utc),
    Column("expires_at", Utc),
    sqlite_with_rowid=False,
)

file_parts = Table(
    "file_parts",
    metadata,
    Column("project_id", Id(ids.PROJECT), primary_key=True),
    # The 16 bytes of the export or the import whose file it is.
    Column("file_id", LargeBinary(16), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
