"""The doctor: the whole store is read, what does not fit together is told, and what is safe is mended.

    trees.py      where exchanges lie, worked out anew from who continues whom
    contents.py   their items, first lines, tool calls and bodies
    work.py       what is said to be going on and is not
    pointers.py   branches, and what is of no project: fingerprints, items without an exchange

Trees come first: items belong to whoever lies at their place. Nothing is held open between two looks, every repair is
a transaction of its own that sees again whether it is needed, and what a living process is at is left alone. So the
service may run meanwhile.
"""

from collections.abc import Iterator

from convstore.domain.checkup import Finding
from convstore.services.deps import Deps
from convstore.services.doctor import contents, pointers, trees, work
from convstore.services.doctor.visit import Tell, Visit, silent
from convstore.services.projects import ProjectNotFound
from convstore.storage import everywhere
from convstore.storage.checkup import Spot
from convstore.storage.checkup import trees as reading


def examine(deps: Deps, project: str | None = None, *, repair: bool = False, tell: Tell = silent) -> Iterator[Finding]:
    """Everything that is wrong, as it is found; with *repair*, what is safe is mended before it is told.

    project: only what is this one's; what is of no project is left out then. Raises ProjectNotFound.
    """
    with deps.database.connection() as connection:
        known = everywhere.projects(connection)
    chosen = [each for each in known if project in (None, each.name)]
    if project is not None and not chosen:
        raise ProjectNotFound(f"No project has the name '{project}'.")
    strays = pointers.Strays.found(deps, known)
    displaced: set[Spot] = set()
    for each in chosen:
        with deps.database.reading(each.id) as scope:
            total = reading.count(scope)
        visit = Visit(deps, each, repair, tell, total)
        unclear = yield from trees.examine(visit, strays.lanes_of(each.id))
        yield from contents.examine(visit, unclear)
        displaced |= unclear
        yield from work.examine(visit)
        yield from pointers.examine(visit)
    if repair:
        # Some were at home again as soon as the trees were in order.
        strays = pointers.Strays.found(deps, known)
    yield from strays.told(chosen, displaced, of_none=project is None)
    if project is None:
        yield from pointers.fingerprints(deps, known, repair=repair)
