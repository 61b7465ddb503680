"""Projects: listed, and told what they choose. A project is made with its first key (keys.py)."""

from dataclasses import replace
from typing import Any

from convstore import ids
from convstore.domain import calls
from convstore.errors import NotFound
from convstore.services.deps import Deps
from convstore.storage import everywhere
from convstore.storage.everywhere import Project


class ProjectNotFound(NotFound):
    """No project has this name."""


def listed(deps: Deps) -> list[Project]:
    """All projects, oldest first."""
    with deps.database.connection() as connection:
        return everywhere.projects(connection)


def change(deps: Deps, name: str, **chosen: Any) -> Project:
    """Set some of a project's settings (the members of ProjectSettings); the others stay. Raises ProjectNotFound.

    Running services follow within `key_cache_s`; requests that have begun end as they began.
    """
    with deps.database.transaction(records=True) as connection:
        project = everywhere.project(connection, name, for_update=True)
        if project is None:
            raise ProjectNotFound(f"No project has the name '{name}'.")
        changed = replace(project, settings=replace(project.settings, **chosen))
        everywhere.set_project(connection, project.id, changed.settings)
        calls.about(project.id, ids.pack(ids.PROJECT, project.id))
    return changed
