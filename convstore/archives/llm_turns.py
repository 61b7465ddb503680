"""The message store of `llm`: messages that name the one before them, and turns, each a call of a model.

A turn names the last message that the model was shown and the last that it gave. What it was shown is the history, of
which the nearest message that ended another turn is the parent, and then what was new: that is its question. Turns that
fork off lie in the conversation of what they fork off from, so a conversation may be told in several runs.
"""

from collections.abc import Iterator, Sequence
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

# So many messages of one turn are a mistake, or a ring.
LONGEST_TURN = 10_000


@dataclass(frozen=True, slots=True)
class _Tip:
    """An exchange that others may continue. waiting: its calls that have no output yet."""

    exchange_id: str
    conversation_id: str
    instructions: str | None
    settings: bytes
    waiting: Sequence[Call] = ()


class _Ring(Exception):
    """The messages of a turn do not come to an end."""


def records(rows: Measured, task: Task) -> Iterator[Record]:
    """Thread by thread, oldest turn first: what others fork off from has the smaller id."""
    tips: dict[Any, _Tip] = {}
    begun: tuple[Any, str] | None = None
    for number, (thread_id, rowid) in enumerate(
        rows.keys("turns", ("thread_id",), ("thread_id", "datetime_utc", "id")), 1
    ):
        place = f"turn {number}"
        rows.begin(place)
        row = rows.row("turns", rowid)
        try:
            asked, parent = _chain(rows, row.get("parent_message_hash"), tips)
            answered, _ = _chain(rows, row.get("tip_message_hash"), {row.get("parent_message_hash"): None})
        except _Ring:
            yield broken(place, "endless", "its messages do not come to an end", row.get("id"))
            continue
        if parent is None and (begun is None or begun[0] != thread_id):
            conversation = _conversation(rows, row, thread_id, task)
            yield Record(place, conversation)
            begun = (thread_id, conversation.id)
        conversation_id = parent.conversation_id if parent else begun[1] if begun else ""
        exchange, tip = _exchange(rows, row, (asked, answered), parent, conversation_id, task)
        tips[row.get("tip_message_hash")] = tip
        yield Record(place, exchange)


def _chain(rows: Rows, tip: Any, known: Any) -> tuple[list[Row], _Tip | None]:
    """The messages up to *tip*, oldest first, behind the first that is *known*; and what is known of that."""
    found: list[Row] = []
    while tip is not None and tip not in known:
        if len(found) >= LONGEST_TURN:
            raise _Ring
        messages = rows.where("messages", "hash", tip)
        if not messages:
            return found[::-1], None
        found.append(messages[0])
        tip = messages[0].get("parent_hash")
    return found[::-1], known.get(tip)


def _conversation(rows: Rows, row: Row, thread_id: Any, task: Task) -> ArchivedConversation:
    created_at = moment(row.get("datetime_utc"))
    # A turn of no thread is a conversation of its own.
    key = ("thread", str(thread_id)) if thread_id is not None else ("turn", str(row.get("id")))
    threads = rows.where("threads", "id", thread_id)
    title = items.column(threads[0].get("name")) if threads else None
    return ArchivedConversation(task.names.conversation(created_at, *key), created_at or task.now, title)


def _exchange(
    rows: Rows,
    row: Row,
    said: tuple[Sequence[Row], Sequence[Row]],
    parent: _Tip | None,
    conversation_id: str,
    task: Task,
) -> tuple[Archived, _Tip]:
    asked, instructions = list(said[0]), parent.instructions if parent else None
    if parent is None and asked and asked[0].get("role") == "system":
        instructions = "\n".join(_texts(rows, asked.pop(0))) or None
    taken, waiting = pieces.paired(_pieces(rows, asked), parent.waiting if parent else ())
    before = parent.waiting if parent else ()
    taken = [
        *pieces.unanswered(call for call in waiting if call in before),
        *taken,
        *pieces.unanswered(call for call in waiting if call not in before),
    ]
    given, waiting = pieces.paired(_pieces(rows, said[1]), ())
    settings = llm_rows.settings_of(rows, row, rows.where("turn_tools", "turn_id", row.get("id")), instructions, task)
    members = llm_rows.figures(row, settings, task)
    exchange = Archived(
        id=task.names.exchange(moment(row.get("datetime_utc")), str(row.get("id"))),
        conversation_id=conversation_id,
        parent_id=parent.exchange_id if parent else None,
        status="completed" if given else "incomplete",
        error=None if given else NO_ANSWER,
        input=kept(taken, UPSTREAM),
        output=kept(given, UPSTREAM),
        repeats_settings=bool(parent and parent.settings == members["settings"]),
        **members,
    )
    return exchange, _Tip(exchange.id, conversation_id, instructions, exchange.settings, waiting)


