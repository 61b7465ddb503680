"""Files of exports and imports that nobody needs any more: dropped by the workers, every hour."""

from convstore.services import exports, imports, projects
from convstore.services.deps import Deps


def forget(deps: Deps) -> int:
    """Drop them, project by project. Returns of how many exports and imports."""
    return sum(exports.forget(deps, each.id) + imports.forget(deps, each.id) for each in projects.listed(deps))
