"""Traces of what was erased: in pages that are free, in the log of a database, in the index of words.

On SQLite nothing of it is left in the file and its log afterwards. Writers wait meanwhile, as long as it takes to copy
the file. On PostgreSQL dead rows and statistics are let go of; what its log, replicas and backups still hold is theirs.
"""

import sqlite3
import time

from sqlalchemy.exc import OperationalError

from convstore.errors import StorageUnavailable
from convstore.storage import direct, searches
from convstore.storage.database import Database

# How long others' transactions are waited for, in seconds: a reader keeps the log from being emptied.
PATIENCE_S = 30.0
NAP_S = 0.02
# What an erasure changes. With ANALYZE: the statistics of a column hold its most common values.
_TABLES = (
    "exchanges, items, payloads, ledger, fingerprints, journal, idempotency_keys, searches, jobs, job_steps, replays,"
    " replay_runs, conversations, branches, erasures, audit_log, exports, file_parts"
)


def purge(database: Database, patience_s: float = PATIENCE_S) -> bool:
    """Remove the traces. False when others did not let it in time; it may be called again. Not in a transaction."""
    if not database.is_sqlite:
        with database.connection() as connection:
            connection.exec_driver_sql(f"VACUUM (ANALYZE) {_TABLES}")
        return True
    with direct.writing(database) as cursor:
        searches.settle_within(cursor)
        # Forgotten words stay in the index's older segments until these are merged.
        cursor.execute("INSERT INTO search_words (search_words) VALUES ('optimize')")
    deadline = time.monotonic() + patience_s
    return _rewrite(database, deadline) and _empty_log(database, deadline)


def _rewrite(database: Database, deadline: float) -> bool:
    """Copy what is in use of the file: free pages are not."""
    while True:
        try:
            with database.writer_turn(), database.connection() as connection:
                connection.exec_driver_sql("VACUUM")
            return True
        except StorageUnavailable as error:
            if not _is_busy(error) or time.monotonic() > deadline:
                if _is_busy(error):
                    return False
                raise
        time.sleep(NAP_S)


def _empty_log(database: Database, deadline: float) -> bool:
    """Write the log into the file, and cut it to nothing."""
    while True:
        with database.writer_turn(), database.connection() as connection:
            busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy is not None and busy[0] == 0:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(NAP_S)


def _is_busy(error: StorageUnavailable) -> bool:
    cause = error.__cause__
    return cause is None or (isinstance(cause, sqlite3.OperationalError | OperationalError) and "lock" in str(cause))
