"""How long exchanges are kept: rules, and what they say of a conversation at a moment.

The first rule that is for an exchange decides; one that no rule is for is kept for ever. Its content goes first, its
figures (and with them the exchange) not before that. An exchange that others continue goes after them:

    content   when it is old enough and, unless its rule says otherwise, nothing is left to read of what continues it
    figures   when it is old enough and whatever continues it goes as well, whatever the rule says

What is still being answered, and whatever a hold is for (domain/hold.py), stays.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from convstore.domain.hold import carries

# A request that continues an exchange has read it a moment before it is on disk itself. So an exchange is hidden
# first, when nothing can begin to continue it any more, and removed when whoever had begun has long been seen.
HIDDEN_FOR = timedelta(minutes=10)
PRIORITY = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """A rule that somebody wants. model: a pattern with *; metadata: all of it; without either it is for everything.

    content_days, figures_days: None for ever. The rule with the least priority is asked first.
    """

    name: str
    content_days: int | None = None
    figures_days: int | None = None
    model: str | None = None
    metadata: Mapping[str, str] | None = None
    keep_while_descendants: bool = True
    priority: int = PRIORITY

    @property
    def is_possible(self) -> bool:
        """Whether the figures are kept as long as the content, which has nowhere to be without them."""
        if self.content_days is None:
            return self.figures_days is None
        return self.figures_days is None or self.figures_days >= self.content_days


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that is in force."""

    id: str
    wanted: Wanted
    created_at: datetime
    changed_at: datetime

    def as_dict(self) -> dict[str, Any]:
        """The API's form."""
        wanted = self.wanted
        return {
            "id": self.id,
            "object": "retention.rule",
            "name": wanted.name,
            "priority": wanted.priority,
            "model": wanted.model,
            "metadata": wanted.metadata,
            "content_days": wanted.content_days,
            "figures_days": wanted.figures_days,
            "keep_while_descendants": wanted.keep_while_descendants,
            "created_at": int(self.created_at.timestamp()),
            "changed_at": int(self.changed_at.timestamp()),
        }


@dataclass(frozen=True, slots=True)
class Member:
    """An exchange as the rules see it.

    at: since when it is in this store. models: as it was asked for, and as the answer said. erased_by: the rule that
    its content went by, which goes on being its rule: what it was found by has gone with the content.
    """

    id: str
    at: datetime
    parent_id: str | None = None
    models: Sequence[str] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    is_open: bool = False
    is_erased: bool = False
    erased_by: str | None = None
    hidden_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of an exchange whose time has come, by which rule.

    content, figures: whether they go. held, waits: whether they would, but for a hold, or for what continues it.
    """

    rule: Rule
    member: Member
    content: bool = False
    figures: bool = False
    held: bool = False
    waits: bool = False

    def is_ripe(self, now: datetime) -> bool:
        """Whether it can be removed, and need not be hidden first."""
        hidden_at = self.member.hidden_at
        return self.figures and hidden_at is not None and now - hidden_at >= HIDDEN_FOR


class Rules:
    """The rules of a project, in their order."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.all = sorted(rules, key=lambda rule: (rule.wanted.priority, rule.created_at, rule.id))
        self._by_id = {rule.id: rule for rule in self.all}

    def of(self, member: Member) -> Rule | None:
        """The rule that decides on an exchange."""
        if member.erased_by in self._by_id:
            return self._by_id[member.erased_by]
        return next((rule for rule in self.all if _is_for(rule.wanted, member)), None)

    @property
    def content_days(self) -> int | None:
        """The age before which no content goes; None when none ever does."""
        return min(
            (each.wanted.content_days for each in self.all if each.wanted.content_days is not None), default=None
        )

    @property
    def figures_days(self) -> int | None:
        """The same of figures."""
        return min(
            (each.wanted.figures_days for each in self.all if each.wanted.figures_days is not None), default=None
        )

    @property
    def by_metadata(self) -> bool:
        """Whether metadata has to be read to know an exchange's rule."""
        return any(rule.wanted.metadata is not None for rule in self.all)


def fates(rules: Rules, conversation: Sequence[Member], now: datetime, *, held: bool = False) -> dict[str, Fate]:
    """What becomes of the exchanges of a conversation whose time has come, by id. held: a hold is for it."""
    found: dict[str, Fate] = {}
    quiet: dict[str, bool] = {}
    gone: dict[str, bool] = {}
    children: dict[str, list[str]] = {}
    for member in _last_first(conversation):
        below = children.pop(member.id, [])
        rule = rules.of(member)
        days = (None, None) if rule is None or member.is_open else (rule.wanted.content_days, rule.wanted.figures_days)
        is_old, is_over = (limit is not None and now - member.at >= timedelta(days=limit) for limit in days)
        is_free = all(quiet[child] for child in below) or (rule is not None and not rule.wanted.keep_while_descendants)
        content = is_old and is_free and not member.is_erased
        figures = is_over and all(gone[child] for child in below)
        quiet[member.id] = (member.is_erased or content) and all(quiet[child] for child in below)
        gone[member.id] = figures
        waits = (is_old and not member.is_erased and not content) or (is_over and not figures)
        if rule is not None and (content or figures or waits):
            found[member.id] = Fate(rule, member, content, figures, waits=waits)
        if member.parent_id is not None:
            children.setdefault(member.parent_id, []).append(member.id)
    if held:
        return {own: Fate(fate.rule, fate.member, held=True) for own, fate in found.items()}
    return found


def _is_for(wanted: Wanted, member: Member) -> bool:
    if wanted.model is not None and not any(fnmatchcase(model, wanted.model) for model in member.models):
        return False
    return wanted.metadata is None or carries(member.metadata, wanted.metadata)


def _last_first(conversation: Sequence[Member]) -> list[Member]:
    """Every exchange behind all that continue it, whatever their ids say."""
    members = {member.id: member for member in conversation}
    below: dict[str, list[Member]] = {}
    for member in conversation:
        if member.parent_id in members and member.parent_id is not None:
            below.setdefault(member.parent_id, []).append(member)
    ordered = [member for member in conversation if member.parent_id not in members]
    for member in ordered:
        ordered.extend(below.get(member.id, ()))
    return ordered[::-1]
