"""The tables of `llm` that hold one row for each answer, each conversation a line of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convstore.archives import llm_rows, pieces
from convstore.archives.conversations import NO_ANSWER, broken, kept
from convstore.archives.llm_rows import UPSTREAM, Measured, Row, Rows
from convstore.archives.moments import moment
from convstore.archives.pieces import Call, Piece, Result
from convstore.archives.task import Task
from convstore.domain import items
from convstore.domain.archive import Archived, ArchivedConversation, Record

RowIds = Mapping[Any, Sequence[int]]


@dataclass(frozen=True, slots=True)
class _Line:
    """A conversation as far as it was read: its last exchange, and that one's calls that have no output yet."""

    id: str
    last: Archived | None = None
    waiting: Sequence[Call] = ()


def records(rows: Measured, task: Task) -> Iterator[Record]:
    """Of the table `responses`: conversation by conversation, oldest answer first."""
    calls, results = _by_response(rows, "tool_calls"), _by_response(rows, "tool_results")
    line: _Line | None = None
    current: Any = None
    found = rows.keys("responses", ("conversation_id", "id"), ("conversation_id", "datetime_utc"))
    for number, (conversation_id, response_id, rowid) in enumerate(found, 1):
        place = f"response {number}"
        rows.begin(place)
        # What was written twice is told better by the newer tables.
        if rows.where("turns", "id", response_id):
            continue
        if not isinstance(response_id, str | int):
            yield broken(place, "no_id", "it has no id")
            continue
        row = rows.row("responses", rowid)
        key = ("conversation", str(conversation_id)) if conversation_id is not None else ("response", str(response_id))
        if line is None or key != current:
            conversation = _conversation(rows, row, key, task)
            yield Record(place, conversation)
            line, current = _Line(conversation.id), key
        asked = [*_results(rows, results.get(response_id, ())), *_question(rows, row)]
        answered = [*_answer(row), *_calls(rows, calls.get(response_id, ()))]
        instructions = "\n".join(
            [*_fragments(rows, "system_fragments", response_id), llm_rows.text(row, "system")]
        ).strip()
        settings = llm_rows.settings_of(
            rows, row, rows.where("tool_responses", "response_id", response_id), instructions or None, task
        )
        exchange, line = _exchange(line, row, (asked, answered), settings, task)
        yield Record(place, exchange)


def of_logs(rows: Measured, table: str, task: Task) -> Iterator[Record]:
    """Of the tables before that: a chat is named after its first answer."""
    chats: dict[Any, list[int]] = {}
    for chat_id, rowid in rows.keys(table, ("chat_id",), ()):
        chats.setdefault(rowid if chat_id is None else chat_id, []).append(rowid)
    number = 0
    for chat, found in chats.items():
        line: _Line | None = None
        for rowid in found:
            number += 1
            place = f"row {number} of {table}"
            rows.begin(place)
            row = dict(rows.row(table, rowid))
            row["datetime_utc"] = row.get("datetime_utc") or row.get("timestamp_utc") or row.get("timestamp")
            row["id"] = f"{table}/{rowid}"
            if line is None:
                conversation = _conversation(rows, row, (table, str(chat)), task)
                yield Record(place, conversation)
                line = _Line(conversation.id)
            settings = llm_rows.settings_of(rows, row, (), llm_rows.text(row, "system") or None, task)
            exchange, line = _exchange(line, row, (_question(rows, row), _answer(row)), settings, task)
            yield Record(place, exchange)


def _conversation(rows: Rows, row: Row, key: tuple[str, str], task: Task) -> ArchivedConversation:
    found = rows.where("conversations", "id", key[1]) if key[0] == "conversation" else []
    created_at = moment(row.get("datetime_utc"))
    title = items.column(found[0].get("name")) if found else None
    return ArchivedConversation(task.names.conversation(created_at, *key), created_at or task.now, title)


def _exchange(
    line: _Line, row: Row, said: tuple[Sequence[Piece], Sequence[Piece]], settings: Mapping[str, Any], task: Task
) -> tuple[Archived, _Line]:
    taken, waiting = pieces.paired(said[0], line.waiting)
    # What was called for comes with the next request, or not at all.
    taken = [*pieces.unanswered(waiting), *taken]
    given, waiting = pieces.paired(said[1], ())
    members = llm_rows.figures(row, settings, task)
    exchange = Archived(
        id=task.names.exchange(moment(row.get("datetime_utc")), str(row["id"])),
        conversation_id=line.id,
        parent_id=line.last.id if line.last else None,
        status="completed" if given else "incomplete",
        error=None if given else NO_ANSWER,
        input=kept(taken, UPSTREAM),
        output=kept(given, UPSTREAM),
        repeats_settings=bool(line.last and line.last.settings == members["settings"]),
        **members,
    )
    return exchange, _Line(line.id, exchange, waiting)


def _question(rows: Rows, row: Row) -> list[Piece]:
    parts = llm_rows.text_parts([*_fragments(rows, "prompt_fragments", row["id"]), row.get("prompt")])
    for each in rows.where("prompt_attachments", "response_id", row["id"], "order"):
        parts += [llm_rows.attachment(found) for found in rows.where("attachments", "id", each.get("attachment_id"))]
    return [pieces.message("user", parts)] if parts else []


def _answer(row: Row) -> list[Piece]:
    thought, text = llm_rows.text(row, "reasoning"), llm_rows.text(row, "response")
    found: list[Piece] = [pieces.thought([thought])] if thought.strip() else []
    if text:
        found.append(pieces.message("assistant", [pieces.told(text, output=True)]))
    return found


def _calls(rows: Rows, rowids: Sequence[int]) -> Iterator[Call]:
    for rowid in rowids:
        row = rows.row("tool_calls", rowid)
        call_id = llm_rows.text(row, "tool_call_id") or pieces.call_id(str(row["response_id"]), str(rowid))
        arguments = pieces.arguments(llm_rows.text(row, "arguments") or "{}")
        yield Call(call_id, llm_rows.text(row, "name") or "tool", arguments)


def _results(rows: Rows, rowids: Sequence[int]) -> Iterator[Result]:
    for rowid in rowids:
        row = rows.row("tool_results", rowid)
        text = llm_rows.text(row, "output") or llm_rows.text(row, "exception")
        parts = [
            llm_rows.attachment(found)
            for each in rows.where("tool_results_attachments", "tool_result_id", rowid, "order")
            for found in rows.where("attachments", "id", each.get("attachment_id"))
        ]
        output = [*llm_rows.text_parts([text]), *parts] if parts else text
        names = (llm_rows.text(row, column) or None for column in ("tool_call_id", "name"))
        yield Result(output, f"result/{rowid}", *names)


def _fragments(rows: Rows, table: str, response_id: Any) -> list[str]:
    found = [
        fragment.get("content")
        for each in rows.where(table, "response_id", response_id, "order")
        for fragment in rows.where("fragments", "id", each.get("fragment_id"))
    ]
    return [text for text in found if isinstance(text, str)]


def _by_response(rows: Rows, table: str) -> RowIds:
    """Where the rows of each response are: the column has no index."""
    found: dict[Any, list[int]] = {}
    for response_id, rowid in rows.keys(table, ("response_id",), ()) if rows.has(table) else ():
        found.setdefault(response_id, []).append(rowid)
    return found
