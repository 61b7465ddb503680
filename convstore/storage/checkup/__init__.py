"""Reading the whole store, a batch at a time, for what does not fit together. Nothing here writes: see mending.py.

    trees.py       exchanges beside their parents, and what a tree that is to be put in order needs
    contents.py    what exchanges say of their items, and the items
    work.py        what has not ended, and who is at it
    pointers.py    what points at exchanges, and what lies where none is

Every function is one short statement, made for the next batch behind the one before: nothing is held open between
them, so a running service does not notice. What must be seen together is read in one statement. Those that look across
projects say so: fingerprints and items do not know their project.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from convstore.storage import tables
from convstore.storage.scope import Scope

# Rows a statement: some milliseconds of it.
BATCH = 500

UNFINISHED = ("queued", "in_progress")

Spot = tuple[str, int]

_e = tables.exchanges


def own(scope: Scope, query: Any) -> Any:
    """A query about exchanges, for the project's own."""
    return query.where(_e.c.project_id == scope.project_id)


def following(scope: Scope, query: Any, after: str | None, limit: int | None = None) -> Any:
    """The same for the next batch of them, in the order of their ids."""
    query = own(scope, query)
    if after is not None:
        query = query.where(_e.c.id > after)
    return query.order_by(_e.c.id).limit(limit or BATCH)


def chunks(values: Sequence[Any], size: int = BATCH) -> Iterator[list[Any]]:
    """The same values, so many at a time."""
    rest = iter(values)
    while some := list(islice(rest, size)):
        yield some
