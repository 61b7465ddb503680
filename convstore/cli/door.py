"""Where a command gets its answers: the database itself, or a service that runs somewhere.

Both doors give the same parsed JSON, which is the API's, so whatever prints it need not know where it came from.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from convstore.cli.files import Files
from convstore.domain import jsontext

Json = dict[str, Any]
# A page of exchanges; what is asked for at a time of those that come with everything that was said.
HEADERS = 1_000
BODIES = 100


@dataclass(frozen=True, slots=True)
class Place:
    """What a command was told of where to look. Without a url: in the database of these settings."""

    config: str | None = None
    project: str | None = None
    url: str | None = None
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer in one piece (response), or as it arrives (events); and what carries on behind it."""

    response: Json | None = None
    events: Iterator[Json] | None = None
    replay_id: str | None = None


class Door(Files, Protocol):
    """Names are ids of exchanges or names of branches; bodies are the API's. All may raise ConvstoreError."""

    def tree(self, conversation_id: str, after: str | None, *, root: str | None, depth: int | None) -> Json:
        """A page of a conversation's tree."""

    def thread(self, name: str, after: str | None, limit: int, *, items: bool) -> Json:
        """A page of the exchanges from the root to one."""

    def responses(self, asked: Mapping[str, Any]) -> Json:
        """A page of the history, for the API's own parameters."""

    def branch(self, name: str, body: bytes) -> Answered:
        """Its question again, with edits."""

    def replay(self, name: str, body: bytes) -> Json:
        """Its thread again: the replay, or what it would take."""

    def replayed(self, replay_id: str) -> Json:
        """A replay."""

    def cancel(self, replay_id: str) -> Json:
        """The same, stopped."""

    def diff(self, left: str, right: str) -> Json:
        """Two threads compared."""

    def diff_page(self, left: str, right: str) -> str:
        """The same, as a page of HTML."""

    def reconcile(self, bill: bytes, asked: Mapping[str, str]) -> Json:
        """A provider's bill against our figures; asked: as in the query of the API."""

    def prices(self, after: str | None, *, price_set: str | None, model: str | None) -> Json:
        """A page of the price book."""

    def name_prices(self, body: bytes) -> Json:
        """Prices put in the book."""

    def forget_price(self, price_id: str) -> None:
        """One taken out of it."""

    def find_price(self, **asked: str) -> Json:
        """The price that applies to a model."""

    def budgets(self) -> Json:
        """All budgets."""

    def set_budget(self, body: bytes) -> Json:
        """A new one."""

    def lift_budget(self, budget_id: str) -> None:
        """One less."""

    def rules(self) -> Json:
        """All retention rules."""

    def set_rule(self, body: bytes) -> Json:
        """A new one."""

    def change_rule(self, rule_id: str, body: bytes) -> Json:
        """One of them, changed."""

    def forget_rule(self, rule_id: str) -> None:
        """One less."""

    def retention_plan(self, after: str | None, limit: int) -> Json:
        """A part of what the rules would let go."""

    def holds(self, asked: Mapping[str, str]) -> Json:
        """A page of legal holds; asked: as in the query of the API."""

    def hold(self, body: bytes) -> Json:
        """A new one."""

    def held(self, hold_id: str) -> Json:
        """One of them."""

    def release_hold(self, hold_id: str) -> Json:
        """The same, released."""

    def response_cost(self, name: str) -> Json:
        """What an answer cost, and the path to it."""

    def conversation_cost(self, conversation_id: str) -> Json:
        """What a conversation cost, in parts."""

    def costs(self, query: Mapping[str, str]) -> Json:
        """A report, asked for with the API's parameters."""

    def costs_csv(self, query: Mapping[str, str]) -> str:
        """The same as CSV."""

    def check_audit(self, after: str | None, limit: int, head: Json | None) -> Json:
        """A part of the audit log, checked; held against a head."""

    def audit_head(self) -> Json:
        """Its newest entries, signed."""

    def audit_size(self) -> int | None:
        """How many entries there are; None where that is not known."""

    def audited(self, asked: Mapping[str, str]) -> Json:
        """A page of entries; asked: as in the query of the API."""

    def preview_erasure(self, body: bytes) -> Json:
        """What an erasure would be about."""

    def erase(self, body: bytes) -> Json:
        """A new one, on record."""

    def erasure(self, erasure_id: str) -> Json:
        """One of them."""

    def erasures(self, limit: int) -> Json:
        """The newest."""

    def purge(self) -> bool:
        """The traces of all of them removed from the file. False when others did not let it."""

    def working(self) -> AbstractContextManager[None]:
        """While this lasts, somebody runs what replays consist of."""


@contextmanager
def opened(place: Place) -> Iterator[Door]:
    """The door that leads there, for as long as it is needed."""
    if place.url is not None:
        from convstore.cli.remote import remote

        with remote(place.url, place.key) as door:
            yield door
    else:
        from convstore.cli.local import local

        with local(place.config, place.project) as door:
            yield door


def exchanges(door: Door, name: str, *, items: bool) -> Iterator[Json]:
    """The exchanges from the root to one, page by page."""
    after: str | None = None
    while True:
        page = door.thread(name, after, BODIES if items else HEADERS, items=items)
        yield from page["data"]
        if not page["has_more"]:
            return
        after = page["last_id"]


def responses(door: Door, asked: Mapping[str, Any], limit: int) -> Iterator[Json]:
    """So many of the history at most, page by page."""
    after: str | None = None
    while limit > 0:
        page = door.responses({**asked, "limit": min(limit, BODIES), **({"after": after} if after else {})})
        yield from page["data"]
        if not page["has_more"]:
            return
        limit -= len(page["data"])
        after = page["last_id"]


def whole_tree(door: Door, conversation_id: str, *, root: str | None, depth: int | None) -> Json:
    """A tree with all its pages in one."""
    found = page = door.tree(conversation_id, None, root=root, depth=depth)
    while page["has_more"]:
        page = door.tree(conversation_id, page["last_id"], root=root, depth=depth)
        found["data"] += page["data"]
    return {**found, "last_id": page["last_id"], "has_more": False}


def conversation_of(door: Door, name: str) -> str:
    """The conversation that an exchange is in."""
    (root,) = door.thread(name, None, 1, items=False)["data"]
    return str(root["conversation_id"])


def body(members: Mapping[str, str]) -> bytes:
    """A request of members that are JSON texts."""
    return jsontext.join(members).encode()
