"""Carrying out the rules of how long things are kept: what would go (plan), and letting it go (run).

Both look at exchanges newest first, so that what continues another goes before it. A run is a row of short
transactions, each of which leaves a store that fits together: it may be interrupted anywhere, and the next one goes on.
Rules and holds are read for each of them: what was changed meanwhile counts.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from convstore.domain.retention import Fate, Rule, fates
from convstore.services import erasing
from convstore.services.deps import Deps
from convstore.services.erasing import Erased
from convstore.storage import erasing as batches
from convstore.storage import holds, purging, retention, rules

# Exchanges looked at, and changed, at a time: SQLite has one writer, and turns wait for it.
BATCH = 200
# What a plan looks at unless told.
LOOKED_AT = 10_000


@dataclass(slots=True)
class Share:
    """What goes by one rule. held, waiting: exchanges that would, but for a hold, or for what continues them."""

    rule: Rule
    content: int = 0
    items: int = 0
    bytes: int = 0
    figures: int = 0
    held: int = 0
    waiting: int = 0
    oldest: datetime | None = None

    def count(self, fate: Fate, size: retention.Size | None) -> None:
        """Add an exchange."""
        self.content += fate.content
        self.figures += fate.figures
        self.held += fate.held
        self.waiting += fate.waits
        if size is not None:
            self.items += size.items
            self.bytes += size.bytes
        if fate.content or fate.figures:
            self.oldest = min(self.oldest or fate.member.at, fate.member.at)

    def as_dict(self) -> dict[str, Any]:
        """The API's form."""
        return {
            "rule_id": self.rule.id,
            "name": self.rule.wanted.name,
            "content": {"exchanges": self.content, "items": self.items, "bytes": self.bytes},
            "figures": {"exchanges": self.figures},
            "held": self.held,
            "waiting": self.waiting,
            "oldest_at": int(self.oldest.timestamp()) if self.oldest else None,
        }


@dataclass(slots=True)
class Planned:
    """A part of what would go: of so many exchanges that were looked at, up to *last_id*."""

    at: datetime
    shares: dict[str, Share] = field(default_factory=dict)
    looked_at: int = 0
    last_id: str | None = None
    has_more: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The API's form."""
        return {
            "object": "retention.plan",
            "at": int(self.at.timestamp()),
            "data": [share.as_dict() for share in self.shares.values()],
            "looked_at": self.looked_at,
            "last_id": self.last_id,
            "has_more": self.has_more,
        }


@dataclass(slots=True)
class Swept:
    """What a run did. hidden: exchanges that the next one removes; erased, removed: as in a receipt of an erasure."""

    looked_at: int = 0
    erased: Erased = field(default_factory=Erased)
    hidden: int = 0
    removed: Erased = field(default_factory=Erased)
    figures: int = 0

    @property
    def changed(self) -> int:
        return self.erased.exchanges + self.hidden + self.removed.exchanges

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        names = ("exchanges", "items", "payloads", "bytes")
        return {
            "object": "retention.run",
            "looked_at": self.looked_at,
            "content": {name: getattr(self.erased, name) for name in names},
            "hidden": self.hidden,
            "removed": {name: getattr(self.removed, name) for name in names},
            "figures": self.figures,
        }


# Told after each batch.
Tell = Callable[[Swept], None]


def plan(deps: Deps, project_id: str, limit: int = LOOKED_AT, after: str | None = None) -> Planned:
    """What would go now, of the next *limit* exchanges that are old enough, behind the one with the id *after*."""
    planned = Planned(deps.clock(), last_id=after)
    with deps.database.reading(project_id) as scope:
        planned.shares = {rule.id: Share(rule) for rule in rules.all_of(scope).all}
    for page in _pages(deps, project_id, after, limit):
        goes = [own for own, fate in page.fates.items() if fate.content]
        with deps.database.reading(project_id) as scope:
            sizes = retention.sizes(scope, goes)
        for own, fate in page.fates.items():
            if fate.rule.id in planned.shares:
                planned.shares[fate.rule.id].count(fate, sizes.get(own))
        planned.looked_at += page.looked_at
        planned.last_id, planned.has_more = page.last_id, page.has_more
    return planned


