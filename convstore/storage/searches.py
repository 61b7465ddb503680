"""What exchanges are found by, on disk: an inverted index of terms (domain/finding.py), kept in a turn's transactions.

    SQLite      `search_words`, an FTS5 index without content, whose rows are numbered in order of arrival;
                `searches` says which exchange has which number, `search_waiting` what is to be added to it
    PostgreSQL  `searches.words`, a tsvector under a GIN index

Of FTS5 only the index itself is used: terms come cut, positions are not kept. What is said later of the same number is
added to it, so that a question and its answer are one to whoever looks for words of both. It makes a segment of every
transaction, which costs more than the words; so words wait until there are some, or somebody searches. PostgreSQL's
index does the same by itself.
"""

from datetime import datetime

from convstore import ids
from convstore.domain import finding
from convstore.domain.exchange import Beginning, Ending
from convstore.storage import direct, tables
from convstore.storage.database import Database
from convstore.storage.direct import Cursor
from convstore.storage.rows import packed
from convstore.storage.statements import Insert, Other, Write

_COLUMNS = ("project_id", "exchange_id", "words")


def of_question(database: Database, project_id: str, beginning: Beginning) -> list[Write]:
    """The rows by which a question is found."""
    settings = None if beginning.repeats_settings else beginning.settings
    # Words of what is encrypted would say in the index what it says.
    words = not database.vault.seals
    given = (project_id, beginning, beginning.items, settings, beginning.api_key_id)
    terms = finding.of_question(*given, words=words)
    own = (packed(ids.PROJECT, project_id), packed(ids.EXCHANGE, beginning.id))
    if database.is_sqlite:
        return [Other(_NUMBER, own), Other(_WAIT, (terms, *own))]
    return [Insert(tables.searches, _COLUMNS, [(*own, terms)])]


def of_answer(database: Database, project_id: str, exchange_id: str, ending: Ending, asked_at: datetime) -> list[Write]:
    """The rows by which its answer is found, if its question is."""
    cost = ending.entry.cost if ending.entry else None
    terms = finding.of_answer(ending, ending.output, asked_at, cost, words=not database.vault.seals)
    own = (packed(ids.PROJECT, project_id), packed(ids.EXCHANGE, exchange_id))
    if database.is_sqlite:
        return [
            Other(_WAIT, (terms, *own)),
            Other(f"{_SETTLE} {_IF_MANY} {_BY_NUMBER}", ()),
            Other(_DONE + _IF_MANY, ()),
        ]
    return [Other(_ADD_TERMS, (terms, *own), guarded=True)]


def settle(database: Database) -> None:
    """Let a search find all that is on disk. Raises StorageUnavailable."""
    if not database.is_sqlite:
        return
    with direct.reading(database) as cursor:
        if cursor.execute("SELECT 1 FROM search_waiting LIMIT 1").fetchone() is None:
            return
    with direct.writing(database) as cursor:
        settle_within(cursor)


def settle_within(cursor: Cursor) -> None:
    """The same in a transaction on SQLite."""
    cursor.execute(f"{_SETTLE} {_BY_NUMBER}")
    cursor.execute(_DONE)


_NUMBER = (
    "INSERT INTO searches (project_id, exchange_id, number)"
    " VALUES (?, ?, (SELECT coalesce(max(number), 0) + 1 FROM searches WHERE number IS NOT NULL))"
)
_WAIT = (
    "INSERT INTO search_waiting (number, words)"
    " SELECT number, ? FROM searches WHERE project_id = ? AND exchange_id = ? AND number IS NOT NULL"
)
# In order of numbers, each once: anything else makes FTS5 write what it has gathered.
_SETTLE = "INSERT INTO search_words (rowid, words) SELECT number, group_concat(words, ' ') FROM search_waiting"
_BY_NUMBER = "GROUP BY number ORDER BY number"
_DONE = "DELETE FROM search_waiting"
# Sixty-four turns: some milliseconds for one of them.
_IF_MANY = " WHERE (SELECT max(id) - min(id) FROM search_waiting) >= 127"
_ADD_TERMS = "UPDATE searches SET words = words || ?::tsvector WHERE project_id = ? AND exchange_id = ?"
