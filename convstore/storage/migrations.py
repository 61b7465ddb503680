"""Bringing a database to the schema of this version, and telling whether it is there.

The scripts are in `migrations/` beside the package in a checkout, inside the package in a wheel.
"""

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from convstore.errors import SchemaOutdated
from convstore.storage import keys
from convstore.storage.database import Database
from convstore.storage.tables import metadata

_PACKAGE = Path(__file__).parent.parent
LOCATION = next((p for p in (_PACKAGE / "migrations", _PACKAGE.parent / "migrations") if p.is_dir()), _PACKAGE)


def head() -> str:
    """The newest revision this version knows."""
    return ScriptDirectory(str(LOCATION)).get_current_head() or ""


def current(database: Database) -> str | None:
    """The revision the database is at; None when it is empty."""
    with database.connection() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def check(database: Database) -> None:
    """Raises SchemaOutdated unless the database is exactly at this version's schema.

    Raises Misconfigured when what is stored is encrypted with keys that are not here.
    """
    found, wanted = current(database), head()
    if found != wanted:
        raise SchemaOutdated(
            f"The database schema is at revision {found or 'none'}, this version needs {wanted}. "
            "Run: convstore db upgrade"
        )
    keys.check(database)


def upgrade(database: Database, revision: str = "head") -> None:
    """Run the migrations up to *revision*, in one transaction."""
    _run(database, command.upgrade, revision)


def downgrade(database: Database, revision: str) -> None:
    """Run the migrations down to *revision*, in one transaction."""
    _run(database, command.downgrade, revision)


def differences(database: Database) -> list[object]:
    """What the tables of this version have that the database lacks, and the other way round."""
    with database.connection() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": is_compared})
        return list(compare_metadata(context, metadata))


def is_compared(name: str | None, kind: str, _parents: object) -> bool:
    """Whether the schema of the code has it. What FTS5 makes for itself is in no schema."""
    return kind != "table" or not (name or "").startswith("search_words")


def _run(database: Database, act: object, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(LOCATION).replace("%", "%%"))
    with database.transaction() as connection:
        config.attributes["connection"] = connection
        act(config, revision)  # type: ignore[operator]
