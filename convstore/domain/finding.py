"""What an exchange is found by: the terms of its question, known when it begins, and of its answer, when it ends.

A question is found by what its request brought and, where they are not its parent's, by its instructions: a thread of a
thousand turns says them once. What may be asked of an exchange besides is a term too, so that a search for it, however
few have it, looks nowhere else.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Protocol

from convstore.domain import jsontext, money, said, terms
from convstore.domain.items import Item
from convstore.domain.pricing.cost import Cost
from convstore.domain.usage import Usage

MILLISECOND = timedelta(milliseconds=1)


class Asked(Protocol):
    """What is known of an exchange when it begins."""

    @property
    def conversation_id(self) -> str: ...
    @property
    def requested_model(self) -> str: ...
    @property
    def origin(self) -> str: ...
    @property
    def depth(self) -> int: ...
    @property
    def user(self) -> str | None: ...
    @property
    def safety_identifier(self) -> str | None: ...
    @property
    def metadata(self) -> bytes | None: ...
    @property
    def created_at(self) -> datetime: ...


class Answered(Protocol):
    """What is known of it when it has ended."""

    @property
    def status(self) -> str: ...
    @property
    def model(self) -> str | None: ...
    @property
    def upstream(self) -> str | None: ...
    @property
    def error(self) -> Mapping[str, Any] | None: ...
    @property
    def incomplete_reason(self) -> str | None: ...
    @property
    def usage(self) -> Usage | None: ...
    @property
    def completed_at(self) -> datetime | None: ...


def of_question(
    project_id: str,
    asked: Asked,
    items: Sequence[Item],
    settings: bytes | None,
    key_id: str | None,
    *,
    words: bool = True,
) -> str:
    """The terms of a question, with spaces between them. settings: None where its parent's are the same.

    words: what was said, too; without, it is found by filters alone.
    """
    spoken = _said(items, settings, output=False) if words else []
    return " ".join([*_of_question(project_id, asked, key_id), *spoken])


def of_answer(
    answered: Answered, items: Sequence[Item], asked_at: datetime, cost: Cost | None, *, words: bool = True
) -> str:
    """The terms of an answer, with spaces between them. words: as above."""
    spoken = terms.words(_texts(items, output=True)) if words else []
    return " ".join([*_of_answer(answered, items, asked_at), *_of_cost(cost), *spoken])


def _of_question(project_id: str, asked: Asked, key_id: str | None) -> Iterator[str]:
    yield terms.exact("p", project_id)
    yield terms.exact("c", asked.conversation_id)
    yield terms.exact("rm", asked.requested_model)
    yield terms.exact("or", asked.origin)
    yield terms.size("p", asked.depth)
    yield from terms.dates(asked.created_at.astimezone(UTC))
    for kind, value in (("k", key_id), ("u", asked.user), ("si", asked.safety_identifier)):
        if value:
            yield terms.exact(kind, value)
    if asked.metadata:
        for name, value in jsontext.loads(asked.metadata).items():
            yield terms.exact("md", f"{name}={value}")


def _of_answer(answered: Answered, items: Sequence[Item], asked_at: datetime) -> Iterator[str]:
    yield terms.exact("st", answered.status)
    error = answered.error.get("code") if answered.error else None
    named = (("m", answered.model), ("up", answered.upstream), ("er", error), ("fr", answered.incomplete_reason))
    for kind, value in named:
        if value:
            yield terms.exact(kind, str(value))
    for tool in dict.fromkeys(tool for item in items for tool in said.tools(item)):
        yield terms.exact("to", tool)
    if answered.usage:
        yield terms.size("ti", answered.usage.input)
        yield terms.size("to", answered.usage.output)
        yield terms.size("tt", answered.usage.total)
    if answered.completed_at:
        yield terms.size("l", (answered.completed_at - asked_at) // MILLISECOND)


def _of_cost(cost: Cost | None) -> Iterator[str]:
    if cost is not None and cost.amount is not None:
        yield terms.size("co", money.split(cost.amount)[0])
        if cost.currency:
            yield terms.exact("cu", cost.currency)


def _said(items: Sequence[Item], settings: bytes | None, *, output: bool) -> list[str]:
    found = terms.words(_texts(items, output=output))
    return [*found, *_instructions(settings)] if settings else found


@lru_cache(maxsize=256)
def _instructions(settings: bytes) -> tuple[str, ...]:
    """The same for many threads: they are cut into words once in a process."""
    given = said.instructions(settings)
    return tuple(terms.words([given])) if given else ()


def _texts(items: Iterable[Item], *, output: bool) -> Iterator[str]:
    return (text for item in items for _, text in said.texts(item, output=output))
