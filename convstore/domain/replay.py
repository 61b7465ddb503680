"""A replay: a thread that is asked again, turn by turn, on one model or on several side by side.

    Wanted    what somebody asks for
    Plan      what is to be asked again, and within which limits: stored with the replay
    Replay    what came of it: a Run for each model, a Turn for each question that a run has asked
    matched   the recorded outputs of tools, under the calls that the new answer makes

Each model is a run of its own. A run stops, and says why, where its answers lead somewhere else than the recorded ones.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from convstore.domain import jsontext
from convstore.domain.items import CALLS, OUTPUTS, Item
from convstore.domain.jsontext import Raw
from convstore.domain.pricing.cost import Cost
from convstore.domain.usage import Usage

MODES = ("thread", "last")
TOOL_OUTPUTS = ("recorded", "stop")
# How a run ends.
ENDS = ("completed", "stopped", "cancelled", "failed")


@dataclass(frozen=True, slots=True)
class Plan:
    """turns: the exchanges whose questions are asked again, in order. parent_id: behind which exchange; None: as a
    root. after: an exchange that may still be being answered, behind which they are asked instead.

    overrides: JSON text by member, in each request. branch: a name that moves along.
    max_cost: in the currency of the prices.
    """

    turns: tuple[str, ...]
    parent_id: str | None = None
    after: str | None = None
    mode: str = "thread"
    tool_outputs: str = "recorded"
    overrides: Mapping[str, str] = field(default_factory=dict)
    branch: str | None = None
    max_calls: int | None = None
    max_cost: Decimal | None = None

    def dump(self) -> str:
        """The stored form."""
        kept: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        kept |= {"turns": list(self.turns), "overrides": dict(self.overrides)}
        kept["max_cost"] = None if self.max_cost is None else str(self.max_cost)
        return jsontext.dumps({name: value for name, value in kept.items() if value is not None}).decode()


def load(text: str) -> Plan:
    """The plan that was stored."""
    kept = jsontext.loads(text)
    kept["turns"] = tuple(kept["turns"])
    if "max_cost" in kept:
        kept["max_cost"] = Decimal(kept["max_cost"])
    return Plan(**kept)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be asked again: on which models (none: on those that were asked), from where, and how."""

    models: Sequence[str] = ()
    first: str | None = None
    until: str | None = None
    mode: str = "thread"
    tool_outputs: str = "recorded"
    overrides: Mapping[str, Raw] = field(default_factory=dict)
    max_calls: int | None = None
    max_cost: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One model's part. ended: how and why, once it is over. job_status: of its job; None when that is forgotten."""

    number: int
    model: str | None
    job_id: str
    ended: Mapping[str, Any] | None = None
    job_status: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn that was asked again: as which exchange, and how that stands. is_kept: whether there is a going on."""

    run: int
    number: int
    source_id: str
    exchange_id: str
    status: str
    model: str | None
    upstream: str | None
    usage: Usage | None
    created_at: datetime
    completed_at: datetime | None
    is_kept: bool
    cost: Cost | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """source_id: up to which exchange the thread is asked again. calls: how many were made, failed ones included."""

    id: str
    conversation_id: str
    source_id: str
    plan: Plan
    created_at: datetime
    calls: int = 0
    cancel_requested_at: datetime | None = None
    runs: Sequence[Run] = field(default=())


class Diverged(Exception):
    """The new answer does not lead to the recorded turn. reason: why, in a sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def matched(own: Sequence[Item], recorded: Sequence[Item], made: Sequence[Item], *, use_recorded: bool) -> list[Item]:
    """The items of a turn as they are asked again: outputs of tools under the new calls' ids.

    own: what the turn brought; recorded: the answer before it, as it was; made: the answer before it, as it is now.
    An output is used when a new call has the name and the arguments (equal as JSON) of the one that it was for.
    Raises Diverged when a new call has no output, or an output no call; or, without *use_recorded*, when any is needed.
    """
    was = {item.call_id: item for item in recorded if item.type in CALLS}
    brought = {item.call_id for item in own if item.type in CALLS}
    calls = [item for item in made if item.type in CALLS]
    needed = [item for item in own if item.type in OUTPUTS and item.call_id in was and item.call_id not in brought]
    if not use_recorded and (calls or needed):
        raise Diverged("A tool was called, and recorded outputs are not to be used.")
    new_ids: dict[str | None, str | None] = {}
    waiting = list(calls)
    for output in needed:
        call = was[output.call_id]
        same = next((each for each in waiting if _sense(each) == _sense(call)), None)
        if same is None:
            raise Diverged(f"The model did not call '{call.name}' with the recorded arguments.")
        waiting.remove(same)
        new_ids[output.call_id] = same.call_id
    if waiting:
        raise Diverged(f"The model called '{waiting[0].name}', and there is no recorded output for that call.")
    return [_renamed(item, new_ids) if item in needed else item for item in own]


def _sense(call: Item) -> tuple[str, str | None, bytes]:
    """What a call comes down to: its kind, its name, its arguments as a value."""
    value = jsontext.loads(call.body)
    given = value.get("arguments" if call.type == "function_call" else "input")
    if call.type == "function_call" and isinstance(given, str):
        with suppress(jsontext.NotJson):
            given = jsontext.loads(given or "{}")
    return call.type, call.name, jsontext.dumps_sorted(given)


def _renamed(item: Item, new_ids: Mapping[str | None, str | None]) -> Item:
    value = jsontext.loads(item.body)
    value["call_id"] = new_ids[item.call_id]
    return replace(item, body=jsontext.dumps(value), call_id=new_ids[item.call_id], item_id=None)
