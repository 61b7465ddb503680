"""What exchanges are found by, on disk: an inverted index of terms (domain/finding.py), kept in a turn's transactions.

    SQLite      `search_words`, an FTS5 index without content, whose rows are numbered in order of arrival;
                `searches` says which exchange has which number
    PostgreSQL  `searches.words`, a tsvector under a GIN index

Of FTS5 only the index itself is used: terms come cut, positions are not kept. What is said later of the same number is
added to it, so that a question and its answer are one to whoever looks for words of both.
"""

from datetime import datetime

from convstore import ids
from convstore.domain import finding
from convstore.domain.exchange import Beginning, Ending
from convstore.storage import tables
from convstore.storage.database import Database
from convstore.storage.rows import packed
from convstore.storage.statements import Insert, Other, Write

_COLUMNS = ("project_id", "exchange_id", "words")


def of_question(database: Database, project_id: str, beginning: Beginning) -> list[Write]:
    """The rows by which a question is found."""
    settings = None if beginning.repeats_settings else beginning.settings
    terms = finding.of_question(project_id, beginning, beginning.items, settings, beginning.api_key_id)
    own = (packed(ids.PROJECT, project_id), packed(ids.EXCHANGE, beginning.id))
    if database.is_sqlite:
        return [Other(_NUMBER, own), Other(_ADD_WORDS, (terms, *own))]
    return [Insert(tables.searches, _COLUMNS, [(*own, terms)])]


def of_answer(database: Database, project_id: str, exchange_id: str, ending: Ending, asked_at: datetime) -> list[Write]:
    """The rows by which its answer is found, if its question is."""
    terms = finding.of_answer(ending, ending.output, asked_at)
    own = (packed(ids.PROJECT, project_id), packed(ids.EXCHANGE, exchange_id))
    return [Other(_ADD_WORDS if database.is_sqlite else _ADD_TERMS, (terms, *own), guarded=True)]


_NUMBER = (
    "INSERT INTO searches (project_id, exchange_id, number)"
    " VALUES (?, ?, (SELECT coalesce(max(number), 0) + 1 FROM searches WHERE number IS NOT NULL))"
)
_ADD_WORDS = (
    "INSERT INTO search_words (rowid, words)"
    " SELECT number, ? FROM searches WHERE project_id = ? AND exchange_id = ? AND number IS NOT NULL"
)
_ADD_TERMS = "UPDATE searches SET words = words || ?::tsvector WHERE project_id = ? AND exchange_id = ?"
