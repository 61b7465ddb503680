"""The logs of the command line tool `llm` (logs.db), of every version.

    logs, log                   until 2023: questions and answers, some of one chat (llm_responses.py)
    responses                   since 2023: with attachments, fragments, schemas, tools as they came (llm_responses.py)
    turns, messages, parts      since 2026: trees of messages, shared by what forks off (llm_turns.py)

A database may hold all of them; what newer tables repeat of older ones is read once. The settings of a call are its
model, system prompt, tools, schema, and the options that the API has, too.
Source: llm's migrations, m001 to m027.
"""

from collections.abc import Iterator

from convstore.archives import llm_responses, llm_turns
from convstore.archives.llm_rows import Measured, Rows
from convstore.archives.task import Task
from convstore.domain.archive import Record
from convstore.errors import Unreadable

TABLES = ("log", "logs", "responses", "turns")


def records(rows: Rows, task: Task) -> Iterator[Record]:
    """What the database holds. Raises Unreadable."""
    if not any(rows.has(table) for table in TABLES):
        raise Unreadable("it is a database, but not of llm: it has no table of responses")
    measured = Measured(rows, task.limits.longest)
    for table in ("log", "logs"):
        if rows.has(table):
            yield from llm_responses.of_logs(measured, table, task)
    if rows.has("responses"):
        yield from llm_responses.records(measured, task)
    if rows.has("turns"):
        yield from llm_turns.records(measured, task)


def size(rows: Rows) -> int:
    """How many answers there are."""
    return sum(rows.count(table) for table in TABLES if rows.has(table))
