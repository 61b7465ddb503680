"""Alembic's entry point: inside `convstore db upgrade` with a connection given, or from the alembic command."""

import os

from alembic import context

from convstore.storage.database import Database, Options
from convstore.storage.migrations import is_compared
from convstore.storage.tables import metadata


def run(connection):
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, include_name=is_compared)
    # The caller holds the transaction (see storage/migrations.py): SQLite runs DDL in it like PostgreSQL.
    context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with Database(Options(os.environ.get("CONVSTORE_DATABASE_URL", "sqlite:///convstore.db"))) as database:
        with database.transaction() as own:
            run(own)