def run(deps: Deps, project_id: str, tell: Tell, limit: int | None = None) -> Swept:
    """Let go what is due, *limit* exchanges at most. Whatever interrupts it, the next run goes on.

    What is to be removed is hidden first, and goes with the first run ten minutes later (domain/retention.py).
    """
    swept = Swept()
    for page in _pages(deps, project_id, None, None):
        due = list(page.fates.items())
        if limit is not None:
            due = [each for each in due if _does(each[1], page.at)][: limit - swept.changed]
        _let_go(deps, project_id, dict(due), page.at, swept)
        swept.looked_at += page.looked_at
        tell(swept)
        if limit is not None and swept.changed >= limit:
            break
    return swept


def drop_payloads(deps: Deps, project_id: str, swept: Swept) -> bool:
    """Delete the shared bodies that runs left to nobody. False while a process may take them for stored.

    Each process answers within ten seconds; what is not dropped now, the next run drops.
    """
    with deps.database.reading(project_id) as scope:
        left = retention.left_over(scope)
    for rule_id in left:
        while (done := erasing.drop_payloads(deps, project_id, rule_id)) != Erased():
            if done is None:
                return False
            swept.erased += done
    return True


def purge(deps: Deps) -> bool:
    """Remove the traces of what went from the file; writers wait meanwhile. False when others did not let it."""
    return purging.purge(deps.database)


@dataclass(frozen=True, slots=True)
class _Page:
    """What becomes of some exchanges, at a moment."""

    fates: dict[str, Fate]
    at: datetime
    looked_at: int
    last_id: str
    has_more: bool


def _pages(deps: Deps, project_id: str, after: str | None, limit: int | None) -> Iterator[_Page]:
    """Page by page, what is old enough for some rule; each is read when it is asked for."""
    while limit is None or limit > 0:
        now = deps.clock()
        with deps.database.reading(project_id) as scope:
            known = rules.all_of(scope)
            size = BATCH if limit is None else min(BATCH, limit)
            before = {"content": _before(now, known.content_days), "figures": _before(now, known.figures_days)}
            found = retention.candidates(scope, size + 1, **before, after=after)
            has_more, found = len(found) > size, found[:size]
            if not found:
                return
            homes = sorted({each.conversation_id for each in found})
            trees = retention.conversations(scope, homes, metadata=known.by_metadata)
            held = holds.conversations(scope, homes)
        decided = {home: fates(known, tree, now, held=home in held) for home, tree in trees.items()}
        own = [(each.id, decided[each.conversation_id].get(each.id)) for each in found]
        after = found[-1].id
        yield _Page({name: fate for name, fate in own if fate is not None}, now, len(found), after, has_more)
        if not has_more:
            return
        limit = None if limit is None else limit - len(found)


def _let_go(deps: Deps, project_id: str, due: dict[str, Fate], now: datetime, swept: Swept) -> None:
    ripe = {own: fate for own, fate in due.items() if fate.is_ripe(now)}
    for rule_id, some in _by_rule({own: fate for own, fate in due.items() if fate.content and own not in ripe}):
        swept.erased += erasing.erase(deps, project_id, rule_id, some)
    wanted = [own for own, fate in due.items() if fate.figures and fate.member.hidden_at is None]
    if wanted:
        with deps.database.writing(project_id) as scope:
            swept.hidden += retention.hide(scope, wanted, now)
    # All at once: one may continue another that is another rule's.
    if ripe:
        rule_id = Counter(fate.rule.id for fate in ripe.values()).most_common(1)[0][0]
        with deps.database.writing(project_id, records=False) as scope:
            swept.removed += batches.whole(deps.database, scope, rule_id, list(ripe), deps.clock())
            swept.figures += retention.forget_figures(scope, list(ripe))


def _by_rule(due: dict[str, Fate]) -> Iterator[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for own, fate in due.items():
        found.setdefault(fate.rule.id, []).append(own)
    yield from found.items()


def _does(fate: Fate, now: datetime) -> bool:
    """Whether a run does something about it now."""
    return fate.content or fate.is_ripe(now) or (fate.figures and fate.member.hidden_at is None)


def _before(now: datetime, days: int | None) -> datetime | None:
    """The moment before which something is so old."""
    return None if days is None else now - timedelta(days=days)