def _pieces(rows: Rows, messages: Sequence[Row]) -> Iterator[Piece]:
    """What messages hold: parts of messages side by side are one message."""
    for each in messages:
        is_answer = each.get("role") == "assistant"
        role = "assistant" if is_answer else str(each.get("role") if each.get("role") == "system" else "user")
        held: list[llm_rows.Part] = []
        for part in rows.where("parts", "message_hash", each.get("hash"), "position"):
            found = _piece(rows, part, is_answer=is_answer)
            if isinstance(found, dict):
                held.append(found)
            elif found is not None:
                if held:
                    yield pieces.message(role, held)
                held = []
                yield found
        if held:
            yield pieces.message(role, held)


def _piece(rows: Rows, part: Row, *, is_answer: bool) -> llm_rows.Part | Piece | None:
    payload, kind, key = _payload(part), part.get("type"), f"part/{part.get('id')}"
    if kind == "tool_call":
        call_id, name = payload.get("tool_call_id"), payload.get("name") or part.get("tool_name")
        given = call_id if isinstance(call_id, str) and call_id else pieces.call_id(key)
        return Call(given, str(name or "tool"), pieces.arguments(payload.get("arguments") or {}))
    if kind == "tool_result":
        return _result(rows, part, payload, key)
    if kind == "attachment":
        shown = _attached(rows, [payload.get("attachment")])
        # Messages of assistants hold nothing but text.
        return pieces.told("[attachment]", output=True) if is_answer else shown[0] if shown else None
    text = _text(rows, part)
    if not text:
        return None
    return pieces.thought([text]) if kind == "reasoning" else pieces.told(text, output=is_answer)


def _result(rows: Rows, part: Row, payload: Row, key: str) -> Result:
    output, call_id = payload.get("output"), payload.get("tool_call_id")
    text = output if isinstance(output, str) and output else str(payload.get("exception") or "")
    attachments = payload.get("attachments")
    shown = _attached(rows, attachments if isinstance(attachments, list) else [])
    name = payload.get("name") or part.get("tool_name")
    return Result(
        [*llm_rows.text_parts([text]), *shown] if shown else text,
        key,
        call_id if isinstance(call_id, str) and call_id else None,
        name if isinstance(name, str) else None,
    )


def _attached(rows: Rows, references: Sequence[Any]) -> list[llm_rows.Part]:
    ids = [each["id"] for each in references if isinstance(each, dict) and isinstance(each.get("id"), str)]
    return [llm_rows.attachment(row) for each in ids for row in rows.where("attachments", "id", each)]


def _texts(rows: Rows, message: Row) -> list[str]:
    return [_text(rows, part) for part in rows.where("parts", "message_hash", message.get("hash"), "position")]


def _text(rows: Rows, part: Row) -> str:
    """The text of a part: as it stands, or put together of what stands elsewhere."""
    if isinstance(part.get("text"), str):
        return str(part["text"])
    references = _payload(part).get("text_ref")
    found = []
    for each in references if isinstance(references, list) else ():
        if isinstance(each, dict) and isinstance(each.get("literal"), str):
            found.append(each["literal"])
        elif isinstance(each, dict) and type(each.get("fragment")) is int:
            found += [str(row.get("content")) for row in rows.where("fragments", "id", each["fragment"])]
    return "".join(found)


def _payload(part: Row) -> Row:
    found = llm_rows.loaded(part.get("payload"))
    return found if isinstance(found, dict) else {}
