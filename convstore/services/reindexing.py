"""Making exchanges searchable that are from before there was an index: in short transactions, while the service runs.

What was added is in the index whatever happens then; a run that was interrupted is begun again and goes on.
"""

from collections.abc import Callable

from convstore.services import projects
from convstore.services.deps import Deps
from convstore.storage import indexing

# Exchanges a transaction: SQLite has one writer, and turns wait for it.
BATCH = 50

# Told whose exchanges are being added, how many were, and how many there are.
Tell = Callable[[str, int, int], None]


def reindex(deps: Deps, tell: Tell) -> int:
    """Add what is missing, project by project, and say how many that was."""
    return sum(_of_project(deps, project.id, project.name, tell) for project in projects.listed(deps))


def after_import(deps: Deps, project_id: str, tell: Callable[[int], None] = lambda _: None) -> int:
    """Make what was imported searchable, where that was left for the end. Returns how much it was."""
    with deps.database.connection() as connection:
        indexing.survey(connection)
    done = 0
    while True:
        with deps.database.writing(project_id, records=False) as scope:
            added = indexing.number(deps.database, scope)
        if not added:
            return done
        done += added
        tell(done)


def _of_project(deps: Deps, project_id: str, name: str, tell: Tell) -> int:
    with deps.database.reading(project_id) as scope:
        total = indexing.count_missing(scope)
    done, before = 0, None
    while True:
        tell(name, done, total)
        with deps.database.writing(project_id) as scope:
            found = indexing.missing(scope, BATCH, before)
            if not found:
                break
            indexing.add(deps.database, scope, found)
        before = found[-1]
        done += len(found)
    return done + after_import(deps, project_id)
