"""What the same usage would cost otherwise: on another model, or by the prices of a set.

A model is priced as that of a provider that the price library knows, where one is named (PROVIDER:MODEL); else where
it would be asked: at the upstream that is named (UPSTREAM/MODEL), or at the one that serves it; and where that has no
price for it, as the library knows it by its name alone.
Every exchange is priced as of now. What was not billed stays so; of what took nobody knows how many tokens, no price
is known either.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from convstore.domain import money
from convstore.domain.costs import Line, Only
from convstore.domain.pricing import library, whatif
from convstore.domain.pricing.book import Book
from convstore.domain.pricing.cost import Basis, Reason
from convstore.domain.pricing.rule import Rule
from convstore.domain.pricing.whatif import Pile
from convstore.domain.usage import Usage
from convstore.errors import InvalidRequest
from convstore.services.deps import Deps
from convstore.storage import costs as store
from convstore.storage import prices

# What a price depends on, as storage/costs.py has it.
_KIND = ("upstream", "model", "requested_model", "service_tier")
_CALLS = ("web_search", "file_search", "code_execution")
# Of these nobody knows what they took.
_NO_USAGE = frozenset({Reason.INCONSISTENT_USAGE, Reason.INCREDIBLE_USAGE})

Kind = tuple[str | None, str | None, str, str | None]


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another price for each kind of exchange there is. said: what was asked for; rule: the price, where it is one."""

    said: dict[str, str]
    rules: dict[Kind, Rule]
    rule: Rule | None = None

    def as_dict(self) -> dict[str, Any]:
        """The API's form."""
        source = None
        if self.rule is not None:
            source = {"source": self.rule.source, "version": self.rule.version, "model": self.rule.model}
        return {**self.said, "price": source}

    def lines(self, deps: Deps, project_id: str, by: Sequence[str], only: Only) -> Iterator[tuple[Any, Line]]:
        """Lines of the ledger with other costs, each behind the values of *by*."""
        sizes = whatif.sizes(list(self.rules.values()))
        own = len(by)
        for row in store.usages(deps.database, project_id, (*by, *_KIND), only, sizes):
            kind: Kind = tuple(row[own : own + 4])
            tier, basis, reason, _, exchanges, *tokens, _, _ = row[own + 4 : -len(_CALLS)]
            calls = dict(zip(_CALLS, row[-len(_CALLS) :], strict=True))
            above = sizes[tier - 1] if tier > 0 else 0
            pile = Pile(exchanges, Usage(*tokens), calls, above)
            yield row[:own], _line(self.rules.get(kind), pile, basis, reason, is_known=tier >= 0)


def asked(deps: Deps, project_id: str, what_if: str | None, price_set: str | None) -> Alternative | None:
    """The other price that a report asks for; None when it asks for none. Raises InvalidRequest."""
    if what_if is not None and price_set is not None:
        raise InvalidRequest(
            "'what_if' and 'price_set' cannot be combined.", param="price_set", code="mutually_exclusive_parameters"
        )
    if what_if is not None:
        return _on_model(deps, project_id, what_if)
    return _by_set(deps, project_id, price_set) if price_set is not None else None


def _on_model(deps: Deps, project_id: str, model: str) -> Alternative:
    usual = _rule(deps, project_id, model, None)
    if usual is None:
        raise InvalidRequest(
            f"No price is known for '{model}'. Name one (/v1/prices), or a model that the price library knows.",
            param="what_if",
            code="no_price",
        )
    kinds = store.kinds(deps.database, project_id)
    tiers = {kind[3] for kind in kinds}
    by_tier = {tier: _rule(deps, project_id, model, tier) or usual for tier in tiers}
    return Alternative({"model": model}, {kind: by_tier[kind[3]] for kind in kinds}, usual)


def _by_set(deps: Deps, project_id: str, name: str) -> Alternative:
    with deps.database.reading(project_id) as scope:
        book = Book(prices.of_set(scope, name))
    if not book.prices:
        raise InvalidRequest(f"No price is in a set '{name}'.", param="price_set", code="invalid_value")
    rules = {}
    for kind in store.kinds(deps.database, project_id):
        upstream, model, requested, tier = kind
        rule = book.rule(upstream or "", [each for each in (model, requested) if each], tier, deps.clock())
        if rule is not None:
            rules[kind] = rule
    return Alternative({"price_set": name}, rules)


def _rule(deps: Deps, project_id: str, asked_for: str, tier: str | None) -> Rule | None:
    now = deps.clock()
    provider, colon, rest = asked_for.partition(":")
    # A colon may be in a model's own name: then the library has no such provider.
    known = library.rule_at(provider, rest, tier, now) if colon else None
    if known is not None:
        return known
    upstream, slash, model = asked_for.partition("/")
    named = deps.upstreams.url_of(upstream) is not None if slash else False
    called = model if named else asked_for
    # Nobody need serve it: the price book may know it all the same.
    where, own = deps.upstreams.asked(upstream if named else None, called) or ("", called)
    rule = deps.prices.rule(project_id, where, (own, called), tier, now)
    if rule is not None or named:
        return rule
    return library.rule_at(None, asked_for, tier, now)


def _line(rule: Rule | None, pile: Pile, basis: str, reason: str | None, *, is_known: bool) -> Line:
    usage = pile.usage
    counts = (usage.input, usage.cached, usage.cache_write, usage.output, usage.reasoning, usage.total)
    if basis == Basis.NOT_BILLED:
        return basis, None, None, pile.exchanges, *counts, 0, 0
    if not is_known or reason in _NO_USAGE:
        return Basis.UNKNOWN, reason or "no_usage", None, pile.exchanges, *counts, 0, 0
    amount = whatif.priced(rule, pile) if rule is not None else None
    if rule is None or amount is None:
        return Basis.UNKNOWN, Reason.NO_PRICE, None, pile.exchanges, *counts, 0, 0
    known = Basis.ESTIMATED if basis == Basis.ESTIMATED else Basis.REPORTED
    return known, None, rule.currency, pile.exchanges, *counts, *divmod(amount, money.MILLION)
