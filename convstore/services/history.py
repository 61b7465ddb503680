"""History: a project's responses, filtered and searched for, a page at a time.

In order of time, pages go on from an id, as those of every list; whatever arrives meanwhile, nothing is shown twice or
left out. By relevance, the newest matches are compared (RANKED of them), and a page goes on from a cursor that knows
what was asked, up to which exchange, and how well its last one matched.

Bodies are read of the exchanges on the page, and only for snippets or when they are asked for. A run of Chinese or
Japanese is in the index as pairs of characters: an exchange that has the pairs and not the run is passed over here.
"""

import base64
import binascii
import hashlib
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from convstore import ids
from convstore.domain import jsontext, said, snippets, terms
from convstore.domain.items import REMOVAL, listed
from convstore.domain.terms import Query
from convstore.errors import InvalidRequest, ResponseNotFound, SearchUnavailable
from convstore.services import naming
from convstore.services.deps import Deps
from convstore.services.paging import Page
from convstore.storage import conversations, exchanges, history, searches, trees
from convstore.storage.exchanges import Placed
from convstore.storage.history import Candidate, Entry, Wanted
from convstore.storage.scope import Scope

# What is compared by relevance: more than anybody pages through, and few enough to be compared at once.
RANKED = 1_000
# How often a page is filled up when what it found has the pairs of a run, but not the run.
ROUNDS = 100
_BODIES = ("input", "output")
_CURSOR = struct.Struct(">8s16sI16s")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client wants of the history. filters: checked values by name (storage/history.py).

    fields: members that are to be shown; None: all but what was said.
    """

    text: str | None = None
    filters: Mapping[str, Any] = field(default_factory=dict)
    metadata: Sequence[tuple[str, str]] = ()
    by_relevance: bool = False
    fields: Collection[str] | None = None

    def pack(self) -> dict[str, Any]:
        """What is wanted, as JSON: but for how it is to be listed."""
        return {
            "text": self.text,
            "filters": {name: _packed_value(value) for name, value in self.filters.items()},
            "metadata": [list(pair) for pair in self.metadata],
        }

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> "Asked":
        """What `pack` packed."""
        filters = {name: _unpacked_value(value) for name, value in packed["filters"].items()}
        return cls(packed["text"], filters, [(name, value) for name, value in packed["metadata"]])

    def digest(self, project_id: str) -> bytes:
        """Stands for whose history is asked for what; not for which members are shown."""
        known = repr((project_id, self.text, sorted(self.filters.items()), sorted(self.metadata)))
        return hashlib.blake2b(known.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _packed_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return {"moment": value.isoformat()}
    return {"amount": str(value)} if isinstance(value, Decimal) else value


def _unpacked_value(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return datetime.fromisoformat(value["moment"]) if "moment" in value else Decimal(value["amount"])


@dataclass(frozen=True, slots=True)
class Found:
    """A page: responses as JSON, the cursors of its ends, and whether there are more."""

    data: Sequence[bytes]
    first: str | None
    last: str | None
    has_more: bool

    def write(self) -> bytes:
        """The JSON of the page."""
        tail = {"first_id": self.first, "last_id": self.last, "has_more": self.has_more}
        return b'{"object":"list","data":[' + b",".join(self.data) + b"]," + jsontext.dumps(tail)[1:]


class _Ranked(NamedTuple):
    """How well an exchange matches; in order of relevance those with the highest come first."""

    score: int
    id: str


def page(deps: Deps, project_id: str, asked: Asked, page: Page) -> Found:
    """A page of the responses that are there for clients. Raises InvalidRequest."""
    if asked.text is not None and deps.database.vault.seals:
        raise SearchUnavailable("q")
    query = terms.query(asked.text) if asked.text is not None else None
    if query is not None and not query.parts:
        return Found([], None, None, has_more=False)
    searches.settle(deps.database)
    with deps.database.reading(project_id) as scope:
        wanted = _wanted(deps, scope, asked, query)
        reader = _Reader(scope, query, asked.fields)
        if asked.by_relevance:
            return _by_relevance(scope, asked, wanted, page, reader)
        return _by_time(scope, wanted, page, reader)


def matches(deps: Deps, project_id: str, asked: Asked, limit: int) -> Iterator[Sequence[str]]:
    """The ids of all responses that are asked for, the oldest first, in pages: each in a look of its own at the store.

    Raises InvalidRequest.
    """
    if asked.text is not None and deps.database.vault.seals:
        raise SearchUnavailable("q")
    query = terms.query(asked.text) if asked.text is not None else None
    if query is not None and not query.parts:
        return
    searches.settle(deps.database)
    after: str | None = None
    while True:
        with deps.database.reading(project_id) as scope:
            wanted = _wanted(deps, scope, asked, query)
            looked = history.found(scope, wanted, limit, newest_first=False, after=after)
            found = _Reader(scope, query, ()).matching(looked)
        if found:
            yield found
        if len(looked) < limit:
            return
        after = looked[-1]


def _wanted(deps: Deps, scope: Scope, asked: Asked, query: Query | None) -> Wanted:
    filters = dict(asked.filters)
    for name in ("ancestor", "descendant"):
        if name in filters:
            filters[name], home = _place(scope, filters[name], name)
            if query:
                # So that a common word is looked for in this conversation and not everywhere.
                filters.setdefault("conversation", home)
    if "conversation" in asked.filters and conversations.get(scope, filters["conversation"]) is None:
        raise InvalidRequest(
            f"Conversation with id '{filters['conversation']}' not found.", param="conversation", code="invalid_value"
        )
    return Wanted(query, filters, asked.metadata, _dates(deps, filters))


def _place(scope: Scope, name: str, param: str) -> tuple[str, str]:
    """The exchange that *name* stands for, and its conversation."""
    try:
        own = naming.exchange_id(scope, name)
    except ResponseNotFound:
        own = ""
    place = trees.place(scope, own) if own else None
    if place is None:
        raise InvalidRequest(f"Response with id '{name}' not found.", param=param, code="invalid_value")
    return own, place[0]


def _dates(deps: Deps, filters: Mapping[str, Any]) -> Sequence[str] | None:
    """What the index has of exchanges of this time. Nothing was asked before 1970, or will have been next year."""
    if "since" not in filters and "until" not in filters:
        return None
    future = deps.clock() + timedelta(days=365)
    since: datetime = max(filters.get("since", _EPOCH), _EPOCH)
    until: datetime = min(filters.get("until", future), future)
    return terms.between(since, until) if since <= until else ()


# -- in order of time -----------------------------------------------------------------------------------------


def _by_time(scope: Scope, wanted: Wanted, page: Page, reader: "_Reader") -> Found:
    for name, cursor in (("after", page.after), ("before", page.before)):
        if cursor is not None and trees.place(scope, cursor) is None:
            raise InvalidRequest(
                f"Response with id '{cursor}' not found in this list.", param=name, code="invalid_value"
            )
    backwards = page.before is not None and page.after is None
    after, before = page.after, page.before
    kept: list[str] = []
    for _ in range(ROUNDS):
        looked = history.found(
            scope, wanted, page.limit + 1, newest_first=page.order == "desc", after=after, before=before
        )
        matching = reader.matching(looked)
        kept = [*matching, *kept] if backwards else [*kept, *matching]
        if len(looked) <= page.limit or len(kept) > page.limit:
            break
        if backwards:
            before = looked[0]
        else:
            after = looked[-1]
    chosen = kept[-page.limit :] if backwards else kept[: page.limit]
    first, last = (chosen[0], chosen[-1]) if chosen else (None, None)
    return Found(reader.written(chosen), first, last, has_more=len(kept) > page.limit)


# -- by relevance ---------------------------------------------------------------------------------------------


def _by_relevance(scope: Scope, asked: Asked, wanted: Wanted, page: Page, reader: "_Reader") -> Found:
    digest = asked.digest(scope.project_id)
    after = _read(page.after, digest, "after")
    before = _read(page.before, digest, "before")
    until = (after or before or (None, None))[0]
    candidates = history.newest(scope, wanted, RANKED, until=until)
    if not candidates:
        return Found([], None, None, has_more=False)
    newest = until or candidates[0].id
    ranked = sorted((_Ranked(_score(reader.query, each), each.id) for each in candidates), reverse=True)
    between = [each for each in ranked if (after is None or each < after[1]) and (before is None or each > before[1])]
    backwards = before is not None and after is None
    kept = _first(reader, between[::-1] if backwards else between, page.limit + 1)
    chosen = kept[: page.limit][::-1] if backwards else kept[: page.limit]
    first, last = (_cursor(digest, newest, each) for each in (chosen[0], chosen[-1])) if chosen else (None, None)
    return Found(reader.written([each.id for each in chosen]), first, last, has_more=len(kept) > page.limit)


def _first(reader: "_Reader", ranked: Sequence[_Ranked], count: int) -> list[_Ranked]:
    kept: list[_Ranked] = []
    for start in range(0, len(ranked), count):
        part = ranked[start : start + count]
        matching = set(reader.matching([each.id for each in part]))
        kept += [each for each in part if each.id in matching]
        if len(kept) >= count:
            break
    return kept[:count]


def _score(query: Query | None, candidate: Candidate) -> int:
    """How much of the query stands in the first line of the question, which counts twice, and of the answer."""
    return 2 * _present(query, candidate.question) + _present(query, candidate.answer)


def _present(query: Query | None, line: str | None) -> int:
    if query is None or not line:
        return 0
    line = terms.normal(line)
    whole = set(terms.words([line]))
    return sum(part in whole or (part not in query.words and part in line) for part in query.parts)


def _cursor(digest: bytes, newest: str, last: _Ranked) -> str:
    packed = _CURSOR.pack(digest, _packed(newest), last.score, _packed(last.id))
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def _read(cursor: str | None, digest: bytes, param: str) -> tuple[str, _Ranked] | None:
    """The newest exchange that was there, and the one to go on from. Raises InvalidRequest."""
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        of, newest, score, last = _CURSOR.unpack(base64.b64decode(padded.encode(), altchars=b"-_", validate=True))
    except (binascii.Error, struct.error, ValueError):
        of = b""
    if of != digest:
        raise InvalidRequest(f"'{cursor[:100]}' is no cursor of this query.", param=param, code="invalid_value")
    return ids.unpack(ids.EXCHANGE, newest), _Ranked(score, ids.unpack(ids.EXCHANGE, last))


def _packed(exchange_id: str) -> bytes:
    return ids.pack(ids.EXCHANGE, exchange_id) or bytes(16)


# -- what is shown --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Reader:
    """Reads what a page shows of exchanges; of their bodies each once, and only when there is a reason to."""

    scope: Scope
    query: Query | None
    members: Collection[str] | None
    _entries: dict[str, Entry] = field(default_factory=dict)
    _items: dict[str, list[Placed]] = field(default_factory=dict)
    _settings: dict[str, bytes] = field(default_factory=dict)

    def matching(self, exchange_ids: Sequence[str]) -> list[str]:
        """Those of them that have each run of the query in one piece."""
        if not self.query or not self.query.runs:
            return list(exchange_ids)
        self._read(exchange_ids)
        self._read_settings(exchange_ids)
        return [each for each in exchange_ids if self._has_runs(self.query.runs, each)]

    def written(self, exchange_ids: Sequence[str]) -> list[bytes]:
        """The JSON of each."""
        self._read_entries(exchange_ids)
        if self._wants_snippets() or any(member in (self.members or ()) for member in _BODIES):
            self._read(exchange_ids)
        of = {own: list(self._snippets(own)) for own in exchange_ids} if self._wants_snippets() else {}
        missed = [own for own, found in of.items() if self._missing(found)]
        if missed:
            # What is in no item is in the instructions.
            self._read_settings(missed)
            of |= {own: [*of[own], *self._of_instructions(own)] for own in missed}
        return [self._written(own, of.get(own)) for own in exchange_ids if own in self._entries]

    def _wants_snippets(self) -> bool:
        return self.query is not None and (self.members is None or "snippets" in self.members)

    def _written(self, own: str, found: Sequence[snippets.Snippet] | None) -> bytes:
        shown = _as_dict(self._entries[own])
        if self.members is not None:
            shown = {name: value for name, value in shown.items() if name in (*self.members, "id", "object")}
        if found is not None:
            shown["snippets"] = [each.as_dict() for each in snippets.best(found)]
        sides = [
            f',"{name}":'.encode() + self._side(own, output=name == "output")
            for name in _BODIES
            if name in (self.members or ())
        ]
        return jsontext.dumps(shown)[:-1] + b"".join(sides) + b"}"

    def _side(self, own: str, *, output: bool) -> bytes:
        placed = [each for each in self._items[own] if each.output == output and (output or each.item.type != REMOVAL)]
        return b"[" + b",".join(listed(each.item, each.shown_id) for each in placed) + b"]"

    def _snippets(self, own: str) -> Iterator[snippets.Snippet]:
        assert self.query is not None
        for each in self._items[own]:
            for name, text in said.texts(each.item, output=each.output):
                found = snippets.of(text, self.query, name, each.shown_id)
                if found:
                    yield found

    def _of_instructions(self, own: str) -> Iterator[snippets.Snippet]:
        text = said.instructions(self._settings.get(own, b"{}"))
        found = snippets.of(text, self.query, "instructions") if text and self.query else None
        if found:
            yield found

    def _missing(self, found: Sequence[snippets.Snippet]) -> bool:
        assert self.query is not None
        return bool(set(self.query.parts) - {part for each in found for part in each.found})

    def _has_runs(self, runs: Sequence[str], own: str) -> bool:
        texts = [text for each in self._items[own] for _, text in said.texts(each.item, output=each.output)]
        instructions = said.instructions(self._settings.get(own, b"{}"))
        compared = [terms.normal(text) for text in (*texts, instructions) if text]
        return all(any(run in text for text in compared) for run in runs)

    def _read_entries(self, exchange_ids: Sequence[str]) -> None:
        new = [each for each in exchange_ids if each not in self._entries]
        if new:
            self._entries |= history.entries(self.scope, new)

    def _read(self, exchange_ids: Sequence[str]) -> None:
        new = [each for each in exchange_ids if each not in self._items]
        self._read_entries(new)
        places = {(self._entries[own].lane, self._entries[own].node.depth): own for own in new}
        self._items |= exchanges.items_of(self.scope, places)

    def _read_settings(self, exchange_ids: Sequence[str]) -> None:
        new = [each for each in exchange_ids if each not in self._settings]
        if new:
            self._settings |= history.settings(self.scope, new)


def _as_dict(entry: Entry) -> dict[str, Any]:
    """All members of a listed response but snippets and what was said."""
    node = entry.node
    known = node.as_dict()
    return {
        "id": node.id,
        "object": "response",
        "created_at": int(node.created_at.timestamp()),
        **{name: known[name] for name in ("status", "model", "requested_model", "upstream", "conversation_id")},
        "previous_response_id": node.parent_id,
        "depth": node.depth,
        "children": entry.children,
        **{name: known[name] for name in ("origin", "origin_id", "question", "answer", "incomplete_reason", "error")},
        **{name: known[name] for name in ("usage", "first_event_ms", "latency_ms")},
        **{name: known[name] for name in ("cost", "currency", "cost_basis", "cost_reason")},
        "metadata": jsontext.loads(entry.metadata) if entry.metadata else {},
        "user": entry.user,
        "safety_identifier": entry.safety_identifier,
        "key_id": entry.api_key_id,
    }
