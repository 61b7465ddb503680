"""Files to be imported, made without a store: our own format by its own writer, and an account export of ChatGPT.

Of so many exchanges a tenth is one conversation, with a branch for each ten of its turns (of less than a hundred all
are one, without); the others are conversations
of four turns, every fifth with a branch besides. Every third turn calls a tool and is answered with what that gave.
The branches of the long one leave in its first hundred turns: a line of Chat Completions is a whole thread, and a
thousand threads of thousands of turns would be a file of that format's own making.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from convstore import ids
from convstore.archives.native.writing import Native
from convstore.domain import jsontext, manifest
from convstore.domain.archive import Archived, ArchivedBranch, ArchivedConversation, Kept
from convstore.domain.items import Item
from convstore.domain.ledger import Entry
from convstore.domain.manifest import Tally
from convstore.domain.pricing.cost import Basis, Cost, Line
from convstore.domain.usage import Usage

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
TURNS, FORKED, CALLING, LEAVING = 4, 5, 3, 100
MODEL = "gpt-5.4"
SETTINGS = jsontext.dumps(
    {"model": MODEL, "instructions": "You answer in a few sentences, and say what you do not know.", "temperature": 0.2}
)
REPLY = b'{"service_tier":"default","top_logprobs":0,"presence_penalty":0.0,"frequency_penalty":0.0}'
USAGE = Usage(1200, 1000, 0, 180, 20, 1380)
COST = Cost(
    Basis.REPORTED,
    Decimal("0.00345"),
    "USD",
    lines=(
        Line("input", 200, Decimal("2.5")),
        Line("cached_input", 1000, Decimal("0.25")),
        Line("output", 180, Decimal(15)),
    ),
    source="book",
    version="1",
    model=MODEL,
)


@dataclass
class Maker:
    """Ids and words, the same for the same seed. Each id is later than those before it."""

    seed: int
    number: int = 0
    dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self._words = [f"word{number}" for number in range(20_000)]
        self._often = list(_running(len(self._words)))

    def id(self, prefix: str) -> str:
        self.number += 1
        moment = int(BEGAN.timestamp() * 1000) + self.number
        return ids.derived(prefix, moment, self.dice.randbytes(10))

    def moment(self) -> datetime:
        return BEGAN + timedelta(milliseconds=self.number)

    def words(self, count: int) -> str:
        return " ".join(self.dice.choices(self._words, cum_weights=self._often, k=count))


def _running(count: int) -> Iterator[float]:
    """Weights as words have them, added up."""
    total = 0.0
    for rank in range(1, count + 1):
        total += 1 / rank
        yield total


# -- our own format -------------------------------------------------------------------------------------------


def first(seed: int) -> str:
    """The id of the first conversation of the file of this seed."""
    return Maker(seed).id(ids.CONVERSATION)


def native(path: Path, exchanges: int, seed: int) -> None:
    """A file of so many exchanges."""
    make, writer, tally = Maker(seed), Native(), Tally("jsonl")
    branches = exchanges // 100
    turns = exchanges // 10 - branches if branches else exchanges
    with path.open("wb") as file:
        file.write(tally.add(writer.begin()))
        left = exchanges
        while left > 0:
            for piece in _conversation(make, writer, tally, turns, branches):
                file.write(tally.add(piece))
            left -= turns + branches
            turns, branches = min(TURNS, left), int(left > TURNS and make.number % FORKED == 0)
        file.write(manifest.as_line(tally.manifest()))


def _conversation(make: Maker, writer: Native, tally: Tally, turns: int, branches: int) -> Iterator[bytes]:
    """A thread, and behind some of its turns another one: parents stand before their children."""
    root = make.id(ids.CONVERSATION)
    thread = [make.id(ids.EXCHANGE) for _ in range(turns)]
    named = ArchivedBranch(f"named-{root}", root, thread[-1], make.moment(), make.moment())
    own = ArchivedConversation(root, make.moment(), tip_id=thread[-1])
    tally.conversations += 1
    yield writer.conversation(own, None, [named] if branches else [])
    for exchange in _exchanges(make, root, thread, branches):
        tally.exchanges += 1
        tally.items += len(exchange.input) + len(exchange.output)
        yield writer.exchange(exchange)
    yield writer.conversation_end()
    tally.branches += bool(branches)


def _exchanges(make: Maker, root: str, thread: Sequence[str], branches: int) -> Iterator[Archived]:
    parent, called = None, False
    for at, exchange in enumerate(thread):
        calls = at % CALLING == 1
        yield _exchange(make, root, exchange, parent, calls=calls, called=called)
        parent, called = exchange, calls
    # Not behind what calls a tool: that would have to be answered.
    places = [at for at in range(min(len(thread), LEAVING)) if at % CALLING != 1]
    for number in range(branches):
        yield _exchange(make, root, make.id(ids.EXCHANGE), thread[places[number % len(places)]])


def _exchange(
    make: Maker, root: str, own: str, parent: str | None, *, calls: bool = False, called: bool = False
) -> Archived:
    now = make.moment()
    asked: dict[str, object]
    said: dict[str, object]
    if called:
        asked = {"type": "function_call_output", "call_id": f"call_{parent}", "output": make.words(60)}
    else:
        asked = {"type": "message", "role": "user", "content": make.words(40)}
    if calls:
        said = {
            "type": "function_call",
            "status": "completed",
            "call_id": f"call_{own}",
            "name": "look_up",
            "arguments": jsontext.dumps({"what": make.words(5)}).decode(),
        }
    else:
        text = {"type": "output_text", "text": make.words(100), "annotations": [], "logprobs": []}
        said = {"type": "message", "role": "assistant", "status": "completed", "content": [text]}
    spent = Entry(
        own, root, now, now.date(), None, "u1", MODEL, MODEL, "openai", "create", "completed", USAGE, COST, "default"
    )
    return Archived(
        id=own,
        conversation_id=root,
        created_at=now,
        requested_model=MODEL,
        parent_id=parent,
        origin="create",
        input=[_kept(asked)],
        output=[_kept(said)],
        settings=SETTINGS,
        repeats_settings=parent is not None,
        metadata=b'{"team":"research"}',
        user="u1",
        model=MODEL,
        upstream="openai",
        upstream_response_id=f"resp_up{make.number}",
        reply=REPLY,
        usage=USAGE,
        reported_usage=USAGE.as_api(),
        first_event_at=now + timedelta(milliseconds=400),
        completed_at=now + timedelta(seconds=3),
        entry=spent,
    )


def _kept(body: dict[str, object]) -> Kept:
    return Kept(Item(str(body["type"]), jsontext.dumps(body)))


# -- ChatGPT's ------------------------------------------------------------------------------------------------


def chatgpt(path: Path, exchanges: int, seed: int) -> None:
    """An account of so many questions with their answers, in conversations of four."""
    make = Maker(seed)
    with path.open("wb") as file:
        for start in range(0, exchanges, TURNS):
            file.write(b",\n" if start else b"[")
            file.write(jsontext.dumps(_account(make, min(TURNS, exchanges - start))))
        file.write(b"]\n")


def _account(make: Maker, turns: int) -> dict[str, object]:
    own = f"conversation-{make.seed}-{make.number}"
    nodes: dict[str, dict[str, object]] = {f"{own}-root": {"id": f"{own}-root", "message": None, "children": []}}
    last = f"{own}-root"
    for turn in range(turns):
        for role, length in (("user", 40), ("assistant", 100)):
            make.number += 1
            key = f"{own}-{turn}-{role}"
            message = {
                "id": key,
                "author": {"role": role},
                "create_time": make.moment().timestamp(),
                "content": {"content_type": "text", "parts": [make.words(length)]},
                "recipient": "all",
                "metadata": {"model_slug": "gpt-4o"} if role == "assistant" else {},
            }
            nodes[key] = {"id": key, "message": message, "parent": last, "children": []}
            nodes[last]["children"] = [key]
            last = key
    return {
        "title": make.words(4),
        "create_time": make.moment().timestamp(),
        "mapping": nodes,
        "current_node": last,
        "conversation_id": own,
    }
